"""Run a denoiser in float32 for a while, where half precision gave no numbers.

Knows the module and its policy. Start reading at `full_precision`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sfumato.models.contract import LatentModel


@contextmanager
def full_precision(model: LatentModel) -> Generator[None]:
    """Compute in float32 while open; the weights are bit-identical afterwards, as float32 holds every half.

    Cost: memory for the weights in float32, and twice the time to convert them.
    """
    policy = model.policy
    if policy.unet_dtype == torch.float32:
        yield
        return
    model.unet.to(torch.float32)
    model.policy = replace(policy, unet_dtype=torch.float32)
    try:
        yield
    finally:
        model.unet.to(policy.unet_dtype)
        model.policy = policy
