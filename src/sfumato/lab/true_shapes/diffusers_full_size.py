"""A picture far beyond native size as diffusers itself makes it: the pipeline called at that size, its decoder whole and in tiles.

What ours is measured against, with nothing of ours in between; beside it our own tiles of the same decoder. Every
function weighs its process, so it wants one of its own. Start reading at `call_pipeline` and `decode_whole`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from sfumato.core.errors import BudgetError
from sfumato.core.geometry import LatentSize
from sfumato.lab.true_shapes.meter import start_weighing, weigh_peak
from sfumato.models.autoencoder.estimate import estimate_kl_bytes
from sfumato.models.autoencoder.kl_layers import list_decoder_layers
from sfumato.models.autoencoder.kl_tiles import run_in_tiles
from sfumato.models.files.gate import check_checkpoint
from sfumato.nn.tiled import Extent, SourceSink
from sfumato.nn.tiled.regions import Region, Span

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

GIB = 1024**3
# What our tiles may take where the whole takes many GiB; what does not fit in that is kept on disk.
TILES_BYTES = GIB
_PROMPT = "a red house in a green meadow, photograph"
_SEED = 5
# How far the level of the latents runs from left to right, as that of a sky over a meadow does: tiles then differ in
# their means, and a decoder that normalises each alone shows it.
_SLOPE = 3.0


@dataclass(frozen=True, kw_only=True)
class Spent:
    """State what one call took: seconds by the clock and of the processor, bytes held before it, and the most bytes during it."""

    seconds: float
    processor_s: float
    held_bytes: int
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class FullCall:
    """State what calling a pipeline for one step took: at native size, at full size, and its denoiser alone there."""

    native: Spent
    full: Spent
    step_s: float
    step_processor_s: float


def weigh(device: torch.device, run: Callable[[], Tensor]) -> tuple[Spent, Tensor]:
    """Run something and say what it took. Linux or CUDA only."""
    held = start_weighing(device) or 0
    began, began_processor = time.monotonic(), time.process_time()
    made = run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    spent = Spent(
        seconds=time.monotonic() - began,
        processor_s=time.process_time() - began_processor,
        held_bytes=held,
        peak_bytes=weigh_peak(device),
    )
    return spent, made


def call_pipeline(
    folder: Path, sizes_px: tuple[int, int], dtype: torch.dtype, device: torch.device, most_bytes: int
) -> FullCall:
    """Call the pipeline of a folder for one guided step at (native, full) sides, latents out.

    What the native call takes above the weights, times the areas, has to fit into `most_bytes` with them.

    Raises:
        BudgetError: it does not fit; says what it would take.
        UnsafeFileError: the folder is no checkpoint of plain tensors.
    """
    check_checkpoint(folder)
    kind = StableDiffusionXLPipeline if "XL" in (folder / "model_index.json").read_text() else StableDiffusionPipeline
    pipe: Any = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=dtype)
    pipe = pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    watch = _Watch(device)
    pipe.unet.register_forward_pre_hook(watch.begin)
    pipe.unet.register_forward_hook(watch.end)

    def call(side_px: int) -> Tensor:
        generator = torch.Generator().manual_seed(_SEED)
        size = {"height": side_px, "width": side_px, "generator": generator}
        return pipe(_PROMPT, num_inference_steps=1, guidance_scale=7.0, output_type="latent", **size).images

    native, _ = weigh(device, lambda: call(sizes_px[0]))
    needed = native.held_bytes + (native.peak_bytes - native.held_bytes) * (sizes_px[1] / sizes_px[0]) ** 2
    check_room("one step of the whole canvas", needed, most_bytes)
    full, _ = weigh(device, lambda: call(sizes_px[1]))
    return FullCall(native=native, full=full, step_s=watch.seconds, step_processor_s=watch.processor_s)


def decode_whole(vae: Any, latents: Tensor, device: torch.device, most_bytes: int) -> tuple[Spent, Tensor]:
    """Decode in one go, where that fits into `most_bytes` with what is held.

    Raises:
        BudgetError: it does not fit; says what it would take.
    """
    size = LatentSize(latents.shape[-1], latents.shape[-2])
    needed = estimate_whole(tuple(vae.config.block_out_channels), size) + (start_weighing(device) or 0)
    check_room("decoding in one go", needed, most_bytes)
    vae.disable_tiling()
    return weigh(device, lambda: vae.decode(latents.to(device)).sample)


def decode_in_their_tiles(vae: Any, latents: Tensor, device: torch.device) -> tuple[Spent, Tensor]:
    """Decode in diffusers' tiles, each normalised alone, blended where they overlap."""
    vae.enable_tiling()
    return weigh(device, lambda: vae.decode(latents.to(device)).sample)


def decode_in_our_tiles(vae: Any, latents: Tensor, device: torch.device) -> tuple[Spent, Tensor]:
    """Decode in tiles that share what is normalised over the whole."""
    height, width = latents.shape[-2:]
    whole = Region(Span(0, height), Span(0, width))
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    pixels = Region(Span(0, height * factor), Span(0, width * factor))
    made = torch.empty(1, int(vae.config.out_channels), height * factor, width * factor)

    def read(region: Region) -> Tensor:
        return latents[region.inside(whole)].to(device)

    def write(region: Region, tile: Tensor) -> None:
        made[region.inside(pixels)] = tile.cpu()

    def run() -> Tensor:
        ends = SourceSink(read=read, write=write, dtype=torch.float32, device=device)
        run_in_tiles(list_decoder_layers(vae), Extent(latents.shape[1], height, width), ends, TILES_BYTES)
        return made

    return weigh(device, run)


def load_decoder(folder: Path, device: torch.device) -> Any:
    """Open the autoencoder of a folder in float32, which every decode here is in, with diffusers' own code.

    Raises:
        UnsafeFileError: the folder is no checkpoint of plain tensors.
    """
    check_checkpoint(folder)
    vae: Any = AutoencoderKL.from_pretrained(
        folder / "vae", local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    return vae.to(device).eval().requires_grad_(requires_grad=False)


def draw_latents(vae: Any, side_px: int) -> Tensor:
    """Draw the latents [1, C, h, w] of a square picture: noise whose level rises from left to right, as the decoder wants them."""
    cells = side_px // 2 ** (len(vae.config.block_out_channels) - 1)
    noise = torch.randn(1, vae.config.latent_channels, cells, cells, generator=torch.Generator().manual_seed(_SEED))
    return (noise + torch.linspace(-_SLOPE, _SLOPE, cells)) / vae.config.scaling_factor


def estimate_whole(channels: tuple[int, ...], size: LatentSize) -> int:
    """Return about what a decode in one go takes above the weights."""
    return estimate_kl_bytes(channels, size, 4)


def check_room(what: str, needed_bytes: float, most_bytes: int) -> None:
    """Check that something fits before it is started.

    Raises:
        BudgetError: it does not.
    """
    if needed_bytes > most_bytes:
        got = f"about {needed_bytes / GIB:.1f} GiB needed, {most_bytes / GIB:.1f} to use"
        raise BudgetError(f"{what} does not fit", got=got, do="Give a smaller --size, or raise --most-gb.")


class _Watch:
    """Time the last call of a network from its hooks. A leaf."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = self.processor_s = 0.0

    def begin(self, *_: object) -> None:
        self.seconds, self.processor_s = -self._now(), -time.process_time()

    def end(self, *_: object) -> None:
        self.seconds, self.processor_s = self.seconds + self._now(), self.processor_s + time.process_time()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.monotonic()
