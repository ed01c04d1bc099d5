"""Training: exact in pieces, blind outside the mask, and without a trace on the model."""

from dataclasses import replace

import pytest
import torch

from concept_folders import make_concept
from sfumato.core.errors import RequestError
from sfumato.customize.inversion import encode_captions
from sfumato.customize.learn import Learner
from sfumato.customize.losses import measure_subject
from sfumato.customize.settings import ConceptSettings

LORA = ConceptSettings(rung="lora", vectors=3, rank=2, batch=2)


@pytest.fixture
def learner(concept, model):
    made = Learner(concept, model, LORA)
    yield made
    made.close()


def weights(model):
    return {
        f"{part}.{name}": value.clone()
        for part, network in (("unet", model.unet), ("text", model.text_encoders[0]))
        for name, value in network.state_dict().items()
    }


def test_twenty_steps_equal_ten_and_ten_to_the_byte(concept, model, learner):
    for _ in range(10):
        learner.step()
    saved = learner.state()
    for _ in range(10):
        learner.step()
    whole = learner.state()
    learner.close()
    second = Learner(concept, model, LORA)
    try:
        second.restore(saved)
        for _ in range(10):
            second.step()
        again = second.state()
    finally:
        second.close()
    assert again.values == whole.values
    assert again.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(again.tensors[name], value) for name, value in whole.tensors.items())
    assert not torch.equal(saved.tensors["parameter.vectors"], whole.tensors["parameter.vectors"])


def test_it_learns_and_leaves_the_model_as_it_was(concept, model):
    before = weights(model)
    learner = Learner(concept, model, replace(LORA, vector_rate=0.02, lora_rate=0.01))
    first = learner.check()
    for _ in range(12):
        learner.step()
    last = learner.check()
    learner.close()
    assert first.drift == 0.0 < last.drift
    assert last.train < first.train
    after = weights(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not model.text.towers[0].concepts


def test_vectors_alone_cannot_move_the_base(concept, model):
    learner = Learner(concept, model, replace(LORA, rung="inversion"))
    try:
        for _ in range(3):
            learner.step()
        assert learner.check().drift == 0.0
        assert learner.parameters.keys() == {"vectors"}
    finally:
        learner.close()


def test_bypassed_the_unet_predicts_as_the_base_does(model, learner):
    batch, texts = learner._fixed_retention
    contexts = learner._encode(texts).hidden
    with torch.no_grad():
        before = learner.loss.predict_base(batch, contexts)
        for name, factor in learner.layers.factors.items():
            if name.endswith(".up"):
                factor.add_(0.1)
        assert not torch.equal(learner.loss.predict(batch, contexts), before)
        assert torch.equal(learner.loss.predict_base(batch, contexts), before)


def test_the_words_rung_equals_the_words_in_the_prompt(photos, model):
    concept = make_concept(photos, description="a red dog")
    learner = Learner(concept, model, ConceptSettings(rung="words"))
    try:
        ours, typed = encode_captions(learner.towers[0], ["bo, cat", "a red dog, cat"]).detach()
    finally:
        learner.close()
    assert torch.equal(ours, typed)


def test_the_words_rung_needs_a_description(concept, model):
    with pytest.raises(RequestError, match="needs a description"):
        Learner(concept, model, ConceptSettings(rung="words"))


def test_outside_the_mask_nothing_is_learned(learner):
    rows = learner._draw(torch.Generator().manual_seed(1)).cut(learner.settings.batch)[0]
    batch, masks = rows.batch, (rows.masks > 0.5).float()
    found = batch.target.clone()
    assert measure_subject(batch, found + 5 * (1 - masks), masks).abs().max() == 0
    assert measure_subject(batch, found + 5 * masks, masks).min() > 0


@pytest.mark.parametrize("wrong", [{"rung": "magic"}, {"rank": 0}, {"rank": 17}, {"vectors": 9}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(RequestError) as caught:
        ConceptSettings(**wrong)
    assert caught.value.do


def test_pieces_of_a_batch_and_checkpoints_change_the_last_bits_at_most(concept, model):
    found = []
    for settings in (LORA, replace(LORA, micro_batch=1), replace(LORA, checkpointing=True)):
        learner = Learner(concept, model, settings)
        try:
            losses = [learner.step() for _ in range(2)]
            found.append((losses, {name: value.detach().clone() for name, value in learner.parameters.items()}))
        finally:
            learner.close()
    (losses, whole), (pieces_losses, pieces), (again_losses, again) = found
    assert pieces_losses == pytest.approx(losses, rel=1e-4)
    assert all(torch.allclose(pieces[name], value, atol=2e-3) for name, value in whole.items())
    assert again_losses == losses
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    assert not any("forward" in vars(block) for block in model.unet.modules() if type(block).__name__ == "ResnetBlock")


def test_a_caption_that_does_not_fit_is_refused_and_leaves_no_trace(photos, model):
    (photos / "0.txt").write_text("bo " + "word " * 80)
    with pytest.raises(RequestError, match="longer than the text encoder"):
        Learner(make_concept(photos), model, LORA)
    assert not model.text.towers[0].concepts
