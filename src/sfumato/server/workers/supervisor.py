"""Keep one worker process alive, hear what it says, and take its job away when it dies or hangs.

The connections of clients end in the server, so no death of a worker reaches them. Knows no picture and no route.
Start reading at `Supervisor.run`.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.core.errors import SfumatoError
from sfumato.server.hub import Hub
from sfumato.server.job_log import JobLog
from sfumato.server.queue.store import JobStore

# One line may carry a preview of 512 px as JPEG in base64; 8 MiB is far above that.
_LONGEST_LINE_BYTES = 2**23
_LOG_LINES = 200
# A worker that dies at once again and again must not keep a core busy.
_LEAST_PAUSE_S, _MOST_PAUSE_S, _CALM_S = 0.05, 10.0, 20.0
# A hang: neither a sign nor work for this long, and for 20 times the median step; opening a large model takes minutes.
HANG_S, HANG_STEPS, OPENING_S = 60.0, 20.0, 900.0
# A worker that computes may be silent for so long.
BUSY_S = 1800.0
# CPU seconds between two looks; renewing a lease takes less.
_LEAST_WORK_S = 0.02
_FEWEST_STEPS = 3
_WATCH_EVERY_S = 1.0
STOP_S = 15.0


def make_command(folder: Path, device: str) -> Callable[[str], Sequence[str]]:
    """Return the words that start a worker of a name."""
    return lambda name: [sys.executable, "-m", "sfumato.server.workers.drawing", str(folder), name, device]


@dataclass(eq=False, kw_only=True)
class Supervisor:
    """Run workers one after the other until `stop`. A leaf.

    `command` returns the words that start the worker of a name. `hang_s` is the least silence that counts as a hang.
    """

    store: JobStore
    hub: Hub
    command: Callable[[str], Sequence[str]]
    hang_s: float = HANG_S
    log: JobLog = field(default_factory=JobLog)
    deaths: int = field(init=False, default=0)
    ready: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = field(init=False, default=None)
    _stopping: bool = field(init=False, default=False)
    _log: deque[str] = field(init=False, default_factory=lambda: deque[str](maxlen=_LOG_LINES))
    _steps_s: deque[float] = field(init=False, default_factory=lambda: deque[float](maxlen=50))
    _job: str | None = field(init=False, default=None)
    _job_began: bool = field(init=False, default=False)

    @property
    def pid(self) -> int | None:
        """Return the id of the worker process that lives, or None."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def run(self) -> None:
        """Start a worker, follow it to its end, settle its job, and start the next."""
        pause_s = _LEAST_PAUSE_S
        while not self._stopping:
            began, name = time.monotonic(), secrets.token_hex(8)
            try:
                await self._run_one(name)
                if self._stopping:
                    return
                self.deaths += 1
                log = "\n".join(self._log)
                self.log.write("worker died", deaths=self.deaths)
                for job_id in await asyncio.to_thread(self.store.release_dead, worker=name, log=log):
                    self.hub.forget(job_id)
            except (OSError, ValueError, SfumatoError) as error:
                # A full disk, no more processes, a line without end: the next worker settles what is left.
                sys.stderr.write(f"sfumato: the worker could not be followed: {error}\n")
            pause_s = _LEAST_PAUSE_S if time.monotonic() - began > _CALM_S else min(_MOST_PAUSE_S, pause_s * 2)
            await asyncio.sleep(pause_s)

    def wake(self) -> None:
        """Tell the worker that there is something new in the queue."""
        self._say(b"wake\n")

    def watch(self) -> None:
        """Tell the worker that somebody looks at previews now."""
        self._say(b"watch\n")

    async def stop(self, *, most_s: float = STOP_S) -> None:
        """Let the worker put its job back within a step, and end it; kill it after `most_s`."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), most_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run_one(self, name: str) -> None:
        pipe = asyncio.subprocess.PIPE
        self._log.clear()
        self._job, self._job_began = None, False
        process = await asyncio.create_subprocess_exec(
            *self.command(name),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=_LONGEST_LINE_BYTES,
            # Signals of the terminal are for the server; it stops its worker itself.
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self._process = process
        assert process.stdout is not None, "it has a pipe"
        assert process.stderr is not None, "it has a pipe"
        guard = asyncio.create_task(self._watch_hang(process))
        errors = asyncio.create_task(self._read_log(process.stderr))
        try:
            async for line in process.stdout:
                self._hear(line)
            await process.wait()
            await errors
        finally:
            guard.cancel()
            self.ready.clear()
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()

    def _hear(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            self._log.append(line.decode(errors="replace").rstrip())
            return
        kind, job_id = message.get("event"), message.get("job")
        now = time.monotonic()
        if kind == "ready":
            self.ready.set()
        if kind in ("ready", "began"):
            self.log.write(f"worker {kind}", job=job_id)
        if kind == "began":
            self._job, self._job_began = job_id, False
            self._log.clear()
        if kind == "ended":
            self._job = None
            self.hub.forget(job_id)
            if self.log.is_on:
                self._note_end(str(job_id))
        if kind == "progress":
            if self._job_began:
                self._steps_s.append(now - self.hub.last_sign_s)
            self._job_began = True
        self.hub.hear(message)

    def _note_end(self, job_id: str) -> None:
        """Log how a job ended; it may wait again, or be gone."""
        with suppress(SfumatoError):
            self.log.write_job("ended", self.store.find(job_id))

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self._log.append(line.decode(errors="replace").rstrip())

    async def _watch_hang(self, process: asyncio.subprocess.Process) -> None:
        spent_s, busy_at = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(min(_WATCH_EVERY_S, self.hang_s / 4))
            now, found_s = time.monotonic(), _read_cpu_s(process.pid)
            # The check and the saving of a large picture tell no steps and may take minutes, but they compute.
            if found_s is None or found_s - spent_s > _LEAST_WORK_S:
                busy_at = now
            spent_s = found_s or 0.0
            if self._job is None:
                continue
            silent_s, allowed_s = now - self.hub.last_sign_s, self._allowed_s()
            idle_s = min(silent_s, now - busy_at)
            if idle_s > allowed_s or silent_s > max(BUSY_S, allowed_s):
                self._log.append(f"no sign of life for {silent_s:.0f} s: the worker was ended")
                with suppress(ProcessLookupError):
                    process.kill()
                return

    def _allowed_s(self) -> float:
        if not self._job_began:
            return max(self.hang_s, OPENING_S if self.hang_s >= HANG_S else 0.0)
        if len(self._steps_s) < _FEWEST_STEPS:
            return self.hang_s * 10
        return max(self.hang_s, HANG_STEPS * statistics.median(self._steps_s))

    def _say(self, line: bytes) -> None:
        process = self._process
        if process is None or process.returncode is not None or process.stdin is None:
            return
        with suppress(OSError, RuntimeError):
            process.stdin.write(line)


def _read_cpu_s(pid: int) -> float | None:
    """Return the CPU seconds that a process has taken, None where the system does not tell."""
    try:
        # Behind the name, which may hold anything but ends with the last bracket: fields 14 and 15 of the line.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
