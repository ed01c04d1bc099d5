"""A trained detector: pictures of any size in; people, faces, hands and houses with boxes and confidences out.

Kept as a folder: `detector.safetensors.xz` (fp16 weights) and `detector.json` (shape, how far scores are believed). Knows neither
world nor training. Start reading at `Detector.find`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sfumato.core.errors import RequestError
from sfumato.critic.detector.boxes import Boxes, keep_strongest, measure_sides
from sfumato.critic.detector.calibration import ScoreCalibration
from sfumato.critic.detector.network import CELL_PX, DEEPEST_CELL_PX, KINDS, DetectorNetwork, DetectorShape, Kind
from sfumato.critic.detector.pyramid import TILE_PX, Picture, Tile, find_sizes, list_levels, list_tiles
from sfumato.critic.network_files import NetworkFiles

SHIPPED = Path(__file__).parents[2] / "data" / "mini" / "detector"
FILES = NetworkFiles("detector")
# Two boxes of a kind that share more than this of their union are the same object.
MOST_COVER = 0.5
# Centres fainter than 5 % are noise whatever is believed of them, and there are thousands.
LEAST_LOGIT = -3.0

Scored = tuple[Boxes, NDArray[np.float32]]
"""Boxes [n, 4] in px and their scores [n] (logits, not yet probabilities), the highest first."""


@dataclass(frozen=True, slots=True)
class Detection:
    """Hold one object: its kind, its box (left, top, right, bottom, px of the picture) and how likely it is right."""

    kind: Kind
    box: tuple[float, float, float, float]
    confidence: float


@dataclass(frozen=True, eq=False)
class Detector:
    """Find people, faces, hands and houses with one network. A leaf."""

    network: DetectorNetwork
    shape: DetectorShape
    calibration: Mapping[Kind, ScoreCalibration] = field(
        default_factory=lambda: {kind: ScoreCalibration() for kind in KINDS}
    )

    def find(self, picture: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Find objects of at least 8 px in a uint8 RGB picture [H, W, 3] of any size; the surest first.

        Raises:
            RequestError: the picture has another shape or type, or no pixel.
        """
        found: list[Detection] = []
        for kind, (boxes, scores) in self.score(picture).items():
            sure = self.calibration[kind].believe(scores)
            for place in np.flatnonzero(sure >= self.calibration[kind].least):
                left, top, right, bottom = (float(side) for side in boxes[place])
                found.append(Detection(kind, (left, top, right, bottom), float(sure[place])))
        return tuple(sorted(found, key=lambda detection: -detection.confidence))

    def score(self, picture: NDArray[np.uint8], *, tile_px: int = TILE_PX) -> dict[Kind, Scored]:
        """Return every candidate by kind, however doubtful, once; `find` keeps those that are believed.

        Raises: as `find`.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.size == 0:
            raise RequestError("the detector looks at uint8 RGB pictures", got=(picture.shape, str(picture.dtype)))
        gathered: dict[Kind, list[Scored]] = {kind: [] for kind in KINDS}
        for reduction, level in list_levels(picture):
            low, high = find_sizes(reduction)
            for tile in list_tiles((level.shape[1], level.shape[0]), tile_px):
                for kind, (boxes, scores) in self._look(level, tile).items():
                    sides = measure_sides(boxes)
                    believed = (sides >= low) & (sides <= high)
                    gathered[kind].append((boxes[believed] * reduction, scores[believed]))
        return {kind: _join(parts, picture.shape[:2]) for kind, parts in gathered.items()}

    def _look(self, level: Picture, tile: Tile) -> dict[Kind, Scored]:
        """Return the candidates of one tile whose centres lie in its core, in px of the level."""
        left, top, right, bottom = tile.whole
        centres, sides = self._run(level[top:bottom, left:right])
        peaks = (centres == F.max_pool2d(centres, 3, stride=1, padding=1)) & (centres > LEAST_LOGIT)
        found: dict[Kind, Scored] = {}
        for number, kind in enumerate(KINDS):
            ys, xs = torch.nonzero(peaks[0, number], as_tuple=True)
            middle_x, middle_y = (xs + 0.5) * CELL_PX + left, (ys + 0.5) * CELL_PX + top
            far = sides[0, number, :, ys, xs]
            boxes = torch.stack((middle_x - far[0], middle_y - far[1], middle_x + far[2], middle_y + far[3]), dim=1)
            own = (middle_x >= tile.core[0]) & (middle_x < tile.core[2])
            own &= (middle_y >= tile.core[1]) & (middle_y < tile.core[3])
            found[kind] = (boxes[own].cpu().numpy(), centres[0, number, ys, xs][own].cpu().numpy())
        return found

    @torch.inference_mode()
    def _run(self, pixels: Picture) -> tuple[Tensor, Tensor]:
        """Run the network on part of a picture, made up to whole cells with grey as the network's own border is."""
        weight = next(self.network.parameters())
        # Pictures of Pillow may only be read, and PyTorch warns of those.
        ours = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        values = ours.to(weight.device).permute(2, 0, 1)[None]
        values = values.to(weight.dtype).div_(127.5).sub_(1)
        height, width = pixels.shape[:2]
        values = F.pad(values, (0, -width % DEEPEST_CELL_PX, 0, -height % DEEPEST_CELL_PX))
        centres, sides = self.network(values.contiguous(memory_format=torch.channels_last))
        return centres.float(), sides.float()


def _join(parts: list[Scored], size: tuple[int, int]) -> Scored:
    """Join what levels and tiles found: cut to the picture, one box per object."""
    boxes = np.concatenate([boxes for boxes, _ in parts])
    scores = np.concatenate([scores for _, scores in parts])
    height, width = size
    boxes = boxes.clip(0, np.array([width, height, width, height], np.float32))
    kept = keep_strongest(boxes, scores, MOST_COVER)
    return boxes[kept], scores[kept]


def make_detector(shape: DetectorShape | None = None, *, seed: int = 0) -> Detector:
    """Make an untrained detector."""
    shape = shape or DetectorShape()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DetectorNetwork(shape)
    return Detector(network.to(memory_format=torch.channels_last).eval(), shape)  # pyright: ignore[reportCallIssue]


def save_detector(detector: Detector, folder: Path) -> None:
    """Write a detector as fp16 weights and a JSON configuration.

    Raises:
        StorageError: the folder cannot be written.
    """
    calibration = {
        kind: {name: round(value, 4) for name, value in asdict(one).items()}
        for kind, one in detector.calibration.items()
    }
    config = {"shape": asdict(detector.shape), "trust": calibration}
    FILES.write(folder, config, detector.network.state_dict())


def load_detector(folder: Path | None = None, *, device: str = "cpu") -> Detector:
    """Load a detector's folder, or the one that ships with `mini`.

    Raises:
        ModelError: a file is missing, or the parts do not fit together.
        UnsafeFileError: the weights file breaks the rules of the gate.
    """
    folder = folder or SHIPPED
    config = FILES.read_config(folder)
    with FILES.fitting():
        shape = DetectorShape(tuple(config["shape"]["widths"]), int(config["shape"]["head"]))
        calibration = {
            kind: ScoreCalibration(**{name: float(v) for name, v in config["trust"][kind].items()}) for kind in KINDS
        }
        detector = replace(make_detector(shape), calibration=calibration)
        detector.network.load_state_dict(FILES.read_weights(folder))
    detector.network.to(device)
    return detector
