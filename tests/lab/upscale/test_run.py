"""The twelve pictures of `evaluate upscale` exist, and a network is told from Lanczos on them."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN

from sfumato.core.errors import ModelError
from sfumato.lab.upscale import run as run_module
from sfumato.lab.upscale.pictures import draw_comic, draw_pencil, draw_screenshot, draw_sprites, load_pictures
from sfumato.lab.upscale.run import run_evaluate_upscale, write_table


@pytest.mark.part("hopper", "renders")
@pytest.mark.usefixtures("parts")
def test_there_are_twelve_pictures_of_one_size():
    pictures = dict(load_pictures())
    assert len(pictures) == 12
    assert all(pixels.shape == (256, 256, 3) and pixels.dtype == np.uint8 for pixels in pictures.values())
    assert all(pixels.std() > 15 for pixels in pictures.values())


@pytest.mark.parametrize("draw", [draw_screenshot, draw_comic, draw_sprites, draw_pencil])
def test_drawn_pictures_are_the_same_each_time(draw):
    assert np.array_equal(draw(), draw())


def test_without_the_pictures_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        list(load_pictures())
    assert "sfumato parts get hopper" in caught.value.do


class Squares:
    """A distance of squares in place of the perceptual one."""

    def measure(self, one, other):
        return [float(value) for value in (one - other).square().mean((1, 2, 3))]


def test_rows_sheets_and_the_count(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    save_file(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2).state_dict(), tmp_path / "x2.safetensors")
    monkeypatch.setattr(run_module, "PerceptualDistance", Squares)
    monkeypatch.setattr(run_module, "load_pictures", lambda: iter([("page", draw_screenshot()[:64, :64])]))
    network_file = str(tmp_path / "x2.safetensors")
    seen = [run_evaluate_upscale(tmp_path / "out", upscaler=name)[0] for name in (None, network_file)]
    plain, network = seen
    # Nothing was fetched, so the product takes Lanczos too, and is no nearer than itself.
    assert (plain.upscaler, plain.is_nearer, plain.network == plain.lanczos) == ("lanczos", False, True)
    assert network.upscaler == "x2.safetensors"
    assert network.network != network.lanczos
    with Image.open(tmp_path / "out" / "01-sheet.png") as sheet:
        assert sheet.size == (192, 64)
    assert write_table(seen).endswith("0 of 2") or network.is_nearer
    assert network.to_json()["nearer"] == network.is_nearer
