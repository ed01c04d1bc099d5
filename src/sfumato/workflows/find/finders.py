"""Which finders there are: what each needs, which pictures it is for, and how they are made.

To add a finder, write it in `critic/finders/`, add its row, and make it in `make_finders`. Start reading at `FINDERS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

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


_FACE_PARTS = ("face-full-range", "face-mesh")
# Said here once more, so that a plan knows them without the networks; a test compares.
FINDERS: tuple[FinderRow, ...] = (
    FinderRow(name="faces", kinds=frozenset({"face", "eye", "mouth"}), parts=_FACE_PARTS),
    FinderRow(name="persons", kinds=frozenset({"person", "head"}), parts=(*_FACE_PARTS, "pose-landmarks")),
    FinderRow(
        name="hands",
        kinds=frozenset({"hand"}),
        parts=(*_FACE_PARTS, "pose-landmarks", "palm", "hand-landmarks"),
    ),
    FinderRow(name="drawn", kinds=frozenset({"person", "face", "hand", "house"}), world="drawn"),
)


def make_finders(rows: Iterable[FinderRow]) -> tuple[Finder, ...]:
    """Make the finders of rows; those of real pictures share one look."""
    finders, rows = list[Finder](), tuple(rows)
    if real := [row.name for row in rows if row.world == "real"]:
        from sfumato.critic.finders.people import PeopleFinder

        finders.append(PeopleFinder(real))
    if any(row.world == "drawn" for row in rows):
        from sfumato.critic.finders.drawn import DrawnFinder

        finders.append(DrawnFinder())
    return tuple(finders)


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
