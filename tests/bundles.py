"""A `mini` of random weights: the real networks, cut down, as a diffusers folder that the real loader opens.

Start reading at `tiny_mini`.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

CONTEXT_WIDTH = 32
NATIVE_PX = 64
_MERGES = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>")]


@cache
def tiny_mini() -> Path:
    """Return the folder of a tiny mini, written once for a run of the tests."""
    root = Path(tempfile.mkdtemp(prefix="tiny-mini-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return write_tiny_mini(root)


def write_tiny_mini(root: Path) -> Path:
    """Write a bundle of about 0.4 M random parameters, native 64 px, that denoises in a few milliseconds."""
    torch.manual_seed(20)
    tokenizer = _make_tokenizer()
    parts = {"unet": _make_unet(), "vae": _make_autoencoder(), "text_encoder": _make_text_encoder(len(tokenizer))}
    for name, part in parts.items():
        part.save_pretrained(root / name)
    tokenizer.save_pretrained(root / "tokenizer")
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
    )
    scheduler.save_pretrained(root / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.0",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderTiny"],
    }
    (root / "model_index.json").write_text(json.dumps(index))
    return root


def _make_tokenizer() -> CLIPTokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in _MERGES)]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=list(_MERGES), pad_token="<|endoftext|>", model_max_length=77)


def _make_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=NATIVE_PX // 8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=CONTEXT_WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )


def _make_autoencoder() -> AutoencoderTiny:
    widths = (8,) * 4
    return AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=(0, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 0),
        latent_channels=4,
    )


def _make_text_encoder(vocabulary: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=CONTEXT_WIDTH,
            intermediate_size=2 * CONTEXT_WIDTH,
            projection_dim=CONTEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=77,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
    )
