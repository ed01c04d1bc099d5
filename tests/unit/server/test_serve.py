"""What keeps a server from starting is told in words: a state folder that cannot be written."""

import pytest

from sfumato.core.errors import StorageError
from sfumato.core.settings import load_settings
from sfumato.server.serve import ServeOptions, find_state_folder, serve


def test_a_file_is_no_state_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SFUMATO_STATE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="state folder cannot be made"):
        find_state_folder(load_settings())


def test_a_state_folder_without_a_lock_is_refused(tmp_path, monkeypatch):
    # As a disk without room or a read-only folder: the lock cannot be opened for writing.
    (tmp_path / "server.lock").mkdir()
    monkeypatch.setenv("SFUMATO_STATE", str(tmp_path))
    with pytest.raises(StorageError, match="state folder cannot be written"):
        serve(ServeOptions(host="127.0.0.1", port=0))
