"""The detector: pyramid, tiles that equal the whole, boxes by hand, calibration, saving and loading."""

import json

import numpy as np
import pytest
import torch

from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.critic.detector.boxes import keep_strongest, match_boxes, measure_cover
from sfumato.critic.detector.calibration import ScoreCalibration, choose_least, fit_calibration
from sfumato.critic.detector.detector import (
    FILES,
    Detector,
    load_detector,
    make_detector,
    save_detector,
)
from sfumato.critic.detector.network import CELL_PX, KINDS, DetectorShape
from sfumato.critic.detector.pyramid import HALO_PX, TILE_PX, halve, list_levels, list_tiles

TINY = DetectorShape(widths=(8, 8, 8, 8), head=8)


class Spots(torch.nn.Module):
    """A network whose centres are white pixels, each with a box of 20x40 px for the kind of its colour."""

    def __init__(self, far=(10, 20, 10, 20)):
        super().__init__()
        self.far = torch.tensor(far, dtype=torch.float32)[None, None, :, None, None]
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, pixels):
        bright = torch.nn.functional.max_pool2d(pixels, CELL_PX)
        colours = torch.cat((bright, -torch.ones_like(bright[:, :1])), dim=1)
        return 8 * colours - 2, self.far.expand(1, len(KINDS), 4, *bright.shape[-2:])


@pytest.fixture
def spots():
    return Detector(Spots(), TINY)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_what_shows_is_told_with_its_box_and_kind(spots):
    picture = np.zeros((100, 120, 3), np.uint8)
    picture[50, 62, 0] = 255
    picture[50, 90, 2] = 255
    found = {detection.kind: detection for detection in spots.find(picture)}
    assert set(found) == {"person", "hand"}
    assert found["person"].box == (52.0, 30.0, 72.0, 70.0)
    assert found["person"].confidence == pytest.approx(1 / (1 + np.exp(-6.0)))


def test_a_picture_that_may_only_be_read_is_looked_at(spots):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[20, 20, 0] = 255
    picture.flags.writeable = False
    assert len(spots.find(picture)) == 1


def test_boxes_end_with_the_picture(spots):
    picture = np.zeros((40, 30, 3), np.uint8)
    picture[2, 2, 1] = 255
    assert [detection.box for detection in spots.find(picture)] == [(0.0, 0.0, 12.0, 22.0)]


@pytest.mark.parametrize(("far", "widths"), [(10, [20]), (50, [100, 200]), (80, [])])
def test_each_level_is_believed_about_its_own_sizes(far, widths):
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[128:136, 128:136, 0] = 255
    found = Detector(Spots((far, far, far, far)), TINY).find(picture)
    assert sorted({detection.box[2] - detection.box[0] for detection in found}) == widths


def test_tiles_give_what_the_whole_gives():
    detector = make_detector(seed=1)
    for layer in (detector.network.centres, detector.network.sides):
        torch.nn.init.normal_(layer.weight, std=0.5, generator=torch.Generator().manual_seed(1))
    torch.nn.init.constant_(detector.network.centres.bias, 0.0)
    # Blocks start as the identity and would see nothing far away.
    for name, weight in detector.network.named_parameters():
        if name.endswith("second.weight"):
            torch.nn.init.kaiming_normal_(weight, generator=torch.Generator().manual_seed(2))
    picture = noise(700, 460)
    whole, tiled = detector.score(picture), detector.score(picture, tile_px=256)
    assert sum(len(scores) for _, scores in whole.values()) > 20
    for kind in KINDS:
        assert np.allclose(whole[kind][1], tiled[kind][1], atol=1e-3)
        assert np.allclose(whole[kind][0], tiled[kind][0], atol=1e-2)


def test_a_pixel_is_seen_no_farther_than_the_halo():
    network = make_detector().network
    for name, weight in network.named_parameters():
        torch.nn.init.constant_(weight, 0.01 if name.endswith("weight") else 0.0)
    pixels = torch.ones(1, 3, 560, 560, requires_grad=True)
    network(pixels)[0][0, 0, 70, 70].backward()
    assert pixels.grad is not None
    rows = torch.nonzero(pixels.grad[0].abs().sum(dim=(0, 2)))[:, 0]
    assert int(rows.max()) - 283 <= HALO_PX
    assert 280 - int(rows.min()) <= HALO_PX


def test_levels_halve_until_the_whole_is_an_object():
    levels = list(list_levels(noise(300, 513)))
    assert [(reduction, level.shape[:2]) for reduction, level in levels] == [
        (1, (300, 513)), (2, (150, 257)), (4, (75, 129)), (8, (38, 65))
    ]  # fmt: skip
    assert [reduction for reduction, _ in list_levels(noise(128, 3))] == [1]


def test_halving_takes_means_and_doubles_an_odd_edge():
    picture = np.array([[[0], [4], [10]], [[2], [6], [20]], [[1], [1], [9]]], np.uint8).repeat(3, axis=2)
    assert halve(picture)[..., 0].tolist() == [[3, 15], [1, 9]]


def test_cores_cover_a_picture_once():
    seen = np.zeros((2500, 1300), int)
    for tile in list_tiles((1300, 2500)):
        left, top, right, bottom = tile.core
        seen[top:bottom, left:right] += 1
        assert max(tile.whole[2] - tile.whole[0], tile.whole[3] - tile.whole[1]) <= TILE_PX + 2 * HALO_PX
    assert (seen == 1).all()


def test_cover_is_shared_over_joined():
    ours = np.array([[0, 0, 10, 10]], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], np.float32)
    assert measure_cover(ours, others)[0] == pytest.approx([1.0, 1 / 3, 0.0, 0.0])


def test_the_strongest_of_what_covers_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]], np.float32)
    assert keep_strongest(boxes, np.array([0.2, 0.9, 0.1]), 0.5).tolist() == [1, 2]
    assert keep_strongest(boxes[:0], np.array([]), 0.5).tolist() == []


def test_each_box_is_given_once():
    there = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    found = np.array([[0, 0, 10, 9], [0, 0, 9, 10], [20, 0, 30, 10], [50, 0, 60, 9]], np.float32)
    assert match_boxes(found, there, 0.5).tolist() == [0, -1, 1, -1]
    assert match_boxes(found, there[:0], 0.5).tolist() == [-1] * 4


def test_trust_learns_how_often_a_score_is_right():
    stream = np.random.default_rng(3)
    scores = stream.uniform(-4, 6, 4000)
    right = stream.random(4000) < 1 / (1 + np.exp(-(0.7 * scores - 1.0)))
    calibration = fit_calibration(scores, right)
    assert (calibration.slope, calibration.offset) == (pytest.approx(0.7, abs=0.08), pytest.approx(-1.0, abs=0.2))
    assert fit_calibration(scores[:3], np.ones(3, bool)) == ScoreCalibration()


def test_the_limit_tells_as_much_as_precision_allows():
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    right = np.array([True, True, False, True, False])
    chosen = choose_least(ScoreCalibration(), scores, right, 0.75)
    assert (ScoreCalibration().believe(scores) >= chosen.least).tolist() == [True, True, True, True, False]
    assert choose_least(ScoreCalibration(), scores, np.zeros(5, bool), 0.9).least > 0.9


@pytest.mark.parametrize("picture", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_other_pictures_are_refused(spots, picture):
    with pytest.raises(RequestError):
        spots.find(picture)


def test_a_saved_detector_finds_the_same(tmp_path):
    detector = make_detector(TINY, seed=5)
    torch.nn.init.constant_(detector.network.centres.bias, 1.0)
    trusted = Detector(detector.network, TINY, {kind: ScoreCalibration(1.25, 0.5, 0.3) for kind in KINDS})
    save_detector(trusted, tmp_path)
    again = load_detector(tmp_path)
    assert again.calibration == trusted.calibration
    ours, theirs = trusted.find(noise(60, 90)), again.find(noise(60, 90))
    assert len(ours) == len(theirs) > 0
    assert [d.kind for d in ours] == [d.kind for d in theirs]
    assert ours[0].confidence == pytest.approx(theirs[0].confidence, abs=1e-2)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(ModelError, match="no detector"):
        load_detector(tmp_path)
    save_detector(make_detector(TINY), tmp_path)
    config = json.loads((tmp_path / FILES.config).read_text())
    (tmp_path / FILES.config).write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(ModelError, match="another version"):
        load_detector(tmp_path)
    (tmp_path / FILES.config).write_text(json.dumps(config | {"trust": {}}))
    with pytest.raises(ModelError, match="fit together"):
        load_detector(tmp_path)
    (tmp_path / FILES.config).write_text(json.dumps(config))
    (tmp_path / FILES.weights).write_bytes(b"no weights")
    with pytest.raises(UnsafeFileError):
        load_detector(tmp_path)
