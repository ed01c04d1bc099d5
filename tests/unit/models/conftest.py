"""Small real text encoders, UNets and pipelines of the supported architectures, with random weights."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

MERGES = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>"), ("r", "e"), ("re", "d</w>")]


def make_tokenizer(padding: str = "<|endoftext|>") -> CLIPTokenizer:
    """Make a CLIP tokenizer that spells anything and knows three words."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in MERGES)]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=list(MERGES), pad_token=padding, model_max_length=77)


def make_text_encoder(width: int, *, layers: int = 3, projection: int | None = None, seed: int = 0) -> Any:
    """Make a CLIP text encoder whose states are far from zero mean, as trained ones are."""
    torch.manual_seed(seed)
    vocabulary = len(make_tokenizer())
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        projection_dim=projection or width,
        bos_token_id=vocabulary - 2,
        # The published SD and SDXL encoders carry the old, wrong id; the real ones are read by largest id.
        eos_token_id=2,
        pad_token_id=1,
    )
    encoder = (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if name.endswith("final_layer_norm.bias"):
                weight.normal_().sub_(0.5)
    return encoder


def make_unet(*, family: str = "sd1", text_width: int = 32, seed: int = 0) -> UNet2DConditionModel:
    """Make a UNet with every kind of block the family has."""
    torch.manual_seed(seed)
    options: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (32, 64),
        "layers_per_block": 2,
        "norm_num_groups": 8,
        "attention_head_dim": 4,
        "cross_attention_dim": text_width,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    if family == "sd2":
        options |= {"use_linear_projection": True}
    if family == "sdxl":
        options |= {
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 48,
        }
    return UNet2DConditionModel(**options).eval()


@dataclass
class Parts:
    """The text side and the UNet of one tiny model."""

    family: str
    unet: UNet2DConditionModel
    encoders: tuple[Any, ...]
    tokenizers: tuple[CLIPTokenizer, ...]

    @property
    def components(self) -> dict[str, Any]:
        """Return the networks under their diffusers names."""
        names = ("text_encoder", "text_encoder_2")
        return {"unet": self.unet, **dict(zip(names, self.encoders, strict=False))}

    def pipeline(self) -> Any:
        """Return a diffusers pipeline around the very same networks."""
        scheduler = EulerDiscreteScheduler(steps_offset=1)
        vae = _make_autoencoder()
        if self.family == "sdxl":
            return StableDiffusionXLPipeline(
                vae,
                self.encoders[0],
                self.encoders[1],
                self.tokenizers[0],
                self.tokenizers[1],
                self.unet,
                scheduler,
                add_watermarker=False,
            )
        return StableDiffusionPipeline(
            vae,
            self.encoders[0],
            self.tokenizers[0],
            self.unet,
            scheduler,
            None,  # pyright: ignore[reportArgumentType]
            None,  # pyright: ignore[reportArgumentType]
            requires_safety_checker=False,
        )


@functools.cache
def _make_autoencoder() -> AutoencoderTiny:
    """Make the autoencoder that a pipeline has to hold; nobody asks it anything."""
    return AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)


def make_parts(family: str, *, seed: int = 0) -> Parts:
    """Return a tiny model of a family that a test may change: a copy, which is made faster than a model."""
    return copy.deepcopy(_make_parts_once(family, seed))


@functools.cache
def _make_parts_once(family: str, seed: int) -> Parts:
    if family == "sdxl":
        encoders = (make_text_encoder(32, seed=seed), make_text_encoder(48, projection=48, seed=seed + 1))
        tokenizers = (make_tokenizer(), make_tokenizer("!"))
        return Parts(family, make_unet(family=family, text_width=80, seed=seed), encoders, tokenizers)
    padding = "!" if family == "sd2" else "<|endoftext|>"
    encoder = make_text_encoder(32, seed=seed)
    return Parts(family, make_unet(family=family, seed=seed), (encoder,), (make_tokenizer(padding),))


@pytest.fixture
def tiny_tokenizer() -> Any:
    """Hand out `make_tokenizer`."""
    return make_tokenizer


@pytest.fixture(scope="session")
def tiny_parts() -> Any:
    """Hand out `make_parts`."""
    return make_parts
