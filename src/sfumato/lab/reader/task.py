"""The task of the reader, in the form that the training loop wants.

Joins tables of pictures and answers with the critic's network. Start reading at
`ReaderTask.load_batch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sfumato.critic.reader.augment import damage_pictures
from sfumato.critic.reader.network import measure_heads
from sfumato.train.pictures import load_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor, nn

# Half through the autoencoder at most: the reader is judged on drawn and on decoded pictures alike.
MOST_DECODED_SHARE = 0.5
# Decoded pictures come round this much more often than drawn ones; more, and few would be learnt by heart.
DECODED_REPEATS = 2.0
# Keeps a small network from being sure of what it has seen eight times.
SMOOTHING = 0.02
VALIDATION_BATCH = 64


@dataclass(eq=False, kw_only=True)
class ReaderTask:
    """Train `networks["reader"]` on pictures and answers [N, heads]. A leaf.

    `round_trips` holds the first rows of `pictures` as an autoencoder gives them back, maybe none.
    """

    networks: nn.ModuleDict
    pictures: NDArray[np.uint8]
    answers: NDArray[np.int64]
    held_out: NDArray[np.uint8]
    held_out_answers: NDArray[np.int64]
    round_trips: NDArray[np.uint8] | None = None
    digits_head: int | None = None
    name: str = "reader"

    @property
    def decoded_share(self) -> float:
        """Return how often a batch comes from the decoded pictures."""
        if self.round_trips is None:
            return 0.0
        return min(MOST_DECODED_SHARE, DECODED_REPEATS * len(self.round_trips) / len(self.pictures))

    def load_batch(self, step: int, count: int, noise: Generator) -> Mapping[str, Tensor]:
        """Pick `count` pictures at random, drawn or decoded, and damage them a little."""
        del step
        decoded = float(torch.rand(1, generator=noise, device=noise.device)) < self.decoded_share
        rows = self.round_trips if decoded and self.round_trips is not None else self.pictures
        picks = torch.randint(0, len(rows), (count,), generator=noise, device=noise.device).cpu().numpy()
        pixels = load_pixels(rows, picks).contiguous().to(noise.device)
        return {"pixels": damage_pictures(pixels, noise), "answers": torch.from_numpy(self.answers[picks])}

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: Generator
    ) -> dict[str, Tensor]:
        """Read the batch and compare with the answers."""
        del noise
        dtype = next(networks.parameters()).dtype
        return measure_heads(networks["reader"](batch["pixels"].to(dtype)), batch["answers"], smoothing=SMOOTHING)

    @torch.no_grad()
    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Measure the loss and the share of right answers on the held-out pictures."""
        device = next(networks.parameters()).device
        batches = []
        for start in range(0, len(self.held_out), VALIDATION_BATCH):
            rows = self.held_out[start : start + VALIDATION_BATCH]
            batches.append(networks["reader"](load_pixels(rows, range(len(rows))).contiguous().to(device)))
        answers = torch.from_numpy(self.held_out_answers).to(device)
        logits = [torch.cat(head) for head in zip(*batches, strict=True)]
        found = {name: float(value) for name, value in measure_heads(logits, answers).items()}
        if self.digits_head is not None:
            asked = answers[:, self.digits_head] >= 0
            right = logits[self.digits_head].argmax(dim=1) == answers[:, self.digits_head]
            found["digits_right"] = float((right & asked).sum() / asked.sum().clamp_min(1))
        return found

    def draw_grid(self, networks: nn.ModuleDict) -> None:
        """Draw nothing: what a reader says is a table, and the log has it."""
        del networks
