"""The networks of `mini`: the parts of SD 1.x at a size two CPU cores can train.

It builds fresh networks from diffusers and transformers classes and writes them as a diffusers
folder. It knows no training and no world. Start reading at `make_mini_unet` and `save_mini`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

LATENT_CHANNELS = 4
LATENT_CELLS = 16
CONTEXT_WIDTH = 256
TEXT_TOKENS = 77


@dataclass(frozen=True)
class MiniParts:
    """Hold the parts of the pipeline, trained."""

    vae: AutoencoderTiny
    text: CLIPTextModel
    tokenizer: CLIPTokenizer
    unet: UNet2DConditionModel


def make_mini_autoencoder(
    encoder_channels: int = 48,
    decoder_channels: int = 64,
    *,
    encoder_blocks: tuple[int, ...] = (0, 2, 4, 4),
    decoder_blocks: tuple[int, ...] = (8, 8, 2, 0),
) -> AutoencoderTiny:
    """Make the f8 autoencoder without residual blocks at full resolution; blocks are listed in the order they run.

    A decoder block costs a picture 28 million multiplications at 1/8 of its side, 4 times as many at
    1/4 and 16 times at 1/2, so most of its 2.1 M parameters are in the first two stages.
    Without GroupNorm, tiles with a halo of the receptive field equal the whole exactly.
    """
    return AutoencoderTiny(
        encoder_block_out_channels=(encoder_channels,) * 4,
        decoder_block_out_channels=(decoder_channels,) * 4,
        num_encoder_blocks=encoder_blocks,
        num_decoder_blocks=decoder_blocks,
        latent_channels=LATENT_CHANNELS,
        scaling_factor=1.0,
    )


def make_mini_unet(widths: tuple[int, ...] = (96, 160, 256)) -> UNet2DConditionModel:
    """Make the denoiser: attention on 8x8 and 4x4 cells only, where it is cheap.

    Plain matmul attention: the backward pass of the fused CPU kernel takes half of a step.
    """
    unet = UNet2DConditionModel(
        sample_size=LATENT_CELLS,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=CONTEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    use_plain_attention(unet)
    return unet


def use_plain_attention(unet: nn.Module) -> None:
    """Swap the fused attention for matmul and softmax, for training on a CPU."""
    unet.set_attn_processor(AttnProcessor())  # pyright: ignore[reportCallIssue]


def make_mini_text_encoder(vocabulary: int, *, start: int, end: int) -> CLIPTextModel:
    """Make the text encoder for a vocabulary of so many tokens with these special ids."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=CONTEXT_WIDTH,
        intermediate_size=4 * CONTEXT_WIDTH,
        projection_dim=CONTEXT_WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=TEXT_TOKENS,
        hidden_act="quick_gelu",
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
        # The fused kernel's backward pass is the slow one on a CPU.
        attn_implementation="eager",  # pyright: ignore[reportCallIssue]
    )
    return CLIPTextModel(config)


def load_mini_autoencoder(folder: Path) -> AutoencoderTiny:
    """Open an autoencoder that training saved."""
    return AutoencoderTiny.from_pretrained(folder).eval()


def load_mini_tokenizer(folder: Path) -> CLIPTokenizer:
    """Open the tokenizer that training saved."""
    return CLIPTokenizer.from_pretrained(folder)


def special_ids(tokenizer: CLIPTokenizer) -> dict[str, int]:
    """Return the ids of the start and end tokens, as the makers of text encoders take them."""
    words = tokenizer.get_vocab()
    return {"start": words[str(tokenizer.bos_token)], "end": words[str(tokenizer.eos_token)]}


def open_mini_part(folder: Path | None, part: str) -> Any:
    """Open `unet` or `text_encoder` of a diffusers folder in float32 to train it on, or return None without one."""
    if folder is None:
        return None
    if part == "unet":
        unet = UNet2DConditionModel.from_pretrained(folder, subfolder=part).float()
        use_plain_attention(unet)
        return unet
    return CLIPTextModel.from_pretrained(folder / part, dtype=torch.float32, attn_implementation="eager")


def save_mini(folder: Path, parts: MiniParts) -> None:
    """Write a diffusers folder in float16: what `StableDiffusionPipeline.from_pretrained` opens."""
    # Trailing: the first step is the noisiest one, which is what pure noise is (Lin et al. 2023, arXiv:2305.08891).
    # clip_sample's default, True, would travel into DDIM through `from_config` and cut latents at 1.
    scheduler: Any = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
        prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1, timestep_spacing="trailing",
    )  # fmt: skip
    vae: Any = parts.vae
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=parts.text, tokenizer=parts.tokenizer, unet=parts.unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    pipeline.to(torch.float16)
    pipeline.save_pretrained(folder)
    _promise_float32(folder / "text_encoder" / "config.json")
    shutil.rmtree(folder / "tokenizer")
    shutil.copytree(parts.tokenizer.name_or_path, folder / "tokenizer")


def _promise_float32(config: Path) -> None:
    """Let transformers compute in float32 by default, as diffusers does with the other parts."""
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "dtype": "float32"}, indent=2) + "\n")
