"""One thread each, and parts: tests that need pretrained weights of others are skipped without them, and counted aloud."""

import os

# Before torch is imported: a copy of a process with several threads has only one of them, and waits for the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from sfumato.core.errors import SfumatoError
from sfumato.models.parts.catalogue import find_part, find_parts_folder

SKIPPED = "parts were not fetched"


def pytest_collection_modifyitems(items):
    """Skip the tests whose parts are absent; `pytest.mark.part("palm", …)` names them."""
    for item in items:
        mark = item.get_closest_marker("part")
        if mark is not None and not all(has_part(name) for name in mark.args):
            item.add_marker(pytest.mark.skip(reason=f"{SKIPPED}: {', '.join(mark.args)}"))


def pytest_terminal_summary(terminalreporter):
    """Say how many tests did not run for lack of parts."""
    skipped = [one for one in terminalreporter.stats.get("skipped", ()) if SKIPPED in str(one.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} TESTS OF PARTS DID NOT RUN: fetch them once, `sfumato parts get`")


def has_part(name: str) -> bool:
    """Tell whether a part lies in the cache of whoever runs the tests."""
    try:
        return find_part(name) is not None
    except SfumatoError:
        return False


# Taken before any test points the cache elsewhere.
REAL_FOLDER = find_parts_folder()


@pytest.fixture
def parts(monkeypatch):
    """Use the parts in the cache of whoever runs the tests, whatever other fixtures say."""
    monkeypatch.setenv("SFUMATO_PARTS", str(REAL_FOLDER))
    return REAL_FOLDER
