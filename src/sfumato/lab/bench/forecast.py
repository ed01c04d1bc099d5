"""Measure how far forecasts are off: probe a model, render a small set, compare plans with what happened.

Every render is a process of its own with what the probe alone knows, so that no render teaches the next and
each peak is that of one render. Start reading at `run_bench_forecast`; `judge` makes the card.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.core.cards import Card, Measurement, bootstrap_interval
from sfumato.core.errors import ModelError
from sfumato.core.files import find_cache_folder
from sfumato.core.geometry import PixelSize
from sfumato.models.describe import load_contract
from sfumato.workflows.forecast.calibration_store import measure_error

# Sides in native sides: mini, native 128, gets 256x256, 512x512 and 1024x576.
SIDES = ((2.0, 2.0), (4.0, 4.0), (8.0, 4.5))
METHODS = ("cohesive", "gobig")
MEMORY_AIM, TIME_AIM = 15.0, 30.0
_PROMPT = "two women waving on a beach"

OnRender = Callable[[str, int, int], None]
Run = Callable[[Sequence[str], Path], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRow:
    """Hold what was planned of one render, and what happened."""

    name: str
    planned_s: float
    seconds: float
    planned_bytes: int
    peak_bytes: int | None
    open_s: float
    planned_open_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """Say what to render: `steps` of every size and method with each model."""

    models: tuple[str, ...] = ("mini",)
    steps: int = 8
    methods: tuple[str, ...] = METHODS
    dtype: str = "auto"


def run_bench_forecast(wanted: Forecasts, *, on_render: OnRender | None = None) -> Card:
    """Probe each model, then render every size by every method, and judge the forecasts.

    What is remembered of this machine is left alone. Cost: opening the model once for each render.

    Raises:
        ModelError: a render broke off.
    """
    renders = [
        (model, size, method) for model in wanted.models for size in list_sizes(model) for method in wanted.methods
    ]
    compared: list[ForecastRow] = []
    with tempfile.TemporaryDirectory(prefix="sfumato-forecast-") as folder:
        caches = {model: probe_apart(model, wanted.dtype, Path(folder)) for model in wanted.models}
        for index, (model, size, method) in enumerate(renders):
            compared.append(render_apart(model, size, method, wanted, caches[model]))
            if on_render:
                on_render("render", index + 1, len(renders))
    return judge(compared, wanted)


def list_sizes(model: str) -> list[PixelSize]:
    """Return the sizes to render, on the model's grid."""
    contract = load_contract(model)
    native, factor = contract.native, contract.factor
    return [
        PixelSize(round(native.width * across / factor) * factor, round(native.height * down / factor) * factor)
        for across, down in SIDES
    ]


def probe_apart(model: str, dtype: str, folder: Path) -> Path:
    """Probe a model into a cache of its own and return it; what was measured of the CPU before is kept."""
    cache = folder / f"cache-{len(list(folder.iterdir()))}"
    (cache / "sfumato").mkdir(parents=True)
    for known in find_cache_folder().glob("rates-*.json"):
        shutil.copy(known, cache / "sfumato")
    run_apart(["bench", "probe", "--model", model, "--dtype", dtype], cache)
    return cache


def render_apart(model: str, size: PixelSize, method: str, wanted: Forecasts, cache: Path) -> ForecastRow:
    """Render one picture in a process of its own, with a copy of a cache, and compare."""
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        shutil.copytree(cache, Path(folder) / "cache")
        words = ["render", _PROMPT, "--model", model, "--size", str(size), "--method", method, "--json"]
        words += ["--steps", str(wanted.steps), "--dtype", wanted.dtype, "--out", str(Path(folder) / "a.png")]
        found = run_apart(words, Path(folder) / "cache")
    name = f"{method} {size}" if len(wanted.models) == 1 else f"{Path(model).name} {method} {size}"
    return ForecastRow(
        name=name,
        planned_s=found["planned_seconds"],
        seconds=found["seconds"],
        planned_bytes=found["planned_bytes"],
        peak_bytes=found["peak_bytes"],
        open_s=found["open_seconds"],
        planned_open_s=found["planned_open_seconds"],
    )


def run_apart(words: Sequence[str], cache: Path) -> dict[str, Any]:
    """Run the command line in a process of its own that remembers in `cache`; return its last line.

    Raises:
        ModelError: it failed; says its last words.
    """
    done = subprocess.run(
        [sys.executable, "-m", "sfumato.cli", *words],
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (f"{done.stderr}\n{done.stdout}".strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"sfumato {words[0]} failed with code {done.returncode}", got=last)
    return json.loads(done.stdout.splitlines()[-1])


def judge(compared: Sequence[ForecastRow], wanted: Forecasts) -> Card:
    """Make the card: sizes of errors over all renders, then each render with the sign of its error."""
    memory = [_percent(one.planned_bytes, one.peak_bytes) for one in compared if one.peak_bytes]
    seconds = [_percent(one.planned_s, one.seconds) for one in compared]
    # What all renders took longer than the probe said is the machine's mood; what is left is the model's fault.
    mood = statistics.median(one.seconds / one.planned_s for one in compared)
    shape = [_percent(one.planned_s * mood, one.seconds) for one in compared]
    opened = [_percent(one.planned_open_s, one.open_s) for one in compared]
    models = " ".join(f"--model {model}" for model in wanted.models)
    return Card(
        title=f"forecasts, {wanted.steps} steps, planned from a probe",
        rows=(
            *_summarise("memory", memory, MEMORY_AIM),
            *_summarise("time", seconds, TIME_AIM),
            *_summarise("time, at the pace of all", shape, TIME_AIM),
            *_summarise("opening", opened, None),
            *(_row(f"memory, {one.name}", _percent(one.planned_bytes, one.peak_bytes)) for one in compared),
            *(_row(f"time, {one.name}", error) for one, error in zip(compared, seconds, strict=True)),
        ),
        seed=1,
        command=f"sfumato bench forecast {models} --steps {wanted.steps}",
        notes=(
            "an error is (planned - actual) / actual; the rows without a render's name are of its size",
            f"at the pace of all: every plan times {mood:.2f}, the median of actual by planned",
        ),
    )


def _percent(planned: float, actual: float | None) -> float:
    error = measure_error(planned, actual)
    return float("nan") if error is None else 100.0 * error


def _summarise(name: str, errors: Sequence[float], aim: float | None) -> list[Measurement]:
    sizes = np.abs(np.asarray(errors, dtype=np.float64))
    low, high = bootstrap_interval(sizes, lambda values: float(np.median(values)))
    median = float(np.median(sizes)) if sizes.size else float("nan")
    worst = float(sizes.max()) if sizes.size else float("nan")
    rows = [("median", median, low, high), ("worst", worst, None, None)]
    return [
        Measurement(name=f"{name}, {which}", value=value, unit="%", n=len(sizes), low=a, high=b, aim=aim, aim_is="most")
        for which, value, a, b in rows
    ]


def _row(name: str, error: float) -> Measurement:
    return Measurement(name=name, value=error, unit="%", n=1)
