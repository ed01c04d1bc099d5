"""Measure what a model costs on this machine, and remember it for plans.

The measuring is done by a process of its own (`probe_trial`); here it becomes a cost model, a table and a
line of JSON. Start reading at `run_probe`; `probe_loaded` does the same with a model that is loaded, for
time alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sfumato.core.cards import align
from sfumato.core.errors import BudgetError, ModelError, RequestError, SfumatoError, UnsafeFileError
from sfumato.core.escape import write_command
from sfumato.models.describe import load_contract
from sfumato.models.hardware.detect import detect_hardware
from sfumato.models.hardware.policy import choose_policy, count_packed_bytes, measure_free_bytes
from sfumato.models.time_calls import Trial, measure_trials
from sfumato.render.plan.budget import GUESSES, MIB, RUNTIME_BYTES, SMALLER_BATCHES, Footprint, guess_footprint
from sfumato.render.plan.fit_cost import count_trial_pixels, fit_cost, fit_footprint
from sfumato.workflows.forecast.calibration_store import Known, load_known, name_machine, name_place, save_known
from sfumato.workflows.forecast.plan_request import count_loaded_bytes

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract
    from sfumato.models.hardware.policy import Policy
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.plan.budget import CostModel
    from sfumato.render.stages import Plan

# A probe may fill this share of the memory that is free, with the model it opens.
_MEMORY_SHARE = 0.75
# A render that is to last fifty times as long as a probe pays 2 % for better forecasts from then on.
WORTH_TIMES = 50
# About what a probe evaluates where that is fast: see `models.probe`.
_EVALUATIONS = 80
_ERRORS: dict[str, type[SfumatoError]] = {
    kind.kind: kind for kind in (RequestError, BudgetError, UnsafeFileError, ModelError)
}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What `sfumato bench probe` found."""

    name: str
    place: str
    known: Known
    trials: tuple[Trial, ...]
    seconds: float
    command: str
    factor: int

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "bench": "probe",
            "model": self.name,
            "place": self.place,
            "machine": name_machine(),
            **{name: value for name, value in asdict(self.known).items() if name != "pace"},
            "trials": [trial.to_json() for trial in self.trials],
            "seconds": round(self.seconds, 2),
            "command": self.command,
        }

    def to_line(self) -> str:
        """Write one line of JSON, the last that the command prints."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """Write the table for people: every trial beside what the fitted lines say."""
        head = ("call", "cells", "evaluations", "ms", "fitted ms", "MiB", "fitted MiB")
        rows = [self._row(trial) for trial in self.trials]
        return "\n".join([f"{self.name} on {self.place}, {name_machine()}", *align([head, *rows]), *self._notes()])

    def _row(self, trial: Trial) -> tuple[str, ...]:
        cost, footprint = self.known.cost, self.known.footprint
        assert cost is not None, "a probe has a cost"
        pixels = count_trial_pixels(trial, self.factor)
        return (
            trial.part,
            str(trial.cells),
            str(trial.batch),
            f"{1e3 * trial.seconds:.1f}",
            f"{1e3 * _fitted_s(cost, trial, self.factor):.1f}",
            _mib(trial.peak_bytes),
            _mib(_fitted_bytes(footprint, trial, pixels)),
        )

    def _notes(self) -> list[str]:
        cost, loaded = self.known.cost, self.known.loaded_bytes
        assert cost is not None, "a probe has a cost"
        memory = "not told by this system" if loaded is None else f"{_mib(loaded[0])} MiB"
        host = f" on the device, {_mib(loaded[1])} MiB on the host" if loaded and loaded[0] != loaded[1] else ""
        return [
            f"note: a call {1e3 * cost.call_s:.1f} ms, a cell {1e6 * cost.cell_s:.2f} us",
            f"note: a pixel {1e9 * cost.decode_s:.0f} ns decoded, {1e9 * cost.encode_s:.0f} ns encoded",
            *([f"note: a pair of cells {1e9 * cost.attend_s:.2f} ns each way"] if cost.attend_s else []),
            f"note: opening takes {cost.open_s:.1f} s, the first step {cost.start_s:.1f} s more than the next ones",
            f"note: loaded, and every call run: {memory}{host}",
            f"note: other work kept {cost.busy_frac:.0%} of the processors busy in the minute before",
            "note: the smaller window is not fitted, it shows how far the line holds",
        ]


def run_probe(
    model: str = "mini", *, vae: str | None = None, device: str = "auto", dtype: str = "auto", command: str = ""
) -> Probe:
    """Measure a model in a process of its own and remember the result; forgets the pace of earlier renders.

    Raises:
        SfumatoError: the model cannot be opened or fails, as in a render.
    """
    contract, policy = load_contract(model, vae=vae), choose_policy(device, dtype)
    asked = {"model": model, "vae": vae, "device": device, "dtype": dtype}
    batches = choose_batches(contract, policy, measure_free_bytes(policy.device))
    busy_frac = _measure_busy_frac()
    began = time.monotonic()
    found = _run_child({**asked, "batches": batches})
    trials = tuple(Trial(**trial) for trial in found["trials"])
    known = make_known(contract, trials, opened_s=found["opened_at"] - began, first_s=found["first_s"])
    assert known.cost is not None, "a probe has a cost"
    loaded = found["loaded_bytes"]
    known = replace(
        known,
        cost=replace(known.cost, busy_frac=busy_frac),
        loaded_bytes=(loaded[0], loaded[1]) if loaded else None,
    )
    save_known(contract, name_place(policy), known)
    return Probe(
        name=contract.name,
        place=name_place(policy),
        known=known,
        trials=trials,
        seconds=time.monotonic() - began,
        command=command or write_command("sfumato", "bench", "probe", "--model", model),
        factor=contract.factor,
    )


def _measure_busy_frac() -> float:
    """Return the share of the processors that others kept busy in the last minute; 0 where the system does not tell."""
    try:
        return min(1.0, os.getloadavg()[0] / detect_hardware().usable_cores)
    except (OSError, AttributeError):
        return 0.0


def make_known(contract: ModelContract, trials: tuple[Trial, ...], *, opened_s: float, first_s: float) -> Known:
    """Fit what was measured; the first picture, of one step, says what a first step takes beside the calls."""
    cost = fit_cost(trials, GUESSES[contract.family], contract.factor)
    native = contract.native
    calls_s = cost.denoise_s(1, 2, native.to_latent(contract.factor).area) + native.area * cost.decode_s
    return Known(
        cost=replace(cost, start_s=max(0.0, first_s - calls_s), open_s=opened_s),
        footprint=fit_footprint(trials, contract.factor),
        probed=datetime.now(UTC).date().isoformat(),
        open_s=opened_s,
    )


def choose_batches(contract: ModelContract, policy: Policy, free_bytes: int) -> tuple[int, int]:
    """Return two numbers of windows in one call: one, and the most of a render that memory surely holds."""
    footprint = guess_footprint(contract, policy.unet_dtype.itemsize)
    window = contract.native.to_latent(contract.factor).area * 2 * footprint.cell
    weights = count_loaded_bytes(contract, policy) or contract.weights_bytes
    loaded = RUNTIME_BYTES + weights + count_packed_bytes(policy, contract.denoiser_parameters)
    room = _MEMORY_SHARE * free_bytes - loaded
    return (1, next((batch for batch in SMALLER_BATCHES[:-1] if batch * window <= room), SMALLER_BATCHES[-2]))


def probe_loaded(model: LatentModel, plan: Plan) -> bool:
    """Measure the time of a loaded model's calls before a render that is so long that it does not matter.

    For the plans after this one: nothing that is already planned changes. Memory is left to `run_probe`.
    """
    contract, place = model.contract, name_place(model.policy)
    known = load_known(contract, place)
    if known.cost is not None or not _is_worth(contract, plan):
        return False
    trials = measure_trials(
        model, (1, plan.window_batch if plan.window_batch > 1 else SMALLER_BATCHES[-2]), weigh=False
    )
    cost = fit_cost(trials, GUESSES[contract.family], contract.factor)
    save_known(contract, place, replace(known, cost=cost, probed=datetime.now(UTC).date().isoformat(), pace=None))
    return True


def _is_worth(contract: ModelContract, plan: Plan) -> bool:
    native = contract.native.to_latent(contract.factor).area
    work = sum(stage.evaluations * stage.windows[0].size.area for stage in plan.stages)
    return work >= WORTH_TIMES * _EVALUATIONS * native


def _run_child(asked: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "sfumato.workflows.forecast.calibration_process", json.dumps(asked)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return read_result(done.stdout, done.stderr, done.returncode)


def read_result(out: str, err: str, code: int) -> dict[str, Any]:
    """Read what the process of a probe printed.

    Raises:
        SfumatoError: what it says went wrong; a ModelError where it says nothing.
    """
    lines = out.strip().splitlines()
    if code or not lines:
        last = (err.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError("the probe of the model broke off", got=last, do="Render without it; a guess will do.")
    found = json.loads(lines[-1])
    if "error" in found:
        said = found["error"]
        raise _ERRORS.get(said["error"], ModelError)(said["what"], got=said["got"], do=said["do"])
    return found


def _fitted_s(cost: CostModel, trial: Trial, factor: int) -> float:
    pairs = trial.cells * trial.batch
    if trial.part == "denoise":
        return cost.call_s + cost.cell_s * pairs
    if trial.part == "attend":
        return cost.attend_s * pairs
    return (cost.decode_s if trial.part == "decode" else cost.encode_s) * trial.cells * factor**2


def _fitted_bytes(footprint: Footprint | None, trial: Trial, pixels: int) -> int | None:
    if footprint is None:
        return None
    if trial.part == "attend":
        # Its memory is bounded by the size of a tile, and no part of a footprint.
        return None
    if trial.part == "denoise":
        return footprint.call + footprint.cell * trial.cells * trial.batch
    return footprint.tile + pixels * (footprint.decode_pixel if trial.part == "decode" else footprint.encode_pixel)


def _mib(count: int | None) -> str:
    return "-" if count is None else f"{count / MIB:.0f}"
