"""Which classes and sizes a checkpoint folder may ask for.

An allow-list: what is not named here is refused, so no configuration can choose code or make the
program build a network of absurd size. Start reading at `check_index`, then `check_component`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfumato.models.files.header import refuse

if TYPE_CHECKING:
    from pathlib import Path

PIPELINES = frozenset(
    {
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
    }
)
SCHEDULERS = frozenset(
    {
        "PNDMScheduler", "DDIMScheduler", "DDPMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler",
        "UniPCMultistepScheduler", "DEISMultistepScheduler", "LCMScheduler",
    }
)  # fmt: skip
# Component -> the classes it may have. The last three are listed in real folders and never loaded.
COMPONENTS: dict[str, frozenset[str]] = {
    "unet": frozenset({"UNet2DConditionModel"}),
    "vae": frozenset({"AutoencoderKL", "AutoencoderTiny"}),
    "text_encoder": frozenset({"CLIPTextModel", "CLIPTextModelWithProjection"}),
    "text_encoder_2": frozenset({"CLIPTextModelWithProjection"}),
    "tokenizer": frozenset({"CLIPTokenizer", "CLIPTokenizerFast"}),
    "tokenizer_2": frozenset({"CLIPTokenizer", "CLIPTokenizerFast"}),
    "scheduler": SCHEDULERS,
    "safety_checker": frozenset({"StableDiffusionSafetyChecker"}),
    "feature_extractor": frozenset({"CLIPImageProcessor", "CLIPFeatureExtractor"}),
    "image_encoder": frozenset({"CLIPVisionModelWithProjection"}),
}
# What lies in a folder of its own beside a checkpoint; no `model_index.json` names it.
CONTROL = "controlnet"
ALONE: dict[str, frozenset[str]] = {CONTROL: frozenset({"ControlNetModel"})}
LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion"})
FLAGS = frozenset({"requires_safety_checker", "force_zeros_for_empty_prompt", "add_watermarker"})
NEVER_LOADED = frozenset({"safety_checker", "feature_extractor", "image_encoder"})

CONFIG_NAMES = {
    "unet": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "text_encoder_2": "config.json",
    "scheduler": "scheduler_config.json",
}
BLOCKS = frozenset(
    {
        "DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D", "UNetMidBlock2DCrossAttn",
        "DownEncoderBlock2D", "UpDecoderBlock2D",
    }
)  # fmt: skip
MODEL_TYPES = frozenset({"clip_text_model", "clip"})

# Building even an empty network takes time per layer. SDXL, the largest we open, has 10 transformer
# layers per block, 1,280 channels, 2,816 numbers in its size condition, 32 text layers.
LARGEST = {
    "layers_per_block": 8,
    "transformer_layers_per_block": 16,
    "num_hidden_layers": 48,
    "num_encoder_blocks": 16,
    "num_decoder_blocks": 16,
    "block_out_channels": 8192,
    "conditioning_embedding_out_channels": 8192,
    "num_train_timesteps": 100_000,
    "vocab_size": 1_000_000,
}
LARGEST_OTHER_NUMBER = 10**6
LONGEST_LIST = 64
_DO = "Use a folder saved by diffusers for SD 1.x, 2.x or SDXL, or a single .safetensors file."


def check_index(path: Path, index: dict[str, Any]) -> tuple[str, ...]:
    """Check `model_index.json` and return the components to load, in a fixed order.

    Raises:
        UnsafeFileError: a pipeline, component, library or class that is not on the list.
    """
    if not _is_listed(index.get("_class_name"), PIPELINES):
        refuse(path, "the pipeline class is not on the list", got=index.get("_class_name"), do=_DO)
    for key, value in index.items():
        if key.startswith("_") or (key in FLAGS and isinstance(value, bool)):
            continue
        if key not in COMPONENTS:
            refuse(path, "it names an unknown component", got=key, do=_DO)
        _check_class_pair(path, key, value)
    loaded = (name for name in COMPONENTS if name not in NEVER_LOADED)
    return tuple(name for name in loaded if index.get(name, [None, None]) != [None, None])


def _check_class_pair(path: Path, component: str, value: Any) -> None:
    if value is None or value == [None, None]:
        return
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(item, str) for item in value):
        refuse(path, f"component {component!r} is not [library, class]", got=value, do=_DO)
    library, name = value
    if library not in LIBRARIES or name not in COMPONENTS[component]:
        refuse(path, f"the class of {component!r} is not on the list", got=f"{library}.{name}", do=_DO)


def check_component(path: Path, component: str, config: dict[str, Any]) -> None:
    """Check the configuration of one component: class, block names and every number.

    Raises:
        UnsafeFileError: a class that is not on the list, or a number beyond its bound.
    """
    allowed = (COMPONENTS | ALONE)[component]
    for name in (config.get("_class_name"), *_as_list(config.get("architectures"))):
        if name is not None and not _is_listed(name, allowed | {"CLIPModel"}):
            refuse(path, f"the class of {component!r} is not on the list", got=name, do=_DO)
    if not _is_listed(config.get("model_type", "clip"), MODEL_TYPES):
        refuse(path, "the model type is not on the list", got=config["model_type"], do=_DO)
    for key, value in config.items():
        if key.endswith(("block_type", "block_types")):
            _check_blocks(path, value)
        _check_numbers(path, key, value)


def _check_blocks(path: Path, value: Any) -> None:
    for name in _as_list(value):
        if name is not None and not _is_listed(name, BLOCKS):
            refuse(path, "a block type is not on the list", got=name, do=_DO)


def _check_numbers(path: Path, key: str, value: Any) -> None:
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            _check_numbers(path, inner_key, inner)
        return
    items = _as_list(value)
    limit = LARGEST.get(key, LARGEST_OTHER_NUMBER)
    if len(items) > LONGEST_LIST:
        if key == "_use_default_values":
            return
        refuse(path, f"{key!r} is a list of more than {LONGEST_LIST}", got=len(items), do=_DO)
    for item in items:
        if isinstance(item, list):
            _check_numbers(path, key, item)
        elif isinstance(item, int | float) and not -limit <= item <= limit:
            refuse(path, f"{key!r} is beyond its bound of {limit}", got=item, do=_DO)


def _is_listed(name: Any, allowed: frozenset[str]) -> bool:
    # A list or table where a name belongs cannot even be looked up in a set.
    return isinstance(name, str) and name in allowed


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
