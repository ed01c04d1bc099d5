"""Workers die, hang and refuse; the queue goes on, and the bad job says why."""

import asyncio
import io
import os
import time
from contextlib import asynccontextmanager

import pytest

import fake_worker
from kill_queue import kill_and_count
from sfumato.server.hub import Hub
from sfumato.server.queue.store import JobStore
from sfumato.server.workers.loop import WorkerLoop
from sfumato.server.workers.supervisor import Supervisor

LONGEST_S = 30


@asynccontextmanager
async def running(folder, **more):
    store = JobStore(folder)
    supervisor = Supervisor(store=store, hub=Hub(), command=fake_worker.make_command(folder), **more)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        await supervisor.stop()
        await task
        store.close()


def submit(supervisor, prompt, *, steps=2, batch=1, seed=7):
    request = {"prompt": prompt, "steps": steps, "batch": batch, "seed": seed}
    job = supervisor.store.submit(request, surface="test")
    supervisor.wake()
    return job.id


async def wait_for(check):
    began = time.monotonic()
    while not check():
        assert time.monotonic() - began < LONGEST_S, "it took too long"
        # Each look is a query: looking all the time would take the CPU from the workers.
        await asyncio.sleep(0.04)


async def wait_for_end(supervisor, job_id):
    await wait_for(lambda: supervisor.store.find(job_id).has_ended)
    return supervisor.store.find(job_id)


def test_bad_jobs_end_with_a_reason_and_the_others_are_drawn(tmp_path):
    async def follow():
        async with running(tmp_path, hang_s=0.4) as supervisor:
            prompts = ("die", "0", "refuse", "defect", "hang", "0")
            ids = [submit(supervisor, prompt) for prompt in prompts]
            ended = [await wait_for_end(supervisor, job_id) for job_id in ids]
            return [job.state for job in ended], ended, supervisor.deaths

    states, (died, drawn, refused, broken, hung, _), deaths = asyncio.run(follow())
    assert states == ["quarantined", "done", "failed", "failed", "quarantined", "done"]
    assert (died.kills, died.attempts, hung.kills) == (2, 2, 2)
    assert "about to die" in died.log
    assert "no sign of life" in hung.log
    assert refused.error["error"] == "model"
    assert broken.error["error"] == "defect"
    assert "ZeroDivisionError" in broken.log
    assert deaths == 4
    # What failed leaves nothing, what was drawn lies where the queue says.
    assert (tmp_path / drawn.files[0].path).is_file()
    assert not (tmp_path / "jobs" / refused.id).exists()


def test_a_running_job_is_cancelled_within_a_step_and_a_stop_puts_it_back(tmp_path):
    async def follow():
        async with running(tmp_path) as supervisor:
            first = submit(supervisor, "0.05", steps=10_000)
            second = submit(supervisor, "0.05", steps=10_000)
            await wait_for(lambda: first in supervisor.hub.progress)
            began = time.monotonic()
            supervisor.store.cancel(first)
            job = await wait_for_end(supervisor, first)
            cancelled_s = time.monotonic() - began
            await wait_for(lambda: second in supervisor.hub.progress)
            return job.state, cancelled_s, second

    state, cancelled_s, second = asyncio.run(follow())
    assert state == "cancelled"
    assert cancelled_s < 2
    store = JobStore(tmp_path)
    assert (store.find(second).state, store.find(second).kills) == ("queued", 0)
    store.close()


def test_progress_is_heard_and_previews_are_drawn_only_for_somebody(tmp_path):
    async def follow():
        async with running(tmp_path) as supervisor:
            job_id = submit(supervisor, "0.02", steps=10_000)
            await wait_for(lambda: job_id in supervisor.hub.progress)
            unwatched = dict(supervisor.hub.previews)
            supervisor.watch()
            await wait_for(lambda: job_id in supervisor.hub.previews)
            told, packed = supervisor.hub.progress[job_id], supervisor.hub.previews[job_id]
            supervisor.store.cancel(job_id)
            await wait_for(lambda: job_id not in supervisor.hub.progress)
            return unwatched, told, packed

    unwatched, told, packed = asyncio.run(follow())
    assert unwatched == {}
    assert told["steps"] == 10_000
    assert packed.startswith(b"\xff\xd8")


def test_what_a_worker_left_that_was_killed_within_a_file_is_gone_after_the_next_attempt(tmp_path):
    store = JobStore(tmp_path)
    job = store.submit({"prompt": "0", "steps": 1, "batch": 1, "seed": 7}, surface="test")
    folder = tmp_path / "jobs" / job.id
    folder.mkdir(parents=True)
    (folder / ".picture-1.png.0123abcd.part").write_bytes(b"\x89PNG")
    ours, servers = os.pipe()

    def draw_and_end(attempt):
        drawn = fake_worker.draw(attempt)
        os.close(servers)
        return drawn

    with os.fdopen(ours, "rb") as told:
        WorkerLoop(folder=tmp_path, name="one", draw=draw_and_end, input=told, output=io.BytesIO()).run()
    assert store.find(job.id).state == "done"
    assert [path.name for path in folder.iterdir()] == ["picture-0.png"]
    store.close()


def test_kills_at_random_moments_lose_and_double_nothing(tmp_path):
    found = kill_and_count(tmp_path, kills=3, seed=5)
    assert sum(found["killed"].values()) == 3
    assert found["attempts"] > found["jobs"], "no kill fell into a job"
    assert (found["lost"], found["doubled"], found["unreadable"], found["left"]) == (0, 0, 0, 0)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path):
    found = kill_and_count(tmp_path, kills=100)
    assert (found["lost"], found["doubled"], found["unreadable"]) == (0, 0, 0)
