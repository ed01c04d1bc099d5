"""Files that are whole or absent."""

import os

import pytest

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import file_sha256, open_regular, write_atomic


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
