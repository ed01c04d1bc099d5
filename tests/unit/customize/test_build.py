"""A build's files are read by our own loaders and by diffusers' to the same numbers, and belong to one base."""

import json
import shutil

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors import safe_open

from bundles import tiny_mini
from sfumato.core.errors import ModelError, RequestError, StorageError
from sfumato.customize.build import (
    BASE_DIGITS,
    ConceptBuild,
    check_base,
    find_build,
    hash_base,
    list_builds,
    write_build,
)
from sfumato.customize.inversion import encode_captions
from sfumato.customize.learn import Learner
from sfumato.customize.settings import ConceptSettings
from sfumato.models.load import load_model

SETTINGS = ConceptSettings(rung="lora", vectors=2, rank=2, batch=2)


def write(concept, model, tensors, base=None):
    base = base or tiny_mini()
    digest = hash_base(base)
    build = ConceptBuild(
        folder=concept.builds / digest[:BASE_DIGITS],
        base=str(base),
        base_sha256=digest,
        embedding="",
        settings=SETTINGS.to_json(),
    )
    return write_build(concept, tensors, build, model.contract)


@pytest.fixture
def tensors(concept, model):
    """Return trained tensors: an untrained LoRA with an `up` that is not zero."""
    learner = Learner(concept, model, SETTINGS)
    learner.close()
    noise = torch.Generator().manual_seed(4)
    return {name: torch.randn(value.shape, generator=noise) * 0.1 for name, value in learner.averages.items()}


def read_context(tower, text):
    with torch.no_grad():
        return encode_captions(tower, [text])


def run_unet(unet, context, dtype=torch.float32):
    noise = torch.Generator().manual_seed(5)
    x = torch.randn((1, 4, 8, 8), generator=noise)
    with torch.no_grad():
        return unet(x.to(dtype), torch.tensor([500]), context.to(dtype), return_dict=False)[0].float()


@pytest.mark.slow  # it loads a whole pipeline of diffusers
def test_our_loaders_and_those_of_diffusers_read_the_same(concept, tensors):
    model = load_model(str(tiny_mini()), dtype="fp32")
    build = write(concept, model, tensors)
    plain = run_unet(model.unet, read_context(model.text.towers[0], "a cat"))
    words = model.attach_embedding(build.embedding_path)
    lora = model.attach_lora(build.lora_path)
    assert set(words.names) == {"bo"}
    assert not lora.skipped
    ours = run_unet(model.unet, context := read_context(model.text.towers[0], "a bo"))

    pipe = StableDiffusionPipeline.from_pretrained(
        tiny_mini(), scheduler=DDIMScheduler(steps_offset=1, clip_sample=False)
    )
    pipe.load_textual_inversion(str(build.embedding_path))
    pipe.load_lora_weights(str(build.lora_path))
    theirs, _ = pipe.encode_prompt("a bo", "cpu", 1, do_classifier_free_guidance=False)
    assert torch.allclose(theirs, context, atol=1e-5)
    assert torch.allclose(run_unet(pipe.unet, theirs), ours, atol=1e-4)
    assert not torch.allclose(plain, ours, atol=1e-2)
    lora.detach()
    words.detach()
    assert torch.equal(run_unet(model.unet, read_context(model.text.towers[0], "a cat")), plain)


def test_the_headers_say_what_other_tools_look_for(concept, model, tensors):
    build = write(concept, model, tensors)
    with safe_open(build.lora_path, "pt") as file:
        notes, keys = file.metadata(), set(file.keys())
        alpha = file.get_tensor(next(key for key in keys if key.endswith(".alpha")))
    assert float(alpha) == SETTINGS.rank
    assert all(key.startswith("lora_unet_") for key in keys)
    assert notes["ss_base_model_version"] == "sd_v1"
    assert notes["modelspec.trigger_phrase"] == "bo"
    with safe_open(build.embedding_path, "pt") as file:
        assert set(file.keys()) == {"bo"}
        assert file.get_slice("bo").get_shape() == [2, 32]


def test_a_build_reads_back_and_the_same_tensors_have_the_same_digest(concept, model, tensors):
    first = write(concept, model, tensors)
    assert find_build(concept, tiny_mini()).to_json() == first.to_json()
    assert write(concept, model, tensors).sha256 == first.sha256
    tensors["vectors"] += 1
    assert write(concept, model, tensors).sha256 != first.sha256
    assert len(list_builds(concept)) == 1


def test_a_base_that_was_not_taught_is_told_apart(concept, model, tensors, tmp_path):
    write(concept, model, tensors)
    other = shutil.copytree(tiny_mini(), tmp_path / "other")
    weights = next((other / "unet").glob("*.safetensors"))
    packed = bytearray(weights.read_bytes())
    packed[-1] ^= 1
    weights.write_bytes(packed)
    with pytest.raises(RequestError) as caught:
        find_build(concept, other)
    assert "sfumato concept train bo" in caught.value.do
    with pytest.raises(ModelError, match="the base changed"):
        check_base(other, hash_base(tiny_mini()))
    check_base(tiny_mini(), hash_base(tiny_mini()))


def test_a_changed_or_missing_file_is_refused(concept, model, tensors):
    build = write(concept, model, tensors)
    build.lora_path.write_bytes(build.lora_path.read_bytes() + b" ")
    with pytest.raises(StorageError, match="gone or was changed"):
        find_build(concept, tiny_mini())
    build.lora_path.unlink()
    with pytest.raises(StorageError, match="gone or was changed"):
        find_build(concept, tiny_mini())


@pytest.mark.parametrize("name", ["../bo.safetensors", "/etc/passwd"])
def test_a_build_that_points_outside_its_folder_is_refused(concept, model, tensors, name):
    build = write(concept, model, tensors)
    path = build.folder / "build.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "embedding": name, "files": {name: "0" * 64}, "lora": ""})
    )
    with pytest.raises(StorageError, match="cannot be read"):
        find_build(concept, tiny_mini())
