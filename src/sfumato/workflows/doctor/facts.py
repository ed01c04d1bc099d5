"""The facts about an installation and its machine that advice is drawn from.

Looks, measures for about a second, and changes nothing. Judges nothing. Start reading at
`gather_facts`.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from sfumato.core.errors import SfumatoError
from sfumato.core.files import find_cache_folder
from sfumato.core.settings import PREFIX, load_settings
from sfumato.core.version import __version__
from sfumato.models.files.bundle import Bundle, check_bundle
from sfumato.models.hardware.detect import Gpu, Hardware, detect_hardware, find_gpus
from sfumato.models.hardware.policy import Policy, choose_cpu_policy, choose_policy
from sfumato.models.hardware.rates import THREAD_VARIABLES, Rates
from sfumato.models.hardware.throughput import measure_rates
from sfumato.models.hardware.torch_settings import Runtime, apply_runtime
from sfumato.models.parts.catalogue import describe_state, find_parts_folder
from sfumato.models.parts.rows import PARTS

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy", "pillow", "skia-python", "spandrel")
# What changes speed from outside and is worth showing when set.
_TELLING_VARIABLES = (*THREAD_VARIABLES, "OMP_PROC_BIND", "GLIBC_TUNABLES", "LD_PRELOAD", "DNNL_MAX_CPU_ISA",
                      "ONEDNN_MAX_CPU_ISA", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "CUDA_VISIBLE_DEVICES")  # fmt: skip
_GPU_SIDE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder that work is written to."""

    purpose: str
    path: str
    free_bytes: int
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the advice is drawn from."""

    versions: dict[str, str]
    machine: Hardware
    gpus: tuple[Gpu, ...]
    rates: Rates
    gpu_tflops: float
    runtime: Runtime
    policy: Policy
    folders: tuple[Folder, ...]
    mini: Bundle
    parts: dict[str, str]
    load: float
    variables: dict[str, str]
    settings_error: str = ""
    device_files: bool = False


def gather_facts() -> Facts:
    """Gather the facts; about a second, most of it the measured rates."""
    # Before our own settings are applied: the report shows what the user has set.
    variables = {name: os.environ[name] for name in sorted(os.environ) if _is_telling(name)}
    threads, settings_error = _read_threads()
    runtime = apply_runtime(threads)
    rates = measure_rates()
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return Facts(
        versions=_read_versions(),
        machine=detect_hardware(),
        gpus=find_gpus(),
        rates=rates,
        gpu_tflops=measure_gpu() if torch.cuda.is_available() else 0.0,
        runtime=runtime,
        # The rates just measured, not the remembered ones: the report must agree with itself.
        policy=choose_policy() if gpu and not settings_error else choose_cpu_policy(rates),
        folders=tuple(_look_at(*one) for one in _name_folders()),
        mini=check_bundle(),
        parts=_read_parts(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        variables=variables,
        settings_error=settings_error,
        device_files=Path("/dev/nvidia0").exists(),
    )


def measure_gpu() -> float:
    """Measure a large bf16 product on the first GPU, in TFLOP/s."""
    a = torch.ones(_GPU_SIDE, _GPU_SIDE, device="cuda", dtype=torch.bfloat16)
    best_ms = float("inf")
    for _ in range(4):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        torch.mm(a, a)
        end.record()
        end.synchronize()
        best_ms = min(best_ms, start.elapsed_time(end))
    return 2 * _GPU_SIDE**3 / best_ms / 1e9


def _read_threads() -> tuple[int, str]:
    # A wrong variable stops every other command; here it becomes advice.
    try:
        return load_settings().threads, ""
    except SfumatoError as error:
        return 0, str(error)


def _read_versions() -> dict[str, str]:
    found = {"sfumato": __version__, "python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def _name_folders() -> tuple[tuple[str, Path], ...]:
    try:
        parts = find_parts_folder()
    except SfumatoError:
        # A wrong setting becomes advice.
        parts = find_cache_folder() / "parts"
    return (
        ("pictures (this folder)", Path.cwd()),
        ("temporary files", Path(tempfile.gettempdir())),
        ("remembered rates", find_cache_folder()),
        ("parts", parts),
    )


def _read_parts() -> dict[str, str]:
    # A wrong setting is told as advice, not as a failure of the report.
    try:
        return {part.name: describe_state(part) for part in PARTS}
    except SfumatoError:
        return {}


def _look_at(purpose: str, path: Path) -> Folder:
    # A folder that is not there yet is made when needed: what counts is the nearest one that is.
    place = next((one for one in (path, *path.parents) if one.is_dir()), path)
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        free = 0
    return Folder(purpose=purpose, path=str(path), free_bytes=free, writable=os.access(place, os.W_OK | os.X_OK))


def _is_telling(name: str) -> bool:
    return name in _TELLING_VARIABLES or name.startswith(PREFIX)
