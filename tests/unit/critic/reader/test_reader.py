"""Reading, calibrating, saving and loading a reader."""

import json

import numpy as np
import pytest
import torch

from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.critic.reader.network import ReaderShape
from sfumato.critic.reader.questions import Vocabulary
from sfumato.critic.reader.reader import FILES, load_reader, make_reader, save_reader

WORDS = Vocabulary((("place", ("beach", "room")), ("people", (0, 1, 2))))
TINY = ReaderShape(widths=(8, 16), blocks=(0, 1), picture_px=32)


@pytest.fixture
def reader():
    return make_reader(WORDS, TINY, seed=3)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (37, 32, 32, 3), np.uint8)


def test_readings_are_words_with_shares(reader, pictures):
    readings = reader.read(pictures)
    assert len(readings) == 37
    assert readings.word(0, "place") in ("beach", "room")
    assert all(1 / 3 <= readings.sureness(i, "people") <= 1 for i in range(37))
    assert readings.features.shape == (37, 16)


def test_a_batch_changes_no_answer(reader, pictures):
    whole, single = reader.read(pictures), reader.read(pictures[35:36])
    assert whole.chosen[35].tolist() == single.chosen[0].tolist()
    assert np.allclose(whole.confidence[35], single.confidence[0], atol=1e-5)


def test_calibration_changes_confidence_and_no_answer(reader, pictures):
    answers = np.stack([np.full(37, -1), np.arange(37) % 3], axis=1)
    calibrated = reader.calibrate(pictures, answers)
    assert calibrated.temperatures[0] == 1.0
    assert (calibrated.read(pictures).chosen == reader.read(pictures).chosen).all()


@pytest.mark.parametrize(
    ("shape", "kind"), [((0, 32, 32, 3), "uint8"), ((1, 16, 32, 3), "uint8"), ((1, 32, 32, 3), "float32")]
)
def test_other_pictures_are_refused(reader, shape, kind):
    with pytest.raises(RequestError, match="uint8 RGB pictures of 32x32"):
        reader.read(np.zeros(shape, kind))


def test_it_comes_back_from_its_folder(reader, pictures, tmp_path):
    calibrated = reader.calibrate(pictures, np.stack([np.arange(37) % 2, np.arange(37) % 3], axis=1))
    save_reader(calibrated, tmp_path)
    again = load_reader(tmp_path)
    assert again.vocabulary == WORDS
    assert again.shape == TINY
    assert np.allclose(again.temperatures, calibrated.temperatures, atol=1e-4)
    # fp16 weights: three digits.
    assert np.allclose(again.read(pictures).confidence, calibrated.read(pictures).confidence, atol=5e-3)
    assert (tmp_path / FILES.weights).stat().st_size < 40_000


def test_making_a_reader_leaves_the_global_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    make_reader(WORDS, TINY)
    assert torch.equal(torch.rand(3), expected)


def test_a_missing_reader_says_how_to_train_one(tmp_path):
    with pytest.raises(ModelError, match="--stage reader"):
        load_reader(tmp_path)


@pytest.mark.parametrize(
    "change", [{"format": 9}, {"shape": {}}, {"vocabulary": [["a", ["b", "c"]]]}, {"temperatures": None}]
)
def test_parts_that_do_not_fit_are_refused(reader, tmp_path, change):
    save_reader(reader, tmp_path)
    path = tmp_path / FILES.config
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError):
        load_reader(tmp_path)


def test_the_gate_looks_at_the_weights(reader, tmp_path):
    save_reader(reader, tmp_path)
    (tmp_path / FILES.weights).write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeFileError):
        load_reader(tmp_path)
