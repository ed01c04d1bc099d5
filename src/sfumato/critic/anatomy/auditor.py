"""The auditor: a second opinion on a hand, by another network, from other features, that never chooses a repair.

The parser looks at colours and names every pixel. The auditor is blind to colour: it sees how steep the picture is in
eight directions, and answers for the whole crop how many digits show and whether something is wrong. Kept as a folder:
`auditor.safetensors` (fp16) and `auditor.json`. Knows neither world nor training. Start reading at `Auditor.look`.

Source: directions of slopes, normalised nearby, are the features of Dalal and Triggs 2005, "Histograms of Oriented
Gradients for Human Detection".
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sfumato.core.errors import ModelError, RequestError
from sfumato.core.files import open_regular, write_atomic
from sfumato.critic.anatomy.labels import CAUSES, CROP_PX, MOST_DIGITS
from sfumato.models.files.gate import check_weights_file
from sfumato.models.files.read_weights import read_tensors
from sfumato.models.files.write_weights import write_weights

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import NDArray
    from torch import Tensor

SHIPPED_AUDITOR = Path(__file__).parents[2] / "data" / "mini" / "auditor"
WEIGHTS_NAME, CONFIG_NAME = "auditor.safetensors", "auditor.json"
FORMAT = 1
LONGEST_CONFIG_BYTES = 1 << 20
QUESTIONS = {"count": MOST_DIGITS, "cause": len(CAUSES), "countable": 1}
"""Logits of each question about a crop."""
DIRECTIONS = 8
# Slopes are summed in cells of so many px, and measured against their mean over so many cells around: soft and harsh
# light then look alike. What is more than MOST_STEEP times steeper than that mean counts no more.
AUDIT_CELL_PX, NEARBY_CELLS, LEAST_SLOPE, MOST_STEEP = 4, 7, 0.02, 4.0
# How many kinds of spot are counted, and what brings their sums near the size of other features.
SPOTS, SPOT_SCALE = 12, 0.1
AUDIT_FEATURES = 3
_TRAIN = "Train it with sfumato train mini --stage auditor"
_LEAST = 1e-6


@dataclass(frozen=True)
class AuditorShape:
    """Say how wide the network is at 1/4, 1/8 and 1/16 of the crop, and how wide the layer of its answers."""

    widths: tuple[int, int, int] = (24, 40, 48)
    answers: int = 48


class _AuditorBlock(nn.Module):
    """Residual pair of a 3x3 convolution and a 1x1 one that starts as the identity. A leaf."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(width, width, 3, padding=1)
        self.thin = nn.Conv2d(width, width, 1)
        nn.init.kaiming_normal_(self.wide.weight, nonlinearity="relu")
        nn.init.zeros_(self.thin.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.thin(F.relu(self.wide(F.relu(x))))


class AuditorNetwork(nn.Module):
    """Answer questions about a crop of a hand from the directions of its slopes. A leaf."""

    def __init__(self, shape: AuditorShape | None = None) -> None:
        """Build the network."""
        super().__init__()
        shape = shape or AuditorShape()
        first, second, third = shape.widths
        self.quarter = nn.Sequential(nn.Conv2d(DIRECTIONS, first, 3, padding=1), _AuditorBlock(first))
        self.eighth = nn.Sequential(nn.Conv2d(first, second, 2, stride=2), _AuditorBlock(second), _AuditorBlock(second))
        self.deep = nn.Sequential(nn.Conv2d(second, third, 2, stride=2), _AuditorBlock(third))
        self.spots = nn.ModuleList([nn.Conv2d(first, SPOTS, 1), nn.Conv2d(second, SPOTS, 1)])
        seen = 2 * SPOTS + 2 * (second + third)
        self.answers = nn.Sequential(
            nn.Linear(seen, shape.answers), nn.ReLU(), nn.Linear(shape.answers, sum(QUESTIONS.values()))
        )

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Return the logits of `QUESTIONS`; pixels in [-1, 1], sides multiples of 16."""
        return self.answer(measure_directions(pixels))

    def answer(self, directions: Float[Tensor, "b 8 h4 w4"]) -> dict[str, Tensor]:
        """Return the logits of `QUESTIONS` from what `measure_directions` gave."""
        quarter = self.quarter(directions)
        eighth = self.eighth(F.relu(quarter))
        deep = self.deep(F.relu(eighth))
        # Digits are counted: each spot adds to a sum.
        sums = [
            spot(F.relu(level)).sigmoid().sum((2, 3)) * SPOT_SCALE
            for spot, level in zip(self.spots, (quarter, eighth), strict=True)
        ]
        pools = [pool for level in (eighth, deep) for pool in (level.mean((2, 3)), level.amax((2, 3)))]
        found = self.answers(torch.cat((*sums, *pools), dim=1))
        return dict(zip(QUESTIONS, found.split(tuple(QUESTIONS.values()), dim=1), strict=True))


def measure_directions(pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 8 h2 w2"]:
    """Return how steep grey rises in each of eight directions, against its surroundings, one cell for 4 x 4 px."""
    grey = pixels.mean(1, keepdim=True)
    framed = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = (framed[..., 1:-1, 2:] - framed[..., 1:-1, :-2]) / 2
    down = (framed[..., 2:, 1:-1] - framed[..., :-2, 1:-1]) / 2
    steep = (across.square() + down.square() + 1e-8).sqrt()
    cells = F.avg_pool2d(steep, AUDIT_CELL_PX)
    nearby = F.avg_pool2d(cells, NEARBY_CELLS, 1, NEARBY_CELLS // 2, count_include_pad=False) + LEAST_SLOPE
    turns = [2 * math.pi * number / DIRECTIONS for number in range(DIRECTIONS)]
    parts = [F.avg_pool2d(F.relu(math.cos(turn) * across + math.sin(turn) * down), AUDIT_CELL_PX) for turn in turns]
    return (torch.cat(parts, dim=1) / nearby).clamp(max=MOST_STEEP)


@dataclass(frozen=True)
class AuditorBeliefs:
    """Weigh the auditor's answers: fitted on hands used for nothing else.

    `fault` weighs the cause, the count and 1 (`list_audit_features`); `countable` is slope and offset of a logit. The
    auditor agrees to a hand whose fault is at most `most_fault`, and says that one is wrong from `least_fault` on.
    """

    fault: tuple[float, ...] = (1.0, 0.5, 0.0)
    countable: tuple[float, ...] = (1.0, 0.0)
    most_fault: float = 0.3
    least_fault: float = 0.7

    def to_json(self) -> dict[str, Any]:
        """Return the beliefs as JSON values, rounded."""
        return json.loads(json.dumps(asdict(self)), parse_float=lambda text: round(float(text), 5))

    @staticmethod
    def from_json(values: dict[str, Any]) -> AuditorBeliefs:
        """Read what `to_json` wrote; ValueError, KeyError or TypeError where it does not fit."""
        fault, countable = (tuple(float(value) for value in values[name]) for name in ("fault", "countable"))
        limits = [float(values[name]) for name in ("most_fault", "least_fault")]
        if (len(fault), len(countable)) != (AUDIT_FEATURES, 2):
            raise ValueError("another number of weights")
        if not all(math.isfinite(value) for value in (*fault, *countable, *limits)):
            raise ValueError("a weight is not finite")
        return AuditorBeliefs(fault, countable, *limits)


@dataclass(frozen=True)
class Opinion:
    """Hold what the auditor says of one hand: its number of digits, and the probabilities of a fault and of being countable."""

    digits: int
    fault: float
    countable: float

    def to_json(self) -> dict[str, float]:
        """Return the opinion as JSON values."""
        return asdict(self)


class SecondJudge(Protocol):
    """Confirm repairs: a trained auditor, or a counter that was never trained."""

    @property
    def most_fault(self) -> float:
        """Return up to which probability of a fault it lets a hand pass."""
        ...

    def ask(self, crops: NDArray[np.uint8], expected: int) -> Opinion:
        """Return one opinion on a hand from several crops of it; `expected` is how many digits a whole one has."""
        ...


@dataclass(frozen=True, eq=False)
class AuditorAnswers:
    """Hold the logits of one crop: `count` [8], `cause` [5], `countable` [1], float64."""

    count: NDArray[np.float64]
    cause: NDArray[np.float64]
    countable: float


@dataclass(frozen=True, eq=False)
class Auditor:
    """Look at hands with one network. A leaf."""

    network: AuditorNetwork
    shape: AuditorShape
    beliefs: AuditorBeliefs = field(default_factory=AuditorBeliefs)

    def look(self, crops: NDArray[np.uint8]) -> list[AuditorAnswers]:
        """Look at square crops, uint8 RGB [N, 128, 128, 3], each as it is and in a mirror.

        Raises:
            RequestError: the crops have another shape or type.
        """
        if crops.ndim != 4 or crops.shape[1:] != (CROP_PX, CROP_PX, 3) or crops.dtype != np.uint8:
            do = f"Cut them to {CROP_PX} px."
            raise RequestError(
                "the auditor looks at square uint8 RGB crops", got=(crops.shape, str(crops.dtype)), do=do
            )
        with torch.inference_mode():
            pixels = torch.from_numpy(np.require(crops, requirements=["C", "W"])).permute(0, 3, 1, 2)
            pixels = pixels.float().div_(127.5).sub_(1)
            plain, mirrored = self.network(pixels), self.network(pixels.flip(3))
            mean = {name: (0.5 * (plain[name] + mirrored[name])).double().numpy() for name in QUESTIONS}
        return [
            AuditorAnswers(mean["count"][row], mean["cause"][row], float(mean["countable"][row, 0]))
            for row in range(len(crops))
        ]

    @property
    def most_fault(self) -> float:
        """Return up to which probability of a fault it lets a hand pass."""
        return self.beliefs.most_fault

    def ask(self, crops: NDArray[np.uint8], expected: int) -> Opinion:
        """Return one opinion on a hand from several crops of it; `expected` is how many digits a whole one has."""
        return judge_answers(self.look(crops), self.beliefs, expected)


def judge_answers(answers: Sequence[AuditorAnswers], beliefs: AuditorBeliefs, expected: int) -> Opinion:
    """Weigh several looks at one hand."""
    counts = np.mean([_soften(one.count) for one in answers], axis=0)
    features = np.mean([list_audit_features(one, expected) for one in answers], axis=0)
    countable = float(np.mean([one.countable for one in answers]))
    return Opinion(
        digits=int(counts.argmax()),
        fault=_squash(float(features @ np.array(beliefs.fault))),
        countable=_squash(beliefs.countable[0] * countable + beliefs.countable[1]),
    )


def list_audit_features(answers: AuditorAnswers, expected: int) -> NDArray[np.float64]:
    """Return what speaks for a fault, float64 [3]: the cause, the count, and 1."""
    causes, counts = _soften(answers.cause), _soften(answers.count)
    return np.array([_logit(1.0 - float(causes[0])), _logit(1.0 - float(counts[expected])), 1.0])


def _soften(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _logit(probability: float) -> float:
    kept = min(max(probability, _LEAST), 1.0 - _LEAST)
    return math.log(kept / (1.0 - kept))


def _squash(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -50.0), 50.0)))


def make_auditor(shape: AuditorShape | None = None, *, seed: int = 1) -> Auditor:
    """Make an untrained auditor."""
    shape = shape or AuditorShape()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AuditorNetwork(shape)
    return Auditor(network.eval(), shape)


def has_auditor(folder: Path | None = None) -> bool:
    """Tell whether there is a trained auditor in a folder, or the one that ships with `mini`."""
    return ((folder or SHIPPED_AUDITOR) / CONFIG_NAME).is_file()


def save_auditor(auditor: Auditor, folder: Path) -> None:
    """Write an auditor as fp16 weights and a JSON configuration.

    Raises:
        StorageError: the folder cannot be written.
    """
    config = {"format": FORMAT, "shape": asdict(auditor.shape), "beliefs": auditor.beliefs.to_json()}
    write_weights(folder / WEIGHTS_NAME, auditor.network.state_dict())
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    write_atomic(folder / CONFIG_NAME, lambda stream: stream.write(text.encode()))


def load_auditor(folder: Path | None = None) -> Auditor:
    """Load an auditor's folder, or the one that ships with `mini`.

    Raises:
        ModelError: a file is missing, or the parts do not fit together.
        UnsafeFileError: the weights file breaks the rules of the gate.
    """
    folder = folder or SHIPPED_AUDITOR
    try:
        with open_regular(folder / CONFIG_NAME, what="the auditor's configuration") as stream:
            config = json.loads(stream.read(LONGEST_CONFIG_BYTES))
    except (RequestError, ValueError) as error:
        raise ModelError("there is no auditor of hands here", got=str(folder), do=f"{_TRAIN}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ModelError("the auditor was written by another version", got=str(folder), do=f"{_TRAIN} again.")
    try:
        first, second, third = (int(width) for width in config["shape"]["widths"])
        made = make_auditor(AuditorShape((first, second, third), int(config["shape"]["answers"])))
        made.network.load_state_dict(dict(read_tensors(check_weights_file(folder / WEIGHTS_NAME), torch.float32)))
        return Auditor(made.network, made.shape, AuditorBeliefs.from_json(config["beliefs"]))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelError("the auditor's files do not fit together", got=str(error), do=f"{_TRAIN} again.") from error
