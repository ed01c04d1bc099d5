"""Start the command line as a process of its own, or in a copy of this one, which has read torch already.

A new process takes seconds to import torch; a copy takes none. The few tests of how a process starts use
`command`. Start reading at `command` and `fork`.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn

import torch

from sfumato.cli import main

PAUSE_S = 0.002


def command(*arguments: object) -> list[str]:
    """Return the words that start a command of ours."""
    return [sys.executable, "-m", "sfumato.cli", *map(str, arguments)]


def environment(room: Path) -> dict[str, str]:
    """Return an environment with our sources, an empty cache, one thread and no settings from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SFUMATO_")}
    return kept | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XDG_CACHE_HOME": str(room / "cache"),
        "OMP_NUM_THREADS": "1",
    }


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to background jobs, and a test run may be one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Fork:
    """A copy of this process at work; leaving a `with` block kills it if it is still there."""

    def __init__(self, pid: int, streams: tuple[IO[bytes], IO[bytes]]) -> None:
        self.pid, self._streams = pid, streams
        self._code: int | None = None

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        for stream in self._streams:
            stream.close()

    @property
    def out(self) -> bytes:
        """What it has printed so far."""
        return self._read(self._streams[0])

    @property
    def err(self) -> bytes:
        """What it has printed to stderr so far."""
        return self._read(self._streams[1])

    def poll(self) -> int | None:
        """Return the exit code, minus the signal's number where a signal ended it, or None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout_s: float = 300) -> int:
        """Wait for the end and return the exit code."""
        until = time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            assert time.monotonic() < until, self.err.decode()
            time.sleep(PAUSE_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    @staticmethod
    def _read(stream: IO[bytes]) -> bytes:
        # The copy writes at the same offset: seeking here would move its pen.
        return os.pread(stream.fileno(), os.fstat(stream.fileno()).st_size, 0)


def fork_command(room: Path, *arguments: object, encoding: str = "utf-8") -> Fork:
    """Run a command line in a copy of this process; `encoding` is that of its stdout and stderr."""
    return fork(room, lambda: main([str(argument) for argument in arguments]), encoding=encoding)


def fork(room: Path, work: Callable[[], object], *, encoding: str = "utf-8") -> Fork:
    """Do some work in a copy of this process, in a folder, with one thread and the variables of `environment`."""
    streams = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 `Fork` closes them
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with warnings.catch_warnings():
        # Newer Pythons warn of threads that a copy lacks: those of xdist read and write, and hold no lock for long.
        warnings.simplefilter("ignore", DeprecationWarning)
        threads = torch.get_num_threads()
        # Here and not in the copy, which would wait for threads that it lacks.
        torch.set_num_threads(1)
        pid = os.fork()
        if pid:
            torch.set_num_threads(threads)
    return Fork(pid, streams) if pid else _live(room, work, streams, encoding)


def _live(room: Path, work: Callable[[], object], streams: tuple[IO[bytes], IO[bytes]], encoding: str) -> NoReturn:
    """Do the work as the copy and leave without what the original does at its end."""
    code: object = 1
    try:
        # What the original owns is not cleaned up here.
        gc.freeze()
        listen_to_ctrl_c()
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream.fileno(), number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "wb"), encoding) for number in (1, 2))
        for name in [name for name in os.environ if name.startswith("SFUMATO_")]:
            del os.environ[name]
        os.environ.update(environment(room))
        os.chdir(room)
        try:
            work()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 nothing may come back into the tests of the original
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else 1)
