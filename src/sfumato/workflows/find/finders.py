"""Which finders there are: what each needs, which pictures it is for, and how it is made.

To add a finder, write it in `critic/finders/` and add its row. Start reading at `FINDERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from sfumato.critic.finders.finder import Finder
from sfumato.models.parts.catalogue import find_part


@dataclass(frozen=True, slots=True, kw_only=True)
class FinderRow:
    """Hold a finder's row: its name, what it finds, how it is made, the parts that it needs, and its world.

    `world` is "real" for photographs and renders of checkpoints, "drawn" for pictures of `mini`.
    """

    name: str
    kinds: frozenset[str]
    make: Callable[[], Finder]
    parts: tuple[str, ...] = ()
    world: Literal["real", "drawn"] = "real"

    def list_missing(self) -> tuple[str, ...]:
        """Return the parts that were not fetched yet."""
        return tuple(name for name in self.parts if find_part(name) is None)


def _make_faces() -> Finder:
    from sfumato.critic.finders.faces import FaceFinder

    return FaceFinder()


def _make_hands() -> Finder:
    from sfumato.critic.finders.hands import HandFinder

    return HandFinder()


def _make_drawn() -> Finder:
    from sfumato.critic.finders.drawn import DrawnFinder

    return DrawnFinder()


# Said here once more, so that a plan knows them without the networks; a test compares.
FINDERS: tuple[FinderRow, ...] = (
    FinderRow(
        name="faces",
        kinds=frozenset({"face", "eye", "mouth", "person"}),
        make=_make_faces,
        parts=("face-full-range", "face-mesh"),
    ),
    FinderRow(name="hands", kinds=frozenset({"hand"}), make=_make_hands, parts=("palm", "hand-landmarks")),
    FinderRow(name="drawn", kinds=frozenset({"person", "face", "hand", "house"}), make=_make_drawn, world="drawn"),
)


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
