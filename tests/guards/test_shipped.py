"""Files shipped inside the package are the ones that were checked in: listed, whole, and small."""

import re

import pytest

from guards.source import ROOT, find_tracked, report
from sfumato.core.files import file_sha256

DATA = ROOT / "src" / "sfumato" / "data"
LIST = DATA / "SHA256SUMS"
# Every committed version of the weights stays in every clone.
MOST_BYTES = 64 * 2**20


def shipped():
    return {str(path.relative_to(DATA)): path for path in find_tracked() if path.is_relative_to(DATA) and path != LIST}


def listed():
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (.+)$", LIST.read_text(), re.MULTILINE)}


@pytest.mark.skipif(not shipped(), reason="nothing is shipped yet")
def test_every_shipped_file_has_its_digest():
    assert listed().keys() == shipped().keys(), "run `make sums`"
    report([name for name, path in shipped().items() if file_sha256(path) != listed()[name]])


@pytest.mark.skipif(not shipped(), reason="nothing is shipped yet")
def test_what_is_shipped_is_small():
    assert sum(path.stat().st_size for path in shipped().values()) <= MOST_BYTES
