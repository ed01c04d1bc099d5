"""Pictures survive the way through tensors; masks keep every byte outside."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sfumato.core.geometry import PixelSize
from sfumato.render.sampling.pixels import (
    flatten,
    mask_cells,
    pad_picture,
    place_picture,
    put_inside,
    to_picture,
    to_tensor,
)


def noise_picture(width, height, mode="RGB", seed=0):
    channels = len(mode)
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values)


def test_every_byte_survives_the_tensor():
    picture = noise_picture(16, 24)
    assert np.array_equal(np.asarray(to_picture(to_tensor(picture))), np.asarray(picture))


def test_values_outside_are_clipped():
    assert to_picture(torch.full((1, 3, 1, 1), 7.0)).getpixel((0, 0)) == (255, 255, 255)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.999), st.sampled_from(["RGB", "RGBA"]))
def test_outside_a_mask_nothing_changes(seed, share, mode):
    rng = np.random.default_rng(seed)
    inside = rng.random((20, 30)) < share
    old, new = noise_picture(30, 20, mode, seed % 1000), noise_picture(30, 20, seed=seed % 999)
    mixed = np.asarray(put_inside(old, new, inside))
    assert np.array_equal(mixed[~inside], np.asarray(old)[~inside])


def test_the_core_of_a_mask_is_all_new_and_the_rim_is_between():
    inside = np.zeros((64, 64), bool)
    inside[8:56, 8:56] = True
    black, white = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), (255, 255, 255))
    mixed = np.asarray(put_inside(black, white, inside))[..., 0]
    assert (mixed[16:48, 16:48] == 255).all()
    assert 0 < mixed[8, 32] < 255


def test_a_mask_that_touches_the_border_has_no_rim_there():
    inside = np.ones((32, 32), bool)
    white = Image.new("RGB", (32, 32), (255, 255, 255))
    assert (np.asarray(put_inside(Image.new("RGB", (32, 32)), white, inside)) == 255).all()


def test_a_thin_line_is_still_drawn():
    inside = np.zeros((32, 32), bool)
    inside[16:18] = True
    mixed = np.asarray(put_inside(Image.new("RGB", (32, 32)), Image.new("RGB", (32, 32), (255,) * 3), inside))
    assert mixed[16:18].min() == 255


def test_a_soft_mask_mixes_by_its_shares():
    shares = np.zeros((32, 64), np.float32)
    shares[:, 16:] = 0.5
    shares[:, 40:] = 1.0
    mixed = np.asarray(put_inside(Image.new("RGB", (64, 32)), Image.new("RGB", (64, 32), (255,) * 3), shares))[..., 0]
    assert (mixed[:, :16] == 0).all()
    assert set(np.unique(mixed[:, 28:40])) <= {127, 128}
    assert (mixed[:, 48:] == 255).all()


def test_a_cell_is_free_when_any_of_its_pixels_is():
    inside = np.zeros((16, 16), bool)
    inside[0, 15] = True
    assert mask_cells(inside, 8).squeeze().tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_a_mask_that_ends_within_a_cell_frees_that_cell_and_none_beyond():
    inside = np.zeros((25, 9), bool)
    inside[24, 8] = True
    cells = mask_cells(inside, 8).squeeze()
    assert cells.shape == (4, 2)
    assert cells.nonzero().tolist() == [[3, 1]]


def test_padding_repeats_the_last_row_and_column():
    picture = noise_picture(5, 3)
    padded = np.asarray(pad_picture(picture, PixelSize(8, 4)))
    assert padded.shape == (4, 8, 3)
    assert np.array_equal(padded[:3, :5], np.asarray(picture))
    assert (padded[3] == padded[2]).all()
    assert (padded[:, 5:] == padded[:, 4:5]).all()


def test_transparency_shows_paper():
    assert flatten(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_fitting_cuts_the_middle():
    picture = Image.new("RGB", (30, 10))
    picture.paste((255, 0, 0), (10, 0, 20, 10))
    assert set(place_picture(picture, PixelSize(10, 10), PixelSize(10, 10)).getcolors()) == {(100, (255, 0, 0))}


@settings(deadline=None, max_examples=200)
@given(*[st.integers(9, 300)] * 4, st.sampled_from((1, 2, 5)))
def test_the_target_shows_the_middle_of_the_picture_wherever_the_canvas_ends(width, height, wide, high, larger):
    picture = Image.new("RGB", (width, height), (0, 200, 0))
    canvas, target = PixelSize(wide + 40, high + 40), PixelSize(larger * wide, larger * high)
    placed = place_picture(picture, canvas, target)
    assert placed.size == (canvas.width, canvas.height)
    assert placed.getcolors() == [(canvas.area, (0, 200, 0))]


def test_a_strip_is_laid_where_the_target_shows_it_and_its_edges_repeat():
    strip = np.random.default_rng(1).integers(0, 256, (64, 1024, 3), np.uint8)
    placed = np.asarray(place_picture(Image.fromarray(strip), PixelSize(256, 64), PixelSize(2048, 128)))
    wanted = np.asarray(Image.fromarray(strip).resize((256, 16), Image.Resampling.LANCZOS))
    # The rims see the repeated edges.
    assert np.array_equal(placed[24 + 3 : 40 - 3], wanted[3:-3])
    assert np.abs(placed[:20].astype(int) - placed[0]).max() <= 1
    assert np.abs(placed[-20:].astype(int) - placed[-1]).max() <= 1
