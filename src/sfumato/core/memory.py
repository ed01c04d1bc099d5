"""What this process holds in memory, and the most it ever held, as the system counts it.

Knows no device beyond the host. Start reading at `measure_peak_memory`.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


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


def restart_peak_memory() -> bool:
    """Let the system count this process's peak anew from what it holds now; False where it cannot.

    For a process that measures: whoever asks for the peak of a render gets it from here on only.
    """
    try:
        # 5 resets the peak of resident memory; see proc_pid_clear_refs(5).
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def give_back_memory() -> None:
    """Give what the heap holds free back to the system, where it is glibc's; it keeps up to 512 MiB otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
