"""Measure an ESRGAN network by rows beside spandrel's: seconds of the processor, share of the matmul rate, difference.

All rows run in turns in one process, so compare rows and not absolute times. Start reading at `run_bench_upscaler`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from skimage import data
from spandrel import ModelLoader
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sfumato.core.cards import align
from sfumato.core.validate import check_int
from sfumato.models.upscaler.find_upscaler import find_named
from sfumato.models.upscaler.rrdb import RrdbNetwork, find_rrdb_shape, rename_rrdb

_SMALLEST_PX, _LARGEST_PX = 16, 512
_MATMUL = 1024
# Rows that go in at once.
_ROWS = 32
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class UpscalerRow:
    """One way to run the network: the best seconds of the processor, the rate, and steps of 255 from spandrel's fp32."""

    name: str
    number_type: str
    processor_s: float
    tflops: float
    matmul_frac: float
    most_steps: int
    over_two_frac: float


@dataclass(frozen=True, kw_only=True)
class UpscalerBench:
    """What `sfumato bench upscaler` found."""

    rows: tuple[UpscalerRow, ...]
    command: str

    def to_line(self) -> str:
        """Write one line of JSON, the last that the command prints."""
        found = {"bench": "upscaler", "command": self.command, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(found, allow_nan=False)

    def to_text(self) -> str:
        """Write the table for people."""
        head = ("run", "processor s", "ratio", "TFLOP/s", "of matmul", "most steps", "over 2 steps")
        first = self.rows[0].processor_s
        rows = [
            (
                f"{row.name} {row.number_type}",
                f"{row.processor_s:.2f}",
                f"{first / row.processor_s:.2f}",
                f"{row.tflops:.3f}",
                f"{row.matmul_frac:.0%}",
                str(row.most_steps),
                f"{row.over_two_frac:.3%}",
            )
            for row in self.rows
        ]
        note = "note: of matmul: of the square product in the row's number type, measured in the same run"
        return "\n".join([*align([head, *rows]), note])


def run_bench_upscaler(upscaler: str, *, side: int = 64, rounds: int = 2) -> UpscalerBench:
    """Run a network on a square of scikit-image's astronaut: as spandrel does, and by rows, in fp32 and bf16.

    Raises:
        RequestError: the side is out of range.
        ModelError: the upscaler is not there.
    """
    check_int("the side", side, low=_SMALLEST_PX, high=_LARGEST_PX)
    found = find_named(upscaler)
    assert found.weights is not None, "the caller names a network"
    state = load_file(found.weights)
    pixels = np.array(data.astronaut()[:side, 180 : 180 + side])
    picture = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255.0
    runs = list[_UpscalerTry]()
    for number_type, dtype in _DTYPES.items():
        whole = ModelLoader(device="cpu").load_from_state_dict(dict(state)).model.eval()
        whole = whole.to(dtype).to(memory_format=torch.channels_last)
        taken = picture.to(dtype).contiguous(memory_format=torch.channels_last)
        runs.append(_UpscalerTry("spandrel, whole", number_type, partial(_run_whole, whole, taken)))
    plain = rename_rrdb(state)
    for number_type, dtype in _DTYPES.items() if find_rrdb_shape(plain) else ():
        network = RrdbNetwork(plain, dtype)
        runs.append(_UpscalerTry("ours, by rows", number_type, partial(_run_rows, network, picture)))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        exact = _to_steps(runs[0].call())
    rows = [_measure(run, counter.get_total_flops(), exact, rounds) for run in runs]
    command = f"sfumato bench upscaler --upscaler {Path(upscaler).name} --side {side}"
    return UpscalerBench(rows=tuple(rows), command=command)


@dataclass(frozen=True)
class _UpscalerTry:
    name: str
    number_type: str
    call: Callable[[], Tensor]


def _run_whole(network: Callable[[Tensor], Tensor], picture: Tensor) -> Tensor:
    return network(picture).float()


def _run_rows(network: RrdbNetwork, picture: Tensor) -> Tensor:
    return torch.cat(list(network.run(picture.split(_ROWS, dim=2))), dim=2)


@torch.inference_mode()
def _measure(run: _UpscalerTry, flops: int, exact: Tensor, rounds: int) -> UpscalerRow:
    steps = (_to_steps(run.call()) - exact).abs()
    square = torch.ones(_MATMUL, _MATMUL, dtype=_DTYPES[run.number_type])
    seconds, product_s = float("inf"), float("inf")
    for _ in range(rounds):
        product_s = min(product_s, *(_time(lambda: square @ square) for _ in range(3)))
        seconds = min(seconds, _time(run.call))
    rate = flops / seconds / 1e12
    return UpscalerRow(
        name=run.name,
        number_type=run.number_type,
        processor_s=seconds,
        tflops=rate,
        matmul_frac=rate / (2 * _MATMUL**3 / product_s / 1e12),
        most_steps=int(steps.max()),
        over_two_frac=float((steps > 2).float().mean()),
    )


def _time(call: Callable[[], object]) -> float:
    # Seconds of the processor: another process can take the core away, and does where tests run.
    start = time.process_time()
    call()
    return time.process_time() - start


def _to_steps(values: Tensor) -> Tensor:
    return (values.clamp(0.0, 1.0) * 255.0).round()
