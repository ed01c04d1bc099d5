"""Formats that take a picture whole take as much memory for it as the plan counts, and say which they are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sfumato.canvas.formats.images import load_picture
from sfumato.canvas.formats.save import count_whole_bytes, save_shown
from sfumato.canvas.pixels import BAND_PX, MemoryPixels
from sfumato.core.geometry import PixelSize

SIZE = PixelSize(1500, 1000)
# A band as it was read, and as a picture of its own; of a large picture that is nothing.
BAND_BYTES = 8 * BAND_PX
# Prints the bytes that saving adds to the most that a process has held; noise takes most.
CHILD = """
import sys
from pathlib import Path
import numpy as np
from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.formats.save import save_shown
from sfumato.core.geometry import PixelSize
from sfumato.core.memory import measure_peak_memory as peak
out, size, small = Path(sys.argv[1]), PixelSize(1500, 1000), PixelSize(32, 32)
store = MemoryPixels(size, np.random.default_rng(1).integers(0, 256, (*size.shape_hw, 3), np.uint8))
save_shown(out, MemoryPixels(small), {})
before = peak()
save_shown(out, store, {})
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is told in other units elsewhere")
@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_what_saving_takes_is_counted(tmp_path, name):
    done = subprocess.run([sys.executable, "-c", CHILD, tmp_path / name], capture_output=True, text=True, check=True)
    counted = count_whole_bytes(Path(name)) * SIZE.area
    assert 0.5 * counted <= int(done.stdout) <= counted + BAND_BYTES


def test_formats_in_bands_take_nothing_whole():
    assert [count_whole_bytes(Path(f"a{suffix}")) for suffix in (".png", ".tif", ".tiff", ".dzi")] == [0] * 4
    assert count_whole_bytes(Path("a.JPEG")) == count_whole_bytes(Path("a.jpg"))


def test_what_is_gathered_from_bands_is_the_picture(tmp_path):
    values = np.random.default_rng(2).integers(0, 256, (*SIZE.shape_hw, 3), np.uint8)
    save_shown(tmp_path / "a.webp", MemoryPixels(SIZE, values), {})
    assert (np.asarray(load_picture(tmp_path / "a.webp")) == values).all()
