"""What is known of a base while it is made, noted after every step, trial and look, so that it goes on where it was.

Knows tensors by name and the journal; no step of a sampler and no canvas. Start reading at `BaseNotes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from sfumato.canvas.workspace.workspace import Entry
from sfumato.nn.samplers import SamplerState

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from torch import Tensor

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.models.text.attention_maps import WordMaps

_STATE, _WORDS, _MADE = "state", "words", "made"


@dataclass(eq=False)
class BaseNotes:
    """Keep named tensors in the entry of the journal, those of an earlier run first. A leaf.

    `maps` is what listens for words while the base is drawn, None where nothing does.
    """

    space: Workspace
    device: torch.device
    maps: WordMaps | None = None
    _known: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        entry = self.space.find_entry()
        arrays = {} if entry is None or entry.words["phase"] != "draw" else entry.arrays
        self._known = {name: torch.from_numpy(values) for name, values in arrays.items()}

    def listen(self, maps: WordMaps) -> None:
        """Note from now on what these maps hear, after what was heard before."""
        self.maps = maps
        maps.go_on(self._find(_WORDS))

    def find_state(self) -> SamplerState | None:
        """Return the state after the last step that was noted, None before the first."""
        found = self._find(_STATE)
        return SamplerState.from_tensors(found) if found else None

    def follow(self, steps: Generator[SamplerState, None, Tensor]) -> Generator[SamplerState, None, Tensor]:
        """Note every state, with what was heard so far, before it is handed on."""
        while True:
            try:
                state = next(steps)
            except StopIteration as end:
                return end.value
            heard = {} if self.maps is None else self.maps.to_tensors()
            # The first, so that there is always one that a power cut leaves; the last, before the trials.
            durable = state.index == 1 or state.done
            self._put({_STATE: state.to_tensors(), _WORDS: heard}, durable=durable)
            yield state

    def recall(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return what was noted under a name, else make it and note it."""
        part = f"{_MADE} {name}"
        found = self._find(part)
        if not found:
            found = {"x": make()}
            self._put({part: found}, durable=not self._known)
        return found["x"]

    def _find(self, part: str) -> dict[str, Tensor]:
        """Return the tensors of a part; those in float32 on the device."""
        named = {name.partition(".")[2]: x for name, x in self._known.items() if name.partition(".")[0] == part}
        return {name: x.to(self.device) if x.dtype == torch.float32 else x for name, x in named.items()}

    def _put(self, parts: Mapping[str, Mapping[str, Tensor]], *, durable: bool) -> None:
        """Replace parts and note all that is known."""
        kept = {name: x for name, x in self._known.items() if name.partition(".")[0] not in parts}
        new = {f"{part}.{name}": x.detach().cpu() for part, named in parts.items() for name, x in named.items()}
        self._known = kept | new
        arrays = {name: x.numpy() for name, x in self._known.items()}
        self.space.note(Entry({"stage": 0, "phase": "draw"}, dict(arrays)), durable=durable)
