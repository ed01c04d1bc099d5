"""A trained parser: square crops of hands in; where each digit, segment and nail is, and answers about the hand, out.

Kept as a folder: `parser.safetensors.xz` (fp16 weights) and `parser.json` (shape, and how far evidence is believed). Knows
neither world nor training. Start reading at `Parser.read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sfumato.core.errors import RequestError
from sfumato.critic.anatomy.belief import Beliefs
from sfumato.critic.anatomy.labels import CROP_PX
from sfumato.critic.anatomy.network import Parsed, ParserNetwork, ParserShape
from sfumato.critic.network_files import NetworkFiles

SHIPPED = Path(__file__).parents[2] / "data" / "mini" / "parser"
FILES = NetworkFiles("parser")
BATCH = 16

Maps = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HandMaps:
    """Hold what the parser sees on one crop: probabilities, one cell for 2 x 2 px of the crop.

    `parts` [7, h, w] follow `labels.PARTS`, `digits` [6, h, w] follow `labels.DIGITS` and hold where there is a digit.
    `tips` and `cores` [h, w] light up at fingertips and along the middle of digits. `answers` hold the logits of
    `network.ANSWERS`.
    """

    parts: Maps
    digits: Maps
    tips: Maps
    cores: Maps
    answers: Mapping[str, Maps]


@dataclass(frozen=True, eq=False)
class Parser:
    """Read hands with one network. A leaf."""

    network: ParserNetwork
    shape: ParserShape
    beliefs: Beliefs = field(default_factory=Beliefs)

    def read(self, crops: NDArray[np.uint8]) -> list[HandMaps]:
        """Read square crops, uint8 RGB [N, 128, 128, 3], each twice: as it is, and in a mirror.

        Raises:
            RequestError: the crops have another shape or type.
        """
        if crops.ndim != 4 or crops.shape[1:] != (CROP_PX, CROP_PX, 3) or crops.dtype != np.uint8:
            do = f"Cut them to {CROP_PX} px."
            raise RequestError("the parser reads square uint8 RGB crops", got=(crops.shape, str(crops.dtype)), do=do)
        found: list[HandMaps] = []
        for start in range(0, len(crops), BATCH):
            found += self._look(crops[start : start + BATCH])
        return found

    @torch.inference_mode()
    def _look(self, crops: NDArray[np.uint8]) -> list[HandMaps]:
        weight = next(self.network.parameters())
        pixels = torch.from_numpy(np.require(crops, requirements=["C", "W"])).to(weight.device).permute(0, 3, 1, 2)
        pixels = pixels.to(weight.dtype).div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
        plain, mirrored = self.network(pixels), _mirror(self.network(pixels.flip(3)))
        maps = [
            (0.5 * (_soften(one) + _soften(other))).cpu().numpy()
            for one, other in zip(plain[:4], mirrored[:4], strict=True)
        ]
        answers = {
            name: (0.5 * (value + mirrored.answers[name])).float().cpu().numpy()
            for name, value in plain.answers.items()
        }
        return [
            HandMaps(
                maps[0][row],
                maps[1][row],
                maps[2][row, 0],
                maps[3][row, 0],
                {name: value[row] for name, value in answers.items()},
            )
            for row in range(len(crops))
        ]


def _soften(logits: torch.Tensor) -> torch.Tensor:
    """Return probabilities of maps: of one thing among several, or of one thing or nothing."""
    return logits.float().softmax(1) if logits.shape[1] > 1 else logits.float().sigmoid()


def _mirror(parsed: Parsed) -> Parsed:
    """Return what was seen in a mirror as seen without: maps turned back, left for right."""
    answers = {name: -value if name == "right" else value for name, value in parsed.answers.items()}
    return Parsed(parsed.parts.flip(3), parsed.digits.flip(3), parsed.tips.flip(3), parsed.cores.flip(3), answers)


def make_parser(shape: ParserShape | None = None, *, seed: int = 0) -> Parser:
    """Make an untrained parser."""
    shape = shape or ParserShape()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ParserNetwork(shape)
    return Parser(network.to(memory_format=torch.channels_last).eval(), shape)  # pyright: ignore[reportCallIssue]


def has_parser(folder: Path | None = None) -> bool:
    """Tell whether there is a trained parser in a folder, or the one that ships with `mini`."""
    return ((folder or SHIPPED) / FILES.config).is_file()


def save_parser(parser: Parser, folder: Path) -> None:
    """Write a parser as fp16 weights and a JSON configuration.

    Raises:
        StorageError: the folder cannot be written.
    """
    config = {"shape": asdict(parser.shape), "beliefs": parser.beliefs.to_json()}
    FILES.write(folder, config, parser.network.state_dict())


def load_parser(folder: Path | None = None) -> Parser:
    """Load a parser's folder, or the one that ships with `mini`.

    Raises:
        ModelError: a file is missing, or the parts do not fit together.
        UnsafeFileError: the weights file breaks the rules of the gate.
    """
    folder = folder or SHIPPED
    config = FILES.read_config(folder)
    with FILES.fitting():
        half, quarter, eighth, deep = (int(width) for width in config["shape"]["widths"])
        shape = ParserShape((half, quarter, eighth, deep), int(config["shape"]["answers"]))
        made = make_parser(shape)
        made.network.load_state_dict(FILES.read_weights(folder))
        return Parser(made.network, shape, Beliefs.from_json(config["beliefs"]))
