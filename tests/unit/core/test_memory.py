"""The peak is this process's own, not that of whoever started it."""

import subprocess
import sys

import numpy as np

from sfumato.core.memory import measure_peak_memory

MIB = 2**20


def test_a_peak_stays_when_the_memory_is_given_back():
    before = measure_peak_memory()
    held = np.ones(before + 64 * MIB, np.uint8)
    reached = measure_peak_memory()
    del held
    assert reached > before + 60 * MIB
    # The system counts pages in batches.
    assert measure_peak_memory() > reached - MIB


def test_a_child_does_not_inherit_the_peak_of_a_large_parent():
    held = np.ones(300 * MIB, np.uint8)
    code = "from sfumato.core.memory import measure_peak_memory; print(measure_peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < held.nbytes <= measure_peak_memory()
