"""How far the autoencoder is on the canvas of a level, in the entries of the journal, and back.

Knows marks and entries; no network and no step. Start reading at `find_mark`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sfumato.canvas.workspace.workspace import Entry
    from sfumato.core.serialize import Json
    from sfumato.nn.tiled import TileCheckpoint

# Counted up whenever entries, or the canvases and parts beside them, change their meaning.
JOURNAL = 6
_PREFIX = "mark "
_COUNTS = ("pass_index", "tiles", "work_bytes")


def find_mark(entry: Entry | None, stage: int, phase: str) -> TileCheckpoint | None:
    """Return the mark that an entry of this stage and phase holds, None where it is another or holds none."""
    if entry is None or (entry.words["stage"], entry.words["phase"]) != (stage, phase):
        return None
    if f"{_PREFIX}tiles" not in entry.words:
        return None
    import torch

    from sfumato.nn.tiled import TileCheckpoint

    sweep, tiles, work_bytes = (cast("int", entry.words[_PREFIX + name]) for name in _COUNTS)
    found = {name: values for name, values in entry.arrays.items() if name.startswith(_PREFIX)}
    numbers = {name.removeprefix(_PREFIX): torch.from_numpy(values) for name, values in found.items()}
    return TileCheckpoint(pass_index=sweep, tiles=tiles, work_bytes=work_bytes, numbers=numbers)


def say_mark(mark: TileCheckpoint) -> tuple[dict[str, Json], dict[str, NDArray[np.generic]]]:
    """Return a mark as words and arrays of an entry."""
    words: dict[str, Json] = {_PREFIX + name: cast("int", getattr(mark, name)) for name in _COUNTS}
    return words, {_PREFIX + name: x.detach().cpu().numpy() for name, x in mark.numbers.items()}
