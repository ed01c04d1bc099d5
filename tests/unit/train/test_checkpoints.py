"""A crash at any moment leaves a readable state; two are kept."""

from pathlib import Path

import pytest
import torch

from sfumato.core.errors import StorageError
from sfumato.train.checkpoints import Checkpoint, list_checkpoints, load_checkpoint, save_checkpoint


def make_state(value: float) -> Checkpoint:
    return Checkpoint({"x": torch.full((3,), value)}, {"step": int(value)})


def test_the_newest_readable_state_is_loaded_and_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, make_state(step))
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step_000000002.safetensors", "step_000000003.safetensors"]
    list_checkpoints(tmp_path)[-1].write_bytes(b"torn")
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.values["step"] == 2
    assert loaded.tensors["x"].tolist() == [2.0, 2.0, 2.0]


def test_a_half_written_state_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / "step_000000001.part").write_bytes(b"half")
    assert load_checkpoint(tmp_path) is None


def test_an_unwritable_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError):
        save_checkpoint(tmp_path / "file", 1, make_state(1))
