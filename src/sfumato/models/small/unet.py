"""The denoiser of SD 1.x at any size: ResNet blocks and cross-attention, for inference.

Knows torch alone. Names of modules are diffusers', and so are the order of operations and every bit of the result.
What a checkpoint may leave out or change is in `fits`; the rest is for diffusers' own class. Start reading at
`Unet`.

Source: Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models, section 3.3; the names,
diffusers' UNet2DConditionModel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the configuration may say besides the numbers that `Unet` reads; None and a missing key are the same.
_FIXED: dict[str, tuple[object, ...]] = {
    "act_fn": ("silu",), "attention_type": ("default",), "center_input_sample": (False,), "conv_in_kernel": (3,),
    "conv_out_kernel": (3,), "downsample_padding": (1,), "dropout": (0.0,), "dual_cross_attention": (False,),
    "flip_sin_to_cos": (True,), "freq_shift": (0,), "mid_block_scale_factor": (1,), "transformer_layers_per_block": (1,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",), "only_cross_attention": (False,), "resnet_out_scale_factor": (1.0,),
    "resnet_skip_time_act": (False,), "resnet_time_scale_shift": ("default",), "time_embedding_type": ("positional",),
    "upcast_attention": (False,), "use_linear_projection": (False,), "class_embeddings_concat": (False,),
}  # fmt: skip
_UNREAD = frozenset(
    {
        "_class_name",
        "_diffusers_version",
        "_name_or_path",
        "_use_default_values",
        "sample_size",
        "addition_embed_type_num_heads",
    }
)
_READ = frozenset(
    {
        "in_channels", "out_channels", "block_out_channels", "layers_per_block", "down_block_types", "up_block_types",
        "cross_attention_dim", "attention_head_dim", "norm_num_groups", "norm_eps",
    }
)  # fmt: skip
# Frequencies of the timestep run from 1 down to one in so many.
LONGEST_PERIOD = 10_000
# Inside a transformer block diffusers normalises with its own epsilon.
TRANSFORMER_EPS = 1e-6


def fits(config: Mapping[str, Any]) -> bool:
    """Tell whether `Unet` is the network that a configuration describes."""
    for key, value in config.items():
        if key in _READ or key in _UNREAD or value is None:
            continue
        if value not in _FIXED.get(key, ()):
            return False
    plain = all(isinstance(config.get(key), int) for key in ("layers_per_block", "attention_head_dim"))
    blocks = {*config.get("down_block_types", ()), *config.get("up_block_types", ())}
    known = {"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"}
    return plain and bool(blocks) and blocks <= known and config.keys() >= _READ


class Unet(nn.Module):
    """Predict from noisy latents, a time and text; one forward pass."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Build the network of a configuration for which `fits` is true."""
        super().__init__()
        widths, groups, eps = config["block_out_channels"], config["norm_num_groups"], config["norm_eps"]
        self.width = widths[0]
        self.conv_in = nn.Conv2d(config["in_channels"], widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], 4 * widths[0])

        def make_block(channels: list[tuple[int, int]], *, attend: bool) -> UnetBlock:
            text, heads = config["cross_attention_dim"], config["attention_head_dim"]
            resnets = [ResnetBlock(into, out, 4 * widths[0], groups=groups, eps=eps) for into, out in channels]
            counts = range(len(channels)) if attend else ()
            return UnetBlock(resnets, [Transformer(channels[0][1], heads, text, groups=groups) for _ in counts])

        layers, last = config["layers_per_block"], len(widths) - 1
        self.down_blocks = nn.ModuleList()
        into = widths[0]
        for level, (kind, out) in enumerate(zip(config["down_block_types"], widths, strict=True)):
            block = make_block([(into, out), *[(out, out)] * (layers - 1)], attend=kind.startswith("Cross"))
            block.downsamplers = nn.ModuleList([Downsampler(out)]) if level < last else None
            self.down_blocks.append(block)
            into = out
        text, heads = config["cross_attention_dim"], config["attention_head_dim"]
        middle = [ResnetBlock(into, into, 4 * widths[0], groups=groups, eps=eps) for _ in range(2)]
        self.mid_block = UnetBlock(middle, [Transformer(into, heads, text, groups=groups)])
        self.up_blocks = nn.ModuleList()
        before = into
        for level, kind in enumerate(config["up_block_types"]):
            out, skip = widths[last - level], widths[max(last - level - 1, 0)]
            skips = [*[out] * layers, skip]
            channels = [((before if at == 0 else out) + width, out) for at, width in enumerate(skips)]
            block = make_block(channels, attend=kind.startswith("Cross"))
            block.upsamplers = nn.ModuleList([Upsampler(out)]) if level < last else None
            self.up_blocks.append(block)
            before = out
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], eps=eps)
        self.conv_out = nn.Conv2d(widths[0], config["out_channels"], 3, padding=1)

    @property
    def attn_processors(self) -> dict[str, Any]:
        """The attention code of each layer, by diffusers' names."""
        found = {name: module for name, module in self.named_modules() if isinstance(module, Attention)}
        return {f"{name}.processor": module.processor for name, module in found.items()}

    def set_attn_processor(self, processor: Any) -> None:
        """Use one code for all attention layers, or that of a table by name."""
        for name, module in self.named_modules():
            if isinstance(module, Attention):
                module.processor = processor[f"{name}.processor"] if isinstance(processor, dict) else processor

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        added_cond_kwargs: dict[str, Any] | None = None,
        *,
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """Predict [B, C, h, w] from such latents, times [B] or [1] and text [B, tokens, width]."""
        assert added_cond_kwargs is None, "only SDXL has such conditions"
        assert not return_dict, "the answer is a tuple"
        times = embed_times(timestep.expand(sample.shape[0]), self.width).to(sample.dtype)
        emb = self.time_embedding(times)
        # Lists of modules have no type of their members.
        down, up = cast("list[UnetBlock]", self.down_blocks), cast("list[UnetBlock]", self.up_blocks)
        factor = 2 ** (len(self.up_blocks) - 1)
        uneven = any(side % factor for side in sample.shape[-2:])
        hidden = self.conv_in(sample)
        skips = [hidden]
        for block in down:
            maps = block.run(hidden, emb, encoder_hidden_states)
            hidden = maps[-1]
            skips += maps
            if block.downsamplers is not None:
                hidden = block.downsamplers[0](hidden)
                skips.append(hidden)
        hidden = self._run_middle(hidden, emb, encoder_hidden_states)
        for block in up:
            here = [skips.pop() for _ in block.resnets]
            hidden = block.run(hidden, emb, encoder_hidden_states, here)[-1]
            if block.upsamplers is not None:
                hidden = block.upsamplers[0](hidden, skips[-1].shape[2:] if uneven else None)
        return (self.conv_out(F.silu(self.conv_norm_out(hidden))),)

    def _run_middle(self, hidden: Tensor, emb: Tensor, text: Tensor) -> Tensor:
        first, second = self.mid_block.resnets
        assert self.mid_block.attentions is not None, "the middle attends"
        return second(self.mid_block.attentions[0](first(hidden, emb), text), emb)


def embed_times(times: Tensor, width: int) -> Tensor:
    """Embed times [B] as cosines and sines [B, width], float32.

    Source: Ho et al. 2020, DDPM, appendix B, after Vaswani et al. 2017, section 3.5.
    """
    half = width // 2
    exponent = -math.log(LONGEST_PERIOD) * torch.arange(half, dtype=torch.float32, device=times.device) / half
    angles = times[:, None].float() * torch.exp(exponent)[None, :]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


class TimeEmbedding(nn.Module):
    """Two layers that turn an embedded time into what ResNet blocks take."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(into, out), nn.Linear(out, out)

    def forward(self, times: Tensor) -> Tensor:
        """Turn [B, in] into [B, out]."""
        return self.linear_2(F.silu(self.linear_1(times)))


class UnetBlock(nn.Module):
    """One level of the way down or up, or the middle: ResNet blocks, each with attention behind it or none."""

    def __init__(self, resnets: list[ResnetBlock], attentions: list[Transformer]) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions) if attentions else None
        self.downsamplers: nn.ModuleList | None = None
        self.upsamplers: nn.ModuleList | None = None

    def run(self, hidden: Tensor, emb: Tensor, text: Tensor, skips: list[Tensor] | None = None) -> list[Tensor]:
        """Return the maps after each ResNet block with its attention; `skips` are joined, one for each."""
        maps: list[Tensor] = []
        for at, resnet in enumerate(self.resnets):
            hidden = resnet(hidden if skips is None else torch.cat([hidden, skips[at]], dim=1), emb)
            if self.attentions is not None:
                hidden = self.attentions[at](hidden, text)
            maps.append(hidden)
        return maps


class ResnetBlock(nn.Module):
    """Two convolutions with the time between them, added to the input."""

    def __init__(self, into: int, out: int, time: int, *, groups: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, into, eps=eps)
        self.conv1 = nn.Conv2d(into, out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, out)
        self.norm2 = nn.GroupNorm(groups, out, eps=eps)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(into, out, 1) if into != out else None

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Turn [B, in, h, w] into [B, out, h, w]."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = hidden + self.time_emb_proj(F.silu(emb))[:, :, None, None]
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + hidden


class Downsampler(nn.Module):
    """Halve the sides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [B, C, h, w] into [B, C, h/2, w/2], halves rounded up."""
        return self.conv(x)


class Upsampler(nn.Module):
    """Double the sides, or bring them to a size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size_hw: torch.Size | None = None) -> Tensor:
        """Turn [B, C, h, w] into [B, C, 2h, 2w], or the size that an uneven level had."""
        if size_hw is None:
            return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv(F.interpolate(x, size=tuple(size_hw), mode="nearest"))


class Transformer(nn.Module):
    """Attention over the cells of a map, and from cells to text."""

    def __init__(self, channels: int, heads: int, text: int, *, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=TRANSFORMER_EPS)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, heads, text)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Turn [B, C, h, w] into the same shape."""
        batch, channels, height, width = x.shape
        hidden = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        hidden = self.transformer_blocks[0](hidden, text)
        hidden = hidden.reshape(batch, height, width, channels).permute(0, 3, 1, 2).contiguous()
        return self.proj_out(hidden) + x


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and a gated feed-forward layer."""

    def __init__(self, channels: int, heads: int, text: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads, text)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Turn [B, N, C] into the same shape."""
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), encoder_hidden_states=text) + x
        return self.ff(self.norm3(x)) + x


class FusedAttention:
    """Attention by torch's fused kernel."""

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> Tensor:
        """Attend from [B, N, C] to itself or to the text [B, L, W]."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            layer(side).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, side in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](mixed))


class Attention(nn.Module):
    """Multi-head attention whose code can be replaced, as diffusers' can."""

    # What diffusers' class may have besides; `fast_unet` asks.
    group_norm = spatial_norm = norm_q = norm_k = norm_cross = None
    residual_connection, rescale_output_factor = False, 1.0

    def __init__(self, channels: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context, channels, bias=False)
        self.to_v = nn.Linear(context, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels), nn.Identity()])
        self.processor: Any = FusedAttention()

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> Tensor:
        """Attend from [B, N, C] to itself or to the text [B, L, W]."""
        return self.processor(self, hidden_states, encoder_hidden_states)


class GEGLU(nn.Module):
    """A linear layer gated by GELU.

    Source: Shazeer 2020, GLU Variants Improve Transformer, eq. 6.
    """

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(into, 2 * out)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [..., in] into [..., out]."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Widen four times, gate, and narrow again."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """Turn [..., C] into the same shape."""
        return self.net[2](self.net[0](x))
