"""The task of the autoencoder: sharp pictures through white latents.

It knows tables of pictures and an encoder/decoder pair, not what the pictures show. Start reading
at `AutoencoderTask.compute_losses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from sfumato.train.discriminator import Discriminator, measure_mistakes, measure_suspicion
from sfumato.train.patches import choose_corners, weigh_parts
from sfumato.train.pictures import draw_sheet, load_pixels, measure_psnr
from sfumato.train.store import choose_table
from sfumato.train.teacher import compare_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn

    from sfumato.train.teacher import Teacher


@dataclass(frozen=True, kw_only=True)
class AutoencoderLoss:
    """Weigh the parts of the loss.

    `edge`: differences of neighbours, the sharpness of outlines. `square`: what PSNR counts.
    `detail`: extra weight of pixels on edges, where eyes and fingers live. `white`: latents with
    zero mean, unit variance and no correlation, so that diffusion needs no per-channel scale.
    `peak`: latents beyond `peak_from`, which the decoder's tanh flattens. `feature`: distance
    between the teacher's features. `adversary`: looking decoded to the discriminator.
    `jitter`: noise on the latents, so that the decoder forgives the denoiser's small errors.
    `limit`: latents are cut there before decoding, as the denoiser's are.
    """

    edge: float = 1.0
    square: float = 2.0
    detail: float = 4.0
    white: float = 0.05
    peak: float = 0.0
    peak_from: float = 4.5
    feature: float = 0.0
    adversary: float = 0.0
    jitter: float = 0.03
    limit: float = 100.0


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Say how patches are cut around small parts: `classes` holds the class maps, one table for each of pictures.

    Two thirds of the steps learn from patches, the others from whole pictures; both see as many pixels.
    """

    classes: Sequence[NDArray[Any]]
    side_px: int = 64
    whole_every: int = 3

    def is_whole(self, step: int) -> bool:
        """Tell whether a step learns from whole pictures."""
        return step % self.whole_every == 0


@dataclass(eq=False)
class AutoencoderTask:
    """Train `networks["encoder"]` and `networks["decoder"]` on tables of pictures. A leaf.

    `teacher` gives the features that the feature loss compares. With `networks["discriminator"]` its
    features also decide, place by place, whether a picture looks drawn.
    """

    networks: nn.ModuleDict
    tables: Sequence[NDArray[Any]]
    held_out: NDArray[Any]
    weights: AutoencoderLoss = AutoencoderLoss()
    freeze_encoder: bool = False
    patches: Patches | None = None
    teacher: Teacher | None = None
    name: str = "autoencoder"

    def __post_init__(self) -> None:
        """Freeze what is not to change."""
        if self.freeze_encoder:
            self.networks["encoder"].requires_grad_(requires_grad=False)

    def load_batch(self, step: int, count: int, noise: torch.Generator) -> Mapping[str, Tensor]:
        """Pick `count` pictures at random, or as many patches of pictures as have the pixels of `count` squares."""
        chosen = choose_table([len(t) for t in self.tables], step)
        table = self.tables[chosen]
        if self.patches is not None and not self.patches.is_whole(step):
            return self._cut_patches(table, self.patches.classes[chosen], count, noise)
        picks = torch.randint(0, len(table), (count,), generator=noise, device=noise.device).cpu().numpy()
        batch = {"pixels": load_pixels(table, picks)}
        if self.patches is not None:
            batch["weights"] = weigh_parts(torch.from_numpy(self.patches.classes[chosen][picks]))
        return batch

    def _cut_patches(
        self, table: NDArray[Any], classes: NDArray[Any], count: int, noise: torch.Generator
    ) -> Mapping[str, Tensor]:
        assert self.patches is not None
        side = self.patches.side_px
        count = max(1, count * self.held_out[0].size // (3 * side**2))
        picks = torch.randint(0, len(table), (count,), generator=noise, device=noise.device).cpu().numpy()
        weights = weigh_parts(torch.from_numpy(classes[picks]).to(noise.device))
        corners = choose_corners(weights, side, noise)
        pixels = np.stack(
            [
                table[pick, top : top + side, left : left + side]
                for pick, (top, left) in zip(picks, corners, strict=True)
            ]
        )
        cut = [w[top : top + side, left : left + side] for w, (top, left) in zip(weights, corners, strict=True)]
        return {"pixels": load_pixels(pixels, range(count)), "weights": torch.stack(cut)}

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: torch.Generator
    ) -> dict[str, Tensor]:
        """Reconstruct and compare: L1 weighted by detail, neighbours' differences, squares, whiteness, features."""
        pixels = batch["pixels"].contiguous(memory_format=torch.channels_last)
        weights, dtype = self.weights, next(networks.parameters()).dtype
        latents = networks["encoder"](pixels.to(dtype))
        cut = latents.clamp(-weights.limit, weights.limit)
        jitter = torch.randn(latents.shape, generator=noise, device=latents.device)
        decoded = networks["decoder"](cut + (weights.jitter * jitter).to(dtype)).float()
        losses = compare_pictures(decoded, pixels, weights, batch.get("weights"))
        losses["white"] = measure_whiteness(latents.float())
        losses["peak"] = (latents.float().abs() - weights.peak_from).relu().square().sum(1).mean()
        total = losses["pixel"] + weights.edge * losses["edge"] + weights.square * losses["square"]
        total = total + weights.peak * losses["peak"]
        # Patches show what is small and rare; the latents of whole pictures are to be white.
        if self.patches is None or pixels.shape[-1] != self.patches.side_px:
            total = total + weights.white * losses["white"]
        if self.teacher is not None:
            total = total + self._judge(networks, decoded, batch, losses)
        losses["loss"] = total
        return losses

    def _judge(
        self, networks: nn.ModuleDict, decoded: Tensor, batch: Mapping[str, Tensor], losses: dict[str, Tensor]
    ) -> Tensor:
        """Add what the teacher and the discriminator say to `losses`; return their weighted sum."""
        assert self.teacher is not None
        dtype = next(self.teacher.parameters()).dtype
        with torch.no_grad():
            truth = self.teacher.list_features(batch["pixels"].to(dtype))
        ours = self.teacher.list_features(decoded.to(dtype))
        losses["feature"] = compare_features(ours, truth, batch.get("weights"))
        total = self.weights.feature * losses["feature"]
        if "discriminator" in networks:
            judge = networks["discriminator"]
            assert isinstance(judge, Discriminator)
            losses["suspicion"] = measure_suspicion(judge, ours)
            losses["mistakes"] = measure_mistakes(judge, ours, truth)
            # The judge's own loss has its own weights: no factor.
            total = total + self.weights.adversary * losses["suspicion"] + losses["mistakes"]
        return total

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


def compare_pictures(
    ours: Tensor, truth: Tensor, weights: AutoencoderLoss, heaviness: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the pixel, edge and square losses of float pictures in [-1, 1]; `heaviness` [B, H, W] weighs pixels."""
    across_truth, down_truth = truth.diff(dim=3), truth.diff(dim=2)
    detail = F.pad(across_truth.abs(), (0, 1)) + F.pad(down_truth.abs(), (0, 0, 0, 1))
    # Spread by one pixel: both sides of an outline matter.
    heavy = 1 + weights.detail * F.max_pool2d(detail.mean(dim=1, keepdim=True).clamp(max=0.5), 3, 1, 1)
    across, down = (ours.diff(dim=3) - across_truth).abs(), (ours.diff(dim=2) - down_truth).abs()
    if heaviness is not None:
        heavy = heavy * heaviness[:, None]
        across, down = across * heaviness[:, None, :, 1:], down * heaviness[:, None, 1:]
    difference, edge = ours - truth, across.mean() + down.mean()
    return {"pixel": (heavy * difference.abs()).mean(), "edge": edge, "square": (heavy * difference.square()).mean()}


def measure_whiteness(latents: Tensor) -> Tensor:
    """Return how far latents [B, C, h, w] are from zero mean and identity covariance over channels."""
    flat = latents.transpose(0, 1).flatten(1)
    mean = flat.mean(dim=1)
    covariance = (flat - mean[:, None]) @ (flat - mean[:, None]).T / flat.shape[1]
    aim = torch.eye(len(flat), device=flat.device)
    return mean.square().sum() + (covariance - aim).square().sum()
