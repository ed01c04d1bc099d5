"""Small parts of a base are found, and those that the result no longer shows are lost, wherever and however they went."""

import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sfumato.critic.picture.base_comparison import make_fine_pair
from sfumato.critic.picture.checks import judge_picture
from sfumato.critic.picture.lost_parts import find_lost_parts

SCALE = 4
DOTS = ((16, 12), (40, 20), (28, 44))


def draw(dots, *, colour=(40, 40, 40), ground=(200, 180, 150), side=64, scale=SCALE):
    """Draw round dots, 2 px of the base wide, on a ground; places are (x, y) of the base."""
    y, x = np.mgrid[0 : side * scale, 0 : side * scale] / scale
    levels = np.broadcast_to(np.array(ground, np.float32), (side * scale, side * scale, 3)).copy()
    for left, top in dots:
        share = np.clip(1.5 - np.hypot(x - left, y - top), 0, 1)[..., None]
        levels += share * (np.array(colour, np.float32) - levels)
    return Image.fromarray(np.rint(levels).astype(np.uint8))


def reduce(picture):
    return picture.reduce(SCALE)


def find(result, base):
    return find_lost_parts(make_fine_pair(result, base))


def test_a_result_that_shows_all_parts_lost_none():
    picture = draw(DOTS)
    found = find(picture, reduce(picture))
    assert (found.of, found.parts, found.strongest) == (len(DOTS), (), 0.0)


@pytest.mark.parametrize("colour", [(40, 40, 40), (255, 250, 240), (230, 60, 60)])
def test_a_part_that_is_gone_is_lost_where_it_was(colour):
    base = reduce(draw(DOTS, colour=colour))
    found = find(draw(DOTS[1:], colour=colour), base)
    (part,) = found.parts
    assert found.of == len(DOTS)
    assert part.kept < 0.1
    left, top, right, bottom = part.box
    assert left < DOTS[0][0] * SCALE < right
    assert top < DOTS[0][1] * SCALE < bottom
    assert right - left < 8 * SCALE


def test_a_part_that_is_sharper_or_a_little_beside_is_there():
    base = reduce(draw(DOTS))
    blurred = Image.fromarray(ndimage.gaussian_filter(np.asarray(base), (0.6, 0.6, 0)))
    moved = draw([(x + 0.5, y - 0.5) for x, y in DOTS])
    assert find(draw(DOTS), blurred).parts == ()
    assert find(moved, base).parts == ()


def test_a_part_that_pales_below_half_is_lost():
    base = reduce(draw(DOTS))
    assert len(find(draw(DOTS, colour=(165, 149, 126)), base).parts) == len(DOTS)
    assert find(draw(DOTS, colour=(90, 82, 72)), base).parts == ()


def test_edges_and_plain_grounds_are_no_parts():
    levels = np.full((256, 256, 3), 200, np.uint8)
    levels[:, 128:] = 60
    edge = Image.fromarray(levels)
    assert find(edge, reduce(edge)).of == 0
    assert math.isnan(find(edge, reduce(edge)).lost_frac)


def test_a_result_hardly_larger_than_its_base_is_compared_too():
    picture, base = draw(DOTS, scale=SCALE), draw(DOTS, scale=3)
    assert find(picture, base).of >= len(DOTS)
    assert len(find(draw((), scale=SCALE), base).parts) >= len(DOTS)


def test_the_self_check_lists_the_boxes_of_lost_parts():
    judged = judge_picture(draw(DOTS[1:]), reduce(draw(DOTS)))
    assert [list(part.box) for part in judged.lost_parts] == judged.to_json()["lost_parts"]
    assert len(judged.lost_parts) == 1
