"""Whether a starting picture is like the world of `mini`: how much of it mini's autoencoder loses.

mini has seen drawn scenes alone. What it cannot even encode, it redraws as one of its own. Knows a picture and a model;
no request. Start reading at `describe_unlike`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.latent_model import LatentModel

# mini's native side.
_SIDE_PX = 128
# @CAL@
LEAST_DB = 24.0


def describe_unlike(model: LatentModel, picture: Image.Image) -> str:
    """Return a sentence for a picture that is unlike mini's world; empty for one that is like it.

    Costs about 50 ms.
    """
    found = measure_likeness(model, picture)
    if found >= LEAST_DB:
        return ""
    return (
        f"the starting picture is not like mini's world: its autoencoder keeps {found:.1f} dB of it, and {LEAST_DB:g} or "
        "more of its own scenes. Fine detail will be redrawn as mini draws. Name a checkpoint that knows such pictures"
    )


def measure_likeness(model: LatentModel, picture: Image.Image) -> float:
    """Return the PSNR in dB of the middle of a picture, at mini's native size, behind mini's autoencoder."""
    small = ImageOps.fit(picture.convert("RGB"), (_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 127.5 - 1.0
    again = _pass_autoencoder(model, pixels)
    mean = float((again.clamp(-1.0, 1.0) - pixels).square().mean())
    return 99.0 if mean == 0.0 else float(10.0 * np.log10(4.0 / mean))


@torch.inference_mode()
def _pass_autoencoder(model: LatentModel, pixels: Tensor) -> Tensor:
    return model.decode(model.encode_image(pixels)).float().cpu()
