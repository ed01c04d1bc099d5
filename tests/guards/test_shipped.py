"""Files shipped inside the package are the ones that were checked in: listed, whole, and small."""

import re
from pathlib import Path

import pytest

from guards.source import ROOT, find_tracked, report
from sfumato.core.files import file_sha256

DATA = ROOT / "src" / "sfumato" / "data"
# A folder that is made as one piece brings its own list; the one at the top covers what is left.
LISTS = ("SHA256SUMS", "SHA256SUMS.txt")
# Every committed version of the weights stays in every clone.
MOST_BYTES = 64 * 2**20
SHIPPED = [path for path in find_tracked() if path.is_relative_to(DATA)]


def find_list(path: Path) -> Path | None:
    """Return the list that covers a file: the nearest one above it."""
    folders = [folder for folder in path.parents if folder.is_relative_to(DATA)]
    return next((folder / name for folder in folders for name in LISTS if (folder / name).exists()), None)


def read_list(path: Path) -> dict[Path, str]:
    rows = re.findall(r"^([0-9a-f]{64})  (.+)$", path.read_text(), re.MULTILINE)
    return {path.parent / name: digest for digest, name in rows}


@pytest.mark.skipif(not SHIPPED, reason="nothing is shipped yet")
def test_every_shipped_file_has_its_digest():
    wrong = []
    for path in SHIPPED:
        covering = find_list(path) if path.name != "SHA256SUMS.txt" else DATA / "SHA256SUMS"
        if path.name != "SHA256SUMS" and (covering is None or read_list(covering).get(path) != file_sha256(path)):
            wrong.append(f"{path.relative_to(ROOT)}: not as listed; was it meant to change? run `make sums`")
    report(wrong)


@pytest.mark.skipif(not SHIPPED, reason="nothing is shipped yet")
def test_every_listed_file_is_shipped():
    lists = [path for path in SHIPPED if path.name in LISTS]
    report([str(path.relative_to(ROOT)) for found in lists for path in read_list(found) if path not in SHIPPED])


@pytest.mark.skipif(not SHIPPED, reason="nothing is shipped yet")
def test_what_is_shipped_is_small():
    assert sum(path.stat().st_size for path in SHIPPED) <= MOST_BYTES
