"""The task of the parser, in the form that the training loop wants: tables of crops, turned and damaged at random.

Joins tables of crops with the critic's network. Start reading at `ParserTask.load_batch`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from sfumato.critic.anatomy.labels import CELL_PX, CROP_PX, DIGITS, PARTS, STATES
from sfumato.critic.reader.augment import blemish_pictures
from sfumato.lab.critic.examples import CORE_BIT, IGNORED, SOLID, UNKNOWN, HandExamples
from sfumato.train.pictures import draw_sheet
from sfumato.world.hands3d.labels import ARM, PALM, SLEEVE, digit_of_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Generator, Tensor, nn

    from sfumato.critic.anatomy.network import Parsed

# Shares of crops that are turned any way, a little, or not; finders set some hands upright and leave others.
ANY_TURN_SHARE, LITTLE_TURN_DEG = 0.3, 25.0
LEAST_ZOOM, MOST_ZOOM, MOST_SHIFT = 0.75, 1.25, 0.12
# Of a digit that loses more than this share of its skin by a shift, it cannot be said whether it is whole.
IN_FRAME_SHARE = 0.7
SMOOTH_SHARE, COARSE_SHARE, JPEG_SHARE = 0.12, 0.3, 0.25
JPEG_QUALITIES = (30, 95)
TIP_SIGMA_CELLS = 1.6
WEIGHTS = {
    "parts": 1.0, "digits": 0.5, "cores": 0.6, "tips": 1.0, "count": 0.5, "countable": 0.3, "cause": 0.5, "right": 0.15,
    "cartoon": 0.1, "hand": 0.1, "states": 0.3,
}  # fmt: skip
VALIDATION_BATCH = 64
IGNORE = -100


def _part_table() -> NDArray[np.int64]:
    table = np.zeros(64, np.int64)
    table[[ARM, SLEEVE]] = PARTS.index("arm")
    table[PALM] = PARTS.index("palm")
    for number in range(4, 22):
        table[number] = PARTS.index(f"segment{(number - 4) % 3 + 1}")
    table[22:28] = PARTS.index("nail")
    table[IGNORED] = IGNORE
    return table


def _digit_table() -> NDArray[np.int64]:
    digits = digit_of_part().astype(np.int64) - 1
    table = np.full(64, IGNORE, np.int64)
    table[: len(digits)] = np.where(digits >= 0, digits, IGNORE)
    return table


PART_TABLE, DIGIT_TABLE = torch.from_numpy(_part_table()), torch.from_numpy(_digit_table())


@dataclass(eq=False, kw_only=True)
class ParserTask:
    """Train `networks["parser"]` on several tables of crops, each as often as its share says. A leaf."""

    networks: nn.ModuleDict
    tables: Sequence[HandExamples]
    shares: Sequence[float]
    held_out: HandExamples
    name: str = "parser"

    def load_batch(self, step: int, count: int, noise: Generator) -> Mapping[str, Tensor]:
        """Pick `count` crops at random; turn, scale, shift and mirror them, and damage most of them a little."""
        del step
        rng = np.random.default_rng(int(torch.randint(0, 2**31, (1,), generator=noise, device=noise.device)))
        which = rng.choice(len(self.tables), count, p=np.array(self.shares) / sum(self.shares))
        picks = [(int(table), int(rng.integers(len(self.tables[table])))) for table in which]
        batch = stack_examples([self.tables[table].take(np.s_[row : row + 1]) for table, row in picks])
        batch = move_crops(batch, draw_moves(count, rng), rng)
        pixels = _press_some(roughen(blemish_pictures(batch["pixels"], noise), rng), rng)
        return batch | {"pixels": pixels.contiguous(memory_format=torch.channels_last)}

    def compute_losses(
        self, networks: nn.ModuleDict, batch: Mapping[str, Tensor], noise: Generator
    ) -> dict[str, Tensor]:
        """Look at the batch and compare with its labels."""
        del noise
        return measure_parsing(networks["parser"](batch["pixels"].to(next(networks.parameters()).dtype)), batch)

    @torch.no_grad()
    def measure_validation(self, networks: nn.ModuleDict) -> dict[str, float]:
        """Measure the losses on the held-out crops, and how often the count of countable hands is right."""
        found: dict[str, list[float]] = {}
        for start in range(0, len(self.held_out), VALIDATION_BATCH):
            rows = self.held_out.take(np.s_[start : start + VALIDATION_BATCH])
            batch = stack_examples([rows])
            device = next(networks.parameters()).device
            parsed: Parsed = networks["parser"](batch["pixels"].to(device))
            for name, value in measure_parsing(parsed, batch).items():
                found.setdefault(name, []).append(float(value))
            told = parsed.answers["count"].argmax(1).cpu().numpy()
            right = told == batch["count"].numpy()
            for kind, mask in (("drawn", rows.source != SOLID), ("solid", rows.source == SOLID)):
                found.setdefault(f"count_{kind}", []).extend(right[mask & rows.countable].astype(float).tolist())
        return {name: float(np.mean(values)) for name, values in found.items() if values}

    def draw_grid(self, networks: nn.ModuleDict) -> Image.Image:
        """Draw held-out crops with the parts that the network sees below them."""
        half = np.r_[0:8, len(self.held_out) - 8 : len(self.held_out)]
        batch = stack_examples([self.held_out.take(half)])
        with torch.no_grad():
            parsed: Parsed = networks["parser"](batch["pixels"])
        seen = parsed.parts.float().argmax(1, keepdim=True) / (len(PARTS) - 1) * 2 - 1
        maps = [
            F.interpolate(m.float().cpu(), scale_factor=CELL_PX).expand(-1, 3, -1, -1)
            for m in (seen, parsed.cores.sigmoid() * 2 - 1, parsed.tips.sigmoid() * 2 - 1)
        ]
        return draw_sheet([batch["pixels"], *maps])


def stack_examples(several: Sequence[HandExamples]) -> dict[str, Tensor]:
    """Return examples as tensors: pixels [B, 3, H, W] in [-1, 1], labels [B, H, W], and answers."""

    def join(name: str) -> NDArray[np.generic]:
        return np.concatenate([np.asarray(getattr(one, name)) for one in several])

    states = torch.from_numpy(join("states").astype(np.int64))
    hand = torch.from_numpy(join("hand").astype(np.bool_))
    # A crop in which another hand may be seen says nothing about counts.
    known = ~hand | (states != STATES.index("absent")).any(1)
    batch = {
        "pixels": torch.from_numpy(join("images")).permute(0, 3, 1, 2).float().div_(127.5).sub_(1),
        "labels": torch.from_numpy(join("labels").astype(np.int64)),
        "tips": torch.from_numpy(join("tips").astype(np.float32)),
        "states": states,
        "cause": _without_unknown(join("cause")),
        "countable": torch.from_numpy(join("countable").astype(np.float32)),
        "right": _without_unknown(join("right")),
        "cartoon": torch.from_numpy(join("cartoon").astype(np.float32)),
        "hand": hand.float(),
        "known": known,
    }
    return batch | {"count": _count(states)}


def _without_unknown(values: NDArray[np.generic]) -> Tensor:
    numbers = values.astype(np.int64)
    return torch.from_numpy(np.where(numbers == UNKNOWN, IGNORE, numbers))


def _count(states: Tensor) -> Tensor:
    return (states == STATES.index("visible")).sum(1)


def draw_moves(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one move of each crop: float32 [N, 2, 3], from where in the old crop ([-1, 1]) each new pixel comes."""
    anyhow = rng.random(count) < ANY_TURN_SHARE
    turns = np.radians(np.where(anyhow, rng.uniform(-180, 180, count), rng.normal(0, LITTLE_TURN_DEG / 2, count)))
    zoom = np.exp(rng.uniform(np.log(LEAST_ZOOM), np.log(MOST_ZOOM), count))
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    moves = np.zeros((count, 2, 3), np.float32)
    moves[:, 0, 0], moves[:, 0, 1] = np.cos(turns) * zoom * mirror, -np.sin(turns) * zoom
    moves[:, 1, 0], moves[:, 1, 1] = np.sin(turns) * zoom * mirror, np.cos(turns) * zoom
    moves[:, :, 2] = rng.uniform(-MOST_SHIFT, MOST_SHIFT, (count, 2))
    return moves


def move_crops(batch: dict[str, Tensor], moves: NDArray[np.float32], rng: np.random.Generator) -> dict[str, Tensor]:
    """Return the batch as seen through `moves`, its answers brought up to date."""
    matrices = torch.from_numpy(moves)
    grid = F.affine_grid(matrices, list(batch["pixels"].shape), align_corners=False)
    filled = _sample(batch["pixels"], grid, mode="bilinear", padding_mode="border")
    inside = (grid.abs() <= 1).all(3)[:, None]
    plain = torch.from_numpy(rng.uniform(-1, 1, (len(moves), 3, 1, 1)).astype(np.float32))
    flat = torch.from_numpy(rng.random(len(moves)) < 0.5)[:, None, None, None]
    pixels = torch.where(flat & ~inside, plain, filled)
    labels = _sample(batch["labels"][:, None].float(), grid, mode="nearest", padding_mode="zeros")[:, 0].long()
    inverse = torch.linalg.inv(torch.cat((matrices, torch.tensor([[[0.0, 0, 1]]]).expand(len(moves), 1, 3)), 1))
    spots = (batch["tips"] + 0.5) / (CROP_PX / 2) - 1
    tips = (torch.einsum("nij,nkj->nki", inverse[:, :2, :2], spots) + inverse[:, None, :2, 2] + 1) * (CROP_PX / 2) - 0.5
    return batch | {"pixels": pixels, "labels": labels, "tips": tips} | _answer_anew(batch, labels, tips, matrices)


def _sample(values: Tensor, grid: Tensor, *, mode: str, padding_mode: str) -> Tensor:
    return F.grid_sample(values, grid, mode=mode, padding_mode=padding_mode, align_corners=False)


def _answer_anew(batch: dict[str, Tensor], labels: Tensor, tips: Tensor, matrices: Tensor) -> dict[str, Tensor]:
    """Return states, count, whether the hand is countable, and which hand it is, after a move."""
    areas = matrices[:, :, :2].det().abs()
    before, after = _measure_digits(batch["labels"]), _measure_digits(labels) * areas[:, None]
    lost = (after < IN_FRAME_SHARE * before) & (before > 0)
    gone = ((tips < 0) | (tips >= CROP_PX)).any(2)
    states = batch["states"].clone()
    visible = states == STATES.index("visible")
    states[visible & (gone | lost)] = STATES.index("out-of-frame")
    whole = ~(visible & (gone | lost)).any(1)
    mirrored = matrices[:, :, :2].det() < 0
    right = torch.where(mirrored & (batch["right"] >= 0), 1 - batch["right"], batch["right"])
    # What was wrong with a hand that is cut now may lie outside.
    cause = torch.where(whole | (batch["cause"] == 0), batch["cause"], IGNORE)
    return {
        "states": states,
        "count": _count(states),
        "countable": batch["countable"] * whole,
        "right": right,
        "cause": cause,
    }


def _measure_digits(labels: Tensor) -> Tensor:
    """Return how many pixels each digit covers, float [B, digits]."""
    digits = DIGIT_TABLE[labels & (CORE_BIT - 1)]
    return torch.stack([(digits == number).flatten(1).sum(1) for number in range(len(DIGITS))], 1).float()


def roughen(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Show some crops as if they had been small, and some smoothed as renders are."""
    rows = []
    for crop in pixels.split(1):
        chance = rng.random()
        if chance < COARSE_SHARE:
            small = F.interpolate(crop, size=int(rng.integers(36, 110)), mode="bilinear", antialias=True)
            crop = F.interpolate(small, size=CROP_PX, mode="bicubic").clamp(-1, 1)
        elif chance < COARSE_SHARE + SMOOTH_SHARE:
            # A median of nine flattens skin and keeps edges, as few-step renders do.
            patches = F.unfold(F.pad(crop, (1, 1, 1, 1), mode="replicate"), 3).view(1, 3, 9, CROP_PX, CROP_PX)
            crop = patches.median(2).values
        rows.append(crop)
    return torch.cat(rows)


def _press_some(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    pressed = pixels.clone()
    for row in np.flatnonzero(rng.random(len(pixels)) < JPEG_SHARE):
        levels = pixels[row].add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
        stream = io.BytesIO()
        Image.fromarray(levels).save(stream, "JPEG", quality=int(rng.integers(*JPEG_QUALITIES)))
        again = np.array(Image.open(stream), np.uint8)
        pressed[row] = torch.from_numpy(again).permute(2, 0, 1).float().div_(127.5).sub_(1)
    return pressed


def measure_parsing(parsed: Parsed, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the losses of a batch by name, and their weighted sum as "loss"."""
    device = parsed.parts.device
    labels = batch["labels"].to(device)[:, CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX]
    ids = labels & (CORE_BIT - 1)
    parts, digits = PART_TABLE.to(device)[ids], DIGIT_TABLE.to(device)[ids]
    asked = (parts != IGNORE).float()
    cores = ((labels & CORE_BIT) > 0).float()
    tips = _draw_tips(batch["tips"].to(device), labels.shape[-1])
    answers = {name: value.float() for name, value in parsed.answers.items()}
    known = batch["known"].to(device)
    states = torch.where(known[:, None], batch["states"].to(device), IGNORE)
    losses = {
        "parts": F.cross_entropy(parsed.parts.float(), parts, weight=_part_weights(device), ignore_index=IGNORE),
        "digits": _mean_loss(
            F.cross_entropy(parsed.digits.float(), digits, ignore_index=IGNORE, reduction="none"), digits
        ),
        "cores": _weigh(F.binary_cross_entropy_with_logits(parsed.cores[:, 0].float(), cores, reduction="none"), asked),
        "tips": _measure_tips(parsed.tips[:, 0].float(), tips, asked),
        "count": _ask(answers["count"], torch.where(known, batch["count"].to(device), IGNORE)),
        "cause": _ask(answers["cause"], batch["cause"].to(device)),
        "states": _ask(answers["states"].reshape(-1, len(STATES)), states.reshape(-1)),
        "right": _ask_yes(answers["right"], batch["right"].to(device)),
        "countable": _ask_yes(answers["countable"], batch["countable"].to(device)),
        "cartoon": _ask_yes(answers["cartoon"], batch["cartoon"].to(device)),
        "hand": _ask_yes(answers["hand"], batch["hand"].to(device)),
    }
    return losses | {"loss": torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()}


def _part_weights(device: torch.device) -> Tensor:
    # Background is most of a crop and easy; nails are few pixels.
    return torch.tensor([0.5, 0.7, 1.0, 1.2, 1.2, 1.2, 2.5], device=device)


def _mean_loss(values: Tensor, targets: Tensor) -> Tensor:
    return values.sum() / (targets != IGNORE).sum().clamp_min(1)


def _weigh(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1)


def _draw_tips(tips: Tensor, side: int) -> Tensor:
    """Return a map with a bump of height 1 at each visible tip, [B, side, side]."""
    cells = torch.arange(side, device=tips.device, dtype=torch.float32)
    spots = (tips + 0.5) / CELL_PX - 0.5
    seen = torch.isfinite(spots).all(2) & ((spots > -1) & (spots < side)).all(2)
    spots = torch.where(seen[..., None], spots, -1e3)
    across = (-((cells - spots[..., :1]) ** 2) / (2 * TIP_SIGMA_CELLS**2)).exp()
    down = (-((cells - spots[..., 1:]) ** 2) / (2 * TIP_SIGMA_CELLS**2)).exp()
    return torch.einsum("bkx,bky->bkyx", across, down).amax(1)


def _measure_tips(logits: Tensor, wanted: Tensor, asked: Tensor) -> Tensor:
    """Return the focal loss of centre points (Zhou et al. 2019, arXiv:1904.07850), per tip."""
    sure = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    peak = (wanted > 0.95).float()
    there = -((1 - sure) ** 2) * sure.log() * peak
    away = -((1 - wanted) ** 4) * sure**2 * (1 - sure).log() * (1 - peak)
    return ((there + away) * asked).sum() / peak.sum().clamp_min(1) * 0.2


def _ask(logits: Tensor, wanted: Tensor) -> Tensor:
    return F.cross_entropy(logits, wanted, ignore_index=IGNORE, reduction="sum") / (wanted != IGNORE).sum().clamp_min(1)


def _ask_yes(logits: Tensor, wanted: Tensor) -> Tensor:
    known = (wanted >= 0).float()
    values = F.binary_cross_entropy_with_logits(logits[:, 0], wanted.float().clamp_min(0), reduction="none")
    return _weigh(values, known)
