"""The finder of real faces: people's faces in photographs and renders, their eyes and mouths, and where people stand.

A detector looks at windows of a pyramid; the mesh then looks at each face. Both are parts of others (see
docs/parts.md), so nothing is found until they were fetched. Faces have six points: the eye at the left of the
picture, the other eye, the tip of the nose, the middle of the mouth, the ear at the left, the other ear. An eye has the
16 points of its rim, a mouth the 20 of its outer lip. Start reading at `FaceFinder.find`.

Source: MediaPipe's cards of the models "Face Detection Full Range" and "Face Mesh" (input, anchors, outputs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
from sfumato.critic.finders.windows import look_at_windows
from sfumato.models.parts.graph import PartGraph, load_graph

PARTS = ("face-full-range", "face-mesh")
INPUT_PX = 192
# Windows are looked at twice as small: a face of 24 px then has 12 px of the network's input, about the least it sees.
WINDOW_PX, OVERLAP_PX = 384, 96
# Below it a candidate is not looked at; MediaPipe itself asks for 0.6.
LEAST_SCORE = 0.5
# A candidate is believed where the detector is this sure, or where the mesh says that it is a face.
SURE_SCORE, LEAST_PRESENCE = 0.75, 0.5
# Two boxes are one face: more than this of their union, or of the smaller box, is shared.
MOST_COVER, MOST_INSIDE = 0.3, 0.6
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
        faces = self._find_faces(levels, pixels.size)
        found: list[Found] = []
        for start in range(0, len(faces.scores), MESH_BATCH):
            few = faces.pick(np.arange(start, min(start + MESH_BATCH, len(faces.scores))))
            found += self._look_closer(levels, few, pixels.size)
        return tuple(sorted(found, key=lambda one: -one.confidence))

    def _find_faces(self, levels: PictureLevels, size: PixelSize) -> Candidates:
        """Return the candidates of all levels in px of the picture, each once."""
        seen = [
            candidates
            for level in list_levels(size, WINDOW_PX)
            for candidates in look_at_windows(levels, level, WINDOW_PX, OVERLAP_PX, INPUT_PX, self._propose)
        ]
        faces = join_candidates(seen)
        return faces.pick(keep_surest(faces.boxes, faces.scores, most_cover=MOST_COVER, most_inside=MOST_INSIDE))

    def _propose(self, windows: torch.Tensor) -> Iterator[Candidates]:
        """Yield the candidates of each window, uint8 [n, side, side, 3], in px of the network's input."""
        raw, logits = self._detector.run(windows.float() / 127.5 - 1.0)
        for rows, scores in zip(raw.numpy(), logits[..., 0].numpy(), strict=True):
            one = decode_boxes(rows, scores, self._anchors, INPUT_PX, LEAST_SCORE)
            yield blend_overlapping(one, MOST_COVER)

    def _look_closer(self, levels: PictureLevels, faces: Candidates, size: PixelSize) -> Iterator[Found]:
        """Yield what there is in a few faces, after the mesh has looked at them."""
        squares = [_frame(box, points) for box, points in zip(faces.boxes, faces.points, strict=True)]
        crops = torch.from_numpy(cut_squares(levels, squares, INPUT_PX))
        meshes, flags = self._mesh.run(crops.float() / 255.0)
        presences = flags.reshape(-1).sigmoid().tolist()
        points = meshes.reshape(len(squares), 468, 3)[..., :2].numpy() / INPUT_PX
        for number, square in enumerate(squares):
            score, presence = float(faces.scores[number]), float(presences[number])
            if score < SURE_SCORE and presence < LEAST_PRESENCE:
                continue
            mesh = square.to_picture(points[number])
            yield from self._name(faces.boxes[number], faces.points[number], mesh, score, presence, size)

    def _name(
        self, box: Numbers, points: Points, mesh: Points, score: float, presence: float, size: PixelSize
    ) -> Iterator[Found]:
        face = to_pixel_box(box, size)
        if face is None:
            return
        yield Found(kind="face", box=face, confidence=score, by=self.name, points=_to_tuple(points))
        person = to_pixel_box(_guess_person(box), size)
        if person is not None:
            yield Found(kind="person", box=person, confidence=score, by=self.name)
        if presence < LEAST_PRESENCE:
            return
        for kind, rims, growth in (("eye", EYES, EYE_GROWTH), ("mouth", (MOUTH,), MOUTH_GROWTH)):
            for rim in rims:
                part = to_pixel_box(bound_points(mesh[list(rim)], growth), size)
                if part is not None:
                    sure = score * presence
                    yield Found(kind=kind, box=part, confidence=sure, by=self.name, points=_to_tuple(mesh[list(rim)]))


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


def _to_tuple(points: Sequence[Points] | Points) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)
