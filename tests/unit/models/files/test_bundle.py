"""The files of mini are compared with their list, and the list with the package's."""

import hashlib

from sfumato.models.files.bundle import check_bundle, describe_bundle


def test_shipped_files_are_compared_with_their_digests(tmp_path):
    folder = tmp_path / "mini"
    assert check_bundle(folder) == "absent"
    folder.mkdir()
    (folder / "a").write_bytes(b"weights")
    assert check_bundle(folder) == "damaged"
    own = folder / "SHA256SUMS.txt"
    own.write_text(f"{hashlib.sha256(b'weights').hexdigest()}  a\n")
    assert check_bundle(folder) == "changed"
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(own.read_bytes()).hexdigest()}  mini/SHA256SUMS.txt\n")
    assert check_bundle(folder) == "whole"
    (folder / "a").write_bytes(b"weighty")
    assert check_bundle(folder) == "damaged"
    (folder / "a").unlink()
    assert check_bundle(folder) == "damaged"


def test_the_mini_that_is_shipped_is_whole():
    assert check_bundle() == "whole"
    assert describe_bundle("whole") == ""
    assert describe_bundle("changed")
