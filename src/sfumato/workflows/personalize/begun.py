"""What a stopped training left on disk, and with which settings it has to go on.

Knows the folders of a concept and their checkpoints; trains nothing. Start reading at `find_begun`.

A budget chooses settings by what is asked for and what memory the program takes; that may come out otherwise a day later.
A training that goes on keeps those that it began with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from sfumato.core.errors import BudgetError
from sfumato.customize.build import BASE_DIGITS
from sfumato.customize.concept import ConceptFolder
from sfumato.customize.memory.plan import GB, MemoryPlan, plan_memory
from sfumato.customize.settings import ConceptSettings
from sfumato.train.checkpoints import list_checkpoints, read_values


def name_state_folder(concept: ConceptFolder, base: str, rung: str) -> Path:
    """Return where the state of a training lies; `base` is a digest."""
    return concept.state / f"{base[:BASE_DIGITS]}-{rung}"


def note_settings(used: ConceptSettings, wanted: ConceptSettings) -> dict[str, str]:
    """Return the values of a checkpoint that say what was wanted and what a budget made of it."""
    return {"settings": _write(used), "wanted": _write(wanted)}


def find_begun(concept: ConceptFolder, base: str, wanted: ConceptSettings, *, any_rung: bool) -> ConceptSettings | None:
    """Return the settings with which a stopped training of the same wishes began, None without one.

    Of `any_rung` vectors alone may have been chosen instead of a LoRA; the later of the two counts.
    """
    rungs = {wanted.rung, "inversion"} if any_rung else {wanted.rung}
    paths = [path for rung in rungs for path in list_checkpoints(name_state_folder(concept, base, rung))[-1:]]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        values = read_values(path)
        if values.get("wanted") == _write(wanted):
            return ConceptSettings(**json.loads(str(values["settings"])))
    return None


def plan_begun(ref: str, begun: ConceptSettings, budget_gb: float, *, program_bytes: int) -> MemoryPlan:
    """Plan the settings that a training began with.

    Raises:
        BudgetError: they do not fit the budget; says the least that would do.
    """
    plan = plan_memory(ref, begun, program_bytes=program_bytes)
    if plan.peak > budget_gb * GB:
        do = f"Set `budget_gb` to {plan.peak / GB + 0.05:.1f} to go on, or train with `fresh`."
        got = f"{budget_gb:g} GB, begun with {plan.peak / GB:.2f} GB"
        raise BudgetError("the training that was stopped began with more memory", got=got, do=do)
    return plan


class RenamedTensors(Mapping[str, Tensor]):
    """Tensors whose names begin with a word, without it; each is read when it is asked for."""

    def __init__(self, tensors: Mapping[str, Tensor], start: str) -> None:
        self._tensors, self._start = tensors, start
        self._names = {name.removeprefix(start): None for name in tensors if name.startswith(start)}

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[self._start + name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def split_networks(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return weights by network: "unet.NAME" is NAME of the UNet."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        network, _, rest = name.partition(".")
        found.setdefault(network, {})[rest] = value
    return found


def _write(settings: ConceptSettings) -> str:
    return json.dumps(settings.to_json(), sort_keys=True)
