"""Read a pickle checkpoint in a process that can do nothing else, and write plain tensors.

Run as a program by `sfumato.models.files.convert`, never imported by it: it knows only torch and the
standard library. Before the file is opened, the process gives up the network, new programs, other
processes, every other file, and writing anywhere except to the one descriptor it was handed. Start reading at `main`.

Source: torch.load with weights_only=True (torch >= 2.10, see CVE-2025-32434 and CVE-2026-24747);
Linux seccomp (BPF) and Landlock, described in their kernel documentation.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import math
import os
import platform
import re
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


class Table:
    """Stand in for torch's ParameterDict, in which embedding files of 2022 keep their vector."""

    def __init__(self) -> None:
        """Start empty."""
        self.parameters: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        """Keep the parameters of the module and nothing else."""
        found = state.get("_parameters") if isinstance(state, dict) else None
        self.parameters = dict(found) if isinstance(found, dict) else {}


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
        rehearse()
        held = lock_down(source, Path(source).stat().st_size, target)
        tensors, skipped = collect(read_plain(source))
        write(target, tensors)
    except RefusedError as error:
        answer: dict[str, Any] = {"refused": str(error)}
    except MemoryError:
        answer = {"refused": "it needs more memory than this computer may give"}
    else:
        answer = {"tensors": len(tensors), "skipped": skipped[:20], "held": held}
        answer["open"] = [text for wall, text in WALLS.items() if wall not in held]
    print(json.dumps(answer))


def read_plain(source: str | io.BytesIO) -> Any:
    """Unpickle with weights_only; whatever it does not know is a refusal, never a second try."""
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < LEAST_TORCH:
        raise RefusedError("torch below 2.10 reads such files unsafely")
    named: list[Any] = [(Inert, name) for name in HARMLESS]
    named.append((Table, "torch.nn.modules.container.ParameterDict"))
    with torch.serialization.safe_globals(named):
        try:
            return torch.load(source, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        # The unpickler is fed by an adversary: every kind of error it can meet is a refusal.
        except Exception as error:
            raise RefusedError(f"{type(error).__name__}: {first_line(error)}".rstrip(": ")) from error


# Torch's refusals advise ways around them; none of this may reach a user.
ADVICE = re.compile(
    r"weights_only|torch\.load|safe_globals|trust|documentation|https?:|WeightsUnpickler", re.IGNORECASE
)


def first_line(error: BaseException) -> str:
    """Keep what names the culprit, without torch's advice to load it unsafely."""
    text = str(error)
    culprit = re.search(r"GLOBAL ([\w.]+)", text)
    if culprit:
        return f"it names {culprit[1][:150]}"
    parts = (part.strip() for part in re.split(r"(?<=[.:;])\s|\n", text))
    return " ".join(part for part in parts if part and not ADVICE.search(part))[:200]


# Where trainers put the weights; upscalers keep a running mean beside them, which is the better one.
INNER = ("state_dict", "params_ema", "params")


def collect(content: Any) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Find the weights: a state dict, the same under a name of `INNER`, or a textual inversion."""
    named = content.get("string_to_param") if isinstance(content, dict) else None
    named = named.parameters if isinstance(named, Table) else named
    if isinstance(named, dict):
        vectors = [value for value in named.values() if isinstance(value, torch.Tensor)]
        if len(vectors) != 1:
            raise RefusedError("an embedding file has to hold exactly one token")
        return {"emb_params": check_dense("emb_params", vectors[0])}, []
    inner = [content.get(name) for name in INNER] if isinstance(content, dict) else []
    state = next((table for table in inner if isinstance(table, dict)), content)
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


def rehearse() -> None:
    """Load everything that reading and failing need: after the doors are closed no module can be imported."""
    for old in (False, True):
        file = io.BytesIO()
        torch.save(
            {"a": torch.ones(2, 2).T, "b": torch.nn.Parameter(torch.ones(1))},
            file,
            _use_new_zipfile_serialization=not old,
        )
        read_plain(io.BytesIO(file.getvalue()))
        with contextlib.suppress(RefusedError):
            read_plain(io.BytesIO(file.getvalue()[:-20]))
    torch.ones(2).reshape(-1).view(torch.uint8).numpy()
    json.dumps({})


def lock_down(source: str, size_bytes: int, target: int) -> list[str]:
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
        held += forbid_files(source) + forbid_calls()
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


# Landlock: rights by the version of the kernel's interface that brought them. All of them are handled, so all are
# forbidden, except reading the one file. Version 6 also forbids signals and abstract sockets to other processes.
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
EXECUTE_TO_MAKE_SYM, REFER, TRUNCATE, IOCTL_DEVICE = (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15
READ_FILE = 1 << 2
CONNECT_AND_BIND_TCP, SIGNALS_AND_SOCKETS = 0b11, 0b11
ASK_VERSION, PATH_BENEATH = 1, 1
NO_NEW_PRIVILEGES = 38


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Rule(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def forbid_files(source: str) -> list[str]:
    """Forbid every access to the file system by path but reading `source`; return what holds.

    Descriptors that are open stay usable. Kernels hold as much as their version of Landlock knows.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(LANDLOCK_CREATE, None, 0, ASK_VERSION)
    if version < 1:
        return []
    files = EXECUTE_TO_MAKE_SYM | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    attributes = _Ruleset(files | (IOCTL_DEVICE if version >= 5 else 0))
    # Older kernels refuse a longer structure than they know, even one of zeros: hand over what they know.
    size = 8
    if version >= 4:
        attributes.network, size = CONNECT_AND_BIND_TCP, 16
    if version >= 6:
        attributes.scoped, size = SIGNALS_AND_SOCKETS, 24
    rules = libc.syscall(LANDLOCK_CREATE, ctypes.byref(attributes), size, 0)
    if rules < 0:
        return []
    parent = os.open(source, os.O_PATH | os.O_CLOEXEC)
    rule = _Rule(READ_FILE, parent)
    closed = (
        libc.syscall(LANDLOCK_ADD, rules, PATH_BENEATH, ctypes.byref(rule), 0) == 0
        and libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
        and libc.syscall(LANDLOCK_RESTRICT, rules, 0) == 0
    )
    os.close(parent)
    os.close(rules)
    return ["landlock", *(["signals"] if version >= 6 else [])] if closed else []


# Architecture -> audit number, number of the call that sets a filter, and the calls that unpickling, threads and
# writing to open descriptors need. Everything else fails: changing modes, owners, names, sizes or attributes of
# files, other processes, sockets, new programs, name spaces, keys, shared memory.
ALLOWED = {
    "x86_64": (0xC000003E, 317, (
        0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 24, 25, 28, 32, 35, 39, 60, 79, 96, 97, 98,
        99, 100, 131, 186, 202, 204, 219, 221, 228, 230, 231, 262, 273, 318, 324, 332, 334,
    )),
    "aarch64": (0xC00000B7, 277, (
        17, 23, 57, 62, 63, 64, 65, 66, 67, 68, 79, 80, 93, 94, 98, 99, 101, 113, 115, 123, 124, 128, 132, 134, 135, 139,
        153, 163, 165, 169, 172, 178, 179, 214, 215, 216, 222, 223, 226, 233, 278, 283, 291, 293,
    )),
}  # fmt: skip
# Opening is allowed for reading: number -> which argument holds the flags. openat is last in both.
OPEN = {"x86_64": {2: 1, 257: 2}, "aarch64": {56: 2}}
ANY_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# fcntl sends signals to other processes when told to (F_SETOWN); these read and set flags or copy a descriptor.
FCNTL = {"x86_64": 72, "aarch64": 25}
FCNTL_COMMANDS = (0, 1, 2, 3, 1030)
# Starting a thread is a `clone` too; torch has its threads only when it needs them, so they stay allowed.
CLONE = {"x86_64": 56, "aarch64": 220}
# Its flags lie behind a pointer that a filter cannot read; told that it is absent, the C library uses `clone`.
CLONE3 = 435
CLONE_THREAD = 0x00010000
X32_BIT = 0x40000000
SET_FILTER, ALL_THREADS = 1, 1


class _PickleProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid_calls() -> list[str]:
    """Forbid all system calls but those on the list, in every thread (seccomp); return what holds."""
    machine = platform.machine()
    if machine not in ALLOWED:
        return []
    code = build_filter(machine)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return []
    program = _PickleProgram(len(code) // 8, code)
    held = libc.syscall(ALLOWED[machine][1], SET_FILTER, ALL_THREADS, ctypes.byref(program)) == 0
    return ["seccomp"] if held else []


def build_filter(machine: str) -> bytes:
    """Assemble the filter: wrong architecture kills, listed calls pass, the rest fails with EPERM."""
    load, equal, above, test, end = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, deny, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    number, arch, arguments = 0, 4, 16

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    def on_argument(call: int, argument: int, *decide: bytes) -> list[bytes]:
        """Load an argument (its low half) of one call and decide by it; other calls pass over."""
        return [line(equal, call, 0, len(decide) + 1), line(load, arguments + 8 * argument), *decide]

    wanted, _, calls = ALLOWED[machine]
    lines = [line(load, arch), line(equal, wanted, 1, 0), line(end, kill), line(load, number)]
    lines += [line(above, X32_BIT, 0, 1), line(end, kill)]
    for call in calls:
        lines += [line(equal, call, 0, 1), line(end, allow)]
    lines += [line(equal, CLONE3, 0, 1), line(end, absent)]
    lines += on_argument(CLONE[machine], 0, line(test, CLONE_THREAD, 0, 1), line(end, allow), line(end, deny))
    for call, argument in OPEN[machine].items():
        lines += on_argument(call, argument, line(test, ANY_WRITE, 1, 0), line(end, allow), line(end, deny))
    commands = [line(equal, command, len(FCNTL_COMMANDS) - at, 0) for at, command in enumerate(FCNTL_COMMANDS)]
    lines += on_argument(FCNTL[machine], 1, *commands, line(end, deny), line(end, allow))
    return b"".join((*lines, line(end, deny)))


# What a wall is for, said where a machine does not have it.
WALLS = {
    "landlock": "other files of this user can be read (no Landlock)",
    "seccomp": "system calls are not limited (no seccomp)",
}


if __name__ == "__main__":
    main()
