"""Recognising single files from names and shapes; names of both layouts against diffusers' own converter."""

from __future__ import annotations

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

from checkpoints import FAMILIES, list_original, list_shapes, make_configs
from sfumato.core.errors import ModelError
from sfumato.models.files.detect_layout import UNET, VAE, find_layout, load_configs
from sfumato.models.files.header import Header, TensorEntry
from sfumato.models.files.rename_keys import UnetShape, find_name, invert, name_unet, name_vae

COUNTS = {"sd15": 859_520_964, "sd21-base": 865_910_724, "sd21": 865_910_724, "sdxl": 2_567_463_684}


def make_header(family: str, *, tiny: bool = False, **metadata: str) -> Header:
    rows = list_original(make_configs(family, tiny=tiny), family)
    entries = {name: TensorEntry("F16", shape, 0, 0) for name, shape, _ in rows}
    return Header(None, entries, metadata, (0, 0, 0, 0))  # pyright: ignore[reportArgumentType]


# True shapes of SDXL take a second to list, so one large family has to do.
@pytest.mark.parametrize(("family", "tiny"), [*((family, True) for family in FAMILIES), ("sd15", False)])
def test_a_family_is_known_by_names_and_shapes(family, tiny):
    header = make_header(family, tiny=tiny)
    layout = find_layout(header)
    assert layout.family == {"sd15": "sd1", "sdxl": "sdxl"}.get(family, "sd2")
    assert layout.prediction is None
    found = load_configs(layout, {name: entry.shape for name, entry in header.tensors.items()})
    for part, config in make_configs(family, tiny=tiny).items():
        if part in ("unet", "vae", "text_encoder", "text_encoder_2"):
            assert list_shapes(part, found[part]) == list_shapes(part, config)


@pytest.mark.parametrize(("family", "count"), COUNTS.items())
def test_the_packaged_unets_have_the_published_number_of_parameters(family, count):
    shapes = list_shapes("unet", make_configs(family, tiny=False)["unet"])
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == count


@pytest.mark.parametrize("family", FAMILIES)
def test_names_agree_with_the_converter_of_diffusers(family):
    configs = make_configs(family, tiny=True)
    depths = tuple(int("Cross" in kind) for kind in configs["unet"]["down_block_types"])
    tables = {
        "unet": (UNET, invert(name_unet(UnetShape(2, depths, family == "sdxl"))), convert_ldm_unet_checkpoint),
        "vae": (VAE, invert(name_vae(4, 1)), convert_ldm_vae_checkpoint),
    }
    for part, (prefix, pairs, convert) in tables.items():
        names = list(list_shapes(part, configs[part]))
        old = {prefix + str(find_name(name, pairs)): torch.full((1, 1), float(i)) for i, name in enumerate(names)}
        config = {"class_embed_type": None, "addition_embed_type": None} | configs[part]
        found = {int(tensor.flatten()[0]): name for name, tensor in convert(old, config).items()}
        assert [found.get(i) for i in range(len(names))] == names


@pytest.mark.parametrize(
    ("notes", "prediction"),
    [
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v_prediction"),
        ({"modelspec.architecture": "stable-diffusion-v2-512"}, "epsilon"),
        ({"modelspec.prediction_type": "v"}, "v_prediction"),
    ],
)
def test_notes_in_the_file_settle_what_names_leave_open(notes, prediction):
    assert find_layout(make_header("sd21", tiny=True, **notes)).prediction == prediction


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ({"double_blocks.0.img_attn.qkv.weight": (9, 3)}, "Flux"),
        ({"model.diffusion_model.joint_blocks.0.x.weight": (1,)}, "Stable Diffusion 3"),
        ({"lora_unet_down_blocks_0.lora_up.weight": (1,)}, "LoRA"),
        ({"conditioner.embedders.0.model.ln_final.weight": (1,)}, "refiner"),
        ({"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)}, "inpainting"),
        ({"something": (1,)}, "no UNet"),
    ],
)
def test_other_kinds_of_file_are_named(names, what):
    header = Header(None, {n: TensorEntry("F16", s, 0, 0) for n, s in names.items()}, {}, (0, 0, 0, 0))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ModelError, match=what):
        find_layout(header)


def test_a_file_cut_short_is_an_error_with_words():
    header = make_header("sd15", tiny=True)
    shapes = {name: entry.shape for name, entry in header.tensors.items() if "token_embedding" not in name}
    with pytest.raises(ModelError, match="missing or misshapen"):
        load_configs(find_layout(header), shapes)
