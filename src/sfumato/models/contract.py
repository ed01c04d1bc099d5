"""What a plan needs to know of a model, without its weights.

Values only; knows no network. Start reading at `ModelContract`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sfumato.core.geometry import PixelSize
    from sfumato.nn.schedules import NoiseSchedule

Family = Literal["mini", "sd1", "sd2", "sdxl"]
Prediction = Literal["epsilon", "v_prediction", "sample"]
# What a user may say of a checkpoint that does not say it itself.
SaidPrediction = Literal["epsilon", "v"]


@dataclass(frozen=True)
class ModelContract:
    """State what a plan needs to know of a model, without its weights.

    `scaling` and `shift` map raw autoencoder latents to the unit-variance ones everybody else sees: (raw -
    shift) * scaling; `autoencoder_channels` is its width level by level. `text_layer` says which hidden
    state feeds cross-attention; `zero_empty` that an empty negative prompt is zeros instead of an encoded
    empty text. `parameters` counts the weights of all networks (0: not counted), `denoiser_parameters`
    those of one. `guidance` and `slice_strength` are what suits this model where a user asks for nothing
    else; `detail_words` tell it that a window shows a part.
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
    autoencoder_channels: tuple[int, ...] = (128, 256, 512, 512)
    zero_empty: bool = False
    denoiser_parameters: int = 0
    parameters: int = 0
    guidance: float = 7.0
    slice_strength: float = 0.35
    detail_words: str = ""
