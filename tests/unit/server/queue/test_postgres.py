"""The queue in PostgreSQL: the same promises as in SQLite. Skipped, and said, where no server is installed."""

import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from sfumato.core.errors import StorageError
from sfumato.server.queue.records import NotFoundError, StoredFile
from sfumato.server.queue.store import JobStore
from sfumato.server.queue.upkeep import PruneLimits

pytestmark = pytest.mark.slow
REQUEST = {"prompt": "a colour", "seed": 1}


def find_tool(name):
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(newest[-1]) if newest else shutil.which(name)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Start a server that only a socket in a folder reaches."""
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    control, initial = find_tool("pg_ctl"), find_tool("initdb")
    if not (control and initial):
        pytest.skip("no PostgreSQL server is installed: the queue was NOT tested on it")
    folder, before = Path("/tmp") / f"sfumato-pg-{os.getpid()}", []
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        with suppress(KeyError):
            pwd.getpwnam("postgres")
            before = ["runuser", "-u", "postgres", "--"]
        if not before:
            pytest.skip("nobody but root is here: the queue was NOT tested on PostgreSQL")
    folder.mkdir()
    if before:
        shutil.chown(folder, "postgres")
    data = folder / "data"

    def run(*words):
        subprocess.run([*before, *words], check=True, capture_output=True, cwd="/", timeout=120)

    try:
        run(initial, "-D", str(data), "-U", "sfumato", "-A", "trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run(control, "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
        yield f"postgresql+psycopg://sfumato@/postgres?host={folder}"
        run(control, "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(address, tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_DATABASE", address)
    opened = JobStore(tmp_path)
    yield opened
    opened.close()


def picture(job_id):
    place = {"path": f"jobs/{job_id}/0.png", "media_type": "image/png", "width": 8, "height": 8, "bytes": 9}
    return StoredFile(id=f"{job_id}-0", **place, sha256="0" * 64, job_id=job_id, seed=2**64 - 1)


def test_a_job_lives_from_its_order_to_its_removal(store, tmp_path):
    first = store.submit(REQUEST, surface="api", order_key="one", planned_s=1.5)
    assert store.submit(REQUEST, surface="api", order_key="one").id == first.id
    second = store.submit(REQUEST, surface="api", kind="check")
    assert store.move(second.id, before=first.id) == [second.id, first.id]
    store.pause(True)
    assert store.claim("a") is None
    store.pause(False)
    other = JobStore(tmp_path)
    assert [store.claim("a").id, other.claim("b").id, other.claim("c")] == [second.id, first.id, None]
    other.finish(first.id, "b", [picture(first.id)], {"marked": None})
    assert store.release_dead(worker="a") == [second.id]
    found = store.find(first.id)
    assert (found.state, found.files[0].seed, found.result) == ("done", 2**64 - 1, {"marked": None})
    assert store.prune(PruneLimits(most_jobs=0))["jobs"] == 1
    with pytest.raises(NotFoundError):
        store.find(first.id)
    other.close()


def test_options_and_another_version(store, address, monkeypatch):
    store.save_option("sd_vae", "x")
    assert store.load_options() == {"sd_vae": "x"}
    store.save_option("queue:schema", 99)
    with pytest.raises(StorageError, match="another version"):
        JobStore(store.folder)
    store.save_option("queue:schema", 2)
    monkeypatch.setenv("SFUMATO_DATABASE", "mysql://x")
    with pytest.raises(StorageError, match="SQLite or PostgreSQL"):
        JobStore(store.folder)
