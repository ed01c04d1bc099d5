"""What a concept is trained on: the error on the subject, and the distance from the frozen base everywhere else.

Tensors in, tensors out, through one model's denoiser. Start reading at `ConceptLoss`.

Three terms: the denoiser's usual error where the mask is; outside the mask, and for prompts that do not name the
subject, the distance from what the frozen base predicts. The base itself is the target there, so no class pictures are
needed.

Sources: DreamBooth, Ruiz et al. 2022, section 3.3 (the aim of the last two); Laria et al. 2024, arXiv:2410.14159
(functional regularisation towards the frozen model); Hang et al. 2023, arXiv:2303.09556 (weights capped by
signal-to-noise ratio).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sfumato.core.errors import ModelError
from sfumato.models.text.encoder import size_condition

if TYPE_CHECKING:
    from sfumato.customize.methods.lora import LoraLayers
    from sfumato.customize.methods.oft import OftLayers
    from sfumato.models.latent_model import LatentModel

# As mini was trained: v's error counts as x0's times (ratio + 1), which at little noise is thousands for errors nobody sees.
RATIO_CAP = 20.0
# A subject that fills little of a picture counts up to so many times, cell by cell.
MOST_MASK_GAIN = 4.0


@dataclass(frozen=True, eq=False)
class NoisedBatch:
    """Hold latents [B, 4, h, w] with noise at `times` [B], what the network should predict, and a weight per row."""

    noised: Tensor
    times: Tensor
    target: Tensor
    weights: Tensor

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.times)

    def pick(self, rows: list[int]) -> NoisedBatch:
        """Return the rows at some places."""
        return NoisedBatch(self.noised[rows], self.times[rows], self.target[rows], self.weights[rows])

    def cut(self, rows: slice) -> NoisedBatch:
        """Return some of the rows."""
        return NoisedBatch(self.noised[rows], self.times[rows], self.target[rows], self.weights[rows])


@dataclass(frozen=True, eq=False, kw_only=True)
class ConceptLoss:
    """Measure rows of a batch with a model; `layers` are its LoRA or OFT, None where only vectors are trained."""

    model: LatentModel
    layers: LoraLayers | OftLayers | None = None

    def add_noise(self, latents: Tensor, times: Tensor, normal: Tensor) -> NoisedBatch:
        """Noise latents at whole timesteps.

        Source: Salimans and Ho 2022, appendix D (v).

        Raises:
            ModelError: the model predicts neither epsilon nor v.
        """
        contract = self.model.contract
        signal = torch.from_numpy(contract.schedule.alphas_cumprod).to(latents.device)[times]
        kept, lost = (share.sqrt().view(-1, 1, 1, 1) for share in (signal, 1 - signal))
        if contract.prediction == "epsilon":
            target, weights = normal, torch.ones_like(signal)
        elif contract.prediction == "v_prediction":
            target, weights = kept * normal - lost * latents, (RATIO_CAP * (1 - signal)).clamp(max=1.0)
        else:
            do = "Use a checkpoint that predicts epsilon or v."
            raise ModelError("concepts are not trained on this kind of model", got=contract.prediction, do=do)
        return NoisedBatch(kept * latents + lost * normal, times, target, weights)

    def noise_rows(self, latents: Tensor, noise: torch.Generator) -> NoisedBatch:
        """Add noise at levels spread evenly over the rows, the same whatever the device."""
        count, steps = len(latents), self.model.contract.schedule.steps
        shift = torch.rand(1, generator=noise)
        times = ((torch.arange(count) + shift) / max(count, 1) * steps).long().clamp(max=steps - 1)
        normal = torch.randn(latents.shape, generator=noise)
        return self.add_noise(latents, times.to(latents.device), normal.to(latents.device))

    def predict(self, batch: NoisedBatch, context: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Predict for each row with its context [B, tokens, width]; float32 [B, 4, h, w].

        `pooled` [B, projection] is the second text encoder's, for models that have one.
        """
        policy, contract = self.model.policy, self.model.contract
        words: dict[str, Tensor] | None = None
        if pooled is not None:
            sizes = size_condition(contract.native).to(policy.device)[None].expand(len(batch), -1)
            words = {"text_embeds": pooled.to(policy.unet_dtype), "time_ids": sizes}
        found = self.model.unet(
            batch.noised.to(policy.unet_dtype).contiguous(memory_format=policy.memory_format),
            batch.times,
            encoder_hidden_states=context.to(policy.unet_dtype),
            added_cond_kwargs=words,
            return_dict=False,
        )
        return found[0].float()

    @torch.no_grad()
    def predict_base(self, batch: NoisedBatch, context: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Predict as the frozen base does."""
        with nullcontext() if self.layers is None else self.layers.bypass():
            return self.predict(batch, context, pooled)


def join_batches(first: NoisedBatch, second: NoisedBatch) -> NoisedBatch:
    """Return the rows of one batch and then those of another."""
    names = ("noised", "times", "target", "weights")
    return NoisedBatch(*(torch.cat([getattr(first, name), getattr(second, name)]) for name in names))


def measure_subject(batch: NoisedBatch, found: Tensor, masks: Tensor) -> Tensor:
    """Return the weighted error of each row where its mask [B, 1, h, w] is: float32 [B]."""
    gain = (1 / masks.mean(dim=(1, 2, 3)).clamp(min=1e-3)).clamp(max=MOST_MASK_GAIN)
    error = ((found - batch.target).square() * masks).mean(dim=(1, 2, 3))
    return error * gain * batch.weights


def measure_distance(batch: NoisedBatch, found: Tensor, base: Tensor, shares: Tensor | None = None) -> Tensor:
    """Return the weighted distance of each row from the base's prediction, cells counted by `shares`: float32 [B]."""
    distance = (found - base).square()
    distance = distance if shares is None else distance * shares
    return distance.mean(dim=(1, 2, 3)) * batch.weights


def measure_drift(found: Tensor, base: Tensor) -> float:
    """Return how far predictions moved from the base's: mean squared distance over mean square, 0 for the same."""
    return float((found - base).square().mean() / base.square().mean().clamp(min=1e-12))
