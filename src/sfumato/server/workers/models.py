"""The models that a worker keeps loaded: the least recently used goes when another needs its room.

Knows sizes of files and free memory, no job. Start reading at `ModelCache.open`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from sfumato import api
from sfumato.core.settings import load_settings
from sfumato.models.hardware.policy import measure_free_bytes

ModelKey: TypeAlias = tuple[str, str | None, str | None, api.Arithmetic | None]
# A model takes its weights, once more while they are read, and room to draw.
_ROOM_TIMES = 2.5
_GB = 1024**3


@dataclass(eq=False, kw_only=True)
class ModelCache:
    """Keep models loaded. A leaf.

    `load` opens a model by its key, `measure_size` returns the bytes of its weights, `measure_free` the free memory.
    `most` models are kept at once, see the setting `max_models`.
    """

    load: Callable[[ModelKey], api.Model]
    measure_size: Callable[[str], int] = field(default=lambda ref: measure_weights(ref))
    measure_free: Callable[[], int] = field(default=lambda: measure_free_bytes("cpu"))
    most: int = field(default_factory=lambda: load_settings().max_models)
    _kept: OrderedDict[ModelKey, api.Model] = field(init=False, default_factory=OrderedDict[ModelKey, api.Model])
    _sizes: dict[ModelKey, int] = field(init=False, default_factory=dict[ModelKey, int])

    @property
    def keys(self) -> list[ModelKey]:
        """Return what is loaded, the least recently used first."""
        return list(self._kept)

    def open(self, key: ModelKey) -> api.Model:
        """Return a loaded model; let others go, the least recently used first, until this one has room.

        Raises:
            ModelError, UnsafeFileError: it cannot be opened.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        size = self.measure_size(key[0])
        budget_gb = load_settings().budget_gb
        while self._kept and not self._has_room(size, round(budget_gb * _GB)):
            self._drop_oldest()
        model = self.load(key)
        self._kept[key], self._sizes[key] = model, size
        return model

    def drop_others(self, key: ModelKey) -> bool:
        """Let every other model go; return whether there was one."""
        others = [one for one in self._kept if one != key]
        for one in others:
            del self._kept[one], self._sizes[one]
        return bool(others)

    def clear(self) -> None:
        """Let every model go."""
        self._kept.clear()
        self._sizes.clear()

    def _has_room(self, size: int, budget: int) -> bool:
        if len(self._kept) >= self.most:
            return False
        wanted = round(_ROOM_TIMES * size)
        if budget and sum(self._sizes.values()) + wanted > budget:
            return False
        return self.measure_free() >= wanted

    def _drop_oldest(self) -> None:
        key, _ = self._kept.popitem(last=False)
        del self._sizes[key]


def measure_weights(ref: str) -> int:
    """Return the bytes of the weights of a model on the disk; 0 for `mini` and for what cannot be found."""
    if ref == api.DEFAULTS.model:
        return 0
    try:
        path: Path = api.find_model_file("checkpoint", ref)
        if path.is_dir():
            return sum(one.stat().st_size for one in path.rglob("*.safetensors"))
        return path.stat().st_size
    except (OSError, api.SfumatoError):
        # Whoever opens it says what is wrong.
        return 0
