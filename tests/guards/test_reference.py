"""The generated reference is what the code says today."""

import importlib.util

import pytest

from guards.source import ROOT, report

FOLDER = ROOT / "docs" / "reference"


@pytest.mark.skipif(importlib.util.find_spec("sfumato.cli.reference") is None, reason="nothing generates it yet")
def test_reference_is_fresh():
    from sfumato.cli.reference import make_pages

    pages = make_pages()
    stale = [
        name for name, text in pages.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text() != text
    ]
    orphans = [page.name for page in FOLDER.glob("*.md") if page.name not in pages]
    report([f"docs/reference/{name}: run `make docs`" for name in stale + orphans])
