"""What a given picture shows sharply stays; what is blurred, and what is finer than it can show, is left as drawn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter

from sfumato.canvas import grid
from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelSize
from sfumato.render.cohesive import kept_detail
from sfumato.render.cohesive.kept_detail import KnownDetail, measure_sharpness
from sfumato.world.stream import make_sample

SMALL, LARGE = PixelSize(128, 128), PixelSize(256, 256)


def make_store(picture):
    return MemoryPixels(PixelSize(*picture.size), np.asarray(picture).copy())


def make_scene(blur=0.0):
    return Image.fromarray(make_sample(11).image).filter(ImageFilter.GaussianBlur(blur))


def keep(below, made, share=1.0):
    target = MemoryPixels(LARGE)
    KnownDetail(share=share, open_below=lambda: make_store(below)).keep(make_store(made), target)
    return target.read(LARGE.box).astype(float)


def enlarge(picture):
    return picture.resize((LARGE.width, LARGE.height), Image.Resampling.LANCZOS)


def measure_gap(first, second):
    return float(np.abs(np.asarray(first, float) - np.asarray(second, float)).mean())


def test_what_was_eaten_comes_back():
    sharp = make_scene()
    eaten = enlarge(sharp.filter(ImageFilter.MedianFilter(5)))
    assert measure_gap(keep(sharp, eaten), enlarge(sharp)) < 0.3 * measure_gap(eaten, enlarge(sharp))


def measure_fineness(picture):
    grey = np.asarray(picture, float).mean(axis=2)
    return float((np.diff(grey, axis=0, n=2)[:, 1:-1] + np.diff(grey, axis=1, n=2)[1:-1]).std())


def test_what_is_blurred_stays_as_drawn():
    drawn, blurred = enlarge(make_scene()), make_scene(blur=2.0)
    assert measure_fineness(enlarge(blurred)) < 0.1 * measure_fineness(drawn)
    assert measure_fineness(keep(blurred, drawn)) > 0.8 * measure_fineness(drawn)


def test_what_is_finer_than_the_picture_stays_as_drawn():
    flat = Image.new("RGB", (128, 128), (90, 120, 60))
    chess = np.indices((256, 256)).sum(axis=0) % 2 * 40 + 100
    drawn = np.repeat(chess[..., None], 3, axis=2).astype(np.uint8)
    kept = keep(flat, Image.fromarray(drawn))[64:192, 64:192]
    assert np.abs(kept - kept.mean(axis=(0, 1)) - (drawn[64:192, 64:192] - 120.0)).max() <= 1.5
    assert np.abs(kept.mean(axis=(0, 1)) - (90, 120, 60)).max() < 1.0


def test_half_a_share_is_half_way():
    sharp, eaten = make_scene(), enlarge(make_scene().filter(ImageFilter.MedianFilter(5)))
    half = (keep(sharp, eaten) + np.asarray(eaten, float)) / 2
    assert np.abs(keep(sharp, eaten, share=0.5) - half).max() <= 1.0


def test_tiles_do_not_show(monkeypatch):
    sharp, eaten = make_scene(), enlarge(make_scene().filter(ImageFilter.MedianFilter(5)))
    whole = keep(sharp, eaten)
    monkeypatch.setattr(grid, "SIDE_PX", 40)
    assert np.abs(keep(sharp, eaten) - whole).max() <= 1.0


def average_plainly(energy, reach):
    # In floats a sum over so many places is off in the fourth digit.
    return F.avg_pool2d(F.pad(energy.double(), (reach,) * 4, mode="replicate"), 2 * reach + 1, stride=1).float()


@pytest.mark.parametrize("scale", [1.5, 2.0, 3.0, 8.0])
def test_energies_are_averaged_over_whole_squares(monkeypatch, scale):
    known = torch.from_numpy(np.asarray(enlarge(make_scene(0.6)))[:96, :128].copy()).permute(2, 0, 1)[None].float()
    shares = kept_detail.list_shares(known, scale)
    monkeypatch.setattr(kept_detail, "average_boxes", average_plainly)
    for share, plain in zip(shares, kept_detail.list_shares(known, scale), strict=True):
        assert torch.allclose(share, plain, atol=1e-5)


def test_one_pixel_grows_like_any_other_picture():
    # Of one pixel nothing is known but its colour; what was drawn keeps its detail and takes that.
    kept = keep(Image.new("RGB", (1, 1), (90, 120, 60)), enlarge(make_scene()))
    assert np.abs(kept.mean(axis=(0, 1)) - (90, 120, 60)).max() < 8.0
    assert measure_fineness(kept) > 0.9 * measure_fineness(enlarge(make_scene()))


@pytest.mark.parametrize(("blur", "least", "most"), [(0.0, 0.9, 1.0), (1.0, 0.0, 0.0), (2.0, 0.0, 0.0)])
def test_a_blurred_picture_as_a_whole_is_no_sharp_one(blur, least, most):
    assert least <= measure_sharpness(make_store(make_scene(blur))) <= most


def test_sharpness_does_not_depend_on_tiles(monkeypatch):
    store = make_store(make_scene(0.4))
    monkeypatch.setattr(kept_detail, "SHARP_PICTURE", 10.0)
    whole = measure_sharpness(store)
    monkeypatch.setattr(grid, "SIDE_PX", 24)
    assert 0.0 < whole < 1.0
    assert measure_sharpness(store) == pytest.approx(whole, rel=1e-4)


def test_a_flat_picture_has_nothing_to_lose():
    assert measure_sharpness(make_store(Image.new("RGB", (64, 48), (3, 200, 90)))) == 1.0
