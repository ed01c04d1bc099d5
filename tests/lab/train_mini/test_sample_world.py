"""Samples of the world on disk: what is written agrees with itself and is the same twice."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.canvas.formats.images import load_picture
from sfumato.core.errors import RequestError
from sfumato.lab.train_mini.sample_world import sample_world
from sfumato.world.stream import Wish


def test_files_agree_with_each_other(tmp_path: Path) -> None:
    written = sample_world(6, 100, tmp_path, size=96, each_mask=True)
    assert len(written.records) == 6
    assert written.sheet.exists()
    for record in written.records:
        told = json.loads((tmp_path / f"{record['seed']:08d}.json").read_text())
        with Image.open(tmp_path / str(record["parts"])) as parts:
            ids = np.asarray(parts)
        picture = load_picture(tmp_path / str(record["picture"]))
        assert picture.size == (96, 96)
        assert ids.shape == (96, 96)
        assert ids.dtype == np.uint16
        for name, part in told["truth"]["parts"].items():
            assert int((ids == part["id"]).sum()) == part["own_px"] or part["id"] == 0
            mask = tmp_path / f"{record['seed']:08d}_masks" / f"{name.replace('/', '.')}.png"
            assert mask.exists() == (part["box"] is not None)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        sample_world(4, 7, tmp_path / folder, size=64, wish=Wish(fault="third_arm", shot="full"))
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("wish", [Wish(mix="nobody"), Wish(shot="selfie"), Wish(style="oil"), Wish(fault="tail")])
def test_words_outside_the_world_are_refused(tmp_path: Path, wish: Wish) -> None:
    with pytest.raises(RequestError, match="no such"):
        sample_world(1, 1, tmp_path, wish=wish)


@pytest.mark.parametrize(("count", "size"), [(0, 128), (-1, 128), (10**9, 128), (1, 8), (1, 10**6)])
def test_sizes_and_counts_have_limits(tmp_path: Path, count: int, size: int) -> None:
    with pytest.raises(RequestError, match="out of range"):
        sample_world(count, 1, tmp_path, size=size)
    assert not list(tmp_path.iterdir())
