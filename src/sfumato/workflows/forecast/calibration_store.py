"""The calibration of a model on this machine: how fast its parts run, and what it holds once loaded.

One small file in the user's cache folder, an entry for each model, device, number type and number of threads. Losing
it costs nothing; an entry of another machine or torch is not believed. Every render corrects its entry. Start reading
at `MachineCalibration`, then `load_calibration` and `save_pace`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.core.errors import StorageError
from sfumato.core.files import find_cache_folder, write_atomic
from sfumato.core.memory import give_back_memory, read_memory
from sfumato.models.hardware.detect import detect_hardware, read_torch_version
from sfumato.models.hardware.policy import count_threads
from sfumato.render.plan.budget import GUESSES, CostModel

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract
    from sfumato.models.hardware.policy import Policy
    from sfumato.render.progress import StageTrace

# Another version of these fields is another file: an older program does not trip over it.
VERSION = 4
# A new long render counts as much as all before it: machines change more often than they are noisy.
NEW_SHARE = 0.5
# What the first steps of a process cost more is a large share of a render that is this short.
SHORT_S = 5.0
# Shorter runs measure warming up.
SHORTEST_S = 0.5
# A machine that much slower or faster than planned was asleep, or its clock jumped.
SLOWEST, FASTEST = 1000.0, 0.001
# Processes that do the same differ by a twentieth in the memory they hold.
MOST_GROWTH = 1.1
# Three digits of a share: the fourth of a clock is noise.
_DIGITS = 3


@dataclass(frozen=True, kw_only=True)
class MachineCalibration:
    """Hold the speed of a model's parts, and the bytes it holds once it has run, on the device and on the host."""

    cost: CostModel
    device_bytes: int | None = None
    host_bytes: int | None = None


def name_place(policy: Policy) -> str:
    """Name the device, number type and threads that something was measured on."""
    chip = _name_chip(policy) if policy.device_kind == "cuda" else f"{count_threads()} threads"
    return f"{policy.device_kind}/{policy.to_json()['unet_dtype']}/{chip}"


def load_calibration(contract: ModelContract, place: str) -> MachineCalibration:
    """Return what is known of a model; a guess where the entry is missing, damaged or of another machine."""
    entry, unknown = _read().get(_key(contract, place)), MachineCalibration(cost=GUESSES[contract.family])
    if not isinstance(entry, dict) or entry.pop("machine", None) != name_machine():
        return unknown
    try:
        return MachineCalibration(
            cost=CostModel(**entry["cost"]), device_bytes=entry["device_bytes"], host_bytes=entry["host_bytes"]
        )
    except (TypeError, KeyError):
        return unknown


def save_calibration(contract: ModelContract, place: str, known: MachineCalibration) -> None:
    """Replace the entry of a model; a folder that cannot be written is no error."""
    table = _read() | {_key(contract, place): asdict(known) | {"machine": name_machine()}}
    text = json.dumps(table, sort_keys=True, indent=1).encode()
    try:
        write_atomic(find_path(), lambda stream: stream.write(text))
    except StorageError:
        return


def save_pace(
    contract: ModelContract, place: str, trace: tuple[StageTrace, ...], *, open_s: float | None = None
) -> None:
    """Correct the calibration by a finished render, and by the opening of the model where this process opened it.

    Longer renders teach more. Where the model was opened here, this process holds it alone, so its memory is noted too.
    """
    known = load_calibration(contract, place)
    took, planned = sum(stage.seconds for stage in trace), sum(stage.planned_s for stage in trace)
    if took >= SHORTEST_S and planned > 0:
        ratio = min(SLOWEST, max(FASTEST, took / planned))
        share = 1.0 if known.cost.basis == "guess" else NEW_SHARE * took / (took + SHORT_S)
        known = replace(known, cost=known.cost.scaled(ratio**share))
    if open_s is not None:
        cost = replace(known.cost, open_s=max(FASTEST, open_s))
        known = replace(weigh_process(known, place), cost=cost)
    save_calibration(contract, place, known)


def weigh_process(known: MachineCalibration, place: str) -> MachineCalibration:
    """Return a calibration with the memory that this process holds now; as it was where the system does not tell.

    A process that holds far more than the ones before has work of its own beside the model, and teaches nothing.
    """
    if not Path("/proc/self/status").is_file():
        return known
    give_back_memory()
    host = read_memory("VmRSS")
    on_device = _measure_device_bytes() if place.startswith("cuda") else host
    if host > MOST_GROWTH * (known.host_bytes or host) or on_device > MOST_GROWTH * (known.device_bytes or on_device):
        return known
    return replace(known, device_bytes=on_device, host_bytes=host)


def measure_error(planned: float, actual: float | None) -> float | None:
    """Return (planned - actual) / actual: above 0 too much was planned, below too little; None without a number."""
    return round((planned - actual) / actual, _DIGITS) if actual else None


def find_path() -> Path:
    """Return where the file is."""
    return find_cache_folder() / f"calibration-{VERSION}.json"


def name_machine() -> str:
    """Name what makes old measurements worthless when it changes."""
    return f"{detect_hardware().chip}, torch {read_torch_version()}"


def _name_chip(policy: Policy) -> str:
    import torch

    return torch.cuda.get_device_name(policy.device)


def _measure_device_bytes() -> int:
    import torch

    return int(torch.cuda.memory_allocated())


def _key(contract: ModelContract, place: str) -> str:
    return f"{contract.family}/{contract.weights_bytes}/{contract.native}/{place}"


def _read() -> dict[str, Any]:
    try:
        table = json.loads(find_path().read_text())
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}
