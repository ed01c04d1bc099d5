"""Guidance away from a concept in words, without training: the arithmetic of safe latent diffusion.

Works on predictions of the clean latents, any shape with the batch first. Knows no model and no prompt. Start reading at
`steer_away`.

Source: Schramowski et al. 2023, "Safe Latent Diffusion", eq. 3 to 8, written for x0; the strong setting of its table 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Steering:
    """Say how strongly a prediction is steered: `scale` and `threshold` choose where, `momentum` and `decay` how it lasts.

    The first `warm_up_frac` of the steps only gather momentum: layout stays.
    """

    scale: float = 2000.0
    threshold: float = 0.025
    momentum: float = 0.5
    decay: float = 0.7
    warm_up_frac: float = 0.2


def steer_away(
    wanted: Float[Tensor, "b *dims"],
    unconditional: Float[Tensor, "b *dims"],
    concept: Float[Tensor, "b *dims"],
    before: Float[Tensor, "b *dims"] | None,
    *,
    sigma: float,
    guidance: float,
    progress: float,
    how: Steering,
) -> tuple[Float[Tensor, "b *dims"], Float[Tensor, "b *dims"]]:
    """Return the guided x0 away from a concept, and the momentum for the next step; `before` is that of the last one.

    `progress` is the share of the steps that is done. Where the picture is not drawn towards the concept nothing changes.
    """
    import torch

    # The paper speaks of noise: of x = x0 + sigma * noise, noise goes up where x0 goes down.
    text, nothing, named = (-clean / sigma for clean in (wanted, unconditional, concept))
    apart = text - named
    share = (apart.abs() * how.scale).clamp(max=1.0)
    share = torch.where(apart >= how.threshold, torch.zeros_like(share), share)
    pull = share * (named - nothing)
    if before is not None:
        pull = pull + how.momentum * before
    kept = (1.0 - how.decay) * pull if before is None else how.decay * before + (1.0 - how.decay) * pull
    towards = text - nothing if progress < how.warm_up_frac else text - nothing - pull
    return unconditional - sigma * guidance * towards, kept
