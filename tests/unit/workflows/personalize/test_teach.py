"""Teaching: stops and goes on to the byte, keeps the base, refuses other settings; and the gate of a render."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

import sfumato
from bundles import tiny_mini
from concept_folders import make_concept, write_photos
from sfumato.core.errors import BudgetError, InterruptedRender, RequestError
from sfumato.core.focus import FocusBox, FocusSettings
from sfumato.core.request import RenderRequest
from sfumato.customize.build import find_build, hash_base
from sfumato.customize.concept import find_concept
from sfumato.customize.settings import ConceptSettings
from sfumato.workflows.personalize import teach
from sfumato.workflows.personalize.resolve import attach_for_part, find_concept_ref, list_active, list_used
from sfumato.workflows.personalize.teach import TeachOptions, teach_concept

BASE = str(tiny_mini())
SETTINGS = ConceptSettings(rung="lora", vectors=2, rank=2, batch=2, lora_rate=0.02, vector_rate=0.05)


def options(**more):
    usual = {"concept": "bo", "model": BASE, "settings": SETTINGS, "steps": 5, "score": False}
    return TeachOptions(**(usual | more))


def files_of(build):
    return {name: (build.folder / name).read_bytes() for name in build.files}


def test_a_stop_keeps_everything_and_the_rest_gives_the_same_bytes(photos, monkeypatch):
    make_concept(photos)
    monkeypatch.setattr(teach, "CHECK_EVERY", 3)
    before, events = hash_base(BASE), []
    whole = teach_concept(options(), on_event=events.append).build
    assert whole.steps == 5
    assert [event.step for event in events if event.check] == [0, 3]
    assert whole.base_sha256 == before
    expected = files_of(whole)

    calls = iter([False] * 3)
    with pytest.raises(InterruptedRender, match="training was stopped"):
        teach_concept(options(fresh=True), should_stop=lambda: next(calls, True))
    assert find_build(find_concept("bo"), BASE).steps == 4
    assert files_of(find_build(find_concept("bo"), BASE)) != expected
    assert files_of(teach_concept(options()).build) == expected
    assert hash_base(BASE) == before


def test_the_state_that_draws_best_is_kept_and_its_best_strength_goes_into_alpha(photos, monkeypatch):
    make_concept(photos)
    monkeypatch.setattr(teach, "CHECK_EVERY", 2)
    monkeypatch.setattr(teach, "CANDIDATE_EVERY", 2)
    # Candidates at 2 and 4, the end at 5, then four strengths.
    rates = iter([[0.5] * 6, [0.4, 0.3] * 3, [0.2] * 6, [0.5] * 6, [0.7] * 6, [0.6] * 6, [0.1] * 6])

    class Reader:
        def read(self, pictures):
            return pictures

    class Rater:
        reader = Reader()

        def rate(self, _pictures):
            return np.asarray(next(rates))

    monkeypatch.setattr(teach, "make_likeness", lambda _: Rater())
    monkeypatch.setattr(teach, "rate_claims", lambda *_: [True])
    monkeypatch.setattr(teach, "score_concept", lambda *_: None)
    monkeypatch.setattr(teach, "_draw_few", lambda *_: None)
    taught = teach_concept(options(score=True)).build
    assert (taught.steps, taught.best_step, taught.strength) == (5, 2, 0.75)
    with safe_open(taught.lora_path, "pt") as file:
        alpha = file.get_tensor(next(key for key in file.keys() if key.endswith(".alpha")))  # noqa: SIM118
    assert float(alpha) == 0.75 * SETTINGS.rank
    assert find_build(find_concept("bo"), BASE).strength == 0.75


def test_stopped_training_of_other_settings_is_refused(photos):
    make_concept(photos)
    teach_concept(options(steps=2))
    with pytest.raises(RequestError, match="other settings") as caught:
        teach_concept(options(settings=replace(SETTINGS, rank=3)))
    assert "`fresh`" in caught.value.do
    assert teach_concept(options(settings=replace(SETTINGS, rank=3), steps=1, fresh=True)).build.settings["rank"] == 3


def test_the_words_rung_takes_no_time_and_refuses_it(photos):
    make_concept(photos, description="a red dog")
    words = ConceptSettings(rung="words")
    build = teach_concept(options(settings=words, steps=None)).build
    assert build.steps == 0
    assert not build.lora
    with pytest.raises(RequestError, match="no effect with the rung words"):
        options(settings=words, steps=None, minutes=1.0)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Return a loaded model and the folder of a concept that its base was taught, strongly."""
    root = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFUMATO_CONCEPTS", str(root / "concepts"))
        concept = make_concept(write_photos(root / "photos"))
        teach_concept(options(steps=6, concept=str(concept.path)))
    return sfumato.load(BASE, dtype="fp32"), concept


def draw(taught, prompt, **more):
    return taught[0].render(prompt, seed=1, steps=2, **more)


def test_without_the_trigger_pictures_are_those_of_the_base_to_the_bit(taught):
    path = str(taught[1].path)
    for prompt in ("a cat", "a boat", "hobo"):
        gated = draw(taught, prompt, concept=path)
        assert gated.image.tobytes() == draw(taught, prompt).image.tobytes()
        assert gated.request.concepts
        assert "lora" not in json.dumps([name for name, _ in gated.digests.loras])
    assert draw(taught, "a bo", concept=path).image.tobytes() != draw(taught, "a bo").image.tobytes()


def test_a_prompt_without_the_trigger_is_told_and_its_word_is_no_unknown_word(taught):
    said = []
    taught[0].render("a cat", steps=1, concept=str(taught[1].path), on_event=said.append)
    assert any("does not say bo" in str(event) for event in said if event.kind == "warning")


def test_a_stored_request_finds_the_same_weights_or_says_so(taught):
    concept = taught[1]
    picture = draw(taught, "a bo", concept=str(concept.path))
    stored = RenderRequest.from_json(picture.request.to_json())
    assert stored == picture.request
    assert taught[0].render(request=stored).image.tobytes() == picture.image.tobytes()
    assert dict(picture.digests.loras).keys() == {"bo_lora"}
    other = replace(stored, concepts=(replace(stored.concepts[0], sha256="0" * 64),))
    with pytest.raises(RequestError, match="trained again since"):
        taught[0].render(request=other)


def test_the_weight_scales_the_lora_and_the_model_is_left_as_it_was(taught):
    path, unet = str(taught[1].path), taught[0]._latent_model.unet
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    full, half = (draw(taught, "a bo", concept=f"{path}:{weight}") for weight in (1, 0.5))
    assert full.image.tobytes() != half.image.tobytes()
    assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())


def test_a_request_without_concepts_keeps_its_hash():
    request = RenderRequest(prompt="a cat", size=sfumato.PixelSize(64, 64))
    assert "concepts" not in request.to_json()


def test_two_concepts_of_one_trigger_are_refused(taught):
    ref = find_concept_ref(str(taught[1].path), BASE)
    request = RenderRequest(prompt="bo", size=sfumato.PixelSize(64, 64), model=BASE, concepts=(ref, ref))
    with pytest.raises(RequestError, match="same trigger"):
        list_active(request)


def test_a_base_that_was_not_taught_is_refused(taught):
    with pytest.raises(RequestError, match="was not taught the concept"):
        find_concept_ref(str(taught[1].path), "mini")


def test_a_box_that_alone_says_the_trigger_gets_the_concept_and_the_rest_of_the_picture_does_not(taught):
    ref = find_concept_ref(str(taught[1].path), BASE)
    focus = FocusSettings(words=(), boxes=(FocusBox(left=0, top=0, width=40, height=40, prompt="a bo"),))
    request = RenderRequest(
        prompt="a cat", size=sfumato.PixelSize(64, 64), steps=2, model=BASE, concepts=(ref,), focus=focus
    )
    assert not list_active(request)
    assert len(list_used(request)) == 1
    assert len(list_active(replace(request, prompt="a bo and a cat"))) == 1
    model, weights = taught[0]._latent_model, taught[0]._latent_model.unet.state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    with attach_for_part(model, request, "a cat"):
        assert all(torch.equal(before[name], value) for name, value in model.unet.state_dict().items())
    with attach_for_part(model, request, "a bo"):
        assert any(not torch.equal(before[name], value) for name, value in model.unet.state_dict().items())
    assert all(torch.equal(before[name], value) for name, value in model.unet.state_dict().items())


def test_a_concept_in_a_region_is_kept_by_the_stored_request_and_leaves_no_trace(taught):
    path, unet = str(taught[1].path), taught[0]._latent_model.unet
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    prompt = "a dog and a cat"
    placed = draw(taught, prompt, concept=f"{path}@left:a bo and a cat")
    again = taught[0].render(request=RenderRequest.from_json(placed.request.to_json()))
    assert again.image.tobytes() == placed.image.tobytes()
    other = draw(taught, prompt, concept=f"{path}@right:a bo and a cat")
    assert len({one.image.tobytes() for one in (placed, other, draw(taught, prompt))}) == 3
    auto = draw(taught, "a bo", concept=f"{path}@auto")
    assert auto.image.tobytes() != draw(taught, "a bo", concept=path).image.tobytes()
    assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())


def test_a_folder_with_an_at_sign_is_no_region(taught, tmp_path):
    shutil.copytree(taught[1].path, folder := tmp_path / "me@work" / "bo.concept")
    assert find_concept_ref(str(folder), BASE).region == ""
    assert find_concept_ref(f"{folder}@left", BASE).region == "left"


@pytest.mark.parametrize(
    ("concept", "more", "said"),
    [
        ("@left:a cat", {}, "do not say the trigger"),
        ("@nowhere", {}, "no region"),
        ("@auto:a bo", {}, "need a region"),
        ("@left", {"size": (160, 64), "method": "cohesive"}, "in one piece"),
    ],
)
def test_regions_that_cannot_be_are_refused(taught, concept, more, said):
    with pytest.raises(RequestError, match=said):
        draw(taught, "a bo", concept=f"{taught[1].path}{concept}", **more)


FULL = ConceptSettings(rung="full", batch=2, full_rate=2e-4)


def test_full_tuning_stops_goes_on_and_is_drawn_through_the_gate(photos, monkeypatch):
    concept = make_concept(photos)
    monkeypatch.setattr(teach, "CHECK_EVERY", 3)
    before, asked = hash_base(BASE), options(settings=FULL, steps=4)
    whole = teach_concept(asked).build
    assert (whole.embedding, whole.lora, whole.model) == ("", "", "model")
    expected = files_of(whole)
    assert "model/unet/diffusion_pytorch_model.safetensors" in expected
    calls = iter([False] * 2)
    with pytest.raises(InterruptedRender):
        teach_concept(replace(asked, fresh=True), should_stop=lambda: next(calls, True))
    assert files_of(find_build(concept, BASE)) != expected
    assert files_of(teach_concept(asked).build) == expected
    assert hash_base(BASE) == before
    # The result is a model of its own, and a concept of its base.
    model = sfumato.load(BASE, dtype="fp32")
    plain = model.render("a cat", seed=1, steps=2)
    assert model.render("a cat", seed=1, steps=2, concept=str(concept.path)).image.tobytes() == plain.image.tobytes()
    drawn = model.render("a bo", seed=1, steps=2, concept=str(concept.path))
    own = sfumato.load(str(whole.model_path), dtype="fp32").render("a bo", seed=1, steps=2)
    assert np.abs(np.asarray(drawn.image, int) - np.asarray(own.image, int)).max() <= 1
    assert drawn.image.tobytes() != model.render("a bo", seed=1, steps=2).image.tobytes()
    with pytest.raises(RequestError, match="cannot act in a region"):
        find_concept_ref(f"{concept.path}@left", BASE)


def test_training_that_goes_on_keeps_the_settings_that_a_budget_chose_at_its_start(photos, monkeypatch):
    make_concept(photos)
    chosen = replace(SETTINGS, micro_batch=1)
    plan = teach.plan_memory(BASE, chosen, program_bytes=0)
    monkeypatch.setattr(teach, "choose_settings", lambda *_, **__: plan)
    asked = options(steps=1, budget_gb=8.0)
    assert teach_concept(asked).build.settings["micro_batch"] == 1
    # A day later more would fit, or less.
    monkeypatch.setattr(teach, "choose_settings", lambda *_, **__: pytest.fail("chosen anew"))
    build = teach_concept(replace(asked, steps=2)).build
    assert (build.steps, build.settings["micro_batch"]) == (2, 1)
    monkeypatch.setattr(teach, "measure_program_bytes", lambda: 9_000_000_000)
    with pytest.raises(BudgetError, match="began with more memory") as caught:
        teach_concept(replace(asked, steps=3))
    assert "to go on" in caught.value.do
    # Other wishes are another training.
    with pytest.raises(pytest.fail.Exception, match="chosen anew"):
        teach_concept(replace(asked, settings=replace(SETTINGS, rank=3)))
    with pytest.raises(pytest.fail.Exception, match="chosen anew"):
        teach_concept(replace(asked, fresh=True))
