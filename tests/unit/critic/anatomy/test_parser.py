"""The parser: shapes, mirrors, saving and loading, damaged files; and hands judged through it."""

import json

import numpy as np
import pytest

from sfumato.canvas.pixels import MemoryPixels
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.found import Found
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.critic.anatomy.evidence import gather_evidence
from sfumato.critic.anatomy.judge import CROP_GROWTH, frame_hand, judge_hands
from sfumato.critic.anatomy.labels import CELL_PX, CROP_PX
from sfumato.critic.anatomy.network import ParserShape
from sfumato.critic.anatomy.parser import FILES, has_parser, load_parser, make_parser, save_parser
from sfumato.critic.anatomy.verdict import judge_evidence
from sfumato.lab.critic.drawn_hands import draw_hand_example

TINY = ParserShape(widths=(4, 4, 4, 4), answers=4)


@pytest.fixture(scope="module")
def tiny():
    return make_parser(TINY)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_maps_are_probabilities_of_half_the_side(tiny):
    (maps,) = tiny.read(noise(1, CROP_PX, CROP_PX, 3))
    side = CROP_PX // CELL_PX
    assert maps.parts.shape[1:] == maps.tips.shape == (side, side)
    assert np.allclose(maps.parts.sum(0), 1, atol=1e-5)
    assert np.allclose(maps.digits.sum(0), 1, atol=1e-5)


def test_a_mirrored_crop_gives_mirrored_maps_and_the_other_hand(tiny):
    crop = noise(1, CROP_PX, CROP_PX, 3)
    (maps,), (mirrored,) = tiny.read(crop), tiny.read(crop[:, :, ::-1])
    assert np.allclose(maps.parts, mirrored.parts[:, :, ::-1], atol=1e-5)
    assert np.allclose(maps.answers["right"], -mirrored.answers["right"], atol=1e-5)
    assert np.allclose(maps.answers["count"], mirrored.answers["count"], atol=1e-5)


def test_crops_of_another_size_are_refused(tiny):
    with pytest.raises(RequestError, match="crops"):
        tiny.read(noise(1, 64, 64, 3))


def test_a_saved_parser_reads_the_same(tiny, tmp_path):
    assert not has_parser(tmp_path)
    save_parser(tiny, tmp_path)
    assert has_parser(tmp_path)
    crop = noise(1, CROP_PX, CROP_PX, 3)
    (before,), (after,) = tiny.read(crop), load_parser(tmp_path).read(crop)
    assert np.abs(before.parts - after.parts).max() < 0.01


@pytest.mark.parametrize(
    "change",
    [{"format": 99}, {"shape": {"widths": [4, 4], "answers": 4}}, {"beliefs": {"count": [1]}}, {"shape": None}],
)
def test_damaged_configurations_are_told(tiny, tmp_path, change):
    save_parser(tiny, tmp_path)
    config = json.loads((tmp_path / FILES.config).read_text())
    (tmp_path / FILES.config).write_text(json.dumps({**config, **change}))
    with pytest.raises(ModelError, match="parser"):
        load_parser(tmp_path)


def test_no_parser_is_told(tmp_path):
    with pytest.raises(ModelError, match="no parser"):
        load_parser(tmp_path)


def find_hand(points=()):
    return Found(kind="hand", box=PixelBox(40, 30, 100, 110), confidence=0.9, by="hands", points=points)


def test_a_hand_that_points_right_is_set_upright():
    points = tuple((40.0 + 5 * number, 70.0) for number in range(21))
    square = frame_hand(find_hand(points))
    assert square.angle == pytest.approx(np.pi / 2)
    assert frame_hand(find_hand()).angle == 0
    assert square.side == pytest.approx(CROP_GROWTH * 80)


def test_every_hand_gets_a_verdict_even_at_the_edge(tiny):
    pixels = MemoryPixels(PixelSize(120, 120), noise(120, 120, 3))
    edge = Found(kind="hand", box=PixelBox(100, 100, 120, 120), confidence=0.9, by="hands")
    judged = judge_hands(tiny, pixels, [find_hand(), edge])
    assert [hand.box for hand in judged] == [find_hand().box, edge.box]
    assert json.loads(json.dumps(judged[1].to_json()))["box"] == [100, 100, 20, 20]
    assert judge_hands(tiny, pixels, []) == ()


def test_the_shipped_parser_counts_most_open_drawn_hands():
    if not has_parser():
        pytest.skip("no parser ships with this copy")
    hands = [draw_hand_example(seed, shot="hand", fault="", style="photo") for seed in range(5000, 5016)]
    hands = [hand for hand in hands if hand.countable[0] and not hand.exception[0]]
    parser = load_parser()
    seen = parser.read(np.concatenate([hand.images for hand in hands]))
    told = [judge_evidence(gather_evidence(maps), parser.beliefs).digits for maps in seen]
    right = sum(digits == hand.count_digits()[0] for digits, hand in zip(told, hands, strict=True))
    assert len(hands) >= 4
    assert right >= 0.7 * len(hands)
