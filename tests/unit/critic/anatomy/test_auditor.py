"""The auditor: blind to colour and to brightness, the same in a mirror, saved and loaded, and its opinion by hand."""

import json

import numpy as np
import pytest
import torch

from sfumato.core.errors import ModelError, RequestError
from sfumato.critic.anatomy.auditor import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    AuditorAnswers,
    AuditorBeliefs,
    AuditorShape,
    judge_answers,
    load_auditor,
    make_auditor,
    measure_directions,
    save_auditor,
)

TINY = AuditorShape(widths=(4, 4, 4), answers=4)


@pytest.fixture(scope="module")
def auditor():
    return make_auditor(TINY)


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)


def test_it_sees_slopes_and_no_colour():
    grey = torch.randn(1, 1, 128, 128).clamp(-0.6, 0.6)
    tint = torch.tensor([0.3, -0.1, -0.2])[None, :, None, None]
    plain = measure_directions(grey.expand(-1, 3, -1, -1))
    assert plain.shape == (1, 8, 32, 32)
    assert torch.allclose(measure_directions(grey + tint), plain, atol=1e-4)
    # The least slope that counts is the only thing that knows how strong light is.
    assert (measure_directions(1.5 * grey.expand(-1, 3, -1, -1)) - plain).abs().max() < 0.1 * plain.max()


def test_a_slope_to_the_right_is_told_from_one_to_the_left():
    ramp = torch.linspace(-1, 1, 128).expand(1, 3, 128, 128)
    right = measure_directions(ramp)[0].mean((1, 2))
    left = measure_directions(ramp.flip(3))[0].mean((1, 2))
    assert int(right.argmax()) == 0
    assert int(left.argmax()) == 4


def test_a_mirror_changes_nothing(auditor, crops):
    plain, mirrored = auditor.look(crops), auditor.look(np.ascontiguousarray(crops[:, :, ::-1]))
    assert len(plain) == 3
    for one, other in zip(plain, mirrored, strict=True):
        assert one.count == pytest.approx(other.count, abs=1e-5)


def test_other_crops_are_refused(auditor):
    with pytest.raises(RequestError, match="square"):
        auditor.look(np.zeros((1, 64, 64, 3), np.uint8))


def test_it_comes_back_from_its_folder(auditor, crops, tmp_path):
    save_auditor(auditor, tmp_path)
    again = load_auditor(tmp_path)
    assert again.look(crops)[0].cause == pytest.approx(auditor.look(crops)[0].cause, abs=1e-2)
    config = json.loads((tmp_path / CONFIG_NAME).read_text())
    for change in ({"format": 9}, {"shape": {"widths": [4, 4]}}, {"beliefs": {"fault": [1.0]}}):
        (tmp_path / CONFIG_NAME).write_text(json.dumps(config | change))
        with pytest.raises(ModelError):
            load_auditor(tmp_path)
    (tmp_path / CONFIG_NAME).write_text(json.dumps(config))
    (tmp_path / WEIGHTS_NAME).unlink()
    with pytest.raises((ModelError, RequestError)):
        load_auditor(tmp_path)


def answer(count, cause, sure=5.0):
    counts, causes = np.zeros(8), np.zeros(5)
    counts[count], causes[cause] = sure, sure
    return AuditorAnswers(counts, causes, 2.0)


def test_an_opinion_joins_several_looks():
    beliefs = AuditorBeliefs()
    right, wrong = answer(5, 0), answer(6, 1)
    assert judge_answers([right], beliefs, 5).fault < 0.1
    assert judge_answers([wrong], beliefs, 5).fault > 0.9
    assert 0.1 < judge_answers([right, wrong], beliefs, 5).fault < 0.9
    assert judge_answers([answer(4, 0)], beliefs, 4).fault < judge_answers([answer(4, 0)], beliefs, 5).fault
    assert judge_answers([wrong, wrong, right], beliefs, 5).digits == 6
