"""What is known of a model on this machine: a probe, the pace of its renders, how long it takes to open.

One small file in the user's cache folder, an entry for each model, device, number type and number of
threads; losing it costs nothing. An entry of another machine or torch is not believed. Start reading at
`Known`, then `load_known` and `save_known`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sfumato.core.errors import StorageError
from sfumato.core.files import write_atomic
from sfumato.models.hardware.detect import detect_hardware
from sfumato.models.hardware.throughput import find_cache_folder
from sfumato.render.plan.budget import CostModel, Footprint

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract
    from sfumato.models.hardware.policy import Policy

# Another version of these fields is another file: an older program does not trip over it.
VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Known:
    """Hold what was measured; None is what was not. `probed` is the day of the probe, `pace` a factor on top of it.

    `loaded_bytes` is what the model takes once it has run: on the device, on the host.
    """

    cost: CostModel | None = None
    footprint: Footprint | None = None
    loaded_bytes: tuple[int, int] | None = None
    probed: str = ""
    pace: float | None = None
    open_s: float | None = None


def name_place(policy: Policy) -> str:
    """Name the device, number type and threads that something was measured on."""
    kind = policy.device.type
    chip = torch.cuda.get_device_name(policy.device) if kind == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{kind}/{str(policy.unet_dtype).removeprefix('torch.')}/{chip}"


def load_known(contract: ModelContract, place: str) -> Known:
    """Return what is known; nothing where the file or entry is missing, damaged or of another machine."""
    entry = _read().get(_key(contract, place))
    if not isinstance(entry, dict) or entry.get("machine") != name_machine():
        return Known()
    try:
        return _from_json(entry)
    except (TypeError, ValueError, KeyError):
        return Known()


def save_known(contract: ModelContract, place: str, known: Known) -> None:
    """Replace what is known; a folder that cannot be written is no error."""
    entry = {name: value for name, value in asdict(known).items() if value is not None}
    table = _read() | {_key(contract, place): entry | {"machine": name_machine()}}
    text = json.dumps(table, sort_keys=True, indent=1).encode()
    try:
        write_atomic(find_path(), lambda stream: stream.write(text))
    except StorageError:
        return


def find_path() -> Path:
    """Return where the file is."""
    return find_cache_folder() / f"costs-{VERSION}.json"


def name_machine() -> str:
    """Name what makes old measurements worthless when it changes."""
    return f"{detect_hardware().chip}, torch {torch.__version__}"


def _key(contract: ModelContract, place: str) -> str:
    return f"{contract.family}/{contract.weights_bytes}/{contract.native}/{place}"


def _read() -> dict[str, Any]:
    try:
        table = json.loads(find_path().read_text())
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def _from_json(entry: dict[str, Any]) -> Known:
    cost, footprint, loaded = (entry.get(name) for name in ("cost", "footprint", "loaded_bytes"))
    return Known(
        cost=None if cost is None else CostModel(**{name: _read_cost(name, value) for name, value in cost.items()}),
        footprint=None if footprint is None else Footprint(**{name: int(value) for name, value in footprint.items()}),
        loaded_bytes=None if loaded is None else (int(loaded[0]), int(loaded[1])),
        probed=str(entry.get("probed", "")),
        pace=_positive(entry.get("pace")),
        open_s=_positive(entry.get("open_s")),
    )


def _read_cost(name: str, value: Any) -> Any:
    return str(value) if name == "basis" else float(value)


def _positive(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) and number > 0 else None
