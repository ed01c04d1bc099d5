"""Keep the original bits of every weight that adapters have changed.

Knows networks and `LayerDelta`; no files, no names of adapters. Start reading at `WeightBackup.add`.

A changed weight is always original + the changes of its owners in the order they came, computed
afresh, so that removing one owner leaves what the others alone would have made, and removing the
last one puts the original bits back. Host memory: one copy of each touched weight, and the factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sfumato.core.errors import ModelError
from sfumato.models.adapters.layer_delta import LayerDelta


@dataclass(frozen=True, slots=True, order=True)
class WeightName:
    """One parameter of one network, such as unet / mid_block.attentions.0.proj_in / weight."""

    component: str
    module: str
    parameter: str = "weight"

    def __str__(self) -> str:
        return f"{self.component}.{self.module}.{self.parameter}"


@dataclass(slots=True)
class _BackupEntry:
    original: Tensor
    changes: dict[int, tuple[float, LayerDelta]] = field(default_factory=dict)


class WeightBackup:
    """The changed weights of one model."""

    def __init__(self, components: Mapping[str, nn.Module]) -> None:
        """Watch over these networks; nothing is copied before it is touched."""
        self.components = components
        self._entries: dict[WeightName, _BackupEntry] = {}

    @property
    def touched(self) -> tuple[WeightName, ...]:
        """The weights that differ from the checkpoint at present."""
        return tuple(self._entries)

    def find(self, target: WeightName) -> nn.Parameter | None:
        """Find the parameter at a target."""
        try:
            module = self.components[target.component].get_submodule(target.module)
        except (KeyError, AttributeError):
            return None
        found = getattr(module, target.parameter, None)
        return found if isinstance(found, nn.Parameter) else None

    def add(self, owner: int, changes: Mapping[WeightName, tuple[float, LayerDelta]]) -> None:
        """Add weight * delta at each target; all of them, or none when one fails.

        Raises: ModelError when a changed weight is not finite in the model's number format.
        """
        try:
            for target, change in changes.items():
                entry = self._entries.get(target)
                if entry is None:
                    entry = _BackupEntry(self._at(target).detach().to("cpu", copy=True))
                    self._entries[target] = entry
                entry.changes[owner] = change
                self._write(target)
        except BaseException:
            self.remove(owner)
            raise

    def remove(self, owner: int) -> None:
        """Take an owner's changes out again."""
        for target, entry in list(self._entries.items()):
            if entry.changes.pop(owner, None) is not None:
                self._write(target)

    def _at(self, target: WeightName) -> nn.Parameter:
        parameter = self.find(target)
        assert parameter is not None, f"{target} was found before"
        return parameter

    # Outside inference mode, whoever calls: packed copies of weights see a change by its version count.
    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _write(self, target: WeightName) -> None:
        parameter, entry = self._at(target), self._entries[target]
        if not entry.changes:
            parameter.copy_(entry.original)
            del self._entries[target]
            return
        original = entry.original.to(parameter.device, torch.float32)
        changed = original.clone()
        for weight, delta in entry.changes.values():
            changed.add_(delta.change(original), alpha=weight)
        changed = changed.to(parameter.dtype)
        if not torch.isfinite(changed).all():
            raise ModelError("the adapter makes a weight infinite", got=str(target), do="Use a smaller weight")
        parameter.copy_(changed)
