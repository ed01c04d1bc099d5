"""What every checkpoint looks like to the rest of the program.

`ModelContract` is values only: a plan can be made from it without weights. `LatentModel` holds the
networks and answers four questions: encode a prompt, denoise, encode a picture, decode. It knows
no sampler, canvas, request or file. Start reading at `LatentModel.denoise`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from sfumato.core.errors import RequestError
from sfumato.nn.guidance import guide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from sfumato.core.geometry import PixelSize
    from sfumato.core.prompt import Part
    from sfumato.models.conditioning import Conditioning, ConditioningPart
    from sfumato.models.device import Policy
    from sfumato.nn.schedules import NoiseSchedule

Family = Literal["mini", "sd1", "sd2", "sdxl"]
Prediction = Literal["epsilon", "v_prediction", "sample"]


@dataclass(frozen=True)
class ModelContract:
    """State what a plan needs to know of a model, without its weights.

    `scaling` and `shift` map raw autoencoder latents to the unit-variance ones everybody else
    sees: (raw - shift) * scaling. `text_layer` says which hidden state feeds cross-attention.
    """

    family: Family
    name: str
    native: PixelSize
    prediction: Prediction
    schedule: NoiseSchedule
    text_width: int
    weights_bytes: int
    pooled_width: int = 0
    text_layer: Literal["last", "penultimate"] = "last"
    tokens: int = 77
    factor: int = 8
    latent_channels: int = 4
    scaling: float = 0.18215
    shift: float = 0.0
    autoencoder: Literal["kl", "tiny"] = "kl"


@dataclass(eq=False, kw_only=True)
class LatentModel:
    """Run one checkpoint. A leaf: nobody subclasses it.

    The networks are in evaluation mode on `policy.device`; latents and pixels go in and out as
    float32 whatever the networks compute in.
    """

    contract: ModelContract
    policy: Policy
    unet: Any
    vae: Any
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]

    @property
    def device(self) -> torch.device:
        """Where latents live."""
        return self.policy.device

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the denoiser."""
        return self.policy.unet_dtype

    def encode_prompt(self, parts: Sequence[Part], *, size: PixelSize, clip_skip: int = 1) -> Conditioning:
        """Encode the AND parts of a prompt for a picture of `size` pixels."""
        raise NotImplementedError

    @torch.inference_mode()
    def denoise(self, x: Tensor, sigma: float | Tensor, conditioning: Conditioning) -> Tensor:
        """Predict the clean latents x0 from x = x0 + sigma * noise.

        x is [B, 4, h, w] float32, sigma one number or [B]; returns float32 like x. Several AND
        parts are averaged by weight; guidance needs them apart: see `denoise_guided`.

        Raises:
            RequestError: the weights of several parts add up to zero or less.
        """
        if len(conditioning.parts) > 1 and conditioning.total_weight <= 0:
            raise RequestError("AND weights without guidance have to add up to more than zero")
        clean = self._denoise_parts(x, sigma, conditioning.parts)
        total = conditioning.total_weight if len(clean) > 1 else conditioning.parts[0].weight or 1.0
        if len(clean) == 1:
            return clean[0]
        return _weigh(clean, [part.weight / total for part in conditioning.parts])

    @torch.inference_mode()
    def denoise_guided(
        self,
        x: Tensor,
        sigma: float | Tensor,
        cond: Conditioning,
        uncond: Conditioning,
        guidance: float,
        *,
        rescale: float = 0.0,
    ) -> Tensor:
        """Predict x0 with classifier-free guidance, AND parts composed.

        x0 = uncond + guidance * sum_i w_i (cond_i - uncond); shapes as in `denoise`. A guidance of
        exactly 1 with one part of weight 1 skips the second pass, which cannot change the answer.

        Source: Ho and Salimans 2022, eq. 6; Liu et al. 2022, Composable Diffusion, eq. 11.
        """
        if guidance == 1.0 and len(cond.parts) == 1 and cond.parts[0].weight == 1.0:
            return self.denoise(x, sigma, cond)
        *clean, base = self._denoise_parts(x, sigma, (*cond.parts, *uncond.parts[:1]))
        weights = [part.weight for part in cond.parts]
        joined = base + _weigh([part - base for part in clean], weights)
        return guide(joined, base, guidance, rescale)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Encode pixels [B, 3, H, W] float32 in [-1, 1] to scaled latents [B, 4, H/8, W/8] float32."""
        raise NotImplementedError

    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [B, 4, h, w] to pixels [B, 3, 8h, 8w] float32, about [-1, 1]."""
        raise NotImplementedError

    def attach_lora(self, path: Path, weight: float, *, text_weight: float | None = None) -> Any:
        """Add a LoRA file; the returned `Attachment.detach()` restores the bits."""
        raise NotImplementedError

    def attach_embedding(self, path: Path, token: str | None = None) -> Any:
        """Add a textual-inversion file under a token; `Attachment.detach()` restores the bits."""
        raise NotImplementedError

    def _denoise_parts(
        self, x: Tensor, sigma: float | Tensor, parts: Sequence[ConditioningPart]
    ) -> list[Tensor]:
        raise NotImplementedError


def _weigh(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = values[0] * weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        total = total + value * weight
    return total
