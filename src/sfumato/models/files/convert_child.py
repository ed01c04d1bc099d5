"""Read a pickle checkpoint in a process that can do nothing else, and write plain tensors.

Run as a program by `sfumato.models.files.convert`, never imported by it: it knows only torch and the
standard library. Before the file is opened, the process gives up the network, new programs, and
writing anywhere except to the one descriptor it was handed. Start reading at `main`.

Source: torch.load with weights_only=True (torch >= 2.10, see CVE-2025-32434 and CVE-2026-24747);
Linux seccomp (BPF) and Landlock, described in their kernel documentation.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import resource
import struct
import sys
from pathlib import Path
from typing import Any

import torch

LEAST_TORCH = (2, 10)
MOST_TENSORS = 20_000
LONGEST_NAME = 512
CPU_SECONDS = 1800

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip


class Inert:
    """Stand in for a class that old checkpoints name and weights do not need; does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Accept whatever the file says."""

    def __setstate__(self, _: Any) -> None:
        """Forget whatever the file says."""


# Training programs left these beside the weights of SD 1.x. They become inert, whatever is asked of them.
HARMLESS = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "lightning_fabric.utilities.data.AttributeDict",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
)


class RefusedError(Exception):
    """The file is not plain weights; the message goes to the parent."""


def main() -> None:
    """Convert argv[1] to the descriptor argv[2]; print one JSON object."""
    source, target = sys.argv[1], int(sys.argv[2])
    try:
        held = lock_down(Path(source).stat().st_size, target)
        tensors, skipped = collect(read_plain(source))
        write(target, tensors)
    except RefusedError as error:
        answer: dict[str, Any] = {"refused": str(error)}
    except MemoryError:
        answer = {"refused": "it needs more memory than this computer may give"}
    else:
        answer = {"tensors": len(tensors), "skipped": skipped[:20], "held": held}
    print(json.dumps(answer))


def read_plain(source: str) -> Any:
    """Unpickle with weights_only; whatever it does not know is a refusal, never a second try."""
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < LEAST_TORCH:
        raise RefusedError("torch below 2.10 reads such files unsafely")
    named: list[Any] = [(Inert, name) for name in HARMLESS]
    with torch.serialization.safe_globals(named):
        try:
            return torch.load(source, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        # The unpickler is fed by an adversary: every kind of error it can meet is a refusal.
        except Exception as error:
            raise RefusedError(f"{type(error).__name__}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Keep what names the culprit, without torch's advice to load it unsafely."""
    text = str(error)
    at = text.find("GLOBAL")
    return " ".join((text[at:] if at >= 0 else text).split())[:200]


def collect(content: Any) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Find the weights: a state dict, the same under `state_dict`, or a textual inversion."""
    if isinstance(content, dict) and isinstance(content.get("string_to_param"), dict):
        vectors = [value for value in content["string_to_param"].values() if isinstance(value, torch.Tensor)]
        if len(vectors) != 1:
            raise RefusedError("an embedding file has to hold exactly one token")
        return {"emb_params": check_dense("emb_params", vectors[0])}, []
    inner = content.get("state_dict") if isinstance(content, dict) else None
    state = inner if isinstance(inner, dict) else content
    if not isinstance(state, dict):
        raise RefusedError("it holds no table of tensors")
    tensors: dict[str, torch.Tensor] = {}
    skipped: list[str] = []
    for name, value in state.items():
        if isinstance(name, str) and isinstance(value, torch.Tensor):
            tensors[name] = check_dense(name, value)
        else:
            skipped.append(str(name)[:80])
    if not tensors or len(tensors) > MOST_TENSORS:
        raise RefusedError(f"it holds {len(tensors)} tensors")
    return tensors, skipped


def check_dense(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return plain numbers in order; sparse tensors can point outside their memory."""
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise RefusedError("a tensor's name is too long or not printable")
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout != torch.strided:
        raise RefusedError(f"tensor {name!r} is not dense")
    if tensor.is_quantized or tensor.is_meta or tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
        raise RefusedError(f"tensor {name!r} is of a kind that is not converted: {tensor.dtype}")
    if any(step < 0 for step in tensor.stride()):
        raise RefusedError(f"tensor {name!r} runs backwards")
    last = tensor.storage_offset() + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    if tensor.numel() and (last + 1) * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise RefusedError(f"tensor {name!r} reaches outside its memory")
    return tensor.detach()


def write(target: int, tensors: dict[str, torch.Tensor]) -> None:
    """Write safetensors to a descriptor, one tensor at a time."""
    header: dict[str, Any] = {}
    at = 0
    for name, tensor in tensors.items():
        end = at + math.prod(tensor.shape) * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with os.fdopen(os.dup(target), "wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for tensor in tensors.values():
            flat = tensor.contiguous().reshape(-1)
            if flat.numel():
                file.write(memoryview(flat.view(torch.uint8).numpy()))  # pyright: ignore[reportArgumentType]  # an array is a buffer


def lock_down(size_bytes: int, target: int) -> list[str]:
    """Give up everything the work does not need; return what the system made possible."""
    memory = 4 * size_bytes + 4 * 2**30 + current_address_space()
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 4 * size_bytes + 2**20),
        (resource.RLIMIT_AS, memory),
    ):
        soft = value if (hard := resource.getrlimit(limit)[1]) == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (soft, soft))
    held = ["limits"]
    if sys.platform.startswith("linux"):
        held += [name for name, close in (("landlock", forbid_writes), ("seccomp", forbid_calls)) if close()]
    # Last: the calls above load the C library, which the hook would stop.
    sys.addaudithook(lambda event, args: audit(event, args, target))
    return [*held, "audit"]


def current_address_space() -> int:
    """Return the bytes of address space in use: torch alone maps gigabytes."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except OSError:
        return 64 * 2**30


FORBIDDEN_EVENTS = (
    "socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "pty.", "os.rename",
    "os.remove", "os.unlink", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate",
    "os.putenv", "shutil.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "ctypes.dlopen", "sqlite3.",
)  # fmt: skip


def audit(event: str, args: tuple[Any, ...], target: int) -> None:
    """Stop what Python itself would do beyond reading: the belt to the kernel's braces."""
    if event.startswith(FORBIDDEN_EVENTS):
        raise RefusedError(f"the file tried: {event}")
    if event == "open":
        path, mode, flags = args
        writes = (isinstance(mode, str) and any(sign in mode for sign in "wax+")) or bool(
            isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        )
        if writes and not isinstance(path, int) and path != target:
            raise RefusedError(f"the file tried to write {path!r}")


# Landlock, ABI 1: create a rule set that handles every kind of write and allow none.
LANDLOCK_CREATE, LANDLOCK_RESTRICT = 444, 446
WRITE_FILE, REMOVE_DIR_TO_MAKE_SYM = 1 << 1, sum(1 << bit for bit in range(4, 13))
NO_NEW_PRIVILEGES = 38
SET_SECCOMP, FILTER = 22, 2


def forbid_writes() -> bool:
    """Forbid every write to the file system by path (descriptors that are open stay usable)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handled = ctypes.c_uint64(WRITE_FILE | REMOVE_DIR_TO_MAKE_SYM)
    rules = libc.syscall(LANDLOCK_CREATE, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if rules < 0:
        return False
    closed = libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and libc.syscall(LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return closed


# Architecture -> (audit number, the calls for sockets, new programs and other processes).
CALLS = {
    "x86_64": (0xC000003E, (41, 42, 43, 49, 50, 53, 56, 57, 58, 59, 62, 101, 129, 200, 234, 288, 310, 311, 322, 425)),
    "aarch64": (0xC00000B7, (117, 129, 130, 131, 198, 199, 200, 201, 202, 203, 221, 242, 270, 271, 281, 425)),
}
# Starting a thread is a `clone` too; torch has its threads only when it needs them, so they stay allowed.
CLONE = {"x86_64": 56, "aarch64": 220}
# Its flags lie behind a pointer that a filter cannot read; told that it is absent, the C library uses `clone`.
CLONE3 = 435
CLONE_THREAD = 0x00010000
X32_BIT = 0x40000000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid_calls() -> bool:
    """Forbid sockets, new programs, signals and other processes in the kernel (seccomp)."""
    machine = platform.machine()
    if machine not in CALLS:
        return False
    code = build_filter(machine)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    program = _Program(len(code) // 8, code)
    return libc.prctl(SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0) == 0


def build_filter(machine: str) -> bytes:
    """Assemble the filter: wrong architecture kills, listed calls fail, the rest passes."""
    load, equal, above, test, end = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, deny, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    number, arch, first_argument = 0, 4, 16

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    wanted, calls = CALLS[machine]
    lines = [line(load, arch), line(equal, wanted, 1, 0), line(end, kill), line(load, number)]
    lines += [line(above, X32_BIT, 0, 1), line(end, kill)]
    for call in calls:
        if call != CLONE[machine]:
            lines += [line(equal, call, 0, 1), line(end, deny)]
    lines += [
        line(equal, CLONE3, 0, 1),
        line(end, absent),
        line(equal, CLONE[machine], 0, 3),
        line(load, first_argument),
        line(test, CLONE_THREAD, 1, 0),
        line(end, deny),
        line(end, allow),
    ]
    return b"".join(lines)


if __name__ == "__main__":
    main()
