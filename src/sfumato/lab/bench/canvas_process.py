"""One measurement of `sfumato bench canvas`, in a process of its own: write a canvas, say what it took.

Imports nothing but the canvas, so that what the process holds is the canvas. Prints one line of
JSON. Start reading at `main`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sfumato.canvas.formats.save import open_writer
from sfumato.canvas.formats.tiles import TileEncoding
from sfumato.canvas.latents import count_latent_bytes, make_latents
from sfumato.core.geometry import LatentBox, LatentSize, PixelSize
from sfumato.core.memory import read_memory

# A decoder hands on rows of tiles; 64 rows of pixels are eight of latents.
_BAND_ROWS = 64
_PATTERN_PX = 512
# SD 1.x, 2.x, XL and mini.
_CHANNELS, _FACTOR = 4, 8
_WINDOW_ROWS = 16
# The memory does not depend on how hard zlib tries, the time does.
_EFFORT = 1


def main() -> None:
    """Run the trial named on the command line: kind, side in pixels, path."""
    kind, side_px, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    trial: Callable[[int, Path], None] = try_latents if kind == "latents" else try_pixels
    before, started = read_memory("VmRSS"), time.monotonic()
    trial(side_px, path)
    took, peak = time.monotonic() - started, read_memory("VmHWM")
    found = {"growth_bytes": peak - before, "seconds": round(took, 2), "file_bytes": count_file_bytes(path.parent)}
    sys.stdout.write(json.dumps(found) + "\n")


def try_pixels(side_px: int, path: Path) -> None:
    """Write a square picture of slopes and a little noise in bands."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:_BAND_ROWS, :_PATTERN_PX]
    pattern = (rows + columns)[..., None] // (3, 4, 5) + rng.integers(0, 4, (_BAND_ROWS, _PATTERN_PX, 3))
    band = np.tile(pattern.astype(np.uint8), (1, -(-side_px // _PATTERN_PX), 1))[:, :side_px]
    with open_writer(path, PixelSize(side_px, side_px), {}, TileEncoding(effort=_EFFORT)) as writer:
        for top in range(0, side_px, _BAND_ROWS):
            # Each band another one, at no cost.
            band += np.uint8(1)
            writer.write_band(band[: side_px - top])


def try_latents(side_px: int, path: Path) -> None:
    """Sweep a canvas of latents on disk as a sampler does: read a band and its surroundings, write it, flush."""
    size = LatentSize(side_px // _FACTOR, side_px // _FACTOR)
    store = make_latents(size, _CHANNELS, path=path, most_memory_bytes=0)
    for top in range(0, size.height, _WINDOW_ROWS):
        around = LatentBox(0, max(0, top - _WINDOW_ROWS), size.width, min(size.height, top + 2 * _WINDOW_ROWS))
        band = LatentBox(0, top, size.width, min(size.height, top + _WINDOW_ROWS))
        share = np.float32(store.read(around).mean() + 1)
        store.add(band, np.full((_CHANNELS, band.height, band.width), share))
        store.flush()
    store.close()
    assert path.stat().st_size >= count_latent_bytes(size, _CHANNELS), "the file holds the canvas"


def count_file_bytes(folder: Path) -> int:
    """Return what all files in a folder hold."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
