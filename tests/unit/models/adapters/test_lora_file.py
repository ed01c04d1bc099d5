"""LoRA files of every form merge to what diffusers makes of them, and detach to the original bits."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.models.adapters.attach import AttachedAdapters
from sfumato.models.adapters.unet_names import find_old_names
from sfumato.models.text.clip import TextTower
from sfumato.models.text.encoder import DEPTHS, PromptEncoder

Tensors = dict[str, Tensor]


def make_adapters(parts: Any, on_change: Callable[[], None] = lambda: None) -> AttachedAdapters:
    """Make the rack of a tiny model."""
    towers = [
        TextTower(tokenizer, encoder, depth=DEPTHS[parts.family])
        for tokenizer, encoder in zip(parts.tokenizers, parts.encoders, strict=True)
    ]
    return AttachedAdapters(parts.components, PromptEncoder(towers), on_change=on_change)


def read_weights(parts: Any) -> Tensors:
    """Copy every weight."""
    return {
        f"{name}.{key}": weight.detach().clone()
        for name, module in parts.components.items()
        for key, weight in module.named_parameters()
    }


def write(path: Path, tensors: Tensors, **notes: str) -> Path:
    """Write a file."""
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, notes or None)
    return path


def targets(module: nn.Module, *, convolutions: bool) -> dict[str, nn.Module]:
    """Pick the layers LoRA trainers train: attention and feed-forward, for LoCon also convolutions."""
    kinds = (nn.Linear, nn.Conv2d) if convolutions else (nn.Linear,)
    inside = ("attn", "ff.net", "proj_in", "proj_out", "mlp", "resnets", "samplers")
    return {
        path: layer
        for path, layer in module.named_modules()
        if isinstance(layer, kinds) and any(mark in path for mark in inside)
    }


def make_pair(layer: Any, rank: int) -> tuple[Tensor, Tensor]:
    """Make the two random factors for a layer."""
    if isinstance(layer, nn.Conv2d):
        return torch.randn(rank, layer.in_channels, *layer.kernel_size), torch.randn(layer.out_channels, rank, 1, 1)
    return torch.randn(rank, layer.in_features), torch.randn(layer.out_features, rank)


def make_kohya(parts: Any, *, convolutions: bool, old: bool = False, seed: int = 0) -> Tensors:
    """Make a kohya file for all components; `old` names the UNet's layers as the original code does."""
    torch.manual_seed(seed)
    by_path = {path: name for name, path in find_old_names(parts.unet).items()}
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
    if "text_encoder_2" in parts.components:
        prefixes["text_encoder"] = "lora_te1_"
    tensors: Tensors = {}
    for component, module in parts.components.items():
        for path, layer in targets(module, convolutions=convolutions).items():
            name = by_path[path] if old and component == "unet" else path
            if component != "unet" and not name.startswith("text_model"):
                name = "text_model." + name
            stem = prefixes[component] + name.replace(".", "_")
            down, up = make_pair(layer, 4)
            tensors |= {f"{stem}.lora_down.weight": down * 0.1, f"{stem}.lora_up.weight": up * 0.1}
            tensors[f"{stem}.alpha"] = torch.tensor(2.0)
    return tensors


def fuse_with_diffusers(parts: Any, path: Path) -> Tensors:
    """Let diffusers load and fuse the file into a copy; return the weights."""
    twin = copy.deepcopy(parts)
    pipeline = twin.pipeline()
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    return read_weights(twin)


def check_equal(ours: Tensors, theirs: Tensors, original: Tensors) -> None:
    """Compare all weights, and see that something did change."""
    assert ours.keys() == theirs.keys()
    for key, weight in ours.items():
        torch.testing.assert_close(weight, theirs[key], rtol=1e-5, atol=1e-6, msg=key)
    assert sum(not torch.equal(ours[key], original[key]) for key in ours) > 10


@pytest.mark.filterwarnings("ignore")  # diffusers and peft warn about their own moves
@pytest.mark.parametrize(
    ("family", "form"), [("sd1", "locon"), ("sd2", "lora"), ("sdxl", "lora"), ("sdxl", "old locon")]
)
def test_kohya_files_merge_as_in_diffusers(tiny_parts: Any, tmp_path: Path, family: str, form: str) -> None:
    parts = tiny_parts(family)
    tensors = make_kohya(parts, convolutions="locon" in form, old="old" in form)
    path = write(tmp_path / "style.safetensors", tensors)
    theirs = fuse_with_diffusers(parts, path)
    original = read_weights(parts)
    attachment = make_adapters(parts).attach_lora(path)
    check_equal(read_weights(parts), theirs, original)
    assert attachment.touched == sum(key.endswith("lora_up.weight") for key in tensors)
    attachment.detach()
    assert all(torch.equal(weight, original[key]) for key, weight in read_weights(parts).items())


def make_peft(parts: Any, component: str, **options: Any) -> tuple[Tensors, Any]:
    """Train nothing, but make what a diffusers training script would save for one component."""
    module = copy.deepcopy(parts.components[component])
    names = ["to_q", "to_k", "to_v", "to_out.0"] if component == "unet" else ["q_proj", "k_proj", "v_proj", "fc1"]
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=names, init_lora_weights=False, **options)
    peft.inject_adapter_in_model(config, module)
    return get_peft_model_state_dict(module, adapter_name="default"), config


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("family", "settings", "options"),
    [
        ("sd1", False, {}),
        ("sd1", True, {"use_rslora": True}),
        ("sdxl", True, {"alpha_pattern": {"attn1.to_q": 1.0}}),
    ],
)
def test_diffusers_files_merge_as_in_diffusers(
    tiny_parts: Any, tmp_path: Path, family: str, settings: bool, options: dict[str, Any]
) -> None:
    parts = tiny_parts(family)
    layers, kept = {}, {}
    for component in parts.components:
        layers[component], config = make_peft(parts, component, **options)
        kept[f"{component}_lora_adapter_metadata"] = config.to_dict()
    owner = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    owner.save_lora_weights(
        tmp_path,
        **{f"{component}_lora_layers": found for component, found in layers.items()},
        weight_name="style.safetensors",
        **(kept if settings else {}),
    )
    path = tmp_path / "style.safetensors"
    theirs, original = fuse_with_diffusers(parts, path), read_weights(parts)
    with make_adapters(parts).attach_lora(path):
        check_equal(read_weights(parts), theirs, original)


@pytest.mark.filterwarnings("ignore")
def test_the_oldest_diffusers_names_merge_as_in_diffusers(tiny_parts: Any, tmp_path: Path) -> None:
    parts = tiny_parts("sd1")
    unet, _ = make_peft(parts, "unet")
    marks = {".lora_A.": "_lora.down.", ".lora_B.": "_lora.up."}
    tensors: Tensors = {}
    for key, tensor in unet.items():
        for new, mark in marks.items():
            key = key.replace(new, mark)
        head, _, last = key.replace("to_out.0", "to_out").rpartition(".to_")
        tensors[f"unet.{head}.processor.to_{last}"] = tensor
    text, _ = make_peft(parts, "text_encoder")
    tensors |= {f"text_encoder.{key}": tensor for key, tensor in convert_state_dict_to_diffusers(text).items()}
    path = write(tmp_path / "old.safetensors", tensors)
    theirs, original = fuse_with_diffusers(parts, path), read_weights(parts)
    with make_adapters(parts).attach_lora(path):
        check_equal(read_weights(parts), theirs, original)


def test_a_peft_folder_needs_its_settings(tiny_parts: Any, tmp_path: Path) -> None:
    parts = tiny_parts("sd1")
    layers, _ = make_peft(parts, "unet")
    tensors = {f"base_model.model.{key}": tensor for key, tensor in layers.items()}
    path = write(tmp_path / "adapter_model.safetensors", tensors)
    rack, original = make_adapters(parts), read_weights(parts)
    with pytest.raises(ModelError, match="adapter_config"):
        rack.attach_lora(path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 6}))
    target = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    with rack.attach_lora(path):
        changed = read_weights(parts)[f"unet.{target}.weight"]
    delta = layers[f"{target}.lora_B.weight"] @ layers[f"{target}.lora_A.weight"] * 1.5
    torch.testing.assert_close(changed, original[f"unet.{target}.weight"] + delta)


@pytest.fixture(scope="module")
def plain(tiny_parts: Any) -> tuple[Any, Tensors]:
    """Return a model and a file for it; who attaches it detaches it, so that the model serves the next test."""
    parts = tiny_parts("sd1")
    return parts, make_kohya(parts, convolutions=False)


def test_weights_scale_each_component(tiny_parts: Any, tmp_path: Path) -> None:
    parts = tiny_parts("sd1")
    rack, original = make_adapters(parts), read_weights(parts)
    path = write(tmp_path / "style.safetensors", make_kohya(parts, convolutions=False))
    with rack.attach_lora(path, 1.0):
        whole = read_weights(parts)
    with rack.attach_lora(path, 0.5, text_weight=-2.0):
        part = read_weights(parts)
    for key, weight in part.items():
        factor = 0.5 if key.startswith("unet.") else -2.0
        expected = original[key] + factor * (whole[key] - original[key])
        torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)
    with rack.attach_lora(path, 1.0, text_weight=0.0) as attachment:
        assert attachment.touched == len(targets(parts.unet, convolutions=False))
        weights = read_weights(parts)
        assert all(torch.equal(weights[key], original[key]) for key in weights if key.startswith("text_encoder"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_adapters_stack_and_leave_in_any_order(tiny_parts: Any, tmp_path: Path, dtype: torch.dtype) -> None:
    parts = tiny_parts("sd1")
    for module in parts.components.values():
        module.to(dtype=dtype)
    parts.unet.to(memory_format=torch.channels_last)
    rack, original = make_adapters(parts), read_weights(parts)
    paths = [
        write(tmp_path / f"{seed}.safetensors", make_kohya(parts, convolutions=True, seed=seed)) for seed in range(3)
    ]
    second = rack.attach_lora(paths[1], 0.7)
    alone = read_weights(parts)
    second.detach()
    first, second, third = (rack.attach_lora(path, 0.7) for path in paths)
    assert rack.attached == (first, second, third)
    first.detach()
    third.detach()
    assert all(torch.equal(weight, alone[key]) for key, weight in read_weights(parts).items())
    kernels = [weight for weight in parts.unet.parameters() if weight.dim() == 4]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    second.detach()
    second.detach()
    assert not rack.attached
    assert all(torch.equal(weight, original[key]) for key, weight in read_weights(parts).items())


def test_changes_are_announced(tiny_parts: Any, tmp_path: Path) -> None:
    parts, calls = tiny_parts("sd1"), []
    rack = make_adapters(parts, lambda: calls.append(1))
    path = write(tmp_path / "style.safetensors", make_kohya(parts, convolutions=False))
    rack.attach_lora(path)
    rack.attach_lora(path)
    rack.detach_all()
    assert len(calls) == 4


def test_keys_of_another_family_are_listed(tiny_parts: Any, tmp_path: Path) -> None:
    tensors = make_kohya(tiny_parts("sdxl"), convolutions=False, old=True)
    parts = tiny_parts("sd1")
    path = write(tmp_path / "style.safetensors", tensors)
    with pytest.raises(ModelError, match=r"keys of the adapter do not apply.*lora_te2_text_model.*in all\)"):
        make_adapters(parts).attach_lora(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lora_unet_conv_in.strange", "1 keys.*lora_unet_conv_in.strange"),
        ("lora_unet_conv_in.lora_down.weight", "1 keys.*lora_unet_conv_in.lora_down.weight"),
        ("lora_unet_conv_in.alpha", "1 keys.*conv_in.alpha"),
        ("lora_unet_conv_in.oft_R.weight", "OFT adapters are not supported"),
        ("lora_unet_conv_in.a1.weight", "GLoRA"),
        ("unet.conv_in.lora_A.weight", "1 keys"),
        ("lora_te_text_model_embeddings_token_embedding.diff", "1 keys.*token_embedding"),
    ],
)
def test_what_does_not_apply_is_named_and_changes_nothing(
    plain: tuple[Any, Tensors], tmp_path: Path, name: str, message: str
) -> None:
    parts, tensors = plain
    original = read_weights(parts)
    path = write(tmp_path / "style.safetensors", tensors | {name: torch.ones(1)})
    with pytest.raises(ModelError, match=message):
        make_adapters(parts).attach_lora(path)
    assert all(torch.equal(weight, original[key]) for key, weight in read_weights(parts).items())


def test_shapes_that_do_not_fit_are_listed(tiny_parts: Any, tmp_path: Path) -> None:
    parts = tiny_parts("sd1")
    stem = "lora_unet_conv_in"
    tensors = {f"{stem}.lora_down.weight": torch.ones(2, 5, 3, 3), f"{stem}.lora_up.weight": torch.ones(32, 2, 1, 1)}
    with pytest.raises(ModelError, match=r"1 shapes.*unet.conv_in.weight \(adapter 32x45, weight 32x4x3x3\)"):
        make_adapters(parts).attach_lora(write(tmp_path / "style.safetensors", tensors))


def test_numbers_that_are_none_are_refused(tiny_parts: Any, tmp_path: Path) -> None:
    parts = tiny_parts("sd1")
    tensors = {"lora_unet_conv_in.diff": torch.full((32, 4, 3, 3), torch.nan)}
    path = write(tmp_path / "style.safetensors", tensors)
    with pytest.raises(ModelError, match="NaN"):
        make_adapters(parts).attach_lora(path)
    with pytest.raises(RequestError, match="weight"):
        make_adapters(parts).attach_lora(path, float("inf"))


def test_an_overflow_is_refused_and_undone(tiny_parts: Any, tmp_path: Path) -> None:
    parts = tiny_parts("sd1")
    parts.unet.half()
    original = read_weights(parts)
    tensors = {
        "lora_unet_conv_out.diff": torch.ones(4, 32, 3, 3),
        "lora_unet_conv_in.diff": torch.full((32, 4, 3, 3), 1e5),
    }
    with pytest.raises(ModelError, match="infinite"):
        make_adapters(parts).attach_lora(write(tmp_path / "style.safetensors", tensors))
    assert all(torch.equal(weight, original[key]) for key, weight in read_weights(parts).items())


@pytest.mark.parametrize("dimension", [0, 1])
def test_dora_of_kohya_files_has_the_norm_it_names(tiny_parts: Any, tmp_path: Path, dimension: int) -> None:
    parts = tiny_parts("sd1")
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj"
    layer = parts.unet.mid_block.attentions[0].transformer_blocks[0].ff.net[0].proj
    shape = [layer.out_features, 1] if dimension == 0 else [1, layer.in_features]
    norms = torch.rand(shape) + 0.5
    down, up = make_pair(layer, 2)
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.dora_scale": norms}
    with make_adapters(parts).attach_lora(write(tmp_path / "style.safetensors", tensors)):
        found = torch.linalg.vector_norm(layer.weight, dim=1 - dimension, keepdim=True)
    torch.testing.assert_close(found, norms)


def test_norms_and_biases_of_lycoris_are_added(tiny_parts: Any, tmp_path: Path) -> None:
    parts = tiny_parts("sd1")
    original = read_weights(parts)
    tensors = {
        "lora_unet_conv_norm_out.w_norm": torch.ones(32),
        "lora_unet_conv_norm_out.b_norm": torch.ones(32) * 2,
        "lora_unet_conv_in.diff_b": torch.ones(32) * 3,
    }
    with make_adapters(parts).attach_lora(write(tmp_path / "style.safetensors", tensors)):
        changed = read_weights(parts)
    for key, by in {"conv_norm_out.weight": 1, "conv_norm_out.bias": 2, "conv_in.bias": 3}.items():
        assert torch.equal(changed[f"unet.{key}"], original[f"unet.{key}"] + by)


def test_empty_files_and_pickles_are_refused(tiny_parts: Any, tmp_path: Path) -> None:
    rack = make_adapters(tiny_parts("sd1"))
    with pytest.raises(ModelError, match="no tensor"):
        rack.attach_lora(write(tmp_path / "empty.safetensors", {}))
    (tmp_path / "style.pt").write_bytes(b"\x80\x02.")
    with pytest.raises(UnsafeFileError, match="models convert"):
        rack.attach_lora(tmp_path / "style.pt")
    with pytest.raises(RequestError, match="no such LoRA"):
        rack.attach_lora(tmp_path / "nothing.safetensors")


COMFY = {
    "unet": "diffusion_model.",
    "text_encoder": "text_encoders.clip_l.transformer.",
    "text_encoder_2": "text_encoders.clip_g.transformer.",
}
WRITERS: dict[str, Callable[[str, str, str], str]] = {
    "OneTrainer, original names": lambda component, _, old: f"{component}.{old}",
    "diffusers names": lambda component, new, _: f"{component}.{new}",
    "ComfyUI, original names": lambda component, _, old: f"{COMFY[component]}{old}",
    "peft's wrapper": lambda component, new, _: f"base_model.model.{component}.{new}",
}
ROLES = {
    "kohya": (".lora_down.weight", ".lora_up.weight"),
    "peft": (".lora_A.weight", ".lora_B.weight"),
    "peft, default": (".lora_A.default.weight", ".lora_B.default.weight"),
    "peft, numbered": (".lora_A.default_0.weight", ".lora_B.default_0.weight"),
    "peft, named": (".lora_A.my-style.weight", ".lora_B.my-style.weight"),
}


def pair_programs() -> list[Any]:
    """List every pair of roles and a writer for either family; each word occurs in those that are not slow."""
    pairs = []
    for row, roles in enumerate(ROLES):
        for column, writer in enumerate(WRITERS):
            family = "sdxl" if (row + column) % 4 == 0 else "sd1"
            usual = (row + column) % 4 in (0, 2)
            other = "sd1" if family == "sdxl" else "sdxl"
            pairs.append(pytest.param(family, writer, roles, marks=() if usual else pytest.mark.slow))
            pairs.append(pytest.param(other, writer, roles, marks=pytest.mark.slow))
    return pairs


@pytest.mark.parametrize(("family", "writer", "roles"), pair_programs())
def test_every_programs_keys_change_what_kohyas_change(
    tiny_parts: Any, tmp_path: Path, family: str, writer: str, roles: str
) -> None:
    parts = tiny_parts(family)
    by_path = {path: name for name, path in find_old_names(parts.unet).items()}
    down_key, up_key = ROLES[roles]
    kohya, other = make_kohya(parts, convolutions=True), {}
    stems = {
        f"{component}/{path}": (
            "lora_unet_" if component == "unet" else prefix + ("" if path.startswith("text_") else "text_model_")
        )
        + path.replace(".", "_")
        for component, prefix in (
            ("unet", ""),
            ("text_encoder", "lora_te_" if family == "sd1" else "lora_te1_"),
            ("text_encoder_2", "lora_te2_"),
        )
        if component in parts.components
        for path in targets(parts.components[component], convolutions=True)
    }
    for target, stem in stems.items():
        component, path = target.split("/")
        layer = WRITERS[writer](component, path, by_path.get(path, path) if component == "unet" else path)
        other[layer + down_key] = kohya[stem + ".lora_down.weight"]
        other[layer + up_key] = kohya[stem + ".lora_up.weight"]
        other[layer + ".alpha"] = kohya[stem + ".alpha"]
    if writer == "peft's wrapper":
        (tmp_path / "adapter_config.json").write_text("{}")
    original = read_weights(parts)
    with make_adapters(parts).attach_lora(write(tmp_path / "kohya.safetensors", kohya)):
        expected = read_weights(parts)
    with make_adapters(parts).attach_lora(write(tmp_path / "other.safetensors", other)):
        check_equal(read_weights(parts), expected, original)


LEFTOVERS = (
    "bundle_emb.face.string_to_param.*", "bundle_emb.face.clip_l", "lora_te_text_model_embeddings_position_ids",
    "text_encoder.embeddings.position_ids", "logit_scale", "global_step", "epoch", "optimizer.state.0.exp_avg",
    "ema.decay", "lr_scheduler.last_lr", "unet.norm.num_batches_tracked",
)  # fmt: skip


@pytest.fixture(scope="module")
def merged(plain: tuple[Any, Tensors], tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    """Return the weights that the plain file makes."""
    parts, tensors = plain
    path = write(tmp_path_factory.mktemp("plain") / "plain.safetensors", tensors)
    with make_adapters(parts).attach_lora(path) as attachment:
        assert attachment.skipped == ()
        return read_weights(parts)


@pytest.mark.parametrize("key", LEFTOVERS)
def test_keys_that_mean_nothing_are_skipped_and_told(
    plain: tuple[Any, Tensors], merged: Tensors, tmp_path: Path, key: str
) -> None:
    (parts, tensors), expected = plain, merged
    with make_adapters(parts).attach_lora(
        write(tmp_path / "x.safetensors", tensors | {key: torch.ones(3)})
    ) as attachment:
        assert attachment.skipped == (key,)
        found = read_weights(parts)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(ModelError):
        make_adapters(parts).attach_lora(write(tmp_path / "empty.safetensors", {key: torch.ones(3)}))
