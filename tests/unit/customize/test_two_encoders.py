"""A base with two text encoders, as SDXL has: both get vectors and a LoRA, and files name both."""

import json

import pytest
import torch
from safetensors import safe_open

from checkpoints import write_folder
from concept_folders import make_concept, write_photos
from sfumato.customize.build import BASE_DIGITS, ConceptBuild, find_build, hash_base, write_build
from sfumato.customize.export import ExportOptions, export_build
from sfumato.customize.inversion import encode_texts
from sfumato.customize.learn import Learner
from sfumato.customize.settings import ConceptSettings
from sfumato.models.load import load_model

SETTINGS = ConceptSettings(rung="lora", vectors=2, rank=2, batch=2, lora_rate=0.02, text_lora=True)
PREFIXES = ("lora_unet_", "lora_te1_text_model_encoder_layers_", "lora_te2_text_model_encoder_layers_")


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Return a tiny SDXL, loaded, a concept that it learned in two steps, and the weights before."""
    root = tmp_path_factory.mktemp("sdxl")
    base = write_folder(root / "sdxl", "sdxl")
    model = load_model(str(base), dtype="fp32")
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFUMATO_CONCEPTS", str(root / "concepts"))
        concept = make_concept(write_photos(root / "photos"))
    learner = Learner(concept, model, SETTINGS)
    try:
        start = {name: value.detach().clone() for name, value in learner.parameters.items()}
        learner.step()
        learner.step()
        drift = learner.check().drift
        found = {name: value.detach().clone() for name, value in learner.parameters.items()}
        with torch.no_grad():
            expected = predict(model, learner)
    finally:
        learner.close()
    digest = hash_base(base)
    build = ConceptBuild(
        folder=concept.builds / digest[:BASE_DIGITS], base=str(base), base_sha256=digest, embedding="",
        settings=SETTINGS.to_json(),
    )  # fmt: skip
    write_build(concept, found, build, model.contract)
    return {
        "base": base, "model": model, "concept": concept, "before": before, "start": start, "found": found,
        "drift": drift, "expected": expected,
    }  # fmt: skip


def predict(model, learner=None):
    """Predict for "a bo" with what is in force."""
    text = encode_texts(model.text.towers, ["a bo"])
    x = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(5))
    words = {"text_embeds": text.pooled, "time_ids": torch.full((1, 6), 64.0)}
    return text, model.unet(x, torch.tensor([500]), text.hidden, added_cond_kwargs=words, return_dict=False)[0]


def test_every_part_learns_and_the_model_stays_as_it_was(taught):
    assert {name.partition(".")[0] for name in taught["found"]} == {
        "vectors", "vectors_2", "unet", "text_encoder", "text_encoder_2",
    }  # fmt: skip
    moved = {
        name.partition(".")[0]
        for name, value in taught["found"].items()
        if not torch.equal(value, taught["start"][name])
    }
    assert moved == {name.partition(".")[0] for name in taught["found"]}
    assert taught["drift"] > 0
    after = taught["model"].unet.state_dict()
    assert all(torch.equal(after[name], value) for name, value in taught["before"].items())
    assert not any(tower.concepts for tower in taught["model"].text.towers)


def test_the_build_is_what_was_trained(taught):
    model, build = taught["model"], find_build(taught["concept"], taught["base"])
    with (
        torch.no_grad(),
        model.attach_embedding(build.embedding_path, "bo"),
        model.attach_lora(build.lora_path) as lora,
    ):
        assert not lora.skipped
        text, out = predict(model)
    assert torch.allclose(text.hidden, taught["expected"][0].hidden, atol=1e-4)
    assert torch.allclose(text.pooled, taught["expected"][0].pooled, atol=1e-4)
    assert torch.allclose(out, taught["expected"][1], atol=1e-4)


@pytest.mark.parametrize("form", ["a1111", "comfyui", "diffusers"])
def test_exported_files_name_both_encoders(taught, tmp_path, form):
    options = ExportOptions(
        concept=str(taught["concept"].path), model=str(taught["base"]), out=tmp_path, form=form, dtype="fp32"
    )
    found = export_build(options)
    with safe_open(found.embedding, "pt") as file:
        assert {key: file.get_tensor(key).shape for key in file.keys()} == {"clip_l": (2, 64), "clip_g": (2, 64)}  # noqa: SIM118
    with safe_open(found.lora, "pt") as file:
        keys, notes = list(file.keys()), file.metadata()
    if form == "diffusers":
        settings = json.loads(notes["lora_adapter_metadata"])
        assert {key.partition(".")[0] for key in keys} == {"unet", "text_encoder", "text_encoder_2"}
        assert {settings[f"{name}.r"] for name in ("unet", "text_encoder", "text_encoder_2")} == {2}
        assert "text_encoder_2" in found.use
    else:
        assert all(key.startswith(PREFIXES) for key in keys)
        assert {start for start in PREFIXES for key in keys if key.startswith(start)} == set(PREFIXES)
        assert notes["ss_base_model_version"] == "sdxl_base_v1-0"
    model = taught["model"]
    with torch.no_grad(), model.attach_embedding(found.embedding, "bo"), model.attach_lora(found.lora):
        assert torch.allclose(predict(model)[1], taught["expected"][1], atol=1e-4)


@pytest.mark.slow  # it loads a pipeline of diffusers
def test_the_loaders_of_diffusers_read_the_same(taught, tmp_path):
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from safetensors.torch import load_file

    options = ExportOptions(
        concept=str(taught["concept"].path), model=str(taught["base"]), out=tmp_path, form="diffusers", dtype="fp32"
    )
    found = export_build(options)
    pipe = StableDiffusionXLPipeline.from_pretrained(taught["base"], scheduler=EulerDiscreteScheduler())
    vectors = load_file(found.embedding)
    for key, part in (("clip_l", ""), ("clip_g", "_2")):
        own = {"text_encoder": getattr(pipe, f"text_encoder{part}"), "tokenizer": getattr(pipe, f"tokenizer{part}")}
        pipe.load_textual_inversion(vectors[key], token="<bo>", **own)
    pipe.load_lora_weights(str(found.lora.parent), weight_name=found.lora.name)
    hidden, _, _, _ = pipe.encode_prompt("a <bo>", device="cpu", do_classifier_free_guidance=False)
    assert torch.allclose(hidden, taught["expected"][0].hidden, atol=1e-4)
