"""How fast this machine rendered before, so that the next plan can say how long it will take.

Keeps one number per model and device in a small file in the user's cache folder; losing it costs
nothing. Knows no request. Start reading at `load_cost`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.core.errors import StorageError
from sfumato.core.files import write_atomic
from sfumato.render.budget import GUESSES, CostModel

if TYPE_CHECKING:
    from sfumato.models.contract import ModelContract
    from sfumato.render.trace import StageTrace

# A new measurement counts as much as all before it: machines change more often than they are noisy.
NEW_SHARE = 0.5
# A machine that much slower or faster than the guess is a machine that was asleep or a clock that jumped.
SLOWEST, FASTEST = 1000.0, 0.001
# Shorter runs measure warming up.
SHORTEST_S = 0.5


def load_cost(contract: ModelContract, device: str) -> CostModel:
    """Return what the parts of a render take: the guess for the family, scaled by earlier renders if any."""
    factor = _read().get(_key(contract, device))
    guess = GUESSES[contract.family]
    return guess if factor is None else guess.scaled(factor)


def save_pace(contract: ModelContract, device: str, trace: tuple[StageTrace, ...]) -> None:
    """Remember how long a render took beside what was planned; a folder that cannot be written is no error."""
    took, planned = sum(stage.seconds for stage in trace), sum(stage.planned_s for stage in trace)
    if took < SHORTEST_S or planned <= 0:
        return
    table, key = _read(), _key(contract, device)
    before = table.get(key, 1.0)
    now = min(SLOWEST, max(FASTEST, before * took / planned))
    table[key] = now if key not in table else before ** (1 - NEW_SHARE) * now**NEW_SHARE
    text = json.dumps(table, sort_keys=True).encode()
    try:
        write_atomic(_path(), lambda stream: stream.write(text))
    except StorageError:
        return


def _path() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "sfumato" / "pace.json"


def _key(contract: ModelContract, device: str) -> str:
    return f"{contract.family}/{contract.weights_bytes}/{device}"


def _read() -> dict[str, float]:
    try:
        table = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    found = table.items() if isinstance(table, dict) else ()
    return {str(key): float(value) for key, value in found if isinstance(value, int | float) and value > 0}
