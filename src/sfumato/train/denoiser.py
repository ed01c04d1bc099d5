"""The task of the denoiser: predict v from noised latents and a caption.

The text encoder is trained with it. It knows tables of latents and token ids, not what the
pictures show. Start reading at `DenoiserTask.compute_losses`.

Sources: v-prediction, Salimans and Ho 2022 (arXiv:2202.00512, appendix D); guidance by caption
dropout, Ho and Salimans 2022 (arXiv:2207.12598); weights capped by signal-to-noise ratio, Hang et
al. 2023 (arXiv:2303.09556).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sfumato.train.pictures import draw_sheet
from sfumato.train.store import choose_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn

# The SD 1.x schedule: squares of evenly spaced roots, 1000 steps.
BETA_START, BETA_END, TRAIN_STEPS = 0.00085, 0.012, 1000
VALIDATION_ROWS = 128


@dataclass(frozen=True, kw_only=True)
class DenoiserLoss:
    """Set caption dropout, the cap on a step's weight, and how many tokens are computed.

    `ratio_cap`: v's error counts as x0's times (ratio + 1); at little noise that is thousands for
    errors nobody sees, so the weight stops growing there. `tokens`: most steps cut captions to so
    many tokens, which saves a tenth of their time (one caption in 25 of the broad mix is longer); every
    `full_every`-th sees all 77, as a render does. `limit`: latents are cut there; the decoder's own tanh
    flattens what is beyond, so the rare peaks of an encoder (one cell in 500, up to 11) cost accuracy and
    show nothing.
    """

    dropout: float = 0.1
    ratio_cap: float = 20.0
    tokens: int = 48
    full_every: int = 4
    limit: float = 4.0


@dataclass(frozen=True, eq=False)
class Examples:
    """Hold pictures of one shape: `latents` [N, 4, h, w]; `tokens` uint16 [N, K, 77], K paraphrases each."""

    latents: NDArray[Any]
    tokens: NDArray[Any]


@dataclass(eq=False)
class DenoiserTask:
    """Train `networks["unet"]` and `networks["text"]` on cached latents. A leaf.

    `tables`: examples, a table for each shape; `empty`: the ids of the empty caption; `held_out`: examples never
    trained on.
    """

    networks: nn.ModuleDict
    tables: Sequence[Examples]
    empty: NDArray[Any]
    held_out: Examples
    weights: DenoiserLoss = DenoiserLoss()
    decode: Callable[[Tensor], Tensor] | None = None
    grid_tokens: NDArray[Any] | None = None
    name: str = "unet"
    signal: Tensor = field(default_factory=lambda: make_signal())

    def load_batch(self, step: int, count: int, noise: torch.Generator) -> Mapping[str, Tensor]:
        """Pick a table, its latents and one paraphrase each; drop one caption in ten."""
        table = self.tables[choose_table([len(t.latents) for t in self.tables], step)]
        length = table.tokens.shape[2] if step % self.weights.full_every == 0 else self.weights.tokens
        picks = _draw(noise, len(table.latents), count)
        ways = _draw(noise, table.tokens.shape[1], count)
        tokens = table.tokens[picks, ways].astype(np.int64)
        dropped = torch.rand(count, generator=noise, device=noise.device).cpu().numpy() < self.weights.dropout
        tokens[dropped] = self.empty
        return {
            "latents": torch.from_numpy(table.latents[picks].astype(np.float32)),
            "tokens": torch.from_numpy(tokens[:, :length]),
        }

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the weighted v error at noise levels spread evenly over the batch."""
        latents = batch["latents"]
        count = len(latents)
        # One random offset and even steps: every batch sees every noise level, so losses differ less.
        spread = (
            torch.arange(count, device=latents.device) + torch.rand(1, generator=noise, device=latents.device)
        ) / count
        steps = (spread * TRAIN_STEPS).long().clamp(max=TRAIN_STEPS - 1)
        normal = torch.randn(latents.shape, generator=noise, device=latents.device)
        return {"loss": self._measure(networks, latents, batch["tokens"], (steps, normal)).mean()}

    def _measure(self, networks: nn.ModuleDict, latents: Tensor, tokens: Tensor, draw: tuple[Tensor, Tensor]) -> Tensor:
        steps, normal = draw
        latents = latents.clamp(-self.weights.limit, self.weights.limit)
        signal = self.signal.to(latents.device)[steps].view(-1, 1, 1, 1)
        kept, lost = signal.sqrt(), (1 - signal).sqrt()
        noised, velocity = kept * latents + lost * normal, kept * normal - lost * latents
        dtype = next(networks["unet"].parameters()).dtype
        context = networks["text"](input_ids=tokens).last_hidden_state
        noised = noised.to(dtype).contiguous(memory_format=torch.channels_last)
        found = networks["unet"](noised, steps, context, return_dict=False)[0].float()
        error = (found - velocity).square().mean(dim=(1, 2, 3))
        # 1 / (1 - signal) is the ratio of signal to noise plus one.
        return error * (self.weights.ratio_cap * (1 - signal.flatten())).clamp(max=1.0)

    @torch.no_grad()
    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Measure the loss on held-out latents with fixed noise, whole and for its noisiest third."""
        device = next(networks.parameters()).device
        count = min(VALIDATION_ROWS, len(self.held_out.latents))
        noise = torch.Generator().manual_seed(20)
        steps = ((torch.arange(count) + 0.5) / count * TRAIN_STEPS).long()
        latents = torch.from_numpy(self.held_out.latents[:count].astype(np.float32))
        normal = torch.randn(latents.shape, generator=noise)
        tokens = torch.from_numpy(self.held_out.tokens[:count, 0].astype(np.int64))
        parts = []
        for start in range(0, count, 32):
            cut = slice(start, start + 32)
            draw = (steps[cut].to(device), normal[cut].to(device))
            parts.append(self._measure(networks, latents[cut].to(device), tokens[cut].to(device), draw))
        losses = torch.cat(parts)
        return {"loss": float(losses.mean()), "loss_noisiest_third": float(losses[2 * count // 3 :].mean())}

    @torch.no_grad()
    def draw_grid(self, networks: nn.ModuleDict) -> Image.Image | None:
        """Draw one sample of each grid prompt, eight in a row: 20 DDIM steps, guidance 4, in bfloat16."""
        if self.decode is None or self.grid_tokens is None:
            return None
        # Half precision halves the time that training stands still.
        networks = networks.to(torch.bfloat16)
        device = next(networks.parameters()).device
        prompts = torch.from_numpy(self.grid_tokens.astype(np.int64)).to(device)
        empty = torch.from_numpy(self.empty.astype(np.int64)).to(device).expand_as(prompts)
        context = networks["text"](input_ids=torch.cat([empty, prompts])).last_hidden_state
        start = torch.randn(
            (len(prompts), *self.held_out.latents.shape[1:]), generator=torch.Generator().manual_seed(1)
        )
        pixels = self.decode(sample_ddim(networks["unet"], start.to(device), context, self.signal.to(device)))
        return draw_sheet([pixels[i : i + 8] for i in range(0, len(pixels), 8)])


def make_signal() -> Tensor:
    """Return the share of signal power left after each of the 1000 SD 1.x steps, float32 [1000]."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS, dtype=torch.float64).square()
    return (1 - betas).cumprod(0).float()


def sample_ddim(
    unet: nn.Module, start: Tensor, context: Tensor, signal: Tensor, *, steps: int = 20, guidance: float = 4.0
) -> Tensor:
    """Denoise unit noise with a v-predicting network and guidance; `context` is [2B, T, W], empty first.

    Source: DDIM, Song et al. 2021 (arXiv:2010.02502, eq. 12 with eta 0), on trailing steps.
    """
    x, times = start, torch.linspace(TRAIN_STEPS - 1, 0, steps + 1).round().long()
    dtype = next(unet.parameters()).dtype
    for now, then in pairwise(times):
        a = signal[now]
        found = unet(torch.cat([x, x]).to(dtype), now.to(x.device), context, return_dict=False)[0].float()
        plain, told = found.chunk(2)
        velocity = plain + guidance * (told - plain)
        clean, normal = a.sqrt() * x - (1 - a).sqrt() * velocity, (1 - a).sqrt() * x + a.sqrt() * velocity
        b = signal[then]
        x = b.sqrt() * clean + (1 - b).sqrt() * normal if then > 0 else clean
    return x


def _draw(noise: torch.Generator, below: int, count: int) -> NDArray[Any]:
    return torch.randint(0, below, (count,), generator=noise, device=noise.device).cpu().numpy()
