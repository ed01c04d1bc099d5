"""What this process holds in memory, and the most it ever held, as the system counts it.

Knows no device beyond the host. Start reading at `measure_peak_memory`.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def measure_peak_memory() -> int:
    """Return the most bytes this process has held so far."""
    if _STATUS.is_file():
        # Not getrusage: a process started by a large one inherits that one's peak there.
        return read_memory("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, other systems in KiB.
    return peak if sys.platform == "darwin" else peak * 1024


def read_memory(name: str) -> int:
    """Return a line of this process's status in bytes: VmRSS is what it holds, VmHWM the most it held. Linux only."""
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
