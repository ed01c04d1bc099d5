"""A quick look at latents before they are decoded: one linear map from cells to colours.

The map is fitted on the spot to whatever autoencoder the model has, by encoding known colours, so
no table of published factors is needed. Knows no sampler. Start reading at `Preview.draw`.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch

from sfumato.render.sampling.pixels import to_picture

if TYPE_CHECKING:
    from jaxtyping import Float
    from PIL.Image import Image
    from torch import Tensor

    from sfumato.models.latent_model import LatentModel

# Colours the map is fitted to: every corner, edge and middle of the colour cube.
_LEVELS = (-0.9, 0.0, 0.9)
# A swatch of so many cells; the outermost cell on each side sees the border and is left out.
_SWATCH_CELLS = 4
# A tiny autoencoder decodes this much faster than a step takes; there the preview is the picture.
_MOST_DECODED_CELLS = 64 * 64


class Preview:
    """Draw latents as a small picture, one pixel per latent cell, or decoded where that is cheap."""

    def __init__(self, model: LatentModel) -> None:
        self._model = model
        self._map: Tensor | None = None

    def draw(self, latents: Float[Tensor, "1 channels h w"]) -> Image:
        """Return the picture that latents will about become."""
        if self._model.contract.autoencoder == "tiny" and latents[0, 0].numel() <= _MOST_DECODED_CELLS:
            return to_picture(self._model.decode(latents))
        if self._map is None:
            self._map = fit_colours(self._model)
        flat = latents[0].flatten(1).T.float()
        colours = torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1) @ self._map
        return to_picture(colours.T.reshape(1, 3, *latents.shape[-2:]))


def fit_colours(model: LatentModel) -> Float[Tensor, "channels+1 3"]:
    """Fit colour = latent cell @ matrix + offset by least squares over flat swatches."""
    side = _SWATCH_CELLS * model.contract.factor
    colours = torch.tensor(list(product(_LEVELS, repeat=3)))
    swatches = colours[:, :, None, None].expand(-1, -1, side, side).contiguous()
    cells = model.encode_image(swatches.to(model.device))[:, :, 1:-1, 1:-1].mean(dim=(2, 3)).float()
    rows = torch.cat([cells, torch.ones_like(cells[:, :1])], dim=1)
    # Four channels cannot carry 27 colours exactly; a little damping keeps a degenerate encoder from exploding.
    damping = 1e-4 * torch.eye(rows.shape[1], device=rows.device)
    return torch.linalg.solve(rows.T @ rows + damping, rows.T @ colours.to(rows.device))
