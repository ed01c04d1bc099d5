"""The proof's parts on a tiny base: recipes train and leave no trace, and a card has a row for every method."""

import numpy as np
import torch

from bundles import tiny_mini
from sfumato.core.cards import Measurement
from sfumato.customize.probe import ProbedName
from sfumato.lab.customize import proof
from sfumato.lab.customize.probe import KNOWN, OTHER, _fit
from sfumato.lab.customize.proof import MethodResult, _make_rows, make_concept
from sfumato.lab.customize.recipes import RECIPES
from sfumato.models.load import load_model


def test_recipes_train_and_leave_the_base_as_it_was():
    model = load_model(str(tiny_mini()), dtype="fp32")
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    latents = torch.randn((3, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    for run_recipe in RECIPES.values():
        with run_recipe(model, "cat", seed=1) as run:
            start = [value.detach().clone() for value in run.parameters]
            losses = [run.step(latents, 2, 1) for _ in range(2)]
            assert all(np.isfinite(losses))
            assert any(not torch.equal(a, b) for a, b in zip(start, run.parameters, strict=True))
    assert all(torch.equal(before[name], value) for name, value in model.unet.state_dict().items())
    assert not model.text.towers[0].concepts


def test_a_subject_is_a_concept_with_masks_and_captions(tmp_path):
    concept = make_concept(tmp_path, proof.FIRST_SUBJECT)
    assert len(concept.pictures) == 5
    assert all(concept.find_picture(one).is_file() and concept.find_mask(one).is_file() for one in concept.pictures)
    assert all(proof.TRIGGER in one.caption for one in concept.pictures)


def test_rows_name_the_method_and_the_number_of_subjects(monkeypatch):
    monkeypatch.setattr(proof, "read_drawn", lambda pictures: pictures)
    monkeypatch.setattr(proof, "rate_claims", lambda *_: [True, False])
    scores = [[Measurement(name="identity", value=value, unit="of 1", n=8, low=0.1, high=0.9)] for value in (0.4, 0.6)]
    results = [MethodResult(np.zeros((1, 2, 2, 3), np.uint8), 0.01, 4.0)] * 2
    rows = {row.name: row for row in _make_rows("ours", results, scores, steps=2)}
    assert (rows["identity: ours"].value, rows["identity: ours"].n) == (0.5, 2)
    assert rows["CPU s a step: ours"].value == 2
    assert rows["drift, ungated: ours"].value == 1
    (single, *_) = _make_rows("ours", results[:1], scores[:1], steps=2)
    assert (single.low, single.high, single.n) == (0.1, 0.9, 8)


def test_the_fit_of_the_probe_ranks_what_differs():
    def made(strength):
        return ProbedName(
            name="x", noun="a man", probability=0.5, verdict="partly", strength_z=strength, consistency_z=0.0,
            memorised=False,
        )  # fmt: skip

    fit = _fit([made(2.0 + at / 10) for at in range(8)], [made(-at / 10) for at in range(8)])
    known, other = fit.rate([made(2.5), made(-0.5)])
    assert known > 0.8 > 0.2 > other
    assert not set(KNOWN) & set(OTHER)
