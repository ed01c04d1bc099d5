"""Sharp beside foggy: an evenly sharp picture has little of it, one with a foggy half much, one without edges none."""

import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sfumato.critic.picture.base_comparison import make_fine_pair
from sfumato.critic.picture.checks import Evidence
from sfumato.critic.picture.sharpness import CLEAN_DB, measure_sharpness

SIDE = 256


def draw():
    """Draw discs of all sizes, sharp to the pixel."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    levels, stream = np.full((SIDE, SIDE, 3), 120.0), np.random.default_rng(1)
    for _ in range(40):
        place, radius = stream.uniform(0, SIDE, 2), stream.uniform(8, 30)
        share = np.clip(radius - np.hypot(x - place[0], y - place[1]), 0, 1)[..., None]
        levels += share * (stream.uniform(20, 235, 3) - levels)
    return levels


def blur(levels, deviation):
    return ndimage.gaussian_filter(levels, (deviation, deviation, 0), mode="nearest")


def to_image(levels):
    return Image.fromarray(np.rint(levels).astype(np.uint8))


@pytest.fixture(scope="module")
def sharp():
    return draw()


@pytest.fixture(scope="module")
def base(sharp):
    return to_image(sharp).reduce(4)


def measure(levels, base):
    return measure_sharpness(make_fine_pair(to_image(levels), base))


def test_an_evenly_sharp_picture_has_clean_edges_and_no_fog(sharp, base):
    found = measure(sharp, base)
    assert abs(found.median_db - CLEAN_DB) < 4
    assert found.contrast_db < 7
    assert found.foggy_frac < 0.05


def test_fog_over_one_half_is_a_contrast_and_the_share_of_places_is_told(sharp, base):
    half = sharp.copy()
    half[:, : SIDE // 2] = blur(sharp, 2.0)[:, : SIDE // 2]
    found = measure(half, base)
    assert found.contrast_db > measure(sharp, base).contrast_db + 5
    assert 0.3 < found.foggy_frac < 0.7


def test_fog_everywhere_is_no_evenness(sharp, base):
    found, enlarged = measure(sharp, base), base.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    fog = measure_sharpness(make_fine_pair(enlarged, base))
    assert fog.foggy_frac > 0.5 > 10 * found.foggy_frac
    assert fog.contrast_db > found.contrast_db


def test_nothing_is_told_without_edges_or_without_a_new_octave(sharp):
    plain = Image.new("RGB", (SIDE, SIDE), (90, 90, 90))
    assert math.isnan(Evidence(plain, plain.reduce(4)).sharpness.contrast_db)
    picture = to_image(sharp)
    assert math.isnan(Evidence(picture, picture.resize((200, 200))).sharpness.contrast_db)
