"""Which finders there are: what each needs, which pictures it is for, and how they are made.

To add a finder, write it in `critic/finders/`, add its row, and make it in `make_finders`. Start reading at `FINDERS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sfumato.critic.finders import people
from sfumato.critic.finders.drawn import DrawnFinder
from sfumato.critic.finders.finder import Finder
from sfumato.models.parts.catalogue import find_part


@dataclass(frozen=True, slots=True, kw_only=True)
class FinderRow:
    """Hold a finder's row: its name, what it finds, the parts that it needs, and its world.

    `world` is "real" for photographs and renders of checkpoints, "drawn" for pictures of `mini`.
    """

    name: str
    kinds: frozenset[str]
    parts: tuple[str, ...] = ()
    world: Literal["real", "drawn"] = "real"

    def list_missing(self) -> tuple[str, ...]:
        """Return the parts that were not fetched yet."""
        return tuple(name for name in self.parts if find_part(name) is None)


FINDERS: tuple[FinderRow, ...] = (
    *(FinderRow(name=name, kinds=kinds, parts=people.PARTS[name]) for name, kinds in people.KINDS.items()),
    FinderRow(name=DrawnFinder.name, kinds=DrawnFinder.kinds, world="drawn"),
)


def make_finders(rows: Iterable[FinderRow]) -> tuple[Finder, ...]:
    """Make the finders of rows; those of real pictures share one look."""
    rows = tuple(rows)
    real = [row.name for row in rows if row.world == "real"]
    drawn = [DrawnFinder() for row in rows if row.world == "drawn"]
    return (*([people.PeopleFinder(real)] if real else ()), *drawn)


def list_kinds(rows: Iterable[FinderRow] = FINDERS) -> tuple[str, ...]:
    """Return every kind that some finder knows, in the order of the alphabet."""
    return tuple(sorted({kind for row in rows for kind in row.kinds}))


def choose_rows(*, drawn: bool, kinds: frozenset[str] = frozenset(), by: str = "") -> tuple[FinderRow, ...]:
    """Return the finders of a picture that know one of `kinds` (none named: any), or the one named.

    Real pictures have the real finders. A picture of `mini` has those of drawn pictures, and the real ones whose parts
    are there: they see its portraits well.
    """
    rows = [row for row in FINDERS if (row.name == by if by else _fits(row, drawn))]
    return tuple(row for row in rows if not kinds or row.kinds & kinds)


def _fits(row: FinderRow, drawn: bool) -> bool:
    if row.world == "drawn":
        return drawn
    return not drawn or not row.list_missing()
