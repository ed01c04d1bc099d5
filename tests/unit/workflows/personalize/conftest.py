"""A folder of concepts of its own for every test, and one loaded tiny mini for all of them."""

import pytest

from bundles import tiny_mini
from concept_folders import make_concept, write_photos
from sfumato.models.load import load_model


@pytest.fixture(autouse=True)
def concepts(tmp_path, monkeypatch):
    """Return an empty folder of concepts."""
    monkeypatch.setenv("SFUMATO_CONCEPTS", str(tmp_path / "concepts"))
    return tmp_path / "concepts"


@pytest.fixture
def photos(tmp_path):
    """Return a folder of five pictures with masks and captions."""
    return write_photos(tmp_path / "photos")


@pytest.fixture
def concept(photos):
    """Return a concept of them."""
    return make_concept(photos)


@pytest.fixture(scope="module")
def model():
    """Return the tiny mini in float32."""
    return load_model(str(tiny_mini()), dtype="fp32")
