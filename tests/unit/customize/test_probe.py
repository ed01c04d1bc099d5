"""The probe: same noise for all names, made-up names as control, an order of names, and pictures that answer too."""

import math

import pytest
import torch

from sfumato.core.errors import ModelError, RequestError
from sfumato.customize import probe
from sfumato.customize.inversion import TriggerVectors
from sfumato.customize.probe import Prober, calibrate, judge, make_up_names, probe_ages, probe_names


@pytest.fixture(scope="module")
def prober(model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "CONTROLS", 4)
        patch.setattr(probe, "SEEDS", 3)
        yield Prober(model, "cat")


def test_it_measures_the_words_and_nothing_else(prober):
    once, again = (prober.predict("zorb") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    of_class = prober.predict("a cat")
    silent = prober.read(of_class, of_class)
    assert silent.strength == 0
    moved = prober.read(once, of_class)
    assert moved.strength > 0
    assert -1 <= moved.consistency <= 1


def test_a_name_that_moves_predictions_far_is_rated_above_one_that_does_not(prober):
    tower = prober.tower
    rows = tower.embedding.weight.detach().float()
    loud = TriggerVectors(tower, "loud", 40 * rows[:1])
    try:
        heard = prober.ask("loud")
    finally:
        loud.detach()
    assert heard.strength_z > prober.ask("zorb").strength_z
    assert math.isfinite(heard.probability)


def test_made_up_names_have_the_length_of_the_name(prober):
    names = make_up_names(prober, 5, 6, seed=1)
    assert len(set(names)) == 6
    assert names == make_up_names(prober, 5, 6, seed=1)
    assert all(abs(prober.count_tokens(name) - 5) <= 1 for name in names)


def test_a_ranking_and_ages_and_pictures(model, monkeypatch):
    monkeypatch.setattr(probe, "CONTROLS", 3)
    monkeypatch.setattr(probe, "SEEDS", 2)
    found = probe_names(model, ["zorb", "do", "zorb"], "cat")
    assert sorted(one.name for one in found) == ["do", "zorb"]
    assert found[0].probability >= found[1].probability
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    aged = probe_ages(model, "zorb", "cat", latents=latents)
    assert [one.name for one in aged] == ["zorb", "zorb as a child", "young zorb", "old zorb"]
    assert all(one.gain_low <= one.gain <= one.gain_high for one in aged)


def test_probabilities_rise_with_the_evidence():
    assert calibrate(-1) < calibrate(1) < calibrate(4)
    assert [judge(share) for share in (0.95, 0.5, 0.1)] == ["known", "partly", "unknown"]


def test_what_cannot_be_asked_is_refused(model, prober):
    for names in ([], ["x"] * 201, [""], ["x" * 61]):
        with pytest.raises(RequestError):
            probe_names(model, names, "cat") if len(names) != 1 else prober.ask(names[0])
    towers = model.text.towers
    model.text.towers = towers * 2
    try:
        with pytest.raises(ModelError, match="one text encoder"):
            Prober(model, "cat")
    finally:
        model.text.towers = towers
