"""Full tuning: exact in pieces, offloaded or not; held back by the base's own answers; gradients never meet."""

from dataclasses import replace

import pytest
import torch

from bundles import tiny_mini
from sfumato.core.errors import RequestError
from sfumato.customize.build import hash_base
from sfumato.customize.cached_examples import cache_examples
from sfumato.customize.full import FullLearner
from sfumato.customize.methods.fused import FusedAdam, PackedMoments, round_by_chance
from sfumato.customize.methods.scratch import ScratchTensors
from sfumato.customize.settings import ConceptSettings
from sfumato.models.load import load_model

FULL = ConceptSettings(rung="full", batch=2, full_rate=1e-3)
SMALL = {**FULL.to_json(), "optimiser": "adam8", "offload": True, "checkpointing": True, "number_type": "bf16"}


@pytest.fixture
def make_learner(concept, tmp_path):
    made = []

    def make(settings=FULL):
        model = load_model(str(tiny_mini()), dtype=settings.number_type)
        made.append(FullLearner(concept, model, settings, base="ab" * 32, folder=tmp_path / "cache"))
        return made[-1]

    yield make
    for one in made:
        one.close()


def train(learner, steps):
    for _ in range(steps):
        learner.step()
    return learner.state()


@pytest.mark.parametrize("settings", [FULL, ConceptSettings(**SMALL), replace(FULL, train_text=True)])
def test_twenty_steps_equal_ten_and_ten_to_the_byte(make_learner, settings):
    before = hash_base(tiny_mini())
    learner = make_learner(settings)
    saved = train(learner, 10)
    whole = train(learner, 10)
    second = make_learner(settings)
    second.restore(saved)
    again = train(second, 10)
    assert again.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(again.tensors[name], value) for name, value in whole.tensors.items())
    moved = [
        name
        for name in learner.parameters
        if not torch.equal(*(one.tensors[f"parameter.{name}"] for one in (saved, whole)))
    ]
    assert len(moved) > 0.9 * len(learner.parameters)
    assert any(name.startswith("text_encoder") for name in moved) == settings.train_text
    assert hash_base(tiny_mini()) == before


def test_offloaded_weights_learn_the_same_bytes(make_learner):
    plain, filed = make_learner(), make_learner(replace(FULL, offload=True))
    first, second = train(plain, 3), train(filed, 3)
    assert plain.file_bytes == 0 < filed.file_bytes
    assert all(torch.equal(second.tensors[name], value) for name, value in first.tensors.items())
    assert plain.check() == filed.check()


def test_gradients_are_let_go_inside_the_backward_pass(make_learner):
    learner = make_learner()
    alive = []
    for parameter in learner.parameters.values():
        # After the optimiser's own hook.
        parameter.register_post_accumulate_grad_hook(
            lambda _: alive.append(sum(one.grad is not None for one in learner.parameters.values()))
        )
    learner.step()
    assert len(alive) == len(learner.parameters)
    assert max(alive) == 0


def test_it_learns_and_the_distance_from_the_base_holds_it_back(make_learner):
    found = {}
    for keep in (0.0, 30.0):
        learner = make_learner(replace(FULL, keep=keep))
        first = learner.check()
        train(learner, 40)
        found[keep] = first, learner.check()
    assert all(first.drift == 0.0 for first, _ in found.values())
    assert all(last.train < first.train for first, last in found.values())
    assert found[30.0][1].drift < 0.7 * found[0.0][1].drift


def test_checks_leave_the_weights_that_learn_alone(make_learner):
    learner = make_learner(replace(FULL, number_type="bf16"))
    train(learner, 2)
    before = {name: value.detach().clone() for name, value in learner.parameters.items()}
    learner.check()
    best = learner.keep_best()
    assert all(torch.equal(before[name], value) for name, value in learner.parameters.items())
    assert all(torch.equal(best[name], value.half()) for name, value in learner.averages.items())


def test_pictures_are_encoded_once(concept, tmp_path, model, monkeypatch):
    first = cache_examples(concept, model, tmp_path, base="aa", seed=1)
    monkeypatch.setattr("sfumato.customize.cached_examples.encode_crops", None)
    again = cache_examples(concept, model, tmp_path, base="aa", seed=1)
    assert (first.latents == again.latents).all()
    with pytest.raises(TypeError):
        cache_examples(concept, model, tmp_path, base="bb", seed=1)
    learned, held = first.split()
    assert sorted([*learned, *held]) == list(range(len(first)))


def test_eight_bits_keep_what_was_read_and_drop_little():
    noise = torch.Generator().manual_seed(1)
    kept = PackedMoments("w", torch.zeros(7, 100), ScratchTensors(None))
    first, second = torch.randn((7, 100), generator=noise), torch.rand((7, 100), generator=noise) ** 8
    kept.write(first, second)
    once = kept.read()
    kept.write(*once)
    assert all(torch.equal(*pair) for pair in zip(once, kept.read(), strict=True))
    assert (once[0] - first).abs().max() < 0.02 * first.abs().max()
    assert (once[1] >= second * 0.99).all()
    assert (once[1] - second).abs().max() < 0.02


def test_small_steps_of_bf16_weights_are_right_on_average():
    values = torch.full((20_000,), 1.0 + 2**-10)
    found = round_by_chance(values, torch.bfloat16, torch.Generator().manual_seed(2)).float()
    assert set(found.tolist()) == {1.0, 1.0 + 2**-7}
    assert float(found.mean()) == pytest.approx(float(values[0]), abs=2e-4)


def test_a_step_is_adams_own_where_nothing_is_saved():
    weight = torch.randn((4, 5), generator=torch.Generator().manual_seed(3))
    ours, theirs = (weight.clone().requires_grad_() for _ in range(2))
    fused = FusedAdam({"w": ours}, ScratchTensors(None), packed=False, seed=1)
    usual = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99))
    for step in range(1, 4):
        fused.arm(step, 0.01, 0.0)
        (ours.square().sum() / 2).backward()
        usual.zero_grad()
        (theirs.square().sum() / 2).backward()
        usual.step()
    assert torch.allclose(ours, theirs, atol=1e-3)
    assert torch.equal(fused.averages["w"], ours)


@pytest.mark.parametrize("wrong", [{"micro_batch": 1}, {"rung": "lora", "offload": True}, {"optimiser": "sgd"}])
def test_settings_without_effect_are_refused(wrong):
    with pytest.raises(RequestError) as caught:
        replace(FULL, **wrong)
    assert caught.value.do
