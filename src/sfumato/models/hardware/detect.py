"""What this machine is: cores, quota, memory, instruction sets, GPUs. Detected, never by a chip's name.

Knows the operating system's files and torch's device queries; measures nothing (`throughput` does) and decides nothing
(`policy` does). Only `find_gpus` imports torch. Start reading at `detect_hardware`.
"""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# The instruction sets that change what a policy would choose or what a person should know.
TELLING = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "bf16", "sve")
_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
# What the drivers of NVIDIA, AMD and of the Linux inside Windows put there; without one of them torch finds no GPU.
_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
_VERSION = re.compile(r"^__version__ = ['\"]([^'\"]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device that torch can use beside the CPU."""

    name: str
    memory_bytes: int
    capability: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The machine as this process may use it."""

    chip: str
    cores: int
    allowed_cores: int
    quota_cores: float | None
    memory_bytes: int
    free_bytes: int
    swapped_bytes: int
    instructions: tuple[str, ...]

    @property
    def usable_cores(self) -> int:
        """Cores that can work at once: the smallest of machine, affinity and container quota."""
        quota = math.ceil(self.quota_cores) if self.quota_cores else self.cores
        return max(1, min(self.cores, self.allowed_cores, quota))


def detect_hardware() -> Hardware:
    """Detect the machine; what an operating system does not tell is 0, empty or None."""
    memory = _read_pairs(_PROC / "meminfo")
    cores = os.cpu_count() or 1
    flags = _read_cpu("flags", "Features").split()
    limit = _read_memory_limit()
    total = memory.get("MemTotal", 0) * 1024
    free = memory.get("MemAvailable", 0) * 1024
    return Hardware(
        chip=_read_cpu("model name", "CPU part") or platform.processor() or platform.machine(),
        cores=cores,
        allowed_cores=count_allowed_cores(),
        quota_cores=read_quota(),
        memory_bytes=min(total, limit) if limit else total,
        free_bytes=min(free, limit) if limit else free,
        swapped_bytes=max(0, memory.get("SwapTotal", 0) - memory.get("SwapFree", 0)) * 1024,
        instructions=tuple(name for name in TELLING if name in flags),
    )


def count_allowed_cores() -> int:
    """Count the cores this process may be scheduled on."""
    # With OMP_PROC_BIND the OpenMP library pins this very thread to one core, which says nothing of the others.
    if hasattr(os, "sched_getaffinity") and "OMP_PROC_BIND" not in os.environ:
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def read_torch_version() -> str:
    """Return the version of torch, build included, without importing it."""
    spec = find_spec("torch")
    assert spec is not None, "torch is a dependency"
    assert spec.origin is not None, "torch is a package with a file"
    text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    found = _VERSION.search(text)
    return found[1] if found else "unknown"


def read_quota(root: Path = _CGROUP) -> float | None:
    """Return the container's CPU quota in cores, or None without one (cgroup v2, then v1)."""
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota = int((root / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((root / "cpu/cpu.cfs_period_us").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None


def _read_memory_limit(root: Path = _CGROUP) -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        # Version 1 writes a number near 2**63 for "no limit".
        return int(text) if text.isdigit() and int(text) < 1 << 60 else None
    return None


def _read_pairs(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name: int(rest.split()[0]) for name, _, rest in pairs if rest.split() and rest.split()[0].isdigit()}


def _read_cpu(*names: str) -> str:
    try:
        lines = (_PROC / "cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(names)), "")


def may_have_gpu() -> bool:
    """Tell whether torch is worth asking for a GPU: importing it takes seconds."""
    return not sys.platform.startswith("linux") or any(Path(name).exists() for name in _GPU_FILES)


def find_gpus() -> tuple[Gpu, ...]:
    """Return what torch can use beside the CPU."""
    import torch

    if torch.cuda.is_available():
        found = (torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count()))
        return tuple(Gpu(one.name, one.total_memory, f"{one.major}.{one.minor}") for one in found)
    if torch.backends.mps.is_available():
        return (Gpu("Apple GPU (Metal)", 0, "mps"),)
    return ()
