"""The packed weights of a critic: written and read back, and refused where they are cut off, foreign or too large."""

import lzma

import pytest
import torch

from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.critic import network_files
from sfumato.critic.network_files import NetworkFiles

FILES = NetworkFiles("reader", format=3)
STATE = {"layer.weight": torch.linspace(-2, 2, 4096).reshape(64, 64), "layer.bias": torch.arange(64.0)}


@pytest.fixture
def folder(tmp_path):
    FILES.write(tmp_path, {"widths": [8, 16]}, STATE)
    return tmp_path


def refuse(folder, kind=UnsafeFileError):
    """Return the three parts of the refusal; each has to be there."""
    with pytest.raises(kind) as caught:
        FILES.read_weights(folder)
    error = caught.value
    assert "reader" in error.what
    # It names the file that lies there, not the one of a moment.
    assert str(folder / FILES.weights) in error.got
    assert "--stage reader" in error.do
    return error


def test_what_is_written_is_read_back(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["reader.json", "reader.safetensors.xz"]
    assert FILES.read_config(folder) == {"format": 3, "widths": [8, 16]}
    again = FILES.read_weights(folder)
    assert set(again) == set(STATE)
    for name, tensor in STATE.items():
        assert again[name].dtype == torch.float32
        assert torch.equal(again[name], tensor.half().float())


def test_equal_networks_are_equal_bytes(folder, tmp_path):
    FILES.write(tmp_path / "again", {"widths": [8, 16]}, STATE)
    for name in (FILES.weights, FILES.config):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("left", [0, 5, 40, -1])
def test_a_file_that_is_cut_off_is_refused(folder, left):
    path = folder / FILES.weights
    path.write_bytes(path.read_bytes()[:left])
    assert "cannot be unpacked" in refuse(folder).what


@pytest.mark.parametrize("packed", [b"no weights", lzma.compress(b"1", lzma.FORMAT_ALONE)])
def test_what_is_no_file_of_xz_is_refused(folder, packed):
    (folder / FILES.weights).write_bytes(packed)
    refuse(folder)


def test_bytes_behind_the_end_are_refused(folder):
    path = folder / FILES.weights
    path.write_bytes(path.read_bytes() + b"more")
    assert "behind" in refuse(folder).got


def test_what_unpacks_to_more_than_the_limit_is_refused(folder, monkeypatch):
    size = len(lzma.decompress((folder / FILES.weights).read_bytes()))
    monkeypatch.setattr(network_files, "LARGEST_WEIGHTS_BYTES", size)
    assert set(FILES.read_weights(folder)) == set(STATE)
    monkeypatch.setattr(network_files, "LARGEST_WEIGHTS_BYTES", size - 1)
    assert str(size - 1) in refuse(folder).got


def test_a_small_file_that_unpacks_to_much_is_refused(folder, monkeypatch):
    monkeypatch.setattr(network_files, "LARGEST_WEIGHTS_BYTES", 1 << 16)
    (folder / FILES.weights).write_bytes(lzma.compress(bytes(1 << 24)))
    assert (folder / FILES.weights).stat().st_size < 1 << 13
    assert "too large" in refuse(folder).what


def test_an_unpacker_that_wants_much_memory_is_refused(folder, monkeypatch):
    monkeypatch.setattr(network_files, "MOST_XZ_BYTES", 1 << 16)
    assert "cannot be unpacked" in refuse(folder).what


def test_the_gate_looks_at_what_was_packed(folder):
    (folder / FILES.weights).write_bytes(lzma.compress(b"\x80\x04."))
    assert "refused" in refuse(folder).what


def test_a_folder_without_weights_is_no_critic(folder):
    (folder / FILES.weights).unlink()
    refuse(folder, ModelError)
