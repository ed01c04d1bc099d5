"""The queue loses nothing, publishes once, and puts poison aside."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sfumato.core.errors import RequestError, StorageError
from sfumato.server.queue.records import NotFoundError, QueueFullError, StoredFile
from sfumato.server.queue.store import JobStore, LostLeaseError

REQUEST = {"prompt": "a colour", "seed": 1}


@pytest.fixture
def store(tmp_path):
    opened = JobStore(tmp_path)
    yield opened
    opened.close()


def picture(job_id, number=0, seed=2**64 - 1):
    digest = "0" * 64
    place = {"path": f"jobs/{job_id}/{number}.png", "media_type": "image/png"}
    return StoredFile(
        id=f"{job_id}-{number}", **place, width=8, height=8, bytes=9, sha256=digest, job_id=job_id, seed=seed
    )


def submit(store, **more):
    return store.submit(REQUEST, surface="api", **more)


def test_a_job_is_there_for_another_process_at_once_and_keeps_its_request(store, tmp_path):
    job = submit(store, planned_s=1.5)
    other = JobStore(tmp_path)
    assert other.find(job.id) == job
    assert (job.state, dict(job.request), job.planned_s) == ("queued", REQUEST, 1.5)
    other.close()


def test_jobs_are_claimed_in_their_order_each_once(store):
    first, second = submit(store), submit(store)
    assert [store.claim("a").id, store.claim("b").id, store.claim("c")] == [first.id, second.id, None]


def test_only_the_holder_of_the_lease_publishes_and_only_once(store):
    job = submit(store)
    store.claim("a")
    with pytest.raises(LostLeaseError):
        store.finish(job.id, "b", [picture(job.id)])
    store.finish(job.id, "a", [picture(job.id)])
    with pytest.raises(LostLeaseError):
        store.finish(job.id, "a", [picture(job.id)])
    found = store.find(job.id)
    assert (found.state, [file.seed for file in found.files]) == ("done", [2**64 - 1])
    assert found.files[0].path not in str(found.to_json())


def test_what_a_dead_worker_had_goes_back_to_its_place_and_its_late_result_counts_nothing(store):
    job, later = submit(store), submit(store)
    store.claim("a")
    assert store.release_dead(worker="a", log="killed") == [job.id]
    assert store.claim("b").id == job.id
    with pytest.raises(LostLeaseError):
        store.finish(job.id, "a", [picture(job.id)])
    store.finish(job.id, "b", [picture(job.id)])
    assert store.claim("b").id == later.id


def test_the_second_death_is_quarantine_with_the_log_and_retry_starts_anew(store):
    job = submit(store)
    for _ in range(2):
        store.claim("a")
        store.release_dead(worker="a", log="Killed by the kernel")
    found = store.find(job.id)
    assert (found.state, found.kills, found.log) == ("quarantined", 2, "Killed by the kernel")
    assert found.error["what"]
    assert store.claim("a") is None
    assert (store.retry(job.id).kills, store.claim("a").id) == (0, job.id)


def test_a_worker_that_comes_up_takes_only_what_others_had(store):
    mine, theirs = submit(store), submit(store)
    store.claim("me")
    store.claim("dead")
    assert store.release_dead(alive="me") == [theirs.id]
    assert store.find(mine.id).state == "running"


def test_cancel_ends_a_queued_job_at_once_and_a_running_one_when_its_worker_gives_up(store):
    first, second = submit(store), submit(store)
    store.claim("a")
    assert store.cancel(second.id).state == "cancelled"
    assert store.cancel(first.id).state == "running"
    assert store.wants_cancel(first.id)
    store.give_up(first.id, "a")
    assert store.find(first.id).state == "cancelled"
    assert store.cancel(first.id).state == "cancelled"


def test_a_worker_that_dies_on_a_cancelled_job_leaves_it_cancelled(store):
    job = submit(store)
    store.claim("a")
    store.cancel(job.id)
    store.release_dead(worker="a")
    assert store.find(job.id).state == "cancelled"


def test_a_stopped_attempt_goes_back_without_a_mark(store):
    job = submit(store)
    store.claim("a")
    store.give_up(job.id, "a")
    found = store.find(job.id)
    assert (found.state, found.kills) == ("queued", 0)


def test_the_same_order_is_one_job(store):
    first = submit(store, order_key="x")
    assert submit(store, order_key="x").id == first.id
    assert submit(store, order_key="y").id != first.id


def test_a_full_queue_takes_no_more(store):
    submit(store, most_queued=1)
    with pytest.raises(QueueFullError):
        submit(store, most_queued=1)


def test_done_jobs_are_not_tried_again_and_unknown_ones_are_not_found(store):
    job = submit(store)
    store.claim("a")
    store.finish(job.id, "a", [])
    with pytest.raises(RequestError):
        store.retry(job.id)
    for ask in (store.find, store.cancel, store.retry, store.find_file):
        with pytest.raises(NotFoundError):
            ask("../../etc/passwd")


def test_pages_list_the_newest_first(store):
    ids = [submit(store).id for _ in range(5)]
    page = store.list_jobs(most=2)
    assert [job.id for job in page] == [ids[4], ids[3]]
    assert [job.id for job in store.list_jobs(most=9, before=page[-1].number)] == ids[2::-1]
    assert store.list_jobs(state="done") == []
    assert store.count_jobs() == {"queued": 5}


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path):
    (tmp_path / "queue.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError):
        JobStore(tmp_path)


class QueueMachine(RuleBasedStateMachine):
    """Random actions of two workers; the model is a dictionary of states."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = JobStore(Path(self.folder.name), most_kills=3)
        self.ids, self.published = [], set()

    def teardown(self):
        self.store.close()
        self.folder.cleanup()

    @rule()
    def submit(self):
        self.ids.append(submit(self.store).id)

    @rule(worker=st.sampled_from("ab"))
    def claim(self, worker):
        self.store.claim(worker)

    @rule(worker=st.sampled_from("ab"), pick=st.integers(0, 9), how=st.sampled_from(["finish", "fail", "give_up"]))
    def end(self, worker, pick, how):
        if not self.ids:
            return
        job_id = self.ids[pick % len(self.ids)]
        try:
            if how == "finish":
                self.store.finish(job_id, worker, [picture(job_id)])
                assert job_id not in self.published
                self.published.add(job_id)
            elif how == "fail":
                self.store.fail(job_id, worker, {"error": "model", "what": "x", "got": None, "do": ""})
            else:
                self.store.give_up(job_id, worker)
        except LostLeaseError:
            assert self.store.find(job_id).lease != worker

    @rule(worker=st.sampled_from("ab"))
    def die(self, worker):
        self.store.release_dead(worker=worker)

    @rule(pick=st.integers(0, 9))
    def cancel(self, pick):
        if self.ids:
            self.store.cancel(self.ids[pick % len(self.ids)])

    @rule()
    def open_again(self):
        self.store.close()
        self.store = JobStore(Path(self.folder.name), most_kills=3)

    @invariant()
    def nothing_is_lost_or_published_twice(self):
        found = self.store.list_jobs(most=200)
        assert sorted(job.id for job in found) == sorted(self.ids)
        assert {job.id for job in found if job.files} == self.published
        for job in found:
            assert (job.state == "running") == (job.lease is not None)
            assert (job.state == "done") == bool(job.files)


QueueMachine.TestCase.settings = settings(
    max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestQueue = QueueMachine.TestCase
