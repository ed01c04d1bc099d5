"""Seconds and peak memory of a render by part: opening, base, levels, encoding and decoding.

For a process that measures: it restarts the count of the peak at every border, and listens to the autoencoder. Knows no
request. Start reading at `Meter`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sfumato.core.memory import give_back_memory, read_memory, restart_peak_memory
from sfumato.models.latent_model import LatentModel

ENCODE, DECODE, OPEN = "encode", "decode", "open the model, first step"
_CALLS = {"encode_image": ENCODE, "encode_into": ENCODE, "decode": DECODE, "decode_into": DECODE}


@dataclass(kw_only=True)
class PartCost:
    """Add up what one part took: seconds by the clock and of the processor, and the most bytes held in it."""

    seconds: float = 0.0
    processor_s: float = 0.0
    peak_bytes: int = 0
    host_peak_bytes: int = 0


@dataclass(eq=False)
class Meter:
    """Give everything since the last border to the part that ends now. A leaf."""

    device: torch.device
    parts: dict[str, PartCost] = field(default_factory=dict[str, PartCost])
    _marked: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._marked = (time.monotonic(), time.process_time())
        self._restart()

    def mark(self, name: str) -> None:
        """End a part, or a piece of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now, processor = time.monotonic(), time.process_time()
        part = self.parts.setdefault(name, PartCost())
        part.seconds += now - self._marked[0]
        part.processor_s += processor - self._marked[1]
        host = read_memory("VmHWM")
        peak = int(torch.cuda.max_memory_allocated(self.device)) if self.device.type == "cuda" else host
        part.peak_bytes, part.host_peak_bytes = max(part.peak_bytes, peak), max(part.host_peak_bytes, host)
        self._marked = (time.monotonic(), time.process_time())
        self._restart()

    def weigh(self) -> int:
        """Return the bytes held now."""
        return int(torch.cuda.memory_allocated(self.device)) if self.device.type == "cuda" else read_memory("VmRSS")

    def _restart(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        restart_peak_memory()


@contextmanager
def listening(meter: Meter, name_now: Callable[[], str]) -> Generator[None]:
    """Give what the autoencoder of any model takes to its own parts, while open; `name_now` names what goes on around it."""
    with ExitStack() as replaced:
        for name, part in _CALLS.items():
            heard = _listen(getattr(LatentModel, name), meter, name_now, part)
            replaced.enter_context(replacing(LatentModel, name, heard))
        yield


@contextmanager
def replacing(owner: object, name: str, value: object) -> Generator[None]:
    """Replace something by name while open."""
    inner = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, inner)


def _listen(call: Callable[..., Any], meter: Meter, name_now: Callable[[], str], part: str) -> Callable[..., Any]:
    def heard(*args: Any, **named: Any) -> Any:
        meter.mark(name_now())
        try:
            return call(*args, **named)
        finally:
            meter.mark(part)

    return heard


def weigh_tree(folder: Path) -> int:
    """Return the bytes of disk that the files below a folder take; a file that goes meanwhile takes none."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def start_weighing(device: torch.device) -> int | None:
    """Restart the count of the peak and return the bytes held now; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    give_back_memory()
    return read_memory("VmRSS") if device.type == "cpu" and restart_peak_memory() else None


def weigh_peak(device: torch.device) -> int:
    """Return the most bytes held since `start_weighing`."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else read_memory("VmHWM")
