"""Kill the server or its worker at random moments, again and again, and count what is lost.

`python tests/kill_queue.py KILLS [SEED]` runs it alone; a short run is a test. The server is its supervisor and queue
without HTTP, the worker is `fake_worker`. Start reading at `kill_and_count`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import fake_worker
from sfumato.server.hub import Hub
from sfumato.server.queue.store import JobStore
from sfumato.server.workers.supervisor import Supervisor

NEVER = 10**6
STEPS, STEP_S = 5, "0.02"
QUEUED = 3
LONGEST_WAIT_S = 120


def kill_and_count(folder: Path, *, kills: int, seed: int = 1) -> dict[str, object]:
    """Queue jobs, kill processes while they are drawn, let the rest finish, and count."""
    chance = random.Random(seed)
    store = JobStore(folder, most_kills=NEVER)
    ids, killed = [], {"server": 0, "worker": 0}
    server, attempts = _start(folder), 0
    began = time.monotonic()
    while sum(killed.values()) < kills:
        while store.count_jobs().get("queued", 0) < QUEUED:
            ids.append(_submit(store, len(ids)))
        attempts = _wait_for_work(store, attempts)
        # A job takes about as long, so a kill falls anywhere: into a step, a file, a commit, or between two jobs.
        time.sleep(chance.uniform(0.0, 1.5 * STEPS * float(STEP_S)))
        whom = chance.choice(["server", "worker"])
        pid = server.pid if whom == "server" else _find_worker(folder)
        with suppress(ProcessLookupError, TypeError):
            os.kill(pid, signal.SIGKILL)
            killed[whom] += 1
        if whom == "server":
            server.wait()
            server = _start(folder)
    left = time.monotonic()
    while store.count_jobs().get("done", 0) < len(ids) and time.monotonic() - left < LONGEST_WAIT_S:
        time.sleep(0.1)
    server.send_signal(signal.SIGTERM)
    server.wait()
    found = _count(store, folder, ids)
    store.close()
    return {"killed": killed, "jobs": len(ids), **found, "seconds": round(time.monotonic() - began, 1)}


def _wait_for_work(store: JobStore, attempts: int) -> int:
    """Wait until a worker began another attempt, and return how many there were."""
    began = time.monotonic()
    while (found := sum(job.attempts for job in store.list_jobs(most=10_000))) <= attempts:
        assert time.monotonic() - began < LONGEST_WAIT_S, "nobody works"
        time.sleep(0.005)
    return found


def _submit(store: JobStore, number: int) -> str:
    request = {"prompt": STEP_S, "steps": STEPS, "batch": 1 + number % 2, "seed": number}
    return store.submit(request, surface="test").id


def _count(store: JobStore, folder: Path, ids: list[str]) -> dict[str, int]:
    lost = unreadable = doubled = attempts = 0
    for job_id in ids:
        job = store.find(job_id)
        attempts += job.attempts
        lost += job.state != "done" or len(job.files) != job.request["batch"]
        doubled += len({file.number for file in job.files}) != len(job.files)
        for file in job.files:
            packed = (folder / file.path).read_bytes()
            unreadable += hashlib.sha256(packed).hexdigest() != file.sha256
    left = [path for path in folder.glob("jobs/*/*") if path.suffix != ".png"]
    return {"lost": lost, "doubled": doubled, "unreadable": unreadable, "left": len(left), "attempts": attempts}


def _start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "serve", str(folder)])


def _find_worker(folder: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int((folder / "worker.pid").read_text())
    return None


async def _serve(folder: Path) -> None:
    store = JobStore(folder, most_kills=NEVER)
    supervisor = Supervisor(store=store, hub=Hub(), command=fake_worker.make_command(folder, most_kills=NEVER))
    task = asyncio.create_task(supervisor.run())
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    while not stopped.is_set():
        if supervisor.pid:
            (folder / "worker.pid").write_text(str(supervisor.pid))
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), 0.02)
    await supervisor.stop()
    await task


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve(Path(sys.argv[2])))
    else:
        with tempfile.TemporaryDirectory() as room:
            count = int(sys.argv[1])
            print(json.dumps(kill_and_count(Path(room), kills=count, seed=int((*sys.argv, 1)[2]))))
