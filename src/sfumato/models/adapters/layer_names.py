"""Which weight an adapter file means by a layer name.

Knows the spellings in use (kohya's underscores, the original layout, diffusers, peft and ComfyUI paths) and
the networks at hand; it opens no file. Start reading at `LayerNames.find`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from sfumato.models.adapters.unet_names import find_old_names
from sfumato.models.adapters.weight_backup import WeightName

# kohya names the first encoder "te" where there is one and "te1" where there are two; some tools mix them.
_TEXT_PREFIXES = {"text_encoder": ("lora_te_", "lora_te1_"), "text_encoder_2": ("lora_te2_",)}
_UNET_PREFIXES = ("lora_unet_", "lycoris_")
# What stands in front of dotted names: peft's wrapper, the networks as diffusers, OneTrainer, ComfyUI and the
# original code call them. Longest first.
_DOTTED_PREFIXES = (
    ("text_encoders.clip_l.transformer.", "text_encoder"),
    ("text_encoders.clip_g.transformer.", "text_encoder_2"),
    ("conditioner.embedders.0.transformer.", "text_encoder"),
    ("conditioner.embedders.1.transformer.", "text_encoder_2"),
    ("cond_stage_model.transformer.", "text_encoder"),
    ("model.diffusion_model.", "unet"),
    ("diffusion_model.", "unet"),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder_1.", "text_encoder"),
    ("text_encoder.", "text_encoder"),
    ("unet.", "unet"),
    ("clip_l.", "text_encoder"),
    ("clip_g.", "text_encoder_2"),
)
# Attention projections of CLIP under the names diffusers' first LoRA files gave them.
_CLIP_SPELLING = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


class LayerNames:
    """A lookup from layer names in files to places in the networks."""

    def __init__(self, components: Mapping[str, nn.Module]) -> None:
        """Index the networks, named unet, text_encoder and text_encoder_2."""
        self._components = components
        self._paths = {name: set(_weighted(module)) for name, module in components.items()}
        self._flat = dict(_flat_names(components))
        self._old = find_old_names(components["unet"]) if "unet" in components else {}

    def find(self, name: str) -> WeightName | None:
        """Find the target of a layer; None when no network has it."""
        if "." not in name:
            return self._flat.get(name)
        name = name.removeprefix("base_model.model.")
        for prefix, component in _DOTTED_PREFIXES:
            if name.startswith(prefix):
                return self._dotted(component, name.removeprefix(prefix)) if component in self._components else None
        # A file without prefixes holds one network's layers: the UNet's, or else a text encoder's.
        return next((target for each in self._components if (target := self._dotted(each, name))), None)

    def _dotted(self, component: str, path: str) -> WeightName | None:
        path = path.replace(".processor", "")
        if component == "unet":
            path = self._old.get(path, path)
        for spelling in _spellings(component, path):
            if spelling in self._paths[component]:
                return WeightName(component, spelling)
        return None


def _spellings(component: str, path: str) -> Iterator[str]:
    yield path
    if component == "unet":
        yield path + ".0"  # "to_out" of old files is the linear layer inside it
        return
    head, _, last = path.rpartition(".")
    path = f"{head}.{_CLIP_SPELLING.get(last, last)}"
    yield path
    yield path.removeprefix("text_model.")
    yield "text_model." + path


def _flat_names(components: Mapping[str, nn.Module]) -> Iterator[tuple[str, WeightName]]:
    for component, module in components.items():
        if component == "unet":
            names = find_old_names(module) | {path: path for path in _weighted(module)}
            prefixes = _UNET_PREFIXES
        else:
            names = {_with_text_model(path): path for path in _weighted(module)}
            prefixes = _TEXT_PREFIXES[component]
        for name, path in names.items():
            for prefix in prefixes:
                yield prefix + name.replace(".", "_"), WeightName(component, path)


def _with_text_model(path: str) -> str:
    """Files always say text_model, whether or not this version of the encoder has that level."""
    return path if path.startswith(("text_model", "text_projection")) else "text_model." + path


def _weighted(network: nn.Module) -> Iterator[str]:
    """Yield the paths of modules that hold a weight an adapter may change.

    Not embedding tables: concepts add rows to them, and two ways to change one weight cannot both
    be undone in any order.
    """
    for path, module in network.named_modules():
        if isinstance(getattr(module, "weight", None), nn.Parameter) and not isinstance(module, nn.Embedding):
            yield path
