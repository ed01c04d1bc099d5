"""What the detector's network is trained for: bright centres, boxes that cover, and silence elsewhere.

Knows tensors, no picture and no world. Start reading at `measure_detection`; marks are rows of
(kind, left, top, right, bottom, counts) in px, kind -1 filling up, counts 0 where an answer is not asked.

Source: Gaussian targets and focal loss of centres, Law and Deng 2018, "CornerNet" (arXiv:1808.01244), eq. 1, as used by Zhou et al. 2019,
"Objects as Points"; boxes are learned where the Gaussian is high as in Liu et al. 2020, "Training-Time-Friendly Network"
(arXiv:1909.00700); generalised IoU, Rezatofighi et al. 2019 (arXiv:1902.09630).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sfumato.critic.detector.network import CELL_PX, KINDS, list_middles

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

MARK_FIELDS = 6
# Deviation of the Gaussian as a share of a side: 0.54 / 6, from Liu et al.
SPREAD_FRAC = 0.09
# A centre is no sharper than its own cell.
LEAST_SPREAD_CELLS = 0.4
# Exponents of the focal loss: sure answers, and cells near a centre, weigh little.
SURENESS_POWER, NEARNESS_POWER = 2.0, 4.0
# Cells that learn a box: those that could be taken for the centre.
BOX_FROM = 0.3
# Boxes against centres; the centres' loss is near 1 for most of training, the boxes' near 0.3.
BOX_WEIGHT = 2.0


@dataclass(frozen=True, eq=False)
class Targets:
    """Hold what a batch should give: `bright` [B, M, h, w] per mark, `heat` and `asked` [B, kinds, h, w]."""

    bright: Tensor
    heat: Tensor
    asked: Tensor


def make_targets(marks: Float[Tensor, "b m 6"], height: int, width: int) -> Targets:
    """Draw a Gaussian around every centre that counts and leave out what is not asked."""
    kinds, boxes, counts = marks[..., 0], marks[..., 1:5], marks[..., 5] > 0
    ys, xs = list_middles(height, marks.device), list_middles(width, marks.device)
    far = (
        _measure_far(boxes[..., 0], boxes[..., 2], xs)[:, :, None, :]
        + _measure_far(boxes[..., 1], boxes[..., 3], ys)[..., None]
    )
    bright = torch.exp(-0.5 * far) * ((kinds >= 0) & counts)[..., None, None]
    # A hole is a little larger than its box: what is found there may be off by a cell.
    inside = _is_inside(boxes, xs, ys) & ((kinds >= 0) & ~counts)[..., None, None]
    heat = torch.stack([_merge(bright, kinds == number) for number in range(len(KINDS))], dim=1)
    holes = torch.stack([_merge(inside.float(), kinds == number) for number in range(len(KINDS))], dim=1)
    return Targets(bright, heat, ((holes == 0) | (heat == 1.0)).float())


def measure_detection(centres: Tensor, sides: Tensor, marks: Tensor) -> dict[str, Tensor]:
    """Return the loss ("loss") and its parts for outputs of the network and marks [B, M, 6]."""
    targets = make_targets(marks, *centres.shape[-2:])
    heat = _measure_centres(centres.float(), targets)
    box = _measure_boxes(sides.float(), targets, marks)
    return {"loss": heat + BOX_WEIGHT * box, "centres": heat, "boxes": box}


def _measure_far(low: Tensor, high: Tensor, middles: Tensor) -> Tensor:
    """Return squared distances [B, M, n] of cells from the cell of a centre, in deviations."""
    spread = ((high - low) * SPREAD_FRAC).clamp_min(LEAST_SPREAD_CELLS * CELL_PX)
    # The centre's own cell is at distance zero exactly: there the target is 1.
    centre = (torch.floor((low + high) / (2 * CELL_PX)) + 0.5) * CELL_PX
    return ((middles - centre[..., None]) / spread[..., None]).square()


def _is_inside(boxes: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    left, top, right, bottom = (boxes[..., i, None] for i in range(4))
    across = (xs > left - CELL_PX) & (xs < right + CELL_PX)
    down = (ys > top - CELL_PX) & (ys < bottom + CELL_PX)
    return down[..., None] & across[..., None, :]


def _merge(maps: Tensor, chosen: Tensor) -> Tensor:
    """Return the largest of the chosen maps [B, h, w], 0 without any."""
    return (maps * chosen[..., None, None]).amax(dim=1)


def _measure_centres(logits: Tensor, targets: Targets) -> Tensor:
    heat, share = targets.heat, logits.sigmoid()
    centre = heat == 1.0
    found = (1 - share) ** SURENESS_POWER * F.logsigmoid(logits)
    quiet = (1 - heat) ** NEARNESS_POWER * share**SURENESS_POWER * F.logsigmoid(-logits)
    return -(torch.where(centre, found, quiet) * targets.asked).sum() / centre.sum().clamp_min(1)


def _measure_boxes(sides: Tensor, targets: Targets, marks: Tensor) -> Tensor:
    """Return the mean over objects of 1 - generalised IoU, each object's cells weighed by their brightness."""
    rows, numbers, ys, xs = torch.nonzero(targets.bright > BOX_FROM, as_tuple=True)
    if len(rows) == 0:
        return sides.sum() * 0.0
    ours = sides[rows, marks[rows, numbers, 0].long(), :, ys, xs]
    middle_x, middle_y = (xs + 0.5) * CELL_PX, (ys + 0.5) * CELL_PX
    boxes = torch.stack(
        (middle_x - ours[:, 0], middle_y - ours[:, 1], middle_x + ours[:, 2], middle_y + ours[:, 3]), dim=1
    )
    weight = targets.bright[rows, numbers, ys, xs]
    place = rows * marks.shape[1] + numbers
    total = torch.zeros(marks.shape[0] * marks.shape[1], device=marks.device).index_add_(0, place, weight)
    loss = (1 - compare_boxes(boxes, marks[rows, numbers, 1:5])) * weight / total[place]
    return loss.sum() / (total > 0).sum()


def compare_boxes(ours: Float[Tensor, "n 4"], truth: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """Return the generalised IoU of boxes in pairs, in (-1, 1]."""
    low, high = torch.maximum(ours[:, :2], truth[:, :2]), torch.minimum(ours[:, 2:], truth[:, 2:])
    both = (high - low).clamp_min(0).prod(dim=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(dim=1) for box in (ours, truth)]
    union = areas[0] + areas[1] - both
    hull = (torch.maximum(ours[:, 2:], truth[:, 2:]) - torch.minimum(ours[:, :2], truth[:, :2])).prod(dim=1)
    return both / union.clamp_min(1e-6) - (hull - union) / hull.clamp_min(1e-6)
