"""Settings of the process that make torch fast on a CPU: threads, allocator, oneDNN's cache.

The only place that applies them, for the command line and library users alike: what loads a model or measures the
machine calls `apply_runtime`. What a user has set in the environment wins. Knows no model.
Start reading at `apply_runtime`.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from dataclasses import dataclass
from functools import lru_cache

from sfumato.models.hardware.detect import read_quota
from sfumato.models.hardware.rates import THREAD_VARIABLES

# One primitive is kept per operator and shape; 1024, the default, lets memory grow with every new canvas size.
# A denoiser, its decoder and text encoder have about 200. With 64 each step made 57 of them again: 14 ms, which
# SD 1.5 does not feel and which doubled a guided step of mini (22 ms with 256 or 1024, 35 with 64).
PRIMITIVES_KEPT = 256
_PRIMITIVE_VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
# glibc returns each larger block to the system at once and takes fresh, zeroed pages for the next tensor:
# about 6 % of a step. 32 MiB is the most it accepts, and covers the activations of a 512 px tile;
# pictures of a decoder stay above it and are still given back.
_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES = -3, 32 << 20
# How much free memory may stay at the top of the heap before it is given back.
_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES = -1, 512 << 20
_ALLOCATOR_VARIABLES = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What was applied to this process."""

    threads: int
    allocator: str
    primitives_kept: str


@lru_cache(maxsize=8)
def apply_runtime(threads: int = 0) -> Runtime:
    """Apply the settings once; `threads` 0 uses every core this process may use.

    Guarantees to change nothing that the environment sets. oneDNN reads its variable at its first
    operation: a program that has run one before keeps the larger cache, which costs memory only.
    """
    import torch

    os.environ.setdefault(_PRIMITIVE_VARIABLE, str(PRIMITIVES_KEPT))
    _set_threads(threads)
    return Runtime(torch.get_num_threads(), _set_allocator(), os.environ[_PRIMITIVE_VARIABLE])


def share_among(threads: int) -> None:
    """Share sums out among so many threads from now on, whatever was applied: other shares add up in another order."""
    import torch

    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)


def _set_threads(threads: int) -> None:
    import torch

    if threads > 0:
        torch.set_num_threads(threads)
    elif not any(variable in os.environ for variable in THREAD_VARIABLES):
        # torch honours affinity but not a container's quota, below which threads wait for each other.
        quota = read_quota()
        if quota is not None and torch.get_num_threads() > math.ceil(quota):
            torch.set_num_threads(math.ceil(quota))


def _set_allocator() -> str:
    if any(variable in os.environ for variable in _ALLOCATOR_VARIABLES):
        return "as the environment says"
    if not sys.platform.startswith("linux"):
        return "as the system has it"
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version") or not hasattr(library, "mallopt"):
        return "as the system has it"
    kept = library.mallopt(_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
    kept &= library.mallopt(_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
    return "glibc, blocks up to 32 MiB kept" if kept else "as the system has it"
