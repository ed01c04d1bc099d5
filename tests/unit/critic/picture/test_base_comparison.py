"""A result and its base: geometry, what is kept, what drifted, what is new, what moved."""

import numpy as np
import pytest
from PIL import Image

from sfumato.core.errors import RequestError
from sfumato.critic.picture.added_objects import find_added_objects
from sfumato.critic.picture.base_comparison import MOST_DB, crop_base, make_pair, measure_consistency, measure_drift
from sfumato.critic.picture.seams import Lines
from sfumato.critic.picture.tile_shifts import measure_shifts


def make_scene(height=256, width=256):
    """Return smooth blobs of colour, float [h, w, 3]: edges everywhere, none sharp."""
    y, x = np.mgrid[0:height, 0:width] / 256
    waves = [np.sin(21 * x + 3 * k) * np.cos(17 * y - 2 * k) + np.sin(9 * x * y + k) for k in range(3)]
    return 128 + 40 * np.stack(waves, axis=-1)


def to_image(levels):
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def reduce(image, factor=4):
    return image.resize((image.width // factor, image.height // factor), Image.Resampling.BOX)


def test_a_result_that_is_its_base_agrees_wholly():
    image = to_image(make_scene())
    pair = make_pair(image, reduce(image))
    assert measure_consistency(pair).psnr_db == MOST_DB
    assert measure_drift(pair).p95 == 0.0
    assert find_added_objects(pair).blobs == ()
    assert measure_shifts(pair).most_px == 0.0


@pytest.mark.parametrize("size", [(256, 128), (128, 256), (250, 198)])
def test_the_centred_part_of_the_base_is_compared(size):
    base = to_image(make_scene(64, 64))
    scale = max(size[0] / 64, size[1] / 64)
    left, top = (64 - size[0] / scale) / 2, (64 - size[1] / scale) / 2
    shown = base.resize(size, Image.Resampling.BICUBIC, box=(left, top, 64 - left, 64 - top))
    assert measure_consistency(make_pair(shown, base)).psnr_db > 33
    assert crop_base(base, size).size == (round(size[0] / scale), round(size[1] / scale))


def test_a_result_smaller_than_its_base_is_refused():
    with pytest.raises(RequestError, match="smaller base"):
        make_pair(Image.new("RGB", (32, 32)), Image.new("RGB", (64, 64)))
    with pytest.raises(RequestError, match="too little"):
        make_pair(Image.new("RGB", (640, 64)), Image.new("RGB", (64, 64)))


def test_octaves_tell_fine_changes_from_wide_ones():
    scene = make_scene()
    base = reduce(to_image(scene))
    fine = measure_consistency(make_pair(to_image(scene + 20 * (-1) ** (np.arange(256) // 4)[:, None, None]), base))
    wide = measure_consistency(make_pair(to_image(scene + 20), base))
    assert fine.octaves_db[0] < 25 < fine.octaves_db[-1]
    assert wide.octaves_db[-1] < 25 < wide.octaves_db[0]


def test_drift_grows_with_the_field_and_does_not_see_a_small_thing():
    scene = make_scene()
    base = reduce(to_image(scene))
    ramp = np.linspace(-1, 1, 256)[:, None, None]
    drifts = [measure_drift(make_pair(to_image(scene + amount * ramp), base)).p95 for amount in (0, 5, 15)]
    assert drifts[0] < 0.5 < drifts[1] < drifts[2]
    scene[40:60, 40:50] = 255
    assert measure_drift(make_pair(to_image(scene), base)).p95 < 1.0


def test_a_new_thing_is_found_in_its_place_and_a_loss_the_other_way_round():
    scene = np.full((256, 256, 3), 150.0) + np.linspace(0, 30, 256)[:, None, None]
    pasted = scene.copy()
    pasted[100:124, 60:72] = (40, 60, 120)
    pair = make_pair(to_image(pasted), reduce(to_image(scene)))
    (blob,) = find_added_objects(pair).blobs
    left, top, right, bottom = blob.box
    assert abs(left - 60) <= 4
    assert abs(top - 100) <= 4
    assert abs(right - 72) <= 4
    assert abs(bottom - 124) <= 4
    assert find_added_objects(pair.swap()).blobs == ()
    lost = make_pair(to_image(scene), reduce(to_image(pasted)))
    assert find_added_objects(lost).blobs == ()
    assert len(find_added_objects(lost.swap()).blobs) == 1


def test_sharper_edges_and_a_tint_are_no_added_objects():
    scene = np.full((256, 256, 3), 150.0)
    scene[:, 121:] = (60, 90, 40)
    base = reduce(to_image(scene))
    assert find_added_objects(make_pair(to_image(scene + 12), base)).blobs == ()
    assert find_added_objects(make_pair(to_image(np.roll(scene, 3, axis=1)[:, 3:253].repeat(1, 0)), base)).blobs == ()


def test_things_that_touch_by_a_corner_are_one_and_specks_are_none():
    scene = np.full((256, 256, 3), 150.0)
    pasted = scene.copy()
    pasted[40:64, 40:64] = pasted[64:88, 64:88] = (40, 60, 120)
    pasted[200:204, 200:208] = (40, 60, 120)
    (blob,) = find_added_objects(make_pair(to_image(pasted), reduce(to_image(scene)))).blobs
    assert blob.area_px == pytest.approx(2 * 6 * 6, abs=8)


@pytest.mark.parametrize("halves", [3, 5, 7, 9])
def test_cells_that_are_no_whole_pixels_are_averaged_by_area(halves):
    base = np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8)
    # Cells of 1.5 px and so on: each pixel of the result is the mean of its share of the cells below it.
    fine = np.repeat(np.repeat(base, halves, axis=0), halves, axis=1).astype(float)
    rows, columns = fine.shape[0] // 2, fine.shape[1] // 2
    result = fine[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    doubled = np.repeat(np.repeat(result, 2, axis=0), 2, axis=1).astype(float)
    wanted = doubled.reshape(40, halves, 60, halves, 3).mean(axis=(1, 3))
    pair = make_pair(to_image(result), to_image(base))
    assert np.abs(pair.shown - wanted).max() < 1e-2
    assert measure_shifts(pair).p95_px < 0.05


def test_a_moved_tile_is_measured_in_pixels_of_the_base():
    scene = make_scene(300, 300)
    moved = scene[20:276, 20:276].copy()
    moved[128:, 128:] = scene[148:276, 151:279]
    pair = make_pair(to_image(moved), reduce(to_image(scene[20:276, 20:276])))
    shifts = measure_shifts(pair, Lines((128,), (128,)))
    assert shifts.parts == 4
    assert shifts.most_px == pytest.approx(3.0 / pair.scale, abs=0.2)
    flat = to_image(np.full((256, 256, 3), 90.0))
    assert measure_shifts(make_pair(flat, reduce(flat))).parts == 0
