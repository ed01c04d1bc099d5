"""Jobs are moved, the queue pauses, and old jobs go with their files; what is still needed stays."""

import sqlite3

import pytest

from sfumato.core.errors import RequestError, StorageError
from sfumato.server.queue.records import NotFoundError, StoredFile
from sfumato.server.queue.store import JobStore
from sfumato.server.queue.upkeep import PruneLimits

DAY_S = 86_400.0


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    opened = JobStore(tmp_path, clock=clock)
    yield opened
    opened.close()


def submit(store, **request):
    return store.submit({"prompt": "x"} | request, surface="api").id


def draw(store, size=100):
    """Do the next job, with a file of a size."""
    job = store.claim("w")
    folder = store.folder / "jobs" / job.id
    folder.mkdir(parents=True)
    (folder / "picture.png").write_bytes(b"x" * size)
    place = {"path": f"jobs/{job.id}/picture.png", "media_type": "image/png", "width": 8, "height": 8, "bytes": size}
    store.finish(job.id, "w", [StoredFile(id=f"{job.id}-0", **place, sha256="0" * 64, job_id=job.id)])
    return job.id


def send(store, digest):
    path = store.folder / "uploads" / f"{digest}.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * 10)
    place = {"path": f"uploads/{digest}.png", "media_type": "image/png", "width": 8, "height": 8, "bytes": 10}
    store.add_file(StoredFile(id=digest, **place, sha256=digest))
    return path


def test_a_job_goes_before_another_or_behind_all_and_new_ones_come_last(store):
    first, second, third = (submit(store) for _ in range(3))
    assert store.move(third, before=first) == [third, first, second]
    assert store.move(third) == [first, second, third]
    assert store.move(first, before=first) == [first, second, third]
    assert store.move(second, before=first) == [second, first, third]
    last = submit(store)
    assert [store.claim("w").id for _ in range(4)] == [second, first, third, last]
    with pytest.raises(NotFoundError):
        store.move(first)
    with pytest.raises(NotFoundError):
        store.move(submit(store), before="nobody")


def test_a_pause_outlives_the_server_and_lets_what_runs_go_on(store, tmp_path):
    submit(store)
    running = store.claim("w")
    submit(store)
    store.pause(True)
    other = JobStore(tmp_path)
    assert (other.is_paused(), other.claim("w"), "queue:paused" in other.load_options()) == (True, None, False)
    store.finish(running.id, "w", [])
    other.pause(False)
    assert store.claim("w") is not None
    other.close()


@pytest.mark.parametrize(
    ("limits", "left"),
    [({"older_s": DAY_S}, 1), ({"most_jobs": 2}, 2), ({"most_bytes": 250}, 2), ({"most_jobs": 0}, 0)],
)
def test_old_jobs_go_with_their_files(store, clock, limits, left):
    for _ in range(2):
        submit(store)
        draw(store)
    clock.now += 2 * DAY_S
    submit(store)
    draw(store)
    told = store.prune(PruneLimits(**limits))
    assert (told["jobs"], told["bytes"]) == (3 - left, 100 * (3 - left))
    assert len(list((store.folder / "jobs").iterdir())) == left
    assert len(store.list_jobs()) == left


def test_what_waits_runs_or_is_drawn_from_stays(store, clock):
    submit(store)
    drawn = draw(store)
    user = submit(store, source={"path": f"jobs/{drawn}/picture.png"})
    clock.now += 9 * DAY_S
    assert store.prune(PruneLimits(most_jobs=0))["jobs"] == 0
    for wrong in (user, drawn):
        with pytest.raises(RequestError):
            store.remove([wrong])
    store.cancel(user)
    assert store.remove([user, drawn]) == 100
    with pytest.raises(NotFoundError):
        store.remove([user])


def test_sent_pictures_go_when_no_job_names_them_and_they_are_old(store, clock):
    kept, gone = send(store, "a" * 64), send(store, "b" * 64)
    submit(store, source={"path": f"uploads/{'a' * 64}.png"})
    assert store.prune(PruneLimits(uploads_older_s=DAY_S))["uploads"] == 0
    clock.now += 2 * DAY_S
    assert store.prune(PruneLimits(uploads_older_s=DAY_S)) == {"jobs": 0, "uploads": 1, "bytes": 10}
    assert (kept.exists(), gone.exists()) == (True, False)
    # Sent again it is young again.
    send(store, "b" * 64)
    assert store.prune(PruneLimits(uploads_older_s=DAY_S))["uploads"] == 0


@pytest.mark.parametrize("limits", [{}, {"older_s": -1.0}, {"most_jobs": -1}, {"uploads_older_s": 1.0}])
def test_limits_that_are_none_are_refused(limits):
    with pytest.raises(RequestError):
        PruneLimits(**limits)


def test_a_queue_of_the_version_before_is_taken_over_and_one_of_a_later_is_not(tmp_path):
    store = JobStore(tmp_path)
    job = submit(store)
    store.close()
    file = sqlite3.connect(tmp_path / "queue.sqlite")
    for table, column in (("jobs", "kind"), ("jobs", "result"), ("jobs", "turn"), ("files", "role")):
        file.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    file.execute("PRAGMA user_version = 1")
    file.commit()
    store = JobStore(tmp_path)
    assert store.find(job).kind == "render"
    store.close()
    file.execute("PRAGMA user_version = 99")
    file.commit()
    file.close()
    with pytest.raises(StorageError, match="another version"):
        JobStore(tmp_path)
