"""A folder of work in progress: whose it is, what a crash leaves of it, and what it refuses to touch."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import sfumato.canvas.workspace.disk_workspace as place
from sfumato.canvas.mapped_latents import create_file
from sfumato.canvas.pixels import create_pixels
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace, find_resumable, name_work
from sfumato.canvas.workspace.folder_lock import lock_folder
from sfumato.canvas.workspace.workspace import Entry, MemoryWorkspace
from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import is_held
from sfumato.core.geometry import LatentSize, PixelBox, PixelSize

CELLS, PIXELS = LatentSize(24, 40), PixelSize(30, 20)
IDENTITY = {"request": "one", "stages": ["a", "b"]}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a.png.work"


@pytest.fixture
def space(folder):
    made = DiskWorkspace(folder, IDENTITY, resume=False)
    yield made
    made.close()


def note(space, step, **more):
    space.note(Entry({"step": step}, {"pull": np.full((2, 3), step, np.float32)}), **more)


def reopen(folder, identity=IDENTITY):
    return DiskWorkspace(folder, identity, resume=True)


def list_files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_noted_and_flushed_is_there_again(space, folder):
    values = np.arange(4 * CELLS.area, dtype=np.float32).reshape(4, *CELLS.shape_hw)
    store = space.open_latents("a", CELLS, 4)
    assert space.open_latents("a", CELLS, 4) is store
    store.write(CELLS.box, values)
    space.open_pixels("b", PIXELS).write(PIXELS.box, np.full((20, 30, 3), 7, np.uint8))
    space.save_part("base", {"picture": np.eye(3, dtype=np.uint8)})
    note(space, 5)
    space.close()
    again = reopen(folder)
    entry = again.find_entry()
    assert entry.words == {"step": 5}
    assert np.array_equal(entry.arrays["pull"], np.full((2, 3), 5, np.float32))
    assert np.array_equal(again.load_part("base")["picture"], np.eye(3))
    assert again.load_part("none") is None
    assert np.array_equal(again.open_latents("a", CELLS, 4).read(CELLS.box), values)
    assert (again.open_pixels("b", PIXELS).read(PIXELS.box) == 7).all()
    again.drop("a")
    again.drop("a")
    assert not again.open_latents("a", CELLS, 4).read(CELLS.box).any()
    again.remove()
    assert not folder.exists()


def test_memory_keeps_canvases_and_parts_and_notes_nothing():
    space = MemoryWorkspace()
    space.open_latents("a", CELLS, 4).write(CELLS.box, np.ones((4, *CELLS.shape_hw), np.float32))
    assert space.open_latents("a", CELLS, 4).read(CELLS.box).all()
    space.open_pixels("b", PIXELS).write(PIXELS.box, np.ones((20, 30, 3), np.uint8))
    assert space.open_pixels("b", PIXELS).read(PIXELS.box).all()
    space.drop("b")
    assert not space.open_pixels("b", PIXELS).read(PIXELS.box).any()
    space.save_part("c", {"x": np.ones(1)})
    assert space.load_part("c")["x"] == 1
    note(space, 1, durable=True)
    assert space.find_entry() is None
    space.close()


@pytest.mark.parametrize("name", ["letter.txt", "sfumato-work.json"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_somebody_else_is_refused_and_untouched(folder, name, resume):
    (folder / "deeper").mkdir(parents=True)
    for path in (folder / name, folder / "deeper" / "photo"):
        path.write_text("[mine]")
    before = list_files(folder)
    with pytest.raises(RequestError, match="taken") as caught:
        DiskWorkspace(folder, IDENTITY, resume=resume)
    assert str(folder) in caught.value.got
    assert list_files(folder) == before


def test_a_file_in_the_place_is_refused_and_untouched(folder):
    folder.write_text("mine")
    with pytest.raises(RequestError, match="taken"):
        DiskWorkspace(folder, IDENTITY, resume=False)
    assert folder.read_text() == "mine"


def lose(path, how):
    """Take a file away, cut it off, or leave that of another canvas in its place."""
    path.unlink()
    if how == "cut":
        path.write_bytes(b"x" * 100)
    elif how == "other" and path.suffix == ".latents":
        create_file(path, CELLS, 8)
    elif how == "other":
        create_pixels(path, PixelSize(31, 20))


@pytest.mark.parametrize("how", ["gone", "cut", "other"])
@pytest.mark.parametrize("name", ["a.latents", "b.pixels"])
def test_a_canvas_that_the_journal_counts_on_is_never_made_anew(space, folder, name, how):
    space.open_latents("a", CELLS, 4)
    space.open_pixels("b", PIXELS)
    note(space, 1)
    space.close()
    lose(folder / name, how)
    before, again = list_files(folder), reopen(folder)
    for _ in range(2):
        with pytest.raises(StorageError, match="lost") as caught:
            again.open_latents("a", CELLS, 4) if name == "a.latents" else again.open_pixels("b", PIXELS)
        assert str(folder / name) in caught.value.got
        assert f"the whole folder {folder} and start without `resume`" in caught.value.do
    again.close()
    assert list_files(folder) == before


@pytest.mark.parametrize("how", ["gone", "cut", "other"])
@pytest.mark.parametrize("name", ["a.latents", "b.pixels"])
def test_what_was_made_after_the_last_entry_is_made_anew(space, folder, name, how):
    note(space, 1)
    for store, box in ((space.open_latents("a", CELLS, 4), CELLS.box), (space.open_pixels("b", PIXELS), PIXELS.box)):
        store.write(box, np.ones(store.read(box).shape, np.uint8))
    space.close()
    lose(folder / name, how)
    again = reopen(folder)
    assert not again.open_latents("a", CELLS, 4).read(CELLS.box).any()
    assert not again.open_pixels("b", PIXELS).read(PIXELS.box).any()
    again.close()


def test_what_was_dropped_after_the_last_entry_is_no_loss_until_somebody_opens_it(space, folder):
    space.open_latents("a", CELLS, 4)
    note(space, 1)
    space.drop("a")
    space.close()
    again = reopen(folder)
    with pytest.raises(StorageError, match="lost"):
        again.open_latents("a", CELLS, 4)
    again.drop("a")
    assert not again.open_latents("a", CELLS, 4).read(CELLS.box).any()
    again.close()


def test_what_an_entry_counts_on_stays_so_in_the_entries_after_it(space, folder):
    """Also where nobody opens it in between."""
    space.open_latents("a", CELLS, 4)
    space.save_part("base", {"x": np.ones(3)})
    note(space, 1)
    space.close()
    again = reopen(folder)
    note(again, 2)
    again.close()
    for path in (folder / "a.latents", folder / "base.part.npz"):
        path.unlink()
    again = reopen(folder)
    with pytest.raises(StorageError, match="lost"):
        again.open_latents("a", CELLS, 4)
    with pytest.raises(StorageError, match="lost") as caught:
        again.load_part("base")
    assert str(folder / "base.part.npz") in caught.value.got
    again.close()


def test_stopped_work_is_kept_until_somebody_asks(space, folder):
    note(space, 3)
    space.close()
    before = list_files(folder)
    with pytest.raises(RequestError, match="can be resumed") as caught:
        DiskWorkspace(folder, IDENTITY, resume=False)
    assert "`resume`" in caught.value.do
    assert list_files(folder) == before
    assert not is_held(folder)


def test_work_on_another_picture_is_refused_by_name_and_kept(space, folder):
    note(space, 3)
    space.close()
    before = list_files(folder)
    with pytest.raises(RequestError, match="not the one") as caught:
        reopen(folder, IDENTITY | {"request": "two", "machine": "new"})
    assert caught.value.got == "request: one in the work, two asked; machine: (nothing) in the work, new asked"
    assert str(folder) in caught.value.do
    assert list_files(folder) == before


@pytest.mark.parametrize("names", [(), (".sfumato-work.json.part",)])
@pytest.mark.parametrize("resume", [False, True])
def test_a_process_killed_at_the_birth_of_its_folder_blocks_nobody(folder, names, resume):
    folder.mkdir()
    for name in names:
        (folder / name).write_text('{"requ')
    assert not find_resumable(folder)
    space = DiskWorkspace(folder, IDENTITY, resume=resume)
    assert json.loads((folder / "sfumato-work.json").read_text()) == IDENTITY
    space.close()


def test_what_was_begun_but_never_noted_is_begun_anew(space, folder):
    space.open_latents("a", CELLS, 4)
    space.save_part("base", {"x": np.ones(3)})
    space._lock.release()
    fresh = reopen(folder, {"request": "two"})
    assert fresh.load_part("base") is None
    assert not (folder / "a.latents").exists()
    fresh.close()


def test_nothing_stays_where_nothing_was_noted(space, folder):
    space.open_latents("a", CELLS, 4)
    space.close()
    assert not folder.exists()


def test_after_a_restart_of_the_system_the_last_durable_entry_holds(space, monkeypatch):
    note(space, 1, durable=True)
    note(space, 2)
    assert space.find_entry().words == {"step": 2}
    monkeypatch.setattr(place, "find_boot", lambda: "another")
    assert space.find_entry().words == {"step": 1}


def test_after_a_restart_with_nothing_durable_all_is_done_again(space, monkeypatch):
    note(space, 2)
    monkeypatch.setattr(place, "find_boot", lambda: "another")
    assert space.find_entry() is None


def spoil(path, how):
    raw = path.read_bytes()
    middle = len(raw) // 2
    spoilt = {"empty": b"", "half": raw[:middle], "noise": bytes(len(raw)), "bit": raw[:90] + b"\xff" + raw[91:]}
    path.write_bytes(spoilt[how])


@pytest.mark.parametrize("how", ["empty", "half", "noise", "bit"])
def test_a_damaged_journal_gives_way_to_the_durable_one(space, folder, how):
    note(space, 1, durable=True)
    note(space, 2)
    spoil(folder / "journal.npz", how)
    assert space.find_entry().words == {"step": 1}
    spoil(folder / "journal-durable.npz", how)
    with pytest.raises(StorageError, match="damaged") as caught:
        space.find_entry()
    assert "journal" in caught.value.got


def test_an_entry_without_words_is_damaged(space, folder):
    np.savez(folder / "journal.npz", pull=np.ones(3))
    with pytest.raises(StorageError, match="damaged"):
        space.find_entry()
    with zipfile.ZipFile(folder / "journal.npz", "w") as archive:
        archive.writestr("words", "no array")
    with pytest.raises(StorageError, match="damaged"):
        space.find_entry()


def test_a_full_disk_leaves_the_entry_before(space, folder, full_disk):
    note(space, 1)
    before = set(folder.iterdir())
    with full_disk(3000), pytest.raises(StorageError, match="disk is full"):
        space.note(Entry({"step": 2}, {"pull": np.zeros(10_000, np.float32)}), durable=True)
    assert space.find_entry().words == {"step": 1}
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("kind", ["latents", "pixels"])
def test_a_canvas_that_finds_no_room_leaves_nothing(space, folder, full_disk, kind):
    note(space, 1)
    before = set(folder.iterdir())
    with full_disk(1000), pytest.raises(StorageError, match="disk is full"):
        space.open_latents("a", CELLS, 4) if kind == "latents" else space.open_pixels("a", PIXELS)
    assert set(folder.iterdir()) == before
    assert not space.open_pixels("a", PIXELS).read(PixelBox(0, 0, 1, 1)).any()


def test_a_folder_that_cannot_be_made_is_an_error_of_the_disk(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        DiskWorkspace(tmp_path / "file" / "a.work", IDENTITY, resume=False)


def refuse(*_given, **_named):
    raise OSError("refused")


@pytest.mark.parametrize("can_be_moved", [True, False])
def test_killed_while_the_folder_is_removed_nothing_is_left_to_do(space, folder, can_be_moved, monkeypatch):
    """A journal that outlives its canvases would be gone on with; what is left over goes with the next work there."""
    note(space, 9, durable=True)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_given, **_named: None)
        if not can_be_moved:
            patched.setattr(Path, "rename", refuse)
        space.remove()
    (left,) = folder.parent.iterdir()
    assert (left == folder) is not can_be_moved
    assert not find_resumable(folder)
    again = DiskWorkspace(folder, IDENTITY, resume=False)
    note(again, 1)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    again.remove()
    assert not list(folder.parent.iterdir())


def test_names_that_only_look_like_what_is_left_over_stay(folder):
    names = (".a.png.work.letters.part", ".b.png.work.0123abcd.part", ".a.png.work.0123abcd.part")
    for name in names:
        (folder.parent / name).mkdir()
    lock = lock_folder(folder.parent / names[2])
    DiskWorkspace(folder, IDENTITY, resume=False).remove()
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted(names)
    lock.release()
    DiskWorkspace(folder, IDENTITY, resume=False).remove()
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted(names[:2])


def test_who_comes_when_the_folder_was_let_go_of_keeps_theirs(space, folder):
    note(space, 9)
    lock, others = space._lock, []

    def release():
        lock.release()
        others.append(DiskWorkspace(folder, IDENTITY, resume=True))
        note(others[0], 3)

    space._lock = SimpleNamespace(release=release)
    space.remove()
    space.close()
    (other,) = others
    assert other.find_entry().words == {"step": 3}
    assert is_held(folder)
    other.close()


def test_two_at_once_are_refused(space, folder):
    with pytest.raises(RequestError, match="another process") as caught:
        DiskWorkspace(folder, IDENTITY, resume=False)
    assert str(folder) in caught.value.got
    note(space, 1)
    with pytest.raises(RequestError, match="another process"):
        reopen(folder)
    assert is_held(folder)
    space.close()
    assert not is_held(folder)
    reopen(folder).remove()
    assert not is_held(folder)


def test_a_killed_process_holds_nothing(folder):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from sfumato.canvas.workspace.disk_workspace import DiskWorkspace\n"
        "from sfumato.canvas.workspace.workspace import Entry\n"
        "space = DiskWorkspace(Path(sys.argv[1]), {'request': 'one'}, resume=False)\n"
        "space.note(Entry({'step': 1}))\n"
        "print(flush=True)\nsys.stdin.read(1)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script, folder], **pipes, env=environment) as child:
        child.stdout.readline()
        with pytest.raises(RequestError, match="another process"):
            reopen(folder, {"request": "one"})
        child.stdin.close()
    space = reopen(folder, {"request": "one"})
    assert space.find_entry().words == {"step": 1}
    space.close()


def test_a_folder_that_its_holder_removes_is_made_again(folder, monkeypatch):
    """Between opening and holding, the last holder may have removed it."""
    whole, left = os.open, [1]

    def open_late(path, *given):
        handle = whole(path, *given)
        if left.pop() if left else 0:
            folder.rmdir()
        return handle

    monkeypatch.setattr(os, "open", open_late)
    lock = lock_folder(folder)
    assert folder.is_dir()
    assert is_held(folder)
    lock.release()


def test_work_lies_beside_its_picture(tmp_path):
    assert name_work(tmp_path / "a.dzi") == tmp_path / "a.dzi.work"


def fill(space):
    rng = np.random.default_rng(3)
    for _ in range(3):
        space.open_latents("a", LatentSize(24, 70), 4).write(
            LatentSize(24, 70).box, rng.normal(size=(4, 70, 24)).astype(np.float32)
        )
        space.open_pixels("b", PixelSize(700, 900)).write(
            PixelSize(700, 900).box, rng.integers(0, 256, (900, 700, 3), dtype=np.uint8)
        )
        for store in (space.open_latents("a", LatentSize(24, 70), 4), space.open_pixels("b", PixelSize(700, 900))):
            store.flush()
    space.save_part("base", {"picture": rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)})
    note(space, 5, durable=True)


def read_all(space):
    entry = space.find_entry()
    found = [space.open_latents("a", LatentSize(24, 70), 4).read(LatentSize(24, 70).box)]
    found += [space.open_pixels("b", PixelSize(700, 900)).read(PixelSize(700, 900).box)]
    found += [space.load_part("base")["picture"], entry.arrays["pull"], np.array(entry.words["step"])]
    return b"".join(values.tobytes() for values in found)


@pytest.mark.parametrize("name", ["a.latents", "b.pixels", "base.part.npz", "journal.npz"])
def test_a_byte_that_rots_is_noticed_and_its_file_named_or_changes_nothing(space, folder, name):
    fill(space)
    wanted = read_all(space)
    space.close()
    path = folder / name
    raw = path.read_bytes()
    errors = []
    places = {0, 10, 4096, 4104, 8192, 8196, len(raw) - 1, *range(0, len(raw), max(1, len(raw) // 40))}
    for at in sorted(where for where in places if where < len(raw)):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x20]) + raw[at + 1 :])
        try:
            again = reopen(folder)
            try:
                assert read_all(again) == wanted
            finally:
                again.close()
        except StorageError as error:
            errors.append(str(error))
        path.write_bytes(raw)
    assert all(name in error for error in errors)
    # Of the journal there is a second one.
    assert errors or name == "journal.npz"


def test_rows_that_were_being_written_when_the_process_died_are_no_rot(space, folder):
    fill(space)
    size = PixelSize(700, 900)
    pixels = space.open_pixels("b", size)
    pixels.write(PixelBox(0, 600, 700, 620), np.zeros((20, 700, 3), np.uint8))
    # Not flushed: as a process that is killed leaves it.
    space._lock.release()
    again = reopen(folder)
    found = again.open_pixels("b", size)
    assert (found.read(PixelBox(0, 600, 700, 620)) == 0).all()
    found.write(PixelBox(0, 600, 700, 620), np.ones((20, 700, 3), np.uint8))
    found.flush()
    again.close()
    reopen(folder).open_pixels("b", size)


def test_a_canvas_that_is_older_than_its_journal_is_noticed(space, folder):
    fill(space)
    path = folder / "a.latents"
    space.open_latents("a", LatentSize(24, 70), 4).flush()
    old = path.read_bytes()
    store = space.open_latents("a", LatentSize(24, 70), 4)
    store.write(LatentSize(24, 70).box, np.ones((4, 70, 24), np.float32))
    store.flush()
    note(space, 6)
    space.close()
    path.write_bytes(old)
    with pytest.raises(StorageError, match=r"a\.latents"):
        reopen(folder).open_latents("a", LatentSize(24, 70), 4)
