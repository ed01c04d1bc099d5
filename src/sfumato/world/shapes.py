"""The geometry of a scene between planning and drawing, and the faults planted in it. Start reading at `make_shapes`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sfumato.world.people.body import BodyShape, make_body
from sfumato.world.people.hand import HandShape, make_hand
from sfumato.world.people.person import HandView
from sfumato.world.scene import Scene


@dataclass(frozen=True)
class Fault:
    """A planted fault: its kind, the part of the tree that holds it, the parts it touches, how gross it is in (0, 1]."""

    kind: str
    where: str
    parts: tuple[str, ...]
    amount: float

    def to_json(self) -> dict[str, object]:
        """Return the fault as plain values."""
        return {"kind": self.kind, "where": self.where, "parts": list(self.parts), "amount": round(self.amount, 4)}


@dataclass(frozen=True)
class Shapes:
    """The shapes of everybody in a scene, in the order of the scene's people and hands."""

    bodies: tuple[BodyShape, ...]
    hands: tuple[HandShape, ...]
    faults: tuple[Fault, ...] = ()


def make_shapes(scene: Scene) -> Shapes:
    """Build the geometry of everybody in a scene."""
    bodies = tuple(make_body(person, where, digit_count=scene.digit_count) for person, where in scene.people)
    return Shapes(bodies, tuple(_shape_hand(view) for view in scene.hands))


def _shape_hand(view: HandView) -> HandShape:
    lean = math.radians(view.lean_deg)
    along = complex(math.sin(lean), -math.cos(lean))
    return make_hand(view.spec, view.centre - along * view.size * 0.42, along, view.size)
