"""Whether two faces are of one person: each face cut upright by its eyes, described by the part `face-identity`.

Knows faces that the face finder found. Generated faces are more alike than people are, so the limit for "same" is
below dlib's usual 0.6, and "unsure" is an answer. Start reading at `describe_faces`, then `compare_faces`.

Source: dlib's `get_face_chip_details` for five points with a padding of a quarter: where the eyes of a crop lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sfumato.canvas.pixels import PixelStore
from sfumato.core.errors import RequestError
from sfumato.core.found import Found
from sfumato.critic.finders.crops import TurnedSquare, cut_squares
from sfumato.critic.finders.levels import PictureLevels
from sfumato.models.measures.identity import SIDE_PX, FaceIdentity

Description = NDArray[Any]
"""Numbers of a face, float32 [128]."""

# Where the middle of the eyes lies in a crop of side 1, and how far the eyes are apart there.
_EYES_X, _EYES_Y, _EYES_APART = 0.4934, 0.3141, 0.3503
# Distances: one picture edited twice had up to 0.44, other people 0.41 and more (11 of 253 pairs below 0.6).
SAME, OTHER = 0.45, 0.6


def describe_faces(pixels: PixelStore, faces: Sequence[Found], network: FaceIdentity) -> list[Description]:
    """Return the numbers of each face, in the order of the faces.

    Raises:
        RequestError: one of them is no face with points, or its eyes are one point.
    """
    if not faces:
        return []
    crops = cut_squares(PictureLevels(pixels), [place_face(face) for face in faces], SIDE_PX)
    return list(network.describe(torch.from_numpy(crops)).numpy())


def place_face(face: Found) -> TurnedSquare:
    """Return the square round a face, turned so that the eyes are level.

    Raises:
        RequestError: it is no face with points, or its eyes are one point.
    """
    if face.kind != "face" or len(face.points) < 2:
        raise RequestError("a face with points is needed", got=face.kind, do="Take faces of the face finder.")
    (left, left_y), (right, right_y) = face.points[:2]
    apart, angle = math.hypot(right - left, right_y - left_y), math.atan2(right_y - left_y, right - left)
    if apart == 0.0:
        raise RequestError("the eyes of a face are one point", got=face.points[0])
    side = apart / _EYES_APART
    across, down = (0.5 - _EYES_X) * side, (0.5 - _EYES_Y) * side
    x = (left + right) / 2 + across * math.cos(angle) - down * math.sin(angle)
    y = (left_y + right_y) / 2 + across * math.sin(angle) + down * math.cos(angle)
    return TurnedSquare(x, y, side, angle)


def compare_faces(one: Description, other: Description) -> tuple[float, Literal["same", "unsure", "other"]]:
    """Return the distance of two faces, and what it says."""
    distance = float(np.linalg.norm(one - other))
    return distance, "same" if distance < SAME else "unsure" if distance < OTHER else "other"
