"""Rotations: exact at the start, norms and angles kept, the same in training, in our reader and by the file's own words."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from bundles import tiny_mini
from sfumato.customize.build import BASE_DIGITS, ConceptBuild, hash_base, write_build
from sfumato.customize.export import ExportOptions, export_build
from sfumato.customize.learn import Learner
from sfumato.customize.methods.oft import OftLayers, approximate
from sfumato.customize.settings import ConceptSettings
from sfumato.models.adapters.layer_delta import make_rotations, rotate

OFT = ConceptSettings(rung="oft", vectors=2, batch=2, block=4, lora_rate=0.05)


def test_zeros_change_nothing_and_rotations_keep_lengths():
    noise = torch.Generator().manual_seed(1)
    weight = torch.randn((8, 5), generator=noise)
    assert torch.equal(rotate(torch.zeros(2, 4, 4), weight), weight)
    blocks = torch.randn((2, 4, 4), generator=noise)
    turned = rotate(blocks, weight)
    assert torch.allclose(turned[:4].norm(dim=0), weight[:4].norm(dim=0), atol=1e-5)
    assert not torch.allclose(turned, weight, atol=0.1)
    # The words of the file form: R = (I + Q)(I - Q)^-1, and the weight becomes R^T W.
    skew = blocks - blocks.mT
    unit = torch.eye(4)
    written = (unit + skew) @ torch.linalg.inv(unit - skew)
    assert torch.allclose(make_rotations(blocks), written.mT, atol=1e-4)


def test_of_full_rank_the_nearest_lora_is_the_same_change():
    noise = torch.Generator().manual_seed(2)
    blocks, weight = torch.randn((2, 4, 4), generator=noise), torch.randn((8, 8), generator=noise)
    factors, kept = approximate({"a.oft_blocks": blocks}, {"a": weight}, 8)
    assert kept == pytest.approx(1.0)
    assert torch.allclose(factors["a.up"] @ factors["a.down"], rotate(blocks, weight) - weight, atol=1e-4)
    assert 0.1 < approximate({"a.oft_blocks": blocks}, {"a": weight}, 2)[1] < 1.0


@pytest.fixture
def taught(concept, model):
    """Return what a tiny mini predicts after a few steps, and the build of that."""
    learner = Learner(concept, model, OFT)
    try:
        first = learner.check()
        for _ in range(6):
            learner.step()
        last = learner.check()
        with learner.averaged():
            expected = run(model.unet)
        found = learner.keep_best()
    finally:
        learner.close()
    assert first.drift < 1e-9 < last.drift
    assert last.train < first.train
    digest = hash_base(tiny_mini())
    build = ConceptBuild(
        folder=concept.builds / digest[:BASE_DIGITS], base=str(tiny_mini()), base_sha256=digest, embedding="",
        settings=OFT.to_json(),
    )  # fmt: skip
    return expected, write_build(concept, found, build, model.contract)


def run(unet):
    noise = torch.Generator().manual_seed(5)
    x, context = torch.randn((1, 4, 8, 8), generator=noise), torch.randn((1, 7, 32), generator=noise)
    with torch.no_grad():
        return unet(x, torch.tensor([500]), encoder_hidden_states=context, return_dict=False)[0]


def test_files_mean_what_was_learned(concept, model, taught, tmp_path):
    expected, build = taught
    plain = run(model.unet)
    with model.attach_lora(build.lora_path) as attached:
        assert not attached.skipped
        assert torch.allclose(run(model.unet), expected, atol=1e-5)
    assert torch.equal(run(model.unet), plain)
    usual = {"concept": str(concept.path), "model": str(tiny_mini()), "dtype": "fp32"}
    a1111 = export_build(ExportOptions(**usual, out=tmp_path / "a", form="a1111"))
    tensors = load_file(a1111.lora)
    assert {key.partition(".")[2] for key in tensors} == {"oft_blocks", "alpha"}
    with safe_open(a1111.lora, "pt") as file:
        assert file.metadata()["ss_network_module"] == "networks.oft"
    theirs = export_build(ExportOptions(**usual, out=tmp_path / "d", form="diffusers"))
    assert "% of the change" in theirs.lost
    with safe_open(theirs.lora, "pt") as file:
        assert json.loads(file.metadata()["lora_adapter_metadata"])["unet.lora_alpha"] == OFT.rank
    error = []
    for path in (a1111.lora, theirs.lora):
        with model.attach_lora(path):
            error.append(float((run(model.unet) - expected).abs().max()))
    assert error[0] < 1e-5 < error[1] < float((plain - expected).abs().max())


def test_layers_leave_no_trace(model):
    plain = run(model.unet)
    layers = OftLayers(model.unet, 8)
    with torch.no_grad():
        for blocks in layers.factors.values():
            blocks.normal_(std=0.3)
    assert not torch.allclose(run(model.unet), plain, atol=1e-4)
    with layers.bypass():
        assert torch.equal(run(model.unet), plain)
    layers.detach()
    assert torch.equal(run(model.unet), plain)
