"""Between uint8 pictures and float tensors, and sheets of pictures to look at.

It knows no network. Start reading at `load_pixels` and `draw_sheet`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor


def load_pixels(rows: NDArray[Any], picks: NDArray[Any] | Sequence[int]) -> Tensor:
    """Return the picked uint8 pictures as float32 [B, 3, H, W] in [-1, 1], channels last in memory."""
    chosen = np.ascontiguousarray(rows[np.asarray(picks)])
    return torch.from_numpy(chosen).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def draw_sheet(rows: Sequence[Tensor], *, gap_px: int = 2) -> Image.Image:
    """Lay out rows of pictures [B, 3, H, W] in [-1, 1] on one white sheet."""
    height, width = rows[0].shape[-2:]
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + gap_px), columns * (width + gap_px), 3), 255, np.uint8)
    for r, row in enumerate(rows):
        pixels = row.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().byte()
        for c, picture in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
            top, left = r * (height + gap_px), c * (width + gap_px)
            sheet[top : top + height, left : left + width] = picture
    return Image.fromarray(sheet)


def measure_psnr(ours: Tensor, truth: Tensor) -> float:
    """Return the mean over pictures of the peak signal-to-noise ratio in dB; both in [-1, 1]."""
    error = (ours.clamp(-1, 1) - truth).float().square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    return float((10 * torch.log10(4.0 / error)).mean())
