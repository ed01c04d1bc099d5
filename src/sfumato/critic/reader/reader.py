"""A trained reader: pictures in, words and confidences out.

Kept as a folder: `reader.safetensors.xz` (fp16 weights) and `reader.json` (shape, vocabulary,
temperatures). Knows neither world nor training. Start reading at `Reader.read`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfumato.core.errors import RequestError
from sfumato.critic.network_files import NetworkFiles
from sfumato.critic.reader.calibration import fit_temperature
from sfumato.critic.reader.network import ReaderNetwork, ReaderShape
from sfumato.critic.reader.questions import Vocabulary, Word

FILES = NetworkFiles("reader")
# Forward only: larger batches gain nothing on a CPU and cost memory.
BATCH = 32


@dataclass(frozen=True, eq=False)
class Readings:
    """Hold what a reader says of N pictures: `chosen` class indices and `confidence`, both [N, heads]."""

    vocabulary: Vocabulary
    chosen: NDArray[np.int64]
    confidence: NDArray[np.float32]
    features: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.chosen)

    def word(self, picture: int, head: str) -> Word:
        """Return the answer of a head about one picture."""
        return self.vocabulary.classes(head)[self.chosen[picture, self.vocabulary.names.index(head)]]

    def sureness(self, picture: int, head: str) -> float:
        """Return the calibrated probability of that answer."""
        return float(self.confidence[picture, self.vocabulary.names.index(head)])


@dataclass(frozen=True, eq=False)
class Reader:
    """Read pictures with one network. A leaf."""

    network: ReaderNetwork
    shape: ReaderShape
    vocabulary: Vocabulary
    temperatures: tuple[float, ...]

    def read(self, pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Readings:
        """Answer every question about uint8 pictures [N, H, W, 3] of the reader's size.

        Raises:
            RequestError: pictures of another size or type.
        """
        chosen, confidence, features = [], [], []
        for logits, described in self._run(pictures):
            shares = [(head.float() / t).softmax(1) for head, t in zip(logits, self.temperatures, strict=True)]
            best = [share.max(dim=1) for share in shares]
            chosen.append(torch.stack([b.indices for b in best], 1).numpy())
            confidence.append(torch.stack([b.values for b in best], 1).numpy())
            features.append(described.numpy())
        return Readings(self.vocabulary, np.concatenate(chosen), np.concatenate(confidence), np.concatenate(features))

    def calibrate(self, pictures: NDArray[np.uint8], answers: NDArray[np.int64]) -> Reader:
        """Return this reader with temperatures fitted on pictures whose answers [N, heads] are known."""
        runs = [logits for logits, _ in self._run(pictures)]
        known = torch.from_numpy(answers)
        joined = [torch.cat([run[i] for run in runs]) for i in range(len(self.temperatures))]
        return replace(self, temperatures=tuple(fit_temperature(head, known[:, i]) for i, head in enumerate(joined)))

    def _run(self, pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Iterator[tuple[list[Tensor], Tensor]]:
        px = self.shape.picture_px
        if len(pictures) == 0 or any(p.shape != (px, px, 3) or p.dtype != np.uint8 for p in pictures):
            got = (pictures[0].shape, str(pictures[0].dtype)) if len(pictures) else "none"
            raise RequestError(f"the reader reads uint8 RGB pictures of {px}x{px}", got=got)
        device = next(self.network.parameters()).device
        for start in range(0, len(pictures), BATCH):
            rows = np.stack([np.ascontiguousarray(p) for p in pictures[start : start + BATCH]])
            pixels = torch.from_numpy(rows).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            with torch.inference_mode():
                logits, features = self.network.answer(pixels)
            yield [head.cpu() for head in logits], features.cpu()


def make_reader(vocabulary: Vocabulary, shape: ReaderShape | None = None, *, seed: int = 0) -> Reader:
    """Make an untrained reader of a vocabulary."""
    shape = shape or ReaderShape()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ReaderNetwork(vocabulary.sizes, shape)
    return Reader(network.eval(), shape, vocabulary, (1.0,) * len(vocabulary.names))


def save_reader(reader: Reader, folder: Path) -> None:
    """Write a reader as fp16 weights and a JSON configuration.

    Raises:
        StorageError: the folder cannot be written.
    """
    config = {
        "shape": asdict(reader.shape),
        "vocabulary": reader.vocabulary.to_json(),
        "temperatures": [round(t, 4) for t in reader.temperatures],
    }
    FILES.write(folder, config, reader.network.state_dict())


def load_reader(folder: Path, *, device: str = "cpu") -> Reader:
    """Load a reader's folder.

    Raises:
        ModelError: a file is missing, or the parts do not fit together.
        UnsafeFileError: the weights file breaks the rules of the gate.
    """
    config = FILES.read_config(folder)
    with FILES.fitting():
        shape = ReaderShape(
            tuple(config["shape"]["widths"]), tuple(config["shape"]["blocks"]), config["shape"]["picture_px"]
        )
        vocabulary = Vocabulary.from_json(config["vocabulary"])
        temperatures = tuple(float(t) for t in config["temperatures"])
        reader = replace(make_reader(vocabulary, shape), temperatures=temperatures)
        reader.network.load_state_dict(FILES.read_weights(folder))
    reader.network.to(device)
    return reader
