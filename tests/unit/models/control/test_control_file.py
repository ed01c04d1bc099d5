"""Control networks are opened behind the gate in every form, and fit their base or are refused."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from safetensors.torch import save_file

from checkpoints import write_folder
from control_networks import list_original_names, make_control, write_control_file, write_control_folder
from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.models.control.control_file import check_control_fits, open_control
from sfumato.models.describe import describe_checkpoint
from sfumato.models.files.library import find_model_file
from sfumato.models.inspect import inspect_model

FAMILIES = ("sd15", "sd21-base", "sdxl")


@pytest.mark.parametrize("family", ["sd15", "sd21-base"])  # diffusers does not convert the size condition of SDXL
def test_original_names_are_those_that_diffusers_converts(family):
    network = make_control(family)
    config = dict(network.config)
    found = convert_controlnet_checkpoint(dict(list_original_names(network)), config)
    wanted = network.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("form", ["original", "bare", "diffusers"])
def test_a_file_of_any_form_is_the_network(tmp_path, family, form):
    source = open_control(write_control_file(tmp_path / "net.safetensors", family, form=form))
    network, found = make_control(family), source.read(torch.float32)
    wanted = network.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert source.parameters == sum(one.numel() for one in wanted.values())
    for key in ("block_out_channels", "cross_attention_dim", "down_block_types", "conditioning_embedding_out_channels"):
        assert list_of(source.config[key]) == list_of(network.config[key]), key


def list_of(value):
    return list(value) if isinstance(value, tuple | list) else value


def test_a_folder_is_the_network(tmp_path):
    source = open_control(write_control_folder(tmp_path / "net"))
    found, wanted = source.read(torch.float32), make_control().state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_fits_the_base_of_its_family_alone(tmp_path, family):
    source = open_control(write_control_file(tmp_path / "net.safetensors", family))
    for other in FAMILIES:
        base = describe_checkpoint(write_folder(tmp_path / other, other))
        if other == family:
            check_control_fits(source, base)
        else:
            with pytest.raises(ModelError, match="does not fit"):
                check_control_fits(source, base)
    with pytest.raises(ModelError, match="no control network for mini"):
        check_control_fits(source, describe_checkpoint("mini"))


def test_text_of_another_width_is_said(tmp_path):
    path = write_control_folder(tmp_path / "net")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"cross_attention_dim": 1024}))
    base = describe_checkpoint(write_folder(tmp_path / "sd15", "sd15"))
    with pytest.raises(ModelError, match="text width 1024; sd15: 64"):
        check_control_fits(open_control(path), base)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "not on the list"),
        ({"down_block_types": ["EvilBlock"]}, "not on the list"),
        ({"block_out_channels": [10**9]}, "beyond its bound"),
    ],
)
def test_the_gate_refuses_configurations(tmp_path, change, words):
    path = write_control_folder(tmp_path / "net")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UnsafeFileError, match=words):
        open_control(path)


def test_the_gate_refuses_a_pickle_in_the_folder(tmp_path):
    path = write_control_folder(tmp_path / "net")
    (path / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeFileError, match="pickle"):
        open_control(path)


@pytest.mark.parametrize(
    ("name", "words"), [("lora_controlnet", "Control-LoRA"), ("task_embedding", "union"), ("foo", "no control network")]
)
def test_other_files_are_refused_by_what_they_are(tmp_path, name, words):
    save_file({name: torch.zeros(1)}, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=words):
        open_control(tmp_path / "net.safetensors")


def test_an_inpainting_network_is_refused(tmp_path):
    path = write_control_folder(tmp_path / "net")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"conditioning_channels": 4}))
    with pytest.raises(ModelError, match="this kind"):
        open_control(path)


def test_networks_are_found_by_name_in_the_folder_of_models(tmp_path, monkeypatch):
    folder = tmp_path / "models" / "ControlNet"
    write_control_file(folder / "control_edges.safetensors")
    write_control_folder(folder / "depth")
    loose = write_control_file(tmp_path / "models" / "loose.safetensors", form="diffusers")
    monkeypatch.setenv("SFUMATO_MODELS", str(tmp_path / "models"))
    assert find_model_file("controlnet", "control_edges") == folder / "control_edges.safetensors"
    assert find_model_file("controlnet", "depth") == folder / "depth"
    assert find_model_file("controlnet", "loose") == loose
    assert inspect_model(folder / "depth")["kind"] == inspect_model(loose)["kind"] == "control network"
    with pytest.raises(ModelError, match="no such control network"):
        find_model_file("controlnet", "pose")
