"""Exported files mean the same to our own loaders and to diffusers', whatever the form, alpha and number type."""

import hashlib
import json

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors import safe_open

from bundles import tiny_mini
from checkpoints import write_folder
from concept_folders import make_concept, write_photos
from sfumato.core.errors import RequestError
from sfumato.customize.build import BASE_DIGITS, ConceptBuild, hash_base, write_build
from sfumato.customize.export import ExportOptions, export_build
from sfumato.customize.file_forms import FORMS, name_kohya, read_kohya
from sfumato.customize.inversion import encode_captions
from sfumato.customize.learn import Learner
from sfumato.customize.settings import ConceptSettings
from sfumato.models.load import load_model

SETTINGS = ConceptSettings(rung="lora", vectors=2, rank=3, batch=2)
STRENGTH = 0.5


@pytest.fixture(scope="module", params=["mini", pytest.param("sd15", marks=pytest.mark.slow)])
def taught(request, tmp_path_factory):
    """Return a base, a loaded model and a concept whose build holds random numbers: a tiny mini, a tiny SD 1.5."""
    root = tmp_path_factory.mktemp(request.param)
    base = tiny_mini() if request.param == "mini" else write_folder(root / "sd15", "sd15")
    model = load_model(str(base), dtype="fp32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFUMATO_CONCEPTS", str(root / "concepts"))
        concept = make_concept(write_photos(root / "photos"))
    learner = Learner(concept, model, SETTINGS)
    learner.close()
    noise = torch.Generator().manual_seed(4)
    tensors = {name: torch.randn(value.shape, generator=noise) * 0.1 for name, value in learner.averages.items()}
    digest = hash_base(base)
    build = ConceptBuild(
        folder=concept.builds / digest[:BASE_DIGITS], base=str(base), base_sha256=digest, embedding="",
        settings=SETTINGS.to_json(), strength=0.8,
    )  # fmt: skip
    write_build(concept, tensors, build, model.contract)
    return base, model, concept


def export(taught, out, form, **more):
    base, _, concept = taught
    usual = {"dtype": "fp32", "strength": STRENGTH}
    return export_build(ExportOptions(concept=str(concept.path), model=str(base), out=out, form=form, **(usual | more)))


def run_unet(unet, context):
    x = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return unet(x, torch.tensor([500]), context, return_dict=False)[0]


@pytest.fixture
def expected(taught):
    """Return what our own loaders make of the build's own files at the exported strength."""
    _, model, concept = taught
    build = next(concept.builds.iterdir())
    with model.attach_embedding(build / "bo.safetensors"), model.attach_lora(build / "bo_lora.safetensors", STRENGTH):
        context = encode_captions(model.text.towers[0], ["a bo"]).detach()
        return context, run_unet(model.unet, context)


@pytest.mark.parametrize("form", FORMS)
def test_our_own_loaders_read_every_form(taught, expected, tmp_path, form):
    found = export(taught, tmp_path, form)
    model = taught[1]
    with model.attach_embedding(found.embedding, "bo"), model.attach_lora(found.lora) as lora:
        assert not lora.skipped
        context = encode_captions(model.text.towers[0], ["a bo"]).detach()
        assert torch.allclose(context, expected[0], atol=1e-6)
        assert torch.allclose(run_unet(model.unet, context), expected[1], atol=1e-5)


@pytest.mark.slow  # it loads whole pipelines of diffusers
@pytest.mark.parametrize("form", ["a1111", "diffusers"])
def test_the_loaders_of_diffusers_read_the_same(taught, expected, tmp_path, form):
    found = export(taught, tmp_path, form)
    # Their names are their own: a file in A1111's form has none, and "bo" is a piece of a word to CLIP.
    token = "bo-7" if form == "a1111" else None
    scheduler = DDIMScheduler(steps_offset=1, clip_sample=False)
    parts = {"safety_checker": None, "feature_extractor": None, "scheduler": scheduler}
    pipe = StableDiffusionPipeline.from_pretrained(taught[0], **parts)
    pipe.load_textual_inversion(str(found.embedding), token=token)
    pipe.load_lora_weights(str(found.lora.parent), weight_name=found.lora.name)
    word = token or "<bo>"
    theirs, _ = pipe.encode_prompt(f"a {word}", "cpu", 1, do_classifier_free_guidance=False)
    assert torch.allclose(theirs, expected[0], atol=1e-5)
    assert torch.allclose(run_unet(pipe.unet, theirs), expected[1], atol=1e-4)
    assert not torch.allclose(run_unet(taught[1].unet, theirs), expected[1], atol=1e-2)


def test_headers_say_what_readers_look_for(taught, tmp_path):
    found = export(taught, tmp_path, "a1111", dtype="fp16")
    with safe_open(found.lora, "pt") as file:
        notes, keys = file.metadata(), list(file.keys())
        tensors = {key: file.get_tensor(key) for key in keys}
    raw = found.lora.read_bytes()
    body = raw[8 + int.from_bytes(raw[:8], "little") :]
    assert notes["sshs_model_hash"] == hashlib.sha256(body).hexdigest()
    assert notes["modelspec.hash_sha256"] == f"0x{notes['sshs_model_hash']}"
    assert float(notes["ss_network_alpha"]) == pytest.approx(3 * 0.8 * STRENGTH, abs=1e-3)
    assert notes["ss_network_dim"] == "3"
    assert notes["ss_base_model_version"] == "sd_v1"
    assert json.loads(notes["ss_tag_frequency"]) == {"bo": {"bo": 5}}
    assert all(value.dtype == torch.float16 for value in tensors.values())
    factors, alpha = read_kohya(tensors)
    assert name_kohya(factors, alpha).keys() == set(keys)
    with safe_open(found.embedding, "pt") as file:
        assert list(file.keys()) == ["emb_params"]


def test_what_is_there_is_not_replaced_and_wrong_words_are_refused(taught, tmp_path):
    export(taught, tmp_path, "comfyui")
    with pytest.raises(RequestError, match="a file of this name"):
        export(taught, tmp_path, "comfyui")
    export(taught, tmp_path, "comfyui", overwrite=True)
    for wrong in ({"form": "pt"}, {"form": "a1111", "dtype": "fp8"}, {"form": "a1111", "strength": float("nan")}):
        with pytest.raises(RequestError) as caught:
            export(taught, tmp_path, **wrong)
        assert caught.value.do
