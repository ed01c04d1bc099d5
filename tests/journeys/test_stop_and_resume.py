"""A large render is stopped in every way there is, and gone on with to the same bytes."""

import json
import random
import signal
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest
import torch

from bundles import tiny_mini
from disks import full_disk
from processes import command, environment, listen_to_ctrl_c
from sfumato.cli.rendering import find_free_path
from sfumato.core.canvas.folder_lock import lock_folder
from sfumato.core.canvas.workspace import find_resumable
from sfumato.core.files import file_sha256
from sfumato.core.geometry import PixelSize
from sfumato.core.images import load_picture
from sfumato.core.request import RenderRequest
from sfumato.render.level_marks import JOURNAL

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


@contextmanager
def start_render(room, *more):
    given = ("render", "a cat", "--model", tiny_mini(), "--dtype", "fp32", *LARGE, *more)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        command(*given), **pipes, env=environment(room), cwd=room, preexec_fn=listen_to_ctrl_c
    ) as run:
        yield run


def stop_at(room, name, how, *more):
    """Start a render and send it a signal when a canvas of its work appears; return the exit code and stderr."""
    with start_render(room, "--out", "a.png", *more) as run:
        until = time.monotonic() + PATIENCE_S
        while not (room / "a.png.work" / name).exists():
            assert run.poll() is None, run.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.002)
        run.send_signal(how)
        return run.wait(PATIENCE_S), run.stderr.read()


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
        return run.wait(PATIENCE_S) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments_it_gives_the_same_bytes(seed, room, render, one_thread):
    moments, more, killed = random.Random(seed), (), 0
    while killed < 6 and kill_after(room, moments.randrange(1, 25), moments.random() / 50, *more):
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
    second = find_free_path(room, "A cat!", request)
    assert second == room / "a-cat-1-2.png"
    work = room / ("a-cat-1-2.png.work" if batch == 1 else "a-cat-1-2-01.png.work")
    work.mkdir()
    for name in ("sfumato-work.json", "journal.npz"):
        (work / name).touch()
    assert find_free_path(room, "A cat!", request) == room / "a-cat-1-3.png"
    assert find_free_path(room, "A cat!", request, resume=True) == second
