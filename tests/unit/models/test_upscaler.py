"""Enlarging: exact sizes, tiles without seams, and files that are refused."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN

from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.core.geometry import PixelSize
from sfumato.models import upscaler
from sfumato.models.upscaler import Lanczos, load_upscaler

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    """Write a small ESRGAN of random weights that doubles a picture."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("up") / "x2.safetensors"
    save_file(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2).state_dict(), path)
    return path


def picture(width, height):
    rng = np.random.default_rng(1)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_lanczos_keeps_a_flat_colour_and_takes_fractions():
    flat = Image.new("RGB", (40, 30), (10, 200, 90))
    grown = Lanczos().enlarge(flat, PixelSize(101, 77), (0.5, 0.0, 39.5, 29.7))
    assert grown.size == (101, 77)
    assert grown.getcolors() == [(101 * 77, (10, 200, 90))]


def test_a_network_reaches_any_size(network_file):
    grown = load_upscaler(str(network_file), CPU).enlarge(picture(20, 12), PixelSize(50, 30), (0, 0, 20, 12))
    assert grown.size == (50, 30)


def test_tiles_leave_no_seam(network_file, monkeypatch):
    source, size = picture(90, 70), PixelSize(180, 140)
    monkeypatch.setattr(upscaler, "TILE_PX", 1000)
    whole = load_upscaler(str(network_file), CPU).enlarge(source, size, (0, 0, 90, 70))
    monkeypatch.setattr(upscaler, "TILE_PX", 32)
    tiled = load_upscaler(str(network_file), CPU).enlarge(source, size, (0, 0, 90, 70))
    assert np.abs(np.asarray(whole, int) - np.asarray(tiled, int)).max() <= 1


def test_a_pickle_is_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"\x80\x04")
    with pytest.raises(UnsafeFileError):
        load_upscaler(str(tmp_path / "x.pth"), CPU)


def test_other_weights_are_named(tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="no known upscaler"):
        load_upscaler(str(tmp_path / "x.safetensors"), CPU)


def test_a_network_that_does_not_enlarge_is_refused(tmp_path):
    save_file(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=1).state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(RequestError, match="does not enlarge"):
        load_upscaler(str(tmp_path / "x.safetensors"), CPU)
