"""Measure the speed floor: diffusers' own code and ours in one run, and a step of `mini`.

Joins the measurements of `models` into one table and one line of JSON. Decides nothing. Start
reading at `run_bench_native`.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from sfumato.core.cards import align
from sfumato.core.errors import BudgetError, RequestError
from sfumato.core.validate import check_int
from sfumato.lab.bench.denoiser_speed import (
    DenoiserTimes,
    MiniTimes,
    Timing,
    make_random_unet,
    measure_denoiser,
    measure_mini,
)
from sfumato.models.files.detect_layout import load_family_configs
from sfumato.models.hardware.detect import Hardware, detect_hardware
from sfumato.models.hardware.policy import Policy, choose_policy
from sfumato.models.hardware.torch_settings import Runtime, apply_runtime

# Float32, bf16 twice (two layouts), packed, and activations: 4 + 2 + 2 + 2 bytes for each of 860 million weights.
_BYTES_PER_WEIGHT = 11
_SD15_WEIGHTS = 860_000_000
_QUICK_SIZE_PX, _QUICK_ROUNDS = 256, 1
_LONGEST_ROUNDS, _LARGEST_PX = 100, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeBench:
    """What `sfumato bench native` found."""

    machine: Hardware
    policy: Policy
    runtime: Runtime
    denoiser: DenoiserTimes
    mini: MiniTimes
    load: float
    command: str

    @property
    def gain(self) -> float:
        """How many times faster ours is than the best of the others."""
        *others, ours = self.denoiser.rows
        return min(row.median_s for row in others) / ours.median_s

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "bench": "native",
            "command": self.command,
            "machine": {"chip": self.machine.chip, "cores": self.machine.usable_cores, "load": round(self.load, 2)},
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
            "policy": self.policy.to_json(),
            "runtime": asdict(self.runtime),
            "size_px": self.denoiser.size_px,
            "batch": self.denoiser.batch,
            "rounds": self.denoiser.rounds,
            "matmul_tflops": {name: round(rate, 4) for name, rate in self.denoiser.matmul_tflops.items()},
            "rows": [_row_json(self.denoiser, row) for row in self.denoiser.rows],
            "gain": round(self.gain, 3),
            "mini": asdict(self.mini) | {"bound_by": self.mini.shares.bound_by},
        }

    def to_line(self) -> str:
        """Write one line of JSON, the last that the command prints."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """Write the table for people."""
        return "\n".join([*self._denoiser_lines(), "", *self._mini_lines()])

    def _denoiser_lines(self) -> list[str]:
        times, rates = self.denoiser, self.denoiser.matmul_tflops
        title = (
            f"SD 1.5-shaped UNet, random weights, {times.size_px} x {times.size_px} px, batch {times.batch} "
            f"(guided), {times.rows[0].flop / 1e12:.2f} TFLOP a step, {times.rounds} rounds in turns"
        )
        machine = (
            f"{self.machine.chip}, {self.runtime.threads} threads, load {self.load:.1f}, torch {torch.__version__}; "
            f"matmul in the same run: bf16 {rates['bf16']:.3f}, fp32 {rates['fp32']:.3f} TFLOP/s"
        )
        head = ("run", "s/step", "low … high", "TFLOP/s", "of matmul", "mean diff", "max diff")
        table = align([head, *(_row_cells(times, row) for row in times.rows)])
        notes = (
            f"ours is {self.gain:.2f} x the best of the others",
            "of matmul: of the large product in the row's number type; TFLOP counted for the whole network in every row",
            "diff: from the fp32 row, relative to the mean size of its output",
        )
        return [title, machine, *table, *(f"note: {note}" for note in notes)]

    def _mini_lines(self) -> list[str]:
        mini = self.mini
        size = f"{mini.parameters / 1e6:.1f} M parameters, weights {mini.weights}"
        rows = [(name, f"{ms:.1f}", f"{mini.guided_ms[name]:.1f}") for name, ms in mini.alone_ms.items()]
        parts = ", ".join(f"{kind} {share:.0%}" for kind, share in mini.shares.shares.items())
        starts = f"{mini.shares.operators} operators, {mini.shares.us_per_operator:.0f} us each"
        return [
            f"mini at its native size ({size})",
            *align([("run", "ms/step alone", "ms/step guided"), *rows]),
            f"bound by {mini.shares.bound_by} (ours, alone): {parts}; {starts}",
        ]


def run_bench_native(
    *,
    steps: int = 3,
    size_px: int = 512,
    quick: bool = False,
    config: dict[str, Any] | None = None,
    on_round: Callable[[int, int], None] | None = None,
) -> NativeBench:
    """Measure on this machine's CPU; `steps` rounds of every row after one that warms up.

    `quick` is one round at 256 px. `config` replaces the SD 1.5 configuration (tests use a tiny one).

    Raises:
        RequestError: a size that is no multiple of 64, or numbers out of range.
        BudgetError: the memory cannot hold the compared copies.
    """
    if quick:
        steps, size_px = min(steps, _QUICK_ROUNDS), min(size_px, _QUICK_SIZE_PX)
    check_int("steps", steps, low=1, high=_LONGEST_ROUNDS)
    check_int("size", size_px, low=64, high=_LARGEST_PX)
    if size_px % 64:
        raise RequestError("the size is a multiple of 64", got=size_px)
    machine = detect_hardware()
    if config is None:
        _check_memory(machine)
    policy = choose_policy("cpu")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    unet = make_random_unet(config or load_family_configs("sd15")["unet"])
    denoiser = measure_denoiser(unet, policy, size_px=size_px, rounds=steps, on_round=on_round)
    del unet
    return NativeBench(
        machine=machine,
        policy=policy,
        runtime=apply_runtime(),
        denoiser=denoiser,
        mini=measure_mini(policy, rounds=2 if quick else 5),
        load=load,
        command=f"sfumato bench native --steps {steps} --size {size_px}",
    )


def _check_memory(machine: Hardware) -> None:
    needed = _SD15_WEIGHTS * _BYTES_PER_WEIGHT
    if 0 < machine.free_bytes < needed:
        raise BudgetError(
            "the compared copies of the network do not fit into memory",
            got=f"{machine.free_bytes / 1e9:.1f} GB free",
            do=f"Free {needed / 1e9:.1f} GB; `sfumato doctor` measures the machine without them.",
        )


def _row_json(times: DenoiserTimes, row: Timing) -> dict[str, Any]:
    return {
        "name": row.name,
        "dtype": row.dtype,
        "s_per_step": round(row.median_s, 4),
        "seconds": [round(one, 4) for one in row.seconds],
        "tflops": round(row.tflops, 4),
        "share_of_matmul": round(times.share(row), 4),
        "share_of_bf16_matmul": round(row.tflops / times.matmul_tflops["bf16"], 4),
        "mean_difference": float(f"{row.mean_difference:.3g}"),
        "max_difference": float(f"{row.max_difference:.3g}"),
    }


def _row_cells(times: DenoiserTimes, row: Timing) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.median_s:.2f}",
        f"{min(row.seconds):.2f} … {max(row.seconds):.2f}",
        f"{row.tflops:.3f}",
        f"{times.share(row):.0%} {row.dtype}",
        f"{row.mean_difference:.2e}",
        f"{row.max_difference:.2e}",
    )
