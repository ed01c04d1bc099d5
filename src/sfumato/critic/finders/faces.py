"""The finder of real faces: people's faces in photographs and renders, their eyes and mouths, and where people stand.

A detector looks at windows of a pyramid; the mesh then looks at each face. Both are parts of others (see
docs/parts.md), so nothing is found until they were fetched. Faces have six points: the eye at the left of the
picture, the other eye, the tip of the nose, the middle of the mouth, the ear at the left, the other ear. An eye has the
16 points of its rim, a mouth the 20 of its outer lip. Start reading at `FaceFinder.find`.

Source: MediaPipe's cards of the models "Face Detection Full Range" and "Face Mesh" (input, anchors, outputs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch

from sfumato.canvas.pixels import PixelStore
from sfumato.core.found import Found
from sfumato.core.geometry import PixelSize
from sfumato.critic.finders.candidates import (
    Candidates,
    Numbers,
    blend_overlapping,
    bound_points,
    decode_boxes,
    join_candidates,
    keep_surest,
    make_anchors,
    to_pixel_box,
)
from sfumato.critic.finders.crops import Points, TurnedSquare, cut_squares
from sfumato.critic.finders.levels import PictureLevels, list_levels
from sfumato.critic.finders.windows import look_at_squares, look_at_windows
from sfumato.models.parts.graph import PartGraph, load_graph

PARTS = ("face-full-range", "face-mesh")
INPUT_PX = 192
# Windows are looked at twice as small: a face of 24 px then has 12 px of the network's input, about the least it sees.
WINDOW_PX, OVERLAP_PX = 384, 96
# Below it a candidate is not looked at; MediaPipe itself asks for 0.6 in the detector alone.
LEAST_SCORE = 0.35
# The mesh says whether it sees a face. Where it does, the mean of both counts; a deep profile it never knows.
LEAST_PRESENCE = 0.5
# By eye on 104 real renders this leaves no wrong box, see docs/log of 2026-11-30.
LEAST_CONFIDENCE = 0.77
# The whole picture is shown again with room round it, for a face that fills it, and turned, for a head that lies.
WHOLE_GROWTH, WHOLE_TURN = 1.8, math.radians(40.0)
# Two boxes are one face: more than this of their union, or of the smaller box, is shared.
MOST_COVER, MOST_INSIDE = 0.3, 0.6
# Candidates that share more than this of their union are so alike that the mesh need look at one only.
MOST_SAME = 0.6
# The crop of the mesh is this much larger than the face's box.
MESH_GROWTH = 1.5
MESH_BATCH = 8
# The rims in the order of the mesh's numbers, the outer corner first.
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
MOUTH = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
# The box of an eye holds its lids and lashes, which lie around the rim.
EYE_GROWTH, MOUTH_GROWTH = 1.5, 1.25
# A person as seen from a face: a standing adult is seven to eight faces high and three to four faces wide.
PERSON_WIDTH, PERSON_HEIGHT, ABOVE_FACE = 3.6, 9.0, 0.6


class FaceFinder:
    """Find faces, eyes, mouths, and the places of people. A leaf."""

    name = "faces"
    kinds: frozenset[str] = frozenset({"face", "eye", "mouth", "person"})

    @cached_property
    def _detector(self) -> PartGraph:
        return load_graph(PARTS[0])

    @cached_property
    def _mesh(self) -> PartGraph:
        return load_graph(PARTS[1])

    @cached_property
    def _anchors(self) -> Numbers:
        return make_anchors(INPUT_PX, (4,), (1,))

    def find(self, pixels: PixelStore) -> tuple[Found, ...]:
        """Find faces of about 24 px or more, each once, the surest first; then eyes and mouths where the mesh is sure.

        The box of a person is a guess from the face alone: it is right for people who stand upright.

        Raises:
            ModelError: the parts were not fetched yet.
        """
        levels = PictureLevels(pixels)
        faces = self._propose_faces(levels, pixels.size)
        meshes, presences = self._look_closer(levels, faces)
        seen = presences >= LEAST_PRESENCE
        sure = np.where(seen, np.maximum(faces.scores, (faces.scores + presences) / 2), faces.scores)
        enough = np.flatnonzero(sure >= LEAST_CONFIDENCE)
        kept = keep_surest(faces.boxes[enough], sure[enough], most_cover=MOST_COVER, most_inside=MOST_INSIDE)
        found: list[Found] = []
        for number in enough[kept]:
            mesh = meshes[number] if seen[number] else None
            confidence = float(sure[number])
            found += self._name(faces.boxes[number], faces.points[number], mesh, confidence, pixels.size)
        return tuple(sorted(found, key=lambda one: -one.confidence))

    def _propose_faces(self, levels: PictureLevels, size: PixelSize) -> Candidates:
        """Return the candidates of all levels in px of the picture, the same box once."""
        seen = [
            candidates
            for level in list_levels(size, WINDOW_PX)
            for candidates in look_at_windows(levels, level, WINDOW_PX, OVERLAP_PX, INPUT_PX, self._propose)
        ]
        seen += look_at_squares(levels, _list_wholes(size), INPUT_PX, self._propose)
        faces = join_candidates(seen)
        return faces.pick(keep_surest(faces.boxes, faces.scores, most_cover=MOST_SAME, most_inside=1.0))

    def _propose(self, windows: torch.Tensor) -> Iterator[Candidates]:
        """Yield the candidates of each window, uint8 [n, side, side, 3], in px of the network's input."""
        raw, logits = self._detector.run(windows.float() / 127.5 - 1.0)
        for rows, scores in zip(raw.numpy(), logits[..., 0].numpy(), strict=True):
            one = decode_boxes(rows, scores, self._anchors, INPUT_PX, LEAST_SCORE)
            yield blend_overlapping(one, MOST_COVER)

    def _look_closer(self, levels: PictureLevels, faces: Candidates) -> tuple[Points, Numbers]:
        """Return the mesh of each candidate, [n, 468, 2] in px of the picture, and how surely it is one, [n]."""
        meshes, presences = np.zeros((len(faces.scores), 468, 2), np.float32), np.zeros(len(faces.scores), np.float32)
        squares = [_frame(box, points) for box, points in zip(faces.boxes, faces.points, strict=True)]
        for start in range(0, len(squares), MESH_BATCH):
            few = squares[start : start + MESH_BATCH]
            crops = torch.from_numpy(cut_squares(levels, few, INPUT_PX))
            points, flags = self._mesh.run(crops.float() / 255.0)
            unit = points.reshape(len(few), 468, 3)[..., :2].numpy() / INPUT_PX
            meshes[start : start + len(few)] = [square.to_picture(one) for square, one in zip(few, unit, strict=True)]
            presences[start : start + len(few)] = flags.reshape(-1).sigmoid().numpy()
        return meshes, presences

    def _name(
        self, box: Numbers, points: Points, mesh: Points | None, confidence: float, size: PixelSize
    ) -> Iterator[Found]:
        """Yield a face, its person, and its eyes and mouth where there is a mesh."""
        face, person = to_pixel_box(box, size), to_pixel_box(_guess_person(box), size)
        if face is not None:
            yield Found(kind="face", box=face, confidence=confidence, by=self.name, points=_to_tuple(points))
        if person is not None:
            yield Found(kind="person", box=person, confidence=confidence, by=self.name)
        if mesh is None:
            return
        for kind, rim, growth in _RIMS:
            part = to_pixel_box(bound_points(mesh[list(rim)], growth), size)
            if part is not None:
                rim_points = _to_tuple(mesh[list(rim)])
                yield Found(kind=kind, box=part, confidence=confidence, by=self.name, points=rim_points)


_RIMS = (("eye", EYES[0], EYE_GROWTH), ("eye", EYES[1], EYE_GROWTH), ("mouth", MOUTH, MOUTH_GROWTH))


def _list_wholes(size: PixelSize) -> tuple[TurnedSquare, ...]:
    x, y, side = size.width / 2, size.height / 2, float(max(size.width, size.height))
    wide = TurnedSquare(x, y, WHOLE_GROWTH * side, 0.0)
    return (wide, *(TurnedSquare(x, y, side, angle) for angle in (-WHOLE_TURN, WHOLE_TURN)))


def _frame(box: Numbers, points: Points) -> TurnedSquare:
    """Return the square that the mesh looks at: round the face's box, turned so that the eyes are level."""
    left, top, right, bottom = (float(side) for side in box)
    across, down = (float(value) for value in points[1] - points[0])
    side = MESH_GROWTH * max(right - left, bottom - top)
    return TurnedSquare((left + right) / 2, (top + bottom) / 2, side, math.atan2(down, across))


def _guess_person(box: Numbers) -> Numbers:
    left, top, right, bottom = (float(side) for side in box)
    middle, width, height = (left + right) / 2, right - left, bottom - top
    reach = PERSON_WIDTH * width / 2
    above = top - ABOVE_FACE * height
    return np.array((middle - reach, above, middle + reach, above + PERSON_HEIGHT * height), np.float32)


def _to_tuple(points: Points) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)
