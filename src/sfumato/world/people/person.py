"""A person as words: who they are, what they wear, what they do. Values only; `body` makes geometry of them.

It knows no pictures. Start reading at `Person`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.world.people.hand import HandSpec

POSES = ("standing", "walking", "sitting", "waving", "arms up", "holding")
TOPS = ("shirt", "sweater", "coat", "dress")
BOTTOMS = ("trousers", "shorts", "skirt")
HELD = ("cup", "ball", "flower", "balloon")


@dataclass(frozen=True)
class Garment:
    """A garment with the word of its colour."""

    kind: str
    colour: str


@dataclass(frozen=True)
class Difference:
    """A body that differs and is right: what (amputation, prosthesis, glove), which limb, at what level."""

    kind: str
    limb: str
    level: str = ""


@dataclass(frozen=True)
class Person:
    """Everything words can say of a person. `wobble` seeds the small differences no caption mentions.

    The broad mix alone fills what stands after `wobble`: a name, the colour of the eyes, hats, scarves, and the marks
    of `draw_marks.MARKS`. The age is young, adult, old or, there alone, child.
    """

    kind: str = "woman"
    age: str = "adult"
    hair: str = "brown"
    hair_style: str = "short"
    skin: str = "light"
    glasses: bool = False
    smile: bool = True
    beard: bool = False
    top: Garment = Garment("shirt", "red")
    bottom: Garment = Garment("trousers", "blue")
    pose: str = "standing"
    held: str = ""
    held_colour: str = "red"
    arm_side: str = "right"
    exception: Difference | None = None
    wobble: int = 0
    name: str = ""
    eyes: str = ""
    hat: str = ""
    hat_colour: str = "red"
    scarf: str = ""
    glasses_colour: str = "black"
    marks: tuple[str, ...] = ()
    look: int = -1

    @property
    def is_fine(self) -> bool:
        """Tell whether lips, glasses and cloth are drawn for close-ups: people of the broad mix, whose eyes have a word."""
        return bool(self.eyes)

    @property
    def face_seed(self) -> int:
        """Return what seeds the face: `look`, which stays when `wobble` changes, or `wobble` where there is none."""
        return self.look if self.look >= 0 else self.wobble


@dataclass(frozen=True)
class Placement:
    """Where a person stands: feet at (x, ground) in scene units, `height` from ground to top of head."""

    x: float
    ground: float
    height: float


@dataclass(frozen=True)
class HandView:
    """A close-up of one hand: the hand, its skin or glove, the sleeve, where it is and how it leans."""

    spec: HandSpec
    skin: str = "light"
    glove: str = ""
    sleeve: str = "blue"
    centre: complex = 0.5 + 0.5j
    size: float = 0.72
    lean_deg: float = 0.0
    exception: Difference | None = None
