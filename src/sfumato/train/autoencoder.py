"""The task of the autoencoder: sharp pictures through white latents.

It knows tables of pictures and an encoder/decoder pair, not what the pictures show. Start reading
at `AutoencoderTask.compute_losses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from sfumato.train.pictures import draw_sheet, load_pixels, measure_psnr
from sfumato.train.store import choose_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class AutoencoderLoss:
    """Weigh the parts of the loss.

    `edge`: differences of neighbours, the sharpness of outlines. `square`: what PSNR counts.
    `detail`: extra weight of pixels on edges, where eyes and fingers live. `white`: latents with
    zero mean, unit variance and no correlation, so that diffusion needs no per-channel scale.
    `jitter`: noise on the latents, so that the decoder forgives the denoiser's small errors.
    `limit`: latents are cut there before decoding, as the denoiser's are.
    """

    edge: float = 1.0
    square: float = 2.0
    detail: float = 4.0
    white: float = 0.05
    jitter: float = 0.03
    limit: float = 100.0


@dataclass(eq=False)
class AutoencoderTask:
    """Train `networks["encoder"]` and `networks["decoder"]` on tables of pictures. A leaf."""

    networks: nn.ModuleDict
    tables: Sequence[NDArray[Any]]
    held_out: NDArray[Any]
    weights: AutoencoderLoss = AutoencoderLoss()
    freeze_encoder: bool = False
    name: str = "autoencoder"

    def __post_init__(self) -> None:
        """Freeze what is not to change."""
        if self.freeze_encoder:
            self.networks["encoder"].requires_grad_(requires_grad=False)

    def load_batch(self, step: int, count: int, noise: torch.Generator) -> Mapping[str, Tensor]:
        """Pick `count` pictures at random."""
        table = self.tables[choose_table([len(t) for t in self.tables], step)]
        picks = torch.randint(0, len(table), (count,), generator=noise, device=noise.device)
        return {"pixels": load_pixels(table, picks.cpu().numpy())}

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: torch.Generator
    ) -> dict[str, Tensor]:
        """Reconstruct and compare: L1 weighted by detail, neighbours' differences, squares, whiteness."""
        pixels = batch["pixels"].contiguous(memory_format=torch.channels_last)
        dtype = next(networks.parameters()).dtype
        latents = networks["encoder"](pixels.to(dtype))
        cut = latents.clamp(-self.weights.limit, self.weights.limit)
        jitter = torch.randn(latents.shape, generator=noise, device=latents.device)
        decoded = networks["decoder"](cut + (self.weights.jitter * jitter).to(dtype)).float()
        losses = compare_pictures(decoded, pixels, self.weights)
        losses["white"] = measure_whiteness(latents.float())
        total = losses["pixel"] + self.weights.edge * losses["edge"] + self.weights.square * losses["square"]
        losses["loss"] = total + self.weights.white * losses["white"]
        return losses

    @torch.no_grad()
    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Measure PSNR (dB) on 128 held-out pictures and the latents' statistics."""
        psnr, latents = [], []
        for start in range(0, min(128, len(self.held_out)), 32):
            pixels = load_pixels(self.held_out, range(start, start + 32)).to(next(networks.parameters()).device)
            code = networks["encoder"](pixels)
            latents.append(code)
            psnr.append(measure_psnr(networks["decoder"](code), pixels))
        code = torch.cat(latents)
        deviation = code.std(dim=(0, 2, 3))
        return {
            "psnr_db": sum(psnr) / len(psnr),
            "latent_mean": float(code.mean(dim=(0, 2, 3)).abs().max()),
            "latent_std_low": float(deviation.min()),
            "latent_std_high": float(deviation.max()),
            "latent_peak": float(code.abs().max()),
        }

    @torch.no_grad()
    def draw_grid(self, networks: nn.ModuleDict) -> Image.Image:
        """Draw held-out pictures above their reconstructions, two rows of eight."""
        device = next(networks.parameters()).device
        rows: list[Tensor] = []
        for start in (0, 8):
            pixels = load_pixels(self.held_out, range(start, start + 8)).to(device)
            rows += [pixels, networks["decoder"](networks["encoder"](pixels))]
        return draw_sheet(rows)


def compare_pictures(ours: Tensor, truth: Tensor, weights: AutoencoderLoss) -> dict[str, Tensor]:
    """Return the pixel, edge and square losses of float pictures in [-1, 1]."""
    across_truth, down_truth = truth.diff(dim=3), truth.diff(dim=2)
    detail = F.pad(across_truth.abs(), (0, 1)) + F.pad(down_truth.abs(), (0, 0, 0, 1))
    # Spread by one pixel: both sides of an outline matter.
    heavy = 1 + weights.detail * F.max_pool2d(detail.mean(dim=1, keepdim=True).clamp(max=0.5), 3, 1, 1)
    difference = ours - truth
    edge = (ours.diff(dim=3) - across_truth).abs().mean() + (ours.diff(dim=2) - down_truth).abs().mean()
    return {"pixel": (heavy * difference.abs()).mean(), "edge": edge, "square": (heavy * difference.square()).mean()}


def measure_whiteness(latents: Tensor) -> Tensor:
    """Return how far latents [B, C, h, w] are from zero mean and identity covariance over channels."""
    flat = latents.transpose(0, 1).flatten(1)
    mean = flat.mean(dim=1)
    covariance = (flat - mean[:, None]) @ (flat - mean[:, None]).T / flat.shape[1]
    aim = torch.eye(len(flat), device=flat.device)
    return mean.square().sum() + (covariance - aim).square().sum()
