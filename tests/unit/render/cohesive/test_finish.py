"""Drift over wide areas is taken back; an edge that became sharp stays, and squares do not show."""

import numpy as np
from PIL import Image

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.geometry import PixelSize
from sfumato.render.cohesive.finish import hold_base

SIZE = PixelSize(256, 512)


def make_store(values):
    return MemoryPixels(SIZE, values.copy())


def test_a_drift_is_taken_back():
    base = Image.new("RGB", (64, 128), (100, 120, 140))
    ramp = np.linspace(0, 8, SIZE.width)[None, :, None]
    drifted = np.broadcast_to(np.array([100, 120, 140]) + ramp, (*SIZE.shape_hw, 3)).round().astype(np.uint8)
    store = make_store(drifted)
    hold_base(store, base, None)
    held = store.read(SIZE.box).astype(int)
    assert np.abs(held - (100, 120, 140)).max() <= 1


def test_a_sharp_edge_stays():
    sharp = np.zeros((*SIZE.shape_hw, 3), np.uint8)
    sharp[:, 130:] = 200
    # The base shows the edge two of its pixels wide, and elsewhere the same.
    base = np.zeros((128, 64, 3), np.uint8)
    base[:, 33:], base[:, 32], base[:, 31] = 200, 130, 60
    store = make_store(sharp)
    hold_base(store, Image.fromarray(base), None)
    held = store.read(SIZE.box).astype(int)
    assert (held[:, 130] - held[:, 129]).min() > 150
    assert np.abs(held[:, :110]).max() <= 1
    assert np.abs(held[:, 150:] - 200).max() <= 1


def test_a_picture_that_agrees_is_left_alone():
    base = Image.fromarray(np.random.default_rng(1).integers(0, 255, (128, 64, 3), dtype=np.uint8))
    grown = np.asarray(base.resize((256, 512), Image.Resampling.NEAREST))
    store = make_store(grown)
    hold_base(store, base, None)
    assert np.array_equal(store.read(SIZE.box), grown)


def test_it_is_held_to_the_part_that_it_shows():
    base = Image.fromarray(np.random.default_rng(1).integers(0, 255, (8, 9, 3), dtype=np.uint8)).resize((128, 200))
    part = (11.5, 20.25, 75.5, 148.25)
    grown = np.asarray(base.resize((256, 512), Image.Resampling.BICUBIC, box=part))
    stores = [make_store(grown), make_store(grown)]
    hold_base(stores[0], base, part)
    hold_base(stores[1], base, None)
    moved = [np.abs(store.read(SIZE.box).astype(int) - grown).mean() for store in stores]
    assert moved[0] < 0.2 < 5 < moved[1]
