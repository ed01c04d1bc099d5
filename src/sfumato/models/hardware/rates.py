"""The rates of this machine as an earlier process measured them: values and the file that they lie in.

Imports no torch, so that a plan can read them; `throughput` measures. Start reading at `Rates`, then `read_rates`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from sfumato.core.errors import StorageError
from sfumato.core.files import find_cache_folder, write_atomic
from sfumato.core.settings import load_settings
from sfumato.models.hardware.detect import TELLING, detect_hardware, read_torch_version

# What torch chooses its threads from, beside the cores that this process may use.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates in TFLOP/s and times in milliseconds, each the best of a few interleaved tries.

    The best, not the middle: another process can only make a try slower. `threads` is what torch works with here, and
    `import_bytes` what importing it took of memory, 0 where it was imported before.
    """

    bf16_tflops: float
    fp32_tflops: float
    packed_tflops: float
    fused_attention_ms: float
    blocked_attention_ms: float
    threads: int
    import_bytes: int = 0


def read_rates(folder: Path | None = None) -> Rates | None:
    """Return the rates that are remembered in `folder`, by default the user's cache folder; None where there are none."""
    try:
        return Rates(**json.loads(_find_path(folder).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_rates(rates: Rates, folder: Path | None = None) -> None:
    """Remember rates; the file is an optimisation, and no failure to write it is an error."""
    text = json.dumps(asdict(rates)).encode()
    try:
        write_atomic(_find_path(folder), lambda stream: stream.write(text))
    except StorageError:
        return


def name_machine() -> str:
    """Return a short name of what rates depend on: chip, instructions, cores, what sets the threads, and torch."""
    machine = detect_hardware()
    facts = [_VERSION, read_torch_version(), machine.chip, machine.instructions, machine.usable_cores, TELLING]
    asked = [load_settings().threads, *(os.environ.get(name) for name in THREAD_VARIABLES)]
    return hashlib.sha256(repr([*facts, *asked]).encode()).hexdigest()[:16]


def _find_path(folder: Path | None) -> Path:
    return (folder or find_cache_folder()) / f"rates-{name_machine()}.json"
