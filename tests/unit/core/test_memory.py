"""The peak is this process's own, not that of whoever started it."""

import subprocess
import sys

import numpy as np

from sfumato.core.memory import measure_peak_memory

MIB = 2**20
# A process of its own: the peak of this one may be gigabytes, and to pass it takes more.
PEAK = """
from sfumato.core.memory import measure_peak_memory
before = measure_peak_memory()
held = b"1" * (before + 64 * 2**20)
reached = measure_peak_memory()
del held
print(before, reached, measure_peak_memory())
"""


def start(code: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_peak_stays_when_the_memory_is_given_back():
    before, reached, after = start(PEAK)
    assert reached > before + 60 * MIB
    # The system counts pages in batches.
    assert after > reached - MIB


def test_a_child_does_not_inherit_the_peak_of_a_large_parent():
    held = np.ones(300 * MIB, np.uint8)
    (seen,) = start("from sfumato.core.memory import measure_peak_memory; print(measure_peak_memory())")
    assert seen < held.nbytes <= measure_peak_memory()
