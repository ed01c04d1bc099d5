"""What focus knows of kinds of things: which have a predictable look, what belongs to them, how a crop is worded.

A wall or a tree is drawn differently by every seed, a face alike by all: only the second can be drawn anew and still
belong. Values only; knows no picture. Start reading at `KINDS`, then `read_words`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.core.errors import RequestError
from sfumato.core.focus import AUTO
from sfumato.core.geometry import PixelBox, PixelSize

# The kind of a box that a user named.
USER_BOX = "box"


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """Say how a kind is worked on.

    `level` is how deep it lies: people 0, what lies in them 1, what lies in that 2. `beside`, `above` and `below` grow the
    box by what belongs to it, in shares of its longer side. `context` is the side of the crop in sides of the box; None
    takes that of the request. `part` words a crop of any model, `drawn_part` one of mini, whose captions speak so.
    `automatic` kinds are worked on by `auto`; a part that is `oval` leaves the corners of its box alone.
    """

    level: int
    part: str
    drawn_part: str
    beside: float = 0.1
    above: float = 0.1
    below: float = 0.1
    context: float | None = None
    automatic: bool = True
    oval: bool = False


KINDS: dict[str, KindRow] = {
    "person": KindRow(
        level=0, part="{owner}, full body", drawn_part="{owner}, full body", context=1.5, beside=0.05, below=0.05
    ),
    "house": KindRow(level=0, part="a close-up of a house", drawn_part="a house", context=1.6, automatic=False),
    # Hair and chin belong to a face: a finder marks what shows of the skin.
    "face": KindRow(
        level=1,
        part="a close-up of the face of {owner}",
        drawn_part="a close-up of {owner}",
        beside=0.25,
        above=0.45,
        below=0.15,
        oval=True,
    ),
    "head": KindRow(level=1, part="a close-up of the head of {owner}", drawn_part="a close-up of {owner}", oval=True),
    # Mini draws hands worse than it leaves them, and the critic of hands is young: whoever wants it names it.
    "hand": KindRow(
        level=1,
        part="a close-up of the hand of {owner}",
        drawn_part="a detail of the hand of {owner}",
        automatic=False,
        oval=True,
    ),
    "eye": KindRow(
        level=2,
        part="a close-up of an eye of {owner}",
        drawn_part="a detail of the face of {owner}",
        context=2.5,
        oval=True,
    ),
    "mouth": KindRow(
        level=2,
        part="a close-up of the mouth of {owner}",
        drawn_part="a detail of the face of {owner}",
        context=2.5,
        oval=True,
    ),
}
# What is everywhere alike has no place of its own, and is drawn otherwise by every seed: it is never worked on.
STUFF = frozenset(
    (
        "wall",
        "walls",
        "bricks",
        "brick",
        "leaves",
        "foliage",
        "grass",
        "meadow",
        "sky",
        "clouds",
        "cloud",
        "sea",
        "water",
        "ocean",
        "sand",
        "beach",
        "snow",
        "ice",
        "forest",
        "woods",
        "jungle",
        "field",
        "hills",
        "mountains",
        "fog",
        "mist",
        "smoke",
        "rain",
        "stars",
        "night",
        "day",
        "sunset",
        "sunrise",
        "background",
        "texture",
        "floor",
        "ground",
        "road",
        "street",
        "pavement",
        "crowd",
        "view",
        "pattern",
        "light",
        "shadow",
        "shadows",
        "room",
        "garden",
        "city",
    )
)
_OTHER = KindRow(level=0, part="a close-up of {owner}", drawn_part="{owner}", automatic=False)
_PLURALS = {"people": "person", "persons": "person"}
_WORD = re.compile(r"[^\W\d_][\w'-]{0,31}")


def find_row(kind: str) -> KindRow:
    """Return the row of a kind; a box of the user and a thing of the prompt have one without words of their own."""
    return KINDS.get(kind, _OTHER)


def read_words(text: str) -> tuple[str, ...]:
    """Read what follows `--focus`: auto, or kinds with commas between, plurals too; off gives none.

    A word that is no kind has to be a thing that the prompt names: see `words.list_things`.

    Raises:
        RequestError: a word is none, or auto is not alone.
    """
    words = [word.strip().lower() for word in text.split(",")]
    if words == ["off"]:
        return ()
    if words == [AUTO]:
        return (AUTO,)
    kinds = [
        _PLURALS.get(word, word if word.removesuffix("s") not in KINDS else word.removesuffix("s")) for word in words
    ]
    unknown = [word for word in kinds if word == AUTO or not _WORD.fullmatch(word)]
    if unknown:
        do = f"Say off, auto, some of {', '.join(sorted(KINDS))}, or a thing that the prompt names."
        raise RequestError("this is no word that `focus` could look for", got=", ".join(unknown), do=do)
    if stuff := [word for word in kinds if word in STUFF]:
        do = "Name things that look alike in every picture: a face, a car, a watch."
        raise RequestError(
            "what looks otherwise in every picture is left alone by `focus`", got=", ".join(stuff), do=do
        )
    return tuple(dict.fromkeys(kinds))


def choose_kinds(words: tuple[str, ...]) -> frozenset[str]:
    """Return the kinds that words take."""
    if words == (AUTO,):
        return frozenset(kind for kind, row in KINDS.items() if row.automatic)
    return frozenset(words)


def grow_core(kind: str, box: PixelBox, picture: PixelSize) -> PixelBox:
    """Return what changes wholly when a part is drawn anew: the box and what belongs to it."""
    row, side = find_row(kind), max(box.width, box.height)
    beside, above, below = (round(share * side) for share in (row.beside, row.above, row.below))
    return PixelBox(box.left - beside, box.top - above, box.right + beside, box.bottom + below).clip(picture)
