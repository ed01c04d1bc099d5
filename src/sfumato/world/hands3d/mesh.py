"""The mesh of one left hand and forearm as arrays: cage, bones, skin weights, shape targets, subdivision, nail mask.

Lengths are decimetres. It knows no file of MakeHuman (`source` does) and no pose. Start reading at `HandMesh`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sfumato.core.errors import ModelError

Floats = NDArray[np.floating]
Ints = NDArray[np.int32]

ARM_BONES = ("lowerarm01", "lowerarm02", "wrist")
BONES = (
    "upperarm01",
    "upperarm02",
    *ARM_BONES,
    *(f"metacarpal{number}" for number in (1, 2, 3, 4)),
    *(f"finger{digit}-{segment}" for digit in (1, 2, 3, 4, 5) for segment in (1, 2, 3)),
)
"""Bone names of the rig without the side; finger 1 is the thumb, whose first bone lies inside the palm."""

MESH_FORMAT = 1
"""Raised when the stored arrays change their meaning."""
NAIL_CUT = 0.5
"""The mask of the nails above this is nail."""


def bone(digit: int, segment: int) -> int:
    """Return the number of the bone of a digit (1 thumb to 5 little finger) and segment (1 to 3)."""
    return BONES.index(f"finger{digit}-{segment}")


@dataclass(frozen=True)
class HandMesh:
    """A left hand at rest, as stored: V cage vertices, B bones, T shape targets, F cage quads, Q fine quads."""

    vertices: Floats  # [V, 3]
    targets: NDArray[np.float16]  # [T, V, 3], added to the vertices
    target_names: NDArray[np.str_]  # [T]
    heads: Floats  # [B, 3]
    tails: Floats  # [B, 3]
    head_targets: Floats  # [T, B, 3]
    tail_targets: Floats  # [T, B, 3]
    parents: Ints  # [B], -1 for none
    weights: Floats  # [V, B], rows sum to one
    cage_quads: Ints  # [F, 4]
    fine_quads: Ints  # [Q, 4]
    fine_uv: Floats  # [Q, 4, 2]
    split_values: Floats  # the subdivision, a sparse matrix [fine vertices, V] in CSR parts
    split_columns: Ints
    split_rows: Ints
    nail_mask: NDArray[np.uint8]  # [H, W], 255 is nail; v of the texture runs upwards

    def write(self, stream: BinaryIO) -> None:
        """Write the arrays as one .npz file."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(stream, format=np.int32(MESH_FORMAT), **arrays)

    @cached_property
    def split(self) -> sparse.csr_matrix:
        """One step of subdivision: fine vertices = split @ cage vertices."""
        shape = (len(self.split_rows) - 1, len(self.vertices))
        return sparse.csr_matrix((self.split_values, self.split_columns, self.split_rows), shape=shape)

    @cached_property
    def fine_weights(self) -> Floats:
        """Skin weights of the fine vertices, float32 [fine, B]."""
        weights = np.asarray(self.split @ self.weights, np.float32)
        return weights / weights.sum(1, keepdims=True)

    @cached_property
    def digit_weights(self) -> Floats:
        """Weight of each digit without the thumb's first bone, float32 [fine, 5]."""
        columns = [
            [bone(digit, segment) for segment in (1, 2, 3) if (digit, segment) != (1, 1)] for digit in range(1, 6)
        ]
        return np.stack([self.fine_weights[:, column].sum(1) for column in columns], 1)

    @cached_property
    def triangles(self) -> Ints:
        """The fine quads as triangles, int32 [2 Q, 3]."""
        return split_quads(self.fine_quads)

    @cached_property
    def triangle_uv(self) -> Floats:
        """Texture coordinates of the corners of the triangles, float32 [2 Q, 3, 2]."""
        return np.ascontiguousarray(np.concatenate([self.fine_uv[:, [0, 1, 2]], self.fine_uv[:, [0, 2, 3]]]))

    @cached_property
    def triangle_digits(self) -> Ints:
        """The digit that pulls most at each triangle (1 to 5), 0 where none does, int32 [2 Q]."""
        return own_triangles(self.digit_weights, self.triangles)

    @cached_property
    def cage_triangles(self) -> Ints:
        """The cage quads as triangles over cage vertices, which keep their numbers when split, int32 [2 F, 3]."""
        return split_quads(self.cage_quads)

    @cached_property
    def laplacian(self) -> sparse.csr_matrix:
        """The graph Laplacian of the cage, [V, V]: a membrane between fixed vertices is its solution."""
        count = len(self.vertices)
        edges = np.concatenate([self.cage_quads[:, [side, (side + 1) % 4]] for side in range(4)])
        ones = np.ones(len(edges))
        one_way = sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
        linked = ((one_way + one_way.T) > 0).astype(np.float64)
        return sparse.csr_matrix(sparse.diags(np.asarray(linked.sum(1)).ravel()) - linked)

    @cached_property
    def nail_quads(self) -> NDArray[np.bool_]:
        """Which fine quads have their middle on a nail, bool [Q]."""
        height, width = self.nail_mask.shape
        middle = self.fine_uv.mean(1)
        columns = np.clip((middle[:, 0] * width).astype(int), 0, width - 1)
        rows = np.clip(((1 - middle[:, 1]) * height).astype(int), 0, height - 1)
        return self.nail_mask[rows, columns] > NAIL_CUT * 255

    def nail_vertices(self, digit: int) -> Ints:
        """Return the fine vertices of the nail of a digit; empty where the mask has none."""
        weights = self.fine_weights[:, [bone(digit, 2), bone(digit, 3)]].sum(1)
        chosen = self.nail_quads & (weights[self.fine_quads] > 0.5).all(1)
        return np.unique(self.fine_quads[chosen]).astype(np.int32)


def own_triangles(digit_weights: Floats, triangles: Ints) -> Ints:
    """Return the digit (1 to 5) that pulls most at each triangle, 0 where none does, int32 [T]."""
    pull = digit_weights[triangles].mean(1)
    return np.where(pull.max(1) > 0.0, pull.argmax(1) + 1, 0).astype(np.int32)


def split_quads(quads: Ints) -> Ints:
    """Return two triangles for each quad, int32 [2 Q, 3], all first ones before all second ones."""
    return np.ascontiguousarray(np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]), np.int32)


def load_hand_mesh(path: Path) -> HandMesh:
    """Read a mesh that `HandMesh.write` wrote.

    Raises:
        ModelError: the file is damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = int(arrays["format"])
            if found == MESH_FORMAT:
                return HandMesh(**{field.name: arrays[field.name] for field in fields(HandMesh)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(
            "the hand mesh cannot be read", got=str(path), do="Delete it and fetch the part again."
        ) from error
    raise ModelError("the hand mesh has another format", got=found, do="Delete it and fetch the part again.")
