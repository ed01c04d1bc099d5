"""Files that are whole or absent."""

import os
import subprocess
import sys

import pytest

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import (
    UnfinishedFile,
    check_path,
    clear_leftovers,
    expand_path,
    file_sha256,
    name_unfinished,
    open_regular,
    remove_leftovers,
    write_atomic,
)


def test_new_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    for content in (b"old", b"new"):
        write_atomic(path, lambda stream, content=content: stream.write(content))
    assert path.read_bytes() == b"new"
    assert [item.name for item in path.parent.iterdir()] == ["a.bin"]


def test_failure_leaves_the_old_file_and_no_leftovers(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        write_atomic(path, fail)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.bin"]


def test_interrupt_leaves_no_leftovers(tmp_path):
    def interrupt(stream):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.bin", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_digest(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_only_plain_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent", "nul\0name"):
        with pytest.raises(RequestError):
            file_sha256(path)
    with pytest.raises(RequestError), open_regular(tmp_path, what="it"):
        pass


@pytest.mark.parametrize("count", [240, 245, 251, 255])
@pytest.mark.parametrize("letter", ["n", "猫", "\U0001f431"])
def test_a_name_of_any_legal_length_is_written(tmp_path, count, letter):
    path = tmp_path / (letter * (count // len(letter.encode())))
    write_atomic(path, lambda stream: stream.write(b"x"))
    assert path.read_bytes() == b"x"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["n" * 256, "d/" * 3000 + "n", "a\0b", "\ud800"])
def test_a_path_that_no_file_can_have_is_a_wrong_request(tmp_path, name):
    with pytest.raises(RequestError, match="no file can have"):
        check_path(tmp_path / name, what="the picture")


@pytest.mark.parametrize("name", ["~nosuchuser/x", "a" * 4000, "~" + "a" * 4000, "a\0"])
def test_a_path_of_a_request_that_cannot_be_expanded_is_a_wrong_request(name):
    with pytest.raises(RequestError):
        expand_path(name, what="the model")


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "a [1].png"
    living = UnfinishedFile(path)
    kept = [
        living._beside,
        tmp_path / ".a [1].png.part",
        tmp_path / ".b.png.00000000.part",
        tmp_path / "a [1].png.12345678.part",
    ]
    for other in kept[1:]:
        other.write_bytes(b"")
    name_unfinished(path).write_bytes(b"left")
    (name_unfinished(path) / "0").mkdir(parents=True)
    remove_leftovers(path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    living.publish()
    assert path.exists()


def test_a_folder_is_cleared_of_what_killed_processes_left(tmp_path):
    living, below = UnfinishedFile(tmp_path / "a.png"), tmp_path / "b"
    below.mkdir()
    kept = [
        living._beside,
        below,
        tmp_path / ".c.part",
        tmp_path / ".c.12345678.part.png",
        tmp_path / "c.12345678.part",
    ]
    for other in kept[2:]:
        other.write_bytes(b"")
    kept.append(name_unfinished(below / "d.png"))
    for left in (kept[-1], name_unfinished(tmp_path / "a.png"), name_unfinished(tmp_path / "e.png")):
        left.write_bytes(b"left")
    clear_leftovers(tmp_path)
    assert sorted(tmp_path.rglob("*")) == sorted(kept)
    living.discard()


def test_leftovers_of_the_longest_names_are_found(tmp_path):
    path, other = tmp_path / ("n" * 255), tmp_path / ("n" * 254 + "m")
    for each in (path, other):
        name_unfinished(each).write_bytes(b"left")
    remove_leftovers(path)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_another_process_writes_is_left_to_it(tmp_path):
    code = (
        "import sys, pathlib; from sfumato.core.files import UnfinishedFile; "
        "f = UnfinishedFile(pathlib.Path(sys.argv[1])); print(1, flush=True); input(); f.publish()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "1\n"
        remove_leftovers(tmp_path / "a.png")
        other.communicate("\n")
    assert other.returncode == 0
    assert (tmp_path / "a.png").exists()
