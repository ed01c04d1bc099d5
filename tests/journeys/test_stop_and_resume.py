"""A large render is stopped in every way there is, and gone on with to the same bytes."""

import json
import random
import signal
import time
from contextlib import closing, suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from bundles import tiny_mini
from disks import full_disk
from processes import fork_command
from sfumato.canvas.formats.images import load_picture
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace, find_resumable
from sfumato.canvas.workspace.folder_lock import lock_folder
from sfumato.canvas.workspace.workspace import Entry
from sfumato.core.errors import RequestError
from sfumato.core.files import file_sha256, is_held
from sfumato.core.geometry import PixelSize
from sfumato.core.request import RenderRequest
from sfumato.render.cohesive.journal import JOURNAL
from sfumato.workflows.files.name_output import find_free_path

# Two levels above the native 64 px, some rows of windows in each step.
LARGE = ("--size", "256x192", "--steps", 8, "--no-report")
PATIENCE_S = 300


@pytest.fixture
def one_thread():
    """Add up in the order of the processes that are started here, which have one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start_render(room, *more):
    seed = () if "--seed" in more else ("--seed", 1)
    return fork_command(room, "render", "a cat", "--model", tiny_mini(), "--dtype", "fp32", *LARGE, *seed, *more)


def stop_at(room, name, how, *more):
    """Start a render and send it a signal when a canvas of its work appears; return the exit code and stderr."""
    with start_render(room, "--out", "a.png", *more) as run:
        until = time.monotonic() + PATIENCE_S
        while not (room / "a.png.work" / name).exists():
            assert run.poll() is None, run.err.decode()
            assert time.monotonic() < until
            time.sleep(0.002)
        run.send_signal(how)
        return run.wait(PATIENCE_S), run.err.decode()


def list_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_killed_twice_and_interrupted_it_gives_the_same_bytes(room, render, one_thread):
    work = room / "a.png.work"
    assert stop_at(room, "journal.npz", signal.SIGKILL)[0] == -signal.SIGKILL
    before = list_files(work)
    for more, words in (((), "can be resumed"), (("--resume", "--seed", 2), "seed: 1 in the work, 2 asked")):
        refused = render("a cat", *LARGE, "--out", "a.png", *more)
        assert refused.code == 2
        assert words in refused.err
    assert list_files(work) == before
    assert stop_at(room, "level1-odd.latents", signal.SIGKILL, "--resume")[0] == -signal.SIGKILL
    code, said = stop_at(room, "level2-predictions.latents", signal.SIGINT, "--resume")
    assert code == 130
    assert "--resume" in said
    assert "Traceback" not in said
    assert not (room / "a.png").exists()
    whole = render("a cat", *LARGE, "--out", "b.png", "--json")
    resumed = render("a cat", *LARGE, "--out", "a.png", "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["sha256"] == whole.json["sha256"]
    assert sorted(path.name for path in room.iterdir()) == ["a.png", "b.png", "cache"]


def kill_after(room, entries, wait_s, *more):
    """Start a render, kill it so many entries of its journal and seconds later; tell whether it was still running."""
    journal, seen, last = room / "a.png.work" / "journal.npz", -1, None
    with start_render(room, "--out", "a.png", *more) as run:
        until = time.monotonic() + PATIENCE_S
        while seen < entries and run.poll() is None:
            assert time.monotonic() < until
            with suppress(FileNotFoundError):
                found = journal.stat().st_ino, journal.stat().st_mtime_ns
                seen, last = seen + (found != last), found
            time.sleep(0.0005)
        time.sleep(wait_s)
        run.kill()
        return run.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments_it_gives_the_same_bytes(seed, room, render, one_thread):
    moments, more, killed = random.Random(seed), (), 0
    while killed < 6 and kill_after(room, moments.randrange(1, 10), moments.random() / 50, *more):
        more, killed = ("--resume",), killed + 1
    assert killed >= 3
    whole = render("a cat", *LARGE, "--out", "b.png", "--json")
    if not (room / "a.png").exists():
        assert render("a cat", *LARGE, "--out", "a.png", "--resume").code == 0
    assert file_sha256(room / "a.png") == whole.json["sha256"]


def test_work_of_an_older_version_is_refused_and_kept(render, room, one_thread):
    assert stop_at(room, "level1-odd.latents", signal.SIGKILL)[0] == -signal.SIGKILL
    owner = room / "a.png.work" / "sfumato-work.json"
    found = json.loads(owner.read_text())
    del found["journal"]
    owner.write_text(json.dumps(found))
    before = list_files(room / "a.png.work")
    refused = render("a cat", *LARGE, "--out", "a.png", "--resume")
    assert refused.code == 2
    assert f"journal: (nothing) in the work, {JOURNAL} asked" in refused.err
    assert "start anew" in refused.err
    assert list_files(room / "a.png.work") == before


def test_a_full_disk_is_no_end(render, room):
    tiny_mini()
    with full_disk(120_000):
        done = render("a cat", *LARGE, "--out", "a.png")
    assert done.code == 5
    assert "the disk is full" in done.err
    assert not (room / "a.png").exists()
    assert find_resumable(room / "a.png.work")
    assert render("a cat", *LARGE, "--out", "a.png", "--resume").code == 0
    assert load_picture(room / "a.png").size == (256, 192)
    assert not (room / "a.png.work").exists()


def test_a_picture_that_somebody_works_on_is_left_to_them(render, room):
    lock = lock_folder(room / "a.png.work")
    for more in ((), ("--resume",)):
        refused = render("a cat", *LARGE, "--out", "a.png", *more)
        assert refused.code == 2
        assert "another process is at work" in refused.err
    lock.release()
    assert render("a cat", *LARGE, "--out", "a.png").code == 0


def test_who_comes_when_a_picture_is_done_finds_no_part_of_its_work(render, room, monkeypatch):
    """Whoever takes the folder as soon as it is let go of begins anew, and nobody removes that."""
    whole, others, folder = DiskWorkspace.remove, [], room / "a.png.work"

    def remove(space):
        lock, space._lock = space._lock, SimpleNamespace(release=lambda: (lock.release(), begin()))
        assert is_held(folder)
        whole(space)

    def begin():
        others.append(DiskWorkspace(folder, {"request": "another"}, resume=True))
        others[0].note(Entry({"stage": 0}))

    monkeypatch.setattr(DiskWorkspace, "remove", remove)
    done = render("a cat", "--size", "96x80", "--no-report", "--out", "a.png")
    assert done.code == 0, done.err
    (other,) = others
    assert find_resumable(folder)
    other.close()


def test_finished_pictures_of_a_batch_are_not_made_again(render, room):
    small = ("--size", "96x80", "--no-report")
    assert render("a cat", *small, "--seed", 4, "--out", "a-01.png").code == 0
    before = (room / "a-01.png").stat().st_mtime_ns
    done = render("a cat", *small, "--seed", 4, "--batch", 2, "--out", "a.png", "--resume", "--json")
    assert done.code == 0, done.err
    assert [picture["path"] for picture in done.json["pictures"]] == ["a-01.png", "a-02.png"]
    assert (room / "a-01.png").stat().st_mtime_ns == before
    assert render("a dog", *small, "--seed", 4, "--batch", 2, "--out", "a.png", "--resume").code == 0
    assert (room / "a-01.png").stat().st_mtime_ns != before


@pytest.mark.parametrize("batch", [1, 2])
def test_a_new_name_replaces_nothing_and_finds_what_was_stopped(room, batch):
    request = RenderRequest(prompt="a cat", size=PixelSize(64, 64), seed=1, batch=batch)
    first = find_free_path(room, "A cat!", request)
    assert first == room / "a-cat-1.png"
    (room / ("a-cat-1.png" if batch == 1 else "a-cat-1-02.png")).touch()
    assert find_free_path(room, "A cat!", request) == room / "a-cat-1-2.png"
    assert find_free_path(room, "A cat!", request, resume=True) == room / "a-cat-1-2.png"
    stop(room, request, "a-cat-1-2.png" if batch == 1 else "a-cat-1-2-01.png")
    assert find_free_path(room, "A cat!", request) == room / "a-cat-1-3.png"
    assert find_free_path(room, "A cat!", request, resume=True) == room / "a-cat-1-2.png"


def stop(room, request, name, index=0):
    """Leave the work on a picture of a request, as a process does that is killed."""
    single = replace(request, seed=request.seed + index, batch=1)
    with closing(DiskWorkspace(room / f"{name}.work", {"journal": 1, **single.to_json()}, resume=False)) as space:
        space.note(Entry({"stage": 0}))


def test_of_several_that_were_stopped_the_one_that_is_asked_for_is_found(room):
    """Whatever was stopped before it, whatever is gone in between, and by any picture of a batch."""
    request = RenderRequest(prompt="a cat", size=PixelSize(256, 256), seed=1)
    tall, many = replace(request, size=PixelSize(256, 320)), replace(request, prompt="A cat!", batch=2)
    stop(room, request, "a-cat-1.png")
    stop(room, tall, "a-cat-1-4.png")
    stop(room, many, "a-cat-1-3-02.png", index=1)
    for wanted, name in ((request, "a-cat-1.png"), (tall, "a-cat-1-4.png"), (many, "a-cat-1-3.png")):
        assert find_free_path(room, "A cat!", wanted, resume=True) == room / name
    with pytest.raises(RequestError, match="none is the one") as caught:
        find_free_path(room, "A cat!", replace(request, steps=7), resume=True)
    for said in ("a-cat-1.png.work: steps: 20 in the work, 7 asked", "a-cat-1-4.png.work: size: 256x320 in the work"):
        assert said in caught.value.got


def test_the_second_of_two_pictures_that_were_stopped_is_gone_on_with(render, room):
    large = ("--size", "256x192", "--no-report")
    tiny_mini()
    for steps in (3, 4):
        with full_disk(120_000):
            assert render("a cat", *large, "--steps", steps).code == 5
    refused = render("a cat", *large, "--steps", 5, "--resume")
    assert refused.code == 2
    for said in ("out/a-cat-1.png.work: steps: 3 in the work, 5 asked", "a-cat-1-2.png.work: steps: 4 in the work"):
        assert said in refused.err
    done = render("a cat", *large, "--steps", 4, "--resume")
    assert done.code == 0, done.err
    assert {path.name for path in (room / "out").iterdir()} == {"a-cat-1.png.work", "a-cat-1-2.png"}
