"""The task of the scorer: pictures and their captions next to each other in one small space.

It knows tables of pictures and token ids and a CLIPModel, not what the pictures show. Start
reading at `ScorerTask.compute_losses`.

Source: Radford et al. 2021 (arXiv:2103.00020, figure 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from sfumato.train.pictures import load_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn

# A higher scale makes the loss look only at the one nearest wrong caption.
LARGEST_SCALE = 4.6052
VALIDATION_ROWS = 256


@dataclass(eq=False)
class ScorerTask:
    """Train `networks["clip"]` on pictures and captions by InfoNCE. A leaf."""

    networks: nn.ModuleDict
    pictures: NDArray[Any]
    tokens: NDArray[Any]
    held_out: NDArray[Any]
    held_out_tokens: NDArray[Any]
    text_tokens: int = 77
    name: str = "scorer"

    def load_batch(self, step: int, count: int, noise: torch.Generator) -> Mapping[str, Tensor]:
        """Pick pictures and one paraphrase each."""
        del step
        among = min(len(self.pictures), len(self.tokens))
        picks = torch.randint(0, among, (count,), generator=noise, device=noise.device).cpu().numpy()
        ways = torch.randint(0, self.tokens.shape[1], (count,), generator=noise, device=noise.device).cpu().numpy()
        tokens = self.tokens[picks, ways, : self.text_tokens].astype(np.int64)
        return {"pixels": load_pixels(self.pictures, picks), "tokens": torch.from_numpy(tokens)}

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: torch.Generator
    ) -> dict[str, Tensor]:
        """Tell each picture's caption from the others of the batch, and each caption's picture."""
        del noise
        tokens = batch["tokens"]
        scores = compare_pairs(networks["clip"], batch["pixels"], tokens)
        # Two pictures of a batch can share a caption: neither is then the other's wrong answer.
        same = (tokens[:, None] == tokens[None]).all(dim=2)
        scores = scores.masked_fill(same & ~torch.eye(len(tokens), dtype=torch.bool, device=tokens.device), -1e4)
        right = torch.arange(len(tokens), device=tokens.device)
        return {"loss": 0.5 * (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right))}

    @torch.no_grad()
    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Measure how often the right caption among 256 is first, on held-out pictures."""
        device = next(networks.parameters()).device
        count = min(VALIDATION_ROWS, len(self.held_out))
        pixels = load_pixels(self.held_out, range(count)).to(device)
        tokens = torch.from_numpy(self.held_out_tokens[:count, 0].astype(np.int64)).to(device)
        scores = compare_pairs(networks["clip"], pixels, tokens)
        right = torch.arange(count, device=device)
        ranks = (scores > scores.diagonal()[:, None]).sum(dim=1)
        return {
            "loss": float(F.cross_entropy(scores, right)),
            "first_right": float((ranks == 0).float().mean()),
            "first_five_right": float((ranks < 5).float().mean()),
        }

    def draw_grid(self, networks: nn.ModuleDict) -> Image.Image | None:
        """Draw nothing: a scorer makes no pictures."""
        del networks


def compare_pairs(clip: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """Return the scaled cosine of every picture [B, 3, H, W] with every caption [B, T]: [B, B]."""
    dtype = next(clip.parameters()).dtype
    pictures = clip.visual_projection(clip.vision_model(pixel_values=pixels.to(dtype)).pooler_output)
    captions = clip.text_projection(clip.text_model(input_ids=tokens).pooler_output)
    scale = clip.logit_scale.float().clamp(max=LARGEST_SCALE).exp()
    return scale * F.normalize(pictures.float(), dim=1) @ F.normalize(captions.float(), dim=1).T
