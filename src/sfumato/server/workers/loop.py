"""The life of a worker process: claim a job, draw it, publish it, again and again.

The server talks to it by lines on stdin (`wake`, `watch`; the end of stdin means stop), and hears of it by JSON lines on
stdout. Everything that has to outlive it is in the queue. It does not know how a picture is drawn: that is `Draw`, which
tests replace. Imports no network. Start reading at `WorkerLoop.run`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from sfumato.core.errors import InterruptedRender, SfumatoError
from sfumato.core.files import clear_leftovers, hold
from sfumato.server.queue.records import FileRole, JobRecord, StoredFile
from sfumato.server.queue.store import LEASE_S, MOST_KILLS, JobStore, LostLeaseError

# Between two looks into an empty queue, should a wake-up be lost.
_IDLE_S = 2.0
_LOCK_RETRY_S = 0.05
# Previews are drawn only while somebody looks, and not more often than an eye can use.
WATCHED_S, PREVIEW_EVERY_S = 10.0, 0.5

Draw: TypeAlias = Callable[["Attempt"], "Drawing"]


@dataclass(frozen=True, kw_only=True)
class DrawnFile:
    """A picture that lies whole in the folder of its job. Sizes in px. `role` is evidence where it only shows something."""

    path: Path
    media_type: str
    width: int
    height: int
    sha256: str
    seed: int | None = None
    role: FileRole = "picture"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What an attempt gave: its files, and what it found or did as JSON values, for clients."""

    files: Sequence[DrawnFile] = ()
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try at a job: what to draw, the folder to draw into, and how to tell and be told.

    `tell` takes JSON values and goes on at once. `should_stop` is asked between two steps; `draw` then raises
    `InterruptedRender`. `wants_preview` says whether a picture of the work in progress would be looked at.
    """

    job: JobRecord
    folder: Path
    tell: Callable[[Mapping[str, Any]], None]
    should_stop: Callable[[], bool]
    wants_preview: Callable[[], bool]

    def name_file(self, number: int) -> str:
        """Return the id of a file of the job, by its place in `Drawing.files`; the same in every attempt."""
        return f"{self.job.id}-{number}"


@dataclass(eq=False, kw_only=True)
class WorkerLoop:
    """Work on the queue of a state folder until stdin ends. A leaf.

    `name` is what the server calls this process. One worker of a device works at a time: a lock in the folder sees to it.
    """

    folder: Path
    name: str
    draw: Draw
    device: str = "auto"
    lease_s: float = LEASE_S
    most_kills: int = MOST_KILLS
    input: BinaryIO = field(default_factory=lambda: sys.stdin.buffer)
    output: BinaryIO = field(default_factory=lambda: sys.stdout.buffer)
    _stop: threading.Event = field(init=False, default_factory=threading.Event)
    _wake: threading.Event = field(init=False, default_factory=threading.Event)
    _output_lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _watched_until: float = field(init=False, default=0.0)
    _preview_at: float = field(init=False, default=0.0)

    def run(self) -> None:
        """Claim and draw until the server closes stdin."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        with self._hold_device():
            if self._stop.is_set():
                return
            store = JobStore(self.folder, most_kills=self.most_kills)
            try:
                # With the lock in hand, whoever else had a job is dead.
                for job_id in store.release_dead(alive=self.name):
                    self._tell({"event": "released", "job": job_id})
                self._tell({"event": "ready"})
                while not self._stop.is_set():
                    job = store.claim(self.name, lease_s=self.lease_s)
                    if job is None:
                        self._wake.wait(_IDLE_S)
                        self._wake.clear()
                    else:
                        self._work(store, job)
            finally:
                store.close()

    @contextlib.contextmanager
    def _hold_device(self) -> Generator[None]:
        path = self.folder / f"worker-{self.device.replace(':', '-')}.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not hold(handle) and not self._stop.is_set():
                time.sleep(_LOCK_RETRY_S)
            yield
        finally:
            os.close(handle)

    def _listen(self) -> None:
        for line in iter(self.input.readline, b""):
            if line.strip() == b"watch":
                self._watched_until = time.monotonic() + WATCHED_S
            self._wake.set()
        # The server has gone or wants us gone: the job in hand goes back within a step.
        self._stop.set()
        self._wake.set()

    def _tell(self, message: Mapping[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        # A server that died cannot hear; stdin says so too, and the job goes back.
        with contextlib.suppress(OSError, ValueError), self._output_lock:
            self.output.write(line)
            self.output.flush()

    def _work(self, store: JobStore, job: JobRecord) -> None:
        self._tell({"event": "began", "job": job.id})
        folder = self.folder / "jobs" / job.id
        folder.mkdir(parents=True, exist_ok=True)
        # A worker that was killed within a file left its beginning here.
        clear_leftovers(folder)
        attempt = Attempt(
            job=job,
            folder=folder,
            tell=lambda message: self._tell({**message, "job": job.id}),
            should_stop=lambda: self._stop.is_set() or store.wants_cancel(job.id),
            wants_preview=self._wants_preview,
        )
        try:
            with self._keep_lease(store, job):
                self._finish(store, job, attempt)
        except LostLeaseError:
            # Somebody else does it; what lies in the folder is theirs.
            return
        finally:
            self._tell({"event": "ended", "job": job.id})

    def _finish(self, store: JobStore, job: JobRecord, attempt: Attempt) -> None:
        try:
            drawn = self.draw(attempt)
            rows = [self._make_row(attempt, number, file) for number, file in enumerate(drawn.files)]
            store.finish(job.id, self.name, rows, drawn.result)
            return
        except InterruptedRender:
            store.give_up(job.id, self.name)
        except LostLeaseError:
            raise
        except SfumatoError as error:
            store.fail(job.id, self.name, error.to_json())
        except Exception as error:  # noqa: BLE001 a defect ends this job, not the worker
            log = "".join(traceback.format_exception(error))
            sys.stderr.write(log)
            what = f"{type(error).__name__}: {error}"
            told = {"error": "defect", "what": what, "got": None, "do": "This is a defect of Sfumato; report it."}
            store.fail(job.id, self.name, told, log)
        if store.find(job.id).has_ended:
            shutil.rmtree(attempt.folder, ignore_errors=True)

    def _make_row(self, attempt: Attempt, number: int, drawn: DrawnFile) -> StoredFile:
        return StoredFile(
            id=attempt.name_file(number),
            path=drawn.path.relative_to(self.folder).as_posix(),
            media_type=drawn.media_type,
            width=drawn.width,
            height=drawn.height,
            bytes=drawn.path.stat().st_size,
            sha256=drawn.sha256,
            job_id=attempt.job.id,
            number=number,
            seed=drawn.seed,
            role=drawn.role,
        )

    @contextlib.contextmanager
    def _keep_lease(self, store: JobStore, job: JobRecord) -> Generator[None]:
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self.lease_s / 3):
                try:
                    store.renew(job.id, self.name, lease_s=self.lease_s)
                except (LostLeaseError, SfumatoError):
                    return

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _wants_preview(self) -> bool:
        now = time.monotonic()
        if now > self._watched_until or now - self._preview_at < PREVIEW_EVERY_S:
            return False
        self._preview_at = now
        return True
