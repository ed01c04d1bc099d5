"""A canvas of latents is the same in memory and in a file, and a crash leaves its last flush."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from sfumato.canvas.latents import MemoryLatents, make_latents, open_latents
from sfumato.canvas.mapped_latents import MappedLatents
from sfumato.core.errors import StorageError
from sfumato.core.geometry import LatentBox, LatentSize

SIZE = LatentSize(50, 70)


def draw(box, seed=0):
    return np.random.default_rng(seed).standard_normal((4, box.height, box.width)).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    made = make_latents(SIZE, 4, path=tmp_path / "a.latents", most_memory_bytes=0)
    yield made
    made.close()


def test_the_limit_decides(tmp_path):
    needed = 4 * 4 * SIZE.area
    assert isinstance(make_latents(SIZE, 4, path=tmp_path / "a", most_memory_bytes=needed), MemoryLatents)
    assert not list(tmp_path.iterdir())
    mapped = make_latents(SIZE, 4, path=tmp_path / "a", most_memory_bytes=needed - 1)
    assert isinstance(mapped, MappedLatents)
    assert (mapped.size, mapped.channels) == (SIZE, 4)
    mapped.close()


def test_both_kinds_answer_the_same(store):
    memory = MemoryLatents(SIZE, 4)
    boxes = [SIZE.box, LatentBox(3, 30, 40, 66), LatentBox(0, 31, 1, 33), LatentBox(49, 69, 50, 70)]
    for number, box in enumerate(boxes):
        for one in (memory, store):
            one.write(box, draw(box, number)) if number % 2 else one.add(box, draw(box, number))
        if number == 2:
            store.flush()
        assert all(np.array_equal(memory.read(box), store.read(box)) for box in boxes)


def test_what_is_read_is_a_copy(store):
    for one in (store, MemoryLatents(SIZE, 4)):
        one.read(SIZE.box)[...] = 5
        assert not one.read(SIZE.box).any()


def test_closing_flushes_and_a_file_opens_again(store):
    store.write(SIZE.box, draw(SIZE.box))
    store.close()
    again = open_latents(store.path)
    assert np.array_equal(again.read(SIZE.box), draw(SIZE.box))
    again.close()
    again.close()


def test_a_kill_leaves_the_last_flush(tmp_path):
    """Committed bands, a band half overwritten, one added to: killed, all are as of the flush."""
    script = """
import os, signal, sys
import numpy as np
from pathlib import Path
from sfumato.canvas.latents import make_latents
from sfumato.core.geometry import LatentBox, LatentSize

size = LatentSize(50, 70)
store = make_latents(size, 4, path=Path(sys.argv[1]), most_memory_bytes=0)
store.write(size.box, np.full((4, 70, 50), 1, np.float32))
store.flush()
store.add(LatentBox(0, 0, 50, 40), np.full((4, 40, 50), 1, np.float32))
store.flush()
store.write(LatentBox(0, 0, 25, 32), np.full((4, 32, 25), 7, np.float32))
store.add(LatentBox(0, 60, 50, 70), np.full((4, 10, 50), 7, np.float32))
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "a.latents"
    done = subprocess.run([sys.executable, "-c", script, path], check=False, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == -signal.SIGKILL
    store = open_latents(path)
    found = store.read(SIZE.box)
    assert (found[:, :40] == 2).all()
    assert (found[:, 40:] == 1).all()
    store.close()


def test_a_kill_after_a_flush_that_is_not_durable_leaves_that_flush(tmp_path):
    script = """
import os, sys
import numpy as np
from pathlib import Path
from sfumato.canvas.latents import make_latents
from sfumato.core.geometry import LatentBox, LatentSize

size = LatentSize(50, 70)
store = make_latents(size, 4, path=Path(sys.argv[1]), most_memory_bytes=0)
store.write(size.box, np.full((4, 70, 50), 1, np.float32))
store.flush()
for value in (2, 3):
    store.write(LatentBox(0, 0, 50, 40), np.full((4, 40, 50), value, np.float32))
    store.flush(durable=False)
store.write(LatentBox(0, 30, 50, 70), np.full((4, 40, 50), 9, np.float32))
os._exit(3)
"""
    path = tmp_path / "a.latents"
    done = subprocess.run([sys.executable, "-c", script, path], check=False, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 3
    store = open_latents(path)
    found = store.read(SIZE.box)
    assert (found[:, :40] == 3).all()
    assert (found[:, 40:] == 1).all()
    store.close()


@pytest.mark.parametrize("durable", [False, True])
def test_either_flush_is_what_a_second_opener_finds(store, durable):
    store.write(SIZE.box, draw(SIZE.box))
    store.flush(durable=durable)
    store.add(LatentBox(0, 0, 50, 40), draw(LatentBox(0, 0, 50, 40)))
    copy = store.path.with_name("copy")
    copy.write_bytes(store.path.read_bytes())
    again = open_latents(copy)
    assert np.array_equal(again.read(SIZE.box), draw(SIZE.box))
    again.close()


def count_synced(store, monkeypatch):
    """Return the places whose pages a durable flush hands to the disk."""
    places = []
    monkeypatch.setattr(store, "_sync", lambda place, count: places.append((place, count)))
    store.flush()
    return places


def test_a_durable_flush_takes_along_what_earlier_ones_left_to_the_system(store, monkeypatch):
    layout = store._layout
    store.flush()
    store.write(LatentBox(0, 0, 50, 10), draw(LatentBox(0, 0, 50, 10)))
    store.flush(durable=False)
    store.write(LatentBox(0, 64, 50, 70), draw(LatentBox(0, 64, 50, 70)))
    slots = [(layout.place_slot(band, int(slot)), layout.slot_bytes) for band, slot in ((0, 1), (2, 1))]
    tables = [(layout.place_table(which), layout.table_bytes) for which in (0, 1)]
    assert count_synced(store, monkeypatch) == [*slots, *tables]
    assert count_synced(store, monkeypatch) == []


def test_a_durable_flush_takes_along_what_a_killed_process_left(store, monkeypatch):
    store.close()
    again = open_latents(store.path)
    assert len(count_synced(again, monkeypatch)) == again._layout.bands + 2
    again.close()


def test_a_torn_table_leaves_the_flush_before(store):
    for value in (1, 2, 3):
        store.write(SIZE.box, np.full((4, 70, 50), value, np.float32))
        store.flush()
    store.close()
    raw = bytearray(store.path.read_bytes())
    # Four tables were written (one when the file was made), so the last is in the second place.
    raw[4096 + 4096] ^= 1
    store.path.write_bytes(raw)
    again = open_latents(store.path)
    assert (again.read(SIZE.box) == 2).all()
    again.close()


def test_damaged_files_are_refused(store):
    store.close()
    raw = store.path.read_bytes()
    broken = [b"", b"no latents" * 1000, raw[:5000], raw[:3] + b"x" + raw[4:], raw[:4096] + bytes(8192) + raw[12288:]]
    for each in broken:
        store.path.write_bytes(each)
        with pytest.raises(StorageError):
            open_latents(store.path)
    with pytest.raises(StorageError, match="cannot be opened"):
        open_latents(store.path.with_name("none"))


def test_more_than_the_disk_holds_is_refused_first(tmp_path):
    with pytest.raises(StorageError, match="no room") as caught:
        make_latents(LatentSize(2**20, 2**20), 16, path=tmp_path / "a", most_memory_bytes=0)
    assert "MB free" in caught.value.got
    assert not list(tmp_path.iterdir())


def test_a_disk_that_refuses_leaves_nothing(tmp_path, full_disk):
    with full_disk(20_000), pytest.raises(StorageError, match="disk is full"):
        make_latents(SIZE, 4, path=tmp_path / "a", most_memory_bytes=0)
    assert not list(tmp_path.iterdir())


def test_the_room_is_reserved_when_the_file_is_made(store):
    found = os.stat(store.path)
    assert found.st_blocks * 512 >= found.st_size


def test_systems_that_reserve_nothing_get_a_sparse_file(tmp_path, monkeypatch):
    def refuse(*_given):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    store = make_latents(SIZE, 4, path=tmp_path / "a", most_memory_bytes=0)
    store.write(SIZE.box, draw(SIZE.box))
    assert np.array_equal(store.read(SIZE.box), draw(SIZE.box))
    store.close()


def test_pages_are_let_go(tmp_path):
    """A sweep over 64 MB leaves a fraction of it resident."""
    size = LatentSize(2048, 1024)
    store = make_latents(size, 4, path=tmp_path / "a", most_memory_bytes=0)
    band = np.ones((4, 32, 2048), np.float32)
    for top in range(0, 1024, 32):
        store.write(LatentBox(0, top, 2048, top + 32), band)
    assert (store.read(LatentBox(7, 0, 8, 1024)) == 1).all()
    assert measure_resident(store.path) < 24 * 2**20
    store.close()


def measure_resident(path):
    """Return the bytes of a mapped file that are resident in this process."""
    with open("/proc/self/smaps") as lines:
        inside, total = False, 0
        for line in lines:
            if "-" in line.split(" ")[0] and ":" not in line.split(" ")[0]:
                inside = str(path) in line
            elif inside and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total
