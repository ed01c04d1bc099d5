"""The camera: from where a hand is seen, how large and turned it is, and the way from decimetres to pixels.

It knows points, no surface. Start reading at `aim`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.world.hands3d.mesh import Floats
from sfumato.world.hands3d.posed import PosedHand
from sfumato.world.hands3d.rig import FOREARM, WRIST, RestHand, unit

NEAREST_DM, FARTHEST_DM = 4.0, 9.0
BEHIND_LIMIT = 0.35
"""The camera stays this far (cosine) from the line behind the forearm, or the sleeve would fill the picture."""


@dataclass(frozen=True)
class Framing:
    """What the camera is told: the side it sees, how far off that side, how turned, how large, where in the frame."""

    palm: bool
    stray: float  # 0 faces the hand, 1 may look along it
    lean_deg: float  # clockwise from upright
    extent: float  # the larger side of the hand as a share of the frame
    shift: tuple[float, float]  # of the hand's middle, as a share of the frame


@dataclass(frozen=True)
class Camera:
    """A perspective camera: where it stands, its axes (right, up, towards the camera), and pixels per unit slope."""

    place: NDArray[np.float64]
    axes: NDArray[np.float64]  # [3, 3], columns
    scale: float  # frame widths per slope
    offset: NDArray[np.float64]  # [2], frame widths
    facing: float  # cosine between palm normal and camera: 1 palm, -1 back

    def project(self, points: Floats) -> Floats:
        """Return (x, y, 1 / depth) of points, x and y as shares of the frame, float32 [N, 3]."""
        seen = (points - self.place) @ self.axes
        depth = np.maximum(-seen[:, 2], 0.3)
        x = seen[:, 0] / depth * self.scale + self.offset[0]
        y = -seen[:, 1] / depth * self.scale + self.offset[1]
        return np.stack([x, y, 1 / depth], 1).astype(np.float32)


def aim(rest: RestHand, hand: PosedHand, framing: Framing, rng: np.random.Generator) -> Camera:
    """Place a camera that frames a hand as told; `hand` is the sound one, so that a fault moves no camera."""
    turn = hand.matrices[WRIST][:3, :3]
    palm, middle = turn @ rest.palm_normal, turn @ rest.middle
    stray = rng.standard_normal(3)
    towards = unit((1.0 if framing.palm else -1.0) * palm + framing.stray * stray)
    forearm = unit(rest.heads[FOREARM] - rest.wrist)
    towards = unit(towards - forearm * max(0.0, float(towards @ forearm) - BEHIND_LIMIT))
    up = unit(middle - towards * (middle @ towards))
    right = np.cross(up, towards)
    lean = np.radians(framing.lean_deg)
    up, right = np.cos(lean) * up - np.sin(lean) * right, np.cos(lean) * right + np.sin(lean) * up
    used = np.unique(hand.triangles[(hand.forearm[hand.triangles].min(1) > 0.97)])
    points = hand.vertices[used]
    centre = (points.min(0) + points.max(0)) / 2
    axes = np.stack([right, up, towards], 1)
    place = centre + towards * rng.uniform(NEAREST_DM, FARTHEST_DM)
    camera = Camera(place, axes, 1.0, np.zeros(2), float(towards @ palm))
    seen = camera.project(points)[:, :2]
    low, high = seen.min(0), seen.max(0)
    scale = framing.extent / float((high - low).max())
    offset = 0.5 + np.array(framing.shift) - (low + high) / 2 * scale
    return Camera(place, axes, scale, offset, float(towards @ palm))
