"""Real faces: people's faces in photographs and renders, with six points and a mesh of 468.

A detector proposes faces in windows of a pyramid. Each proposal is looked at again in a few squares round it, upright
and mirrored: a face is seen in all of them, what only resembles one is not. The mesh then says where eyes and mouth
are. Both networks are parts of others (see docs/parts.md). Start reading at `FaceSeeker.find`.

Source: MediaPipe's cards of the models "Face Detection Full Range" and "Face Mesh" (input, anchors, outputs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sfumato.core.geometry import PixelSize
from sfumato.critic.finders.candidates import (
    Candidates,
    Numbers,
    blend_overlapping,
    decode_boxes,
    join_candidates,
    keep_surest,
    make_anchors,
    measure_cover,
)
from sfumato.critic.finders.crops import Points, TurnedSquare, cut_squares
from sfumato.critic.finders.levels import PictureLevels, list_levels
from sfumato.critic.finders.windows import look_at_squares, look_at_windows
from sfumato.models.parts.graph import PartGraph, load_graph

PARTS = ("face-full-range", "face-mesh")
INPUT_PX = 192
# Windows are looked at twice as small: a face of 24 px then has 12 px of the network's input, about the least it sees.
WINDOW_PX, OVERLAP_PX = 384, 96
# Smaller pictures are looked at in their own size too, in windows of the input's size.
NATIVE_PX, NATIVE_OVERLAP_PX, MOST_NATIVE_PX = 192, 48, 1536
# Below it a candidate is not looked at.
LEAST_SCORE = 0.3
# The whole picture is shown again with room round it, for a face that fills it, and turned, for a head that lies.
WHOLE_GROWTH, WHOLE_TURN = 1.8, math.radians(40.0)
# Two boxes are one face: more than this of their union, or of the smaller box, is shared.
MOST_COVER, MOST_INSIDE = 0.3, 0.6
# Candidates that share more than this of their union are so alike that the mesh need look at one only.
MOST_SAME = 0.6
# A candidate is looked at again where the detector or the mesh is so sure.
AGAIN_SCORE, AGAIN_PRESENCE = 0.45, 0.9
# The squares of the second look, in sides of the face's box; a mirrored one follows the first.
VIEWS = (4.0, 7.0)
# A view sees the same face where the boxes share this of their union.
SAME_FACE = 0.3
# What the mesh says counts so much beside what the detector says; both are means over the looks.
MESH_SHARE = 0.35
# The least sum of both. Chosen on the half "calibrate" of tests/labels/real.json.
LEAST_SUM = 0.58
# As a probability: even at the first number, and so steep.
EVEN_SUM, STEEPNESS = 0.56, 12.0
# The mesh knows the face where it says at least so much; a deep profile it never knows.
LEAST_PRESENCE = 0.5
# The crop of the mesh is this much larger than the face's box.
MESH_GROWTH = 1.5
MESH_BATCH = 8


@dataclass(frozen=True, slots=True)
class Face:
    """Hold a face: its box [4] (left, top, right, bottom), six points [6, 2], and its mesh [468, 2], px.

    Points: the eye at the left of the picture, the other eye, the tip of the nose, the middle of the mouth, the ear at
    the left, the other ear. `mesh` is None where the mesh does not know the face. `confidence` goes from 0 to 1.
    """

    box: Numbers
    points: Points
    mesh: Points | None
    confidence: float


@dataclass(frozen=True, slots=True)
class _MeshLook:
    """Hold what one look saw at each candidate: boxes [n, 4], points [n, 6, 2], scores [n], meshes, presences [n]."""

    found: Candidates
    meshes: Points
    presences: Numbers


class FaceSeeker:
    """Find faces. A leaf."""

    @cached_property
    def _detector(self) -> PartGraph:
        return load_graph(PARTS[0])

    @cached_property
    def _mesh(self) -> PartGraph:
        return load_graph(PARTS[1])

    @cached_property
    def _anchors(self) -> Numbers:
        return make_anchors(INPUT_PX, (4,), (1,))

    def find(self, levels: PictureLevels, size: PixelSize) -> tuple[Face, ...]:
        """Return faces of about 16 px or more (in large pictures 24 px), each once, the surest first.

        Raises:
            ModelError: the parts were not fetched yet.
        """
        first = self._look_closer(levels, self._propose_faces(levels, size))
        again = np.flatnonzero((first.found.scores >= AGAIN_SCORE) | (first.presences >= AGAIN_PRESENCE))
        first = _MeshLook(first.found.pick(again), first.meshes[again], first.presences[again])
        looks = [first, *self._look_again(levels, first.found)] if len(again) else [first]
        scores = np.mean([look.found.scores for look in looks], axis=0)
        sums = scores + MESH_SHARE * np.mean([look.presences for look in looks], axis=0)
        # The view of four sides shows a face as large as the detector knows it best.
        best = [_pick_box(looks, number) for number in range(len(again))]
        enough = np.flatnonzero(sums >= LEAST_SUM)
        boxes = np.array([best[number].found.boxes[number] for number in enough], np.float32).reshape(-1, 4)
        kept = keep_surest(boxes, sums[enough], most_cover=MOST_COVER, most_inside=MOST_INSIDE)
        return tuple(_make_face(looks, best[number], number, float(sums[number])) for number in enough[kept])

    def _propose_faces(self, levels: PictureLevels, size: PixelSize) -> Candidates:
        """Return the candidates of all levels in px of the picture, the same box once."""
        seen = [
            candidates
            for level in list_levels(size, WINDOW_PX)
            for candidates in look_at_windows(levels, level, WINDOW_PX, OVERLAP_PX, INPUT_PX, self._propose)
        ]
        if max(size.width, size.height) <= MOST_NATIVE_PX:
            seen += look_at_windows(levels, 0, NATIVE_PX, NATIVE_OVERLAP_PX, INPUT_PX, self._propose)
        seen += look_at_squares(levels, _list_wholes(size), INPUT_PX, self._propose)
        faces = join_candidates(seen)
        return faces.pick(keep_surest(faces.boxes, faces.scores, most_cover=MOST_SAME, most_inside=1.0))

    def _propose(self, windows: torch.Tensor) -> Iterator[Candidates]:
        """Yield the candidates of each window, uint8 [n, side, side, 3], in px of the network's input."""
        raw, logits = self._detector.run(windows.float() / 127.5 - 1.0)
        for rows, scores in zip(raw.numpy(), logits[..., 0].numpy(), strict=True):
            one = decode_boxes(rows, scores, self._anchors, INPUT_PX, LEAST_SCORE)
            yield blend_overlapping(one, MOST_COVER)

    def _propose_mirrored(self, windows: torch.Tensor) -> Iterator[Candidates]:
        """Yield what the detector sees in mirrored windows, mirrored back."""
        for one in self._propose(windows.flip(2)):
            boxes = one.boxes.copy()
            boxes[:, (0, 2)] = INPUT_PX - one.boxes[:, (2, 0)]
            # Left and right points change places.
            points = one.points[:, (1, 0, 2, 3, 5, 4)] * (-1.0, 1.0) + (INPUT_PX, 0.0)
            yield Candidates(boxes, points.astype(np.float32), one.scores)

    def _look_again(self, levels: PictureLevels, faces: Candidates) -> Iterator[_MeshLook]:
        """Yield what each of the further looks sees of the same candidates; score 0 where it sees no face there."""
        looks = [(view, self._propose) for view in VIEWS]
        looks.insert(1, (VIEWS[0], self._propose_mirrored))
        for view, propose in looks:
            squares = [_frame(box, points, view) for box, points in zip(faces.boxes, faces.points, strict=True)]
            seen = Candidates(faces.boxes.copy(), faces.points.copy(), np.zeros_like(faces.scores))
            for start in range(0, len(squares), MESH_BATCH):
                few = squares[start : start + MESH_BATCH]
                for number, candidates in enumerate(look_at_squares(levels, few, INPUT_PX, propose), start):
                    _take_same(seen, number, candidates)
            yield self._look_closer(levels, seen)

    def _look_closer(self, levels: PictureLevels, faces: Candidates) -> _MeshLook:
        """Return the mesh of each candidate, [n, 468, 2] in px of the picture, and how surely it is one, [n].

        A candidate with score 0 has presence 0.
        """
        meshes, presences = np.zeros((len(faces.scores), 468, 2), np.float32), np.zeros(len(faces.scores), np.float32)
        squares = [_frame(box, points, MESH_GROWTH) for box, points in zip(faces.boxes, faces.points, strict=True)]
        seen = np.flatnonzero(faces.scores > 0)
        for start in range(0, len(seen), MESH_BATCH):
            few = seen[start : start + MESH_BATCH]
            crops = torch.from_numpy(cut_squares(levels, [squares[number] for number in few], INPUT_PX))
            points, flags = self._mesh.run(crops.float() / 255.0)
            unit = points.reshape(len(few), 468, 3)[..., :2].numpy() / INPUT_PX
            meshes[few] = [squares[number].to_picture(one) for number, one in zip(few, unit, strict=True)]
            presences[few] = flags.reshape(-1).sigmoid().numpy()
        return _MeshLook(faces, meshes, presences)


def _pick_box(looks: Sequence[_MeshLook], number: int) -> _MeshLook:
    """Return the look whose box of a candidate counts: the first further one that saw it, else the first of all."""
    return next((look for look in looks[1:] if look.found.scores[number] > 0), looks[0])


def _make_face(looks: Sequence[_MeshLook], best: _MeshLook, number: int, value: float) -> Face:
    surest = max(looks, key=lambda look: float(look.presences[number]))
    mesh = surest.meshes[number] if surest.presences[number] >= LEAST_PRESENCE else None
    confidence = 1.0 / (1.0 + math.exp(-STEEPNESS * (value - EVEN_SUM)))
    return Face(best.found.boxes[number], best.found.points[number], mesh, confidence)


def _take_same(seen: Candidates, number: int, candidates: Candidates) -> None:
    """Write the surest of some candidates that is the face of a number into `seen`."""
    same = np.where(measure_cover(seen.boxes[number], candidates.boxes) >= SAME_FACE, candidates.scores, 0.0)
    if same.size and same.max() > 0:
        best = int(same.argmax())
        seen.boxes[number], seen.points[number] = candidates.boxes[best], candidates.points[best]
        seen.scores[number] = candidates.scores[best]


def _list_wholes(size: PixelSize) -> tuple[TurnedSquare, ...]:
    x, y, side = size.width / 2, size.height / 2, float(max(size.width, size.height))
    wide = TurnedSquare(x, y, WHOLE_GROWTH * side, 0.0)
    return (wide, *(TurnedSquare(x, y, side, angle) for angle in (-WHOLE_TURN, WHOLE_TURN)))


def _frame(box: Numbers, points: Points, growth: float) -> TurnedSquare:
    """Return a square round a face's box, so many times larger, turned so that the eyes are level."""
    left, top, right, bottom = (float(side) for side in box)
    across, down = (float(value) for value in points[1] - points[0])
    side = growth * max(right - left, bottom - top)
    return TurnedSquare((left + right) / 2, (top + bottom) / 2, side, math.atan2(down, across))
