"""Classifier-free guidance on clean predictions, and the AND of several prompts.

Works on x0 (the clean latents a denoiser predicts), any shape with the batch first. Knows no
model and no prompt. Start reading at `guide`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.core.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

# A prediction without any contrast has no scale to restore; below this its spread is rounding.
_LEAST_SPREAD = 1e-8


def guide(
    cond: Float[Tensor, "b *dims"],
    uncond: Float[Tensor, "b *dims"],
    scale: float,
    rescale: float = 0.0,
) -> Float[Tensor, "b *dims"]:
    """Push the prediction from `uncond` through `cond` by `scale`, then calm its contrast.

    scale 1 returns `cond`, 0 returns `uncond`. `rescale` (0..1) mixes in the same prediction with
    each picture's standard deviation set back to that of `cond`, which stops large scales from
    burning out.

    Raises:
        RequestError: `rescale` is outside 0..1.

    Source: Ho and Salimans 2022, eq. 6, written for x0; Lin et al. 2023, "Common Diffusion Noise
    Schedules and Sample Steps are Flawed", eq. 15 and 16.
    """
    guided = cond if scale == 1.0 else uncond + scale * (cond - uncond)
    return calm(guided, cond, rescale)


def calm(guided: Float[Tensor, "b *dims"], cond: Float[Tensor, "b *dims"], rescale: float) -> Float[Tensor, "b *dims"]:
    """Mix in the guided prediction with each picture's spread set back to that of `cond`; 0 changes nothing.

    Raises: as `guide`. Source: Lin et al. 2023, eq. 15 and 16.
    """
    if not 0.0 <= rescale <= 1.0:
        raise RequestError("guidance rescale lies between 0 and 1", got=rescale)
    if rescale == 0.0:
        return guided
    spread = _spread(guided).clamp_min(_LEAST_SPREAD)
    return guided * (rescale * _spread(cond) / spread + (1.0 - rescale))


def compose(
    conds: Sequence[Float[Tensor, "b *dims"]],
    weights: Sequence[float],
    uncond: Float[Tensor, "b *dims"],
) -> Float[Tensor, "b *dims"]:
    """Join the predictions of several prompts (AND) into the one that `guide` takes as `cond`.

    Returns uncond + sum_i w_i (cond_i - uncond); a negative weight pushes away from a prompt.

    Source: Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models", eq. 11.
    """
    assert len(conds) == len(weights) > 0, "one weight per prediction"
    if len(conds) == 1 and weights[0] == 1.0:
        return conds[0]
    joined = uncond.clone()
    for cond, weight in zip(conds, weights, strict=True):
        joined += weight * (cond - uncond)
    return joined


def _spread(x: Tensor) -> Tensor:
    """Standard deviation of each picture, shaped to multiply it."""
    return x.std(dim=tuple(range(1, x.ndim)), keepdim=True, correction=0)
