"""A measurement in a process of its own that is stopped before it takes the machine down: too large or too long.

Knows processes and lines of JSON; not what is measured. Start reading at `run_child`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from sfumato.models.hardware.policy import measure_free_bytes

GIB = 1024**3
# A process that computes takes pages at some GiB a second at most.
_LOOK_S = 0.1
# What the rest of the machine needs to stay alive.
_LEAST_FREE_BYTES = GIB // 2
_LAST_WORDS = 400


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bound one process: bytes of the host that it may hold, seconds, and where it remembers what it learns of the machine.

    `device_bytes` is what it may be expected to hold on its device, before a call is started.
    """

    most_bytes: int
    device_bytes: int
    most_s: float
    cache: Path


@dataclass(kw_only=True)
class Ended:
    """Say how a process ended: what it found, or what it said was wrong, or why it was stopped; after how long, and where.

    `lost_s` is what it had worked since its last tick when it killed itself.
    """

    found: dict[str, Any] | None = None
    error: str = ""
    stopped: str = ""
    seconds: float = 0.0
    where: str = ""
    lost_s: float | None = None


def run_child(asked: dict[str, Any], limits: Limits) -> Ended:
    """Run one trial and watch it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sfumato.lab.true_shapes.render_process", json.dumps(asked)],
        env=os.environ | {"XDG_CACHE_HOME": str(limits.cache)},
        # Its lifeline: nobody else would end it where this process is killed.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A trial may start one of its own, which must not outlive it.
        start_new_session=True,
    )
    out, err = process.stdout, process.stderr
    assert out is not None, "it was asked for"
    assert err is not None, "it was asked for"
    with process:
        said, words = _Listener(out), _Listener(err)
        try:
            stopped = _watch(process, said.began, limits)
        finally:
            _kill_all(process)
        process.wait()
        ended = said.end(process.returncode, words)
    ended.stopped = stopped
    return ended


def _watch(process: subprocess.Popen[str], began: float, limits: Limits) -> str:
    """Wait for the end of a process, or for a limit that it reaches; say which."""
    while process.poll() is None:
        time.sleep(_LOOK_S)
        reason = _find_reason(_read_held(process.pid), time.monotonic() - began, limits)
        if reason:
            return reason
    return ""


def _kill_all(process: subprocess.Popen[str]) -> None:
    """End a process, and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _find_reason(held: int, seconds: float, limits: Limits) -> str:
    if held > limits.most_bytes:
        return f"held {held / GIB:.1f} GiB, may take {limits.most_bytes / GIB:.1f}"
    if measure_free_bytes(torch.device("cpu")) < _LEAST_FREE_BYTES:
        return f"held {held / GIB:.1f} GiB, and the machine had nothing left"
    return f"took longer than {limits.most_s / 60:g} minutes" if seconds > limits.most_s else ""


def _read_held(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


@dataclass(eq=False)
class _Listener:
    """Read a stream to its end in a thread of its own, and where the process is. A leaf."""

    stream: IO[str]
    began: float = field(default_factory=time.monotonic)
    _lines: list[str] = field(default_factory=list[str])
    _where: str = "opening the model"

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def end(self, code: int, words: _Listener) -> Ended:
        """Return what was said, once the process is gone."""
        last_words, last = words.read_end(), self.read_end()
        ended = Ended(seconds=time.monotonic() - self.began, where=self._where)
        said = json.loads(last) if last.startswith("{") else {}
        if "error" in said:
            error = said["error"]
            ended.error = f"{error['what']} ({error['got']})" if error["got"] else error["what"]
        elif "killing" in said:
            ended.lost_s = said["killing"]
        elif code:
            ended.error = last_words[:_LAST_WORDS] or f"ended with code {code}"
        else:
            ended.found = said.get("result")
        return ended

    def read_end(self) -> str:
        """Return the last line that says something."""
        self._thread.join()
        return next((line.strip() for line in reversed(self._lines) if line.strip()), "")

    def _read(self) -> None:
        for line in self.stream:
            if line.startswith('{"tick"'):
                stage, step, steps = json.loads(line)["tick"]
                self._where = f"{stage}, {step} of {steps}"
            else:
                self._lines.append(line)
