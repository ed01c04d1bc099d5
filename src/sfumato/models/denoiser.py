"""One forward pass of the UNet: from sigma space to the network's own numbers, and back to x0.

Knows the parametrisations (epsilon, v, sample); no guidance, sampler or canvas.
Start reading at `predict_clean`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import ModelError
from sfumato.models.control.residuals import sum_residuals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sfumato.models.contract import ModelContract, Prediction
    from sfumato.models.control.residuals import ControlInput
    from sfumato.models.hardware.policy import Policy
    from sfumato.models.text.conditioning import ConditioningPart


def predict_clean(
    unet: Any,
    x: Tensor,
    sigma: float | Tensor,
    parts: Sequence[ConditioningPart],
    *,
    contract: ModelContract,
    policy: Policy,
    controls: Sequence[ControlInput] = (),
    wanted: int | None = None,
) -> list[Tensor]:
    """Predict x0 [B, C, h, w] float32 for each part, all in one batch.

    `controls` add what their networks see in pictures [B, 3, 8h, 8w]. The first `wanted` parts are prompts (None: all),
    the others what guidance points away from.

    Raises:
        ModelError: a prediction is not finite.
    """
    batch, count = x.shape[0], len(parts)
    sigmas = torch.as_tensor(sigma, dtype=torch.float32).cpu().reshape(-1).expand(batch)
    # Not rounded: the UNet's timestep embedding is a smooth function of t.
    times = torch.from_numpy(contract.schedule.sigma_to_t(sigmas.numpy())).to(policy.device)
    level = sigmas.to(policy.device)[:, None, None, None]
    seen = x / (level.square() + 1).sqrt()
    sample = seen.repeat(count, 1, 1, 1).to(policy.unet_dtype, memory_format=policy.memory_format)
    words = {
        "encoder_hidden_states": _spread([part.hidden for part in parts], batch).to(policy.unet_dtype),
        "added_cond_kwargs": _size_words(parts, batch, policy.unet_dtype),
    }
    prompts = batch * (count if wanted is None else wanted)
    added = sum_residuals(controls, sample, times.repeat(count), words, prompts=prompts)
    out = unet(sample, times.repeat(count), **words, **added, return_dict=False)[0].float()
    if not bool(torch.isfinite(out.sum())):
        raise ModelError("the denoiser gave numbers that are no picture", do="Try `dtype` fp32 or bf16.")
    return [to_clean(x, half, level, contract.prediction) for half in out.chunk(count)]


def to_clean(x: Tensor, out: Tensor, sigma: Tensor, prediction: Prediction) -> Tensor:
    """Turn what the network predicts at x = x0 + sigma * noise into x0.

    With alpha = 1 / (sigma^2 + 1), the network sees z = sqrt(alpha) x0 + sqrt(1 - alpha) noise, and
    v = sqrt(alpha) noise - sqrt(1 - alpha) x0.

    Source: Salimans and Ho 2022, "Progressive Distillation", section 4 and appendix D.
    """
    if prediction == "sample":
        return out
    if prediction == "epsilon":
        return x - sigma * out
    scale = sigma.square() + 1
    return x / scale - sigma / scale.sqrt() * out


def _spread(rows: list[Tensor], batch: int) -> Tensor:
    """Repeat each row [1, ...] for the whole batch, part after part."""
    return torch.cat([row.expand(batch, *row.shape[1:]) for row in rows])


def _size_words(parts: Sequence[ConditioningPart], batch: int, dtype: torch.dtype) -> dict[str, Any] | None:
    pooled = [part.pooled for part in parts if part.pooled is not None]
    records = [part.time_ids for part in parts if part.time_ids is not None]
    if not pooled:
        return None
    assert len(pooled) == len(records) == len(parts), "SDXL needs both for every part"
    return {"text_embeds": _spread(pooled, batch).to(dtype), "time_ids": _spread(records, batch).to(dtype)}
