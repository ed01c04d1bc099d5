"""A concept carried to another tiny base: same words, other widths, pictures withheld; the old build stays."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import bundles
from bundles import tiny_mini, write_tiny_mini
from concept_folders import make_concept
from sfumato.core import serialize
from sfumato.core.errors import InterruptedRender, RequestError
from sfumato.customize.build import find_build, hash_base, list_builds
from sfumato.customize.settings import ConceptSettings
from sfumato.server.orders import make_order, read_order
from sfumato.server.workers.other_kinds import carry
from sfumato.workflows.personalize import rebase as module
from sfumato.workflows.personalize.rebase import RebaseOptions, rebase
from sfumato.workflows.personalize.teach import TeachOptions, teach_concept

BASE = str(tiny_mini())
SETTINGS = ConceptSettings(rung="lora", vectors=2, rank=2, batch=2)


@pytest.fixture(scope="module")
def sibling(tmp_path_factory):
    """Return a base that differs from the tiny mini in one byte of its denoiser."""
    other = shutil.copytree(tiny_mini(), tmp_path_factory.mktemp("sibling") / "base")
    weights = next((other / "unet").glob("*.safetensors"))
    packed = bytearray(weights.read_bytes())
    packed[-1] ^= 1
    weights.write_bytes(packed)
    return str(other)


@pytest.fixture(scope="module")
def wider(tmp_path_factory):
    """Return a base with a wider text encoder and the same words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "CONTEXT_WIDTH", 48)
        return str(write_tiny_mini(tmp_path_factory.mktemp("wider")))


@pytest.fixture
def taught(photos):
    concept = make_concept(photos)
    teach_concept(TeachOptions(concept="bo", model=BASE, settings=SETTINGS, steps=10, score=False))
    return concept


def test_a_sibling_takes_vectors_and_lora_and_a_tenth_of_the_steps(taught, sibling):
    before = {name: (find_build(taught, BASE).folder / name).read_bytes() for name in find_build(taught, BASE).files}
    found = rebase(RebaseOptions(concept="bo", new=sibling, score=False))
    assert found.build.steps == 1
    assert "carried" in found.said[0]
    assert "carried" in found.said[1]
    assert find_build(taught, sibling).lora
    old = find_build(taught, BASE)
    assert {name: (old.folder / name).read_bytes() for name in old.files} == before
    (row,) = json.loads((taught.path / "lineage.json").read_text())
    assert (row["from"], row["to"]) == (hash_base(BASE), hash_base(sibling))


def test_stopped_at_any_place_it_writes_nothing(taught, sibling):
    asked = []

    def stop_at(count):
        asked.append(1)
        return len(asked) > count

    for count in (0, 3):
        asked.clear()
        with pytest.raises(InterruptedRender):
            rebase(RebaseOptions(concept="bo", new=sibling, steps=3, score=False), should_stop=partial(stop_at, count))
        assert [build.base for build in list_builds(taught)] == [BASE]


def test_a_job_of_the_server_carries_it_too(taught, sibling, tmp_path):
    order = make_order("rebase", {"concept": "bo", "model": "mini", "steps": 1, "score": False}, Path)
    assert read_order(serialize.to_json(order)) == order
    told = []
    attempt = SimpleNamespace(tell=told.append, should_stop=lambda: False, folder=tmp_path)
    carried = carry(replace(order, model=sibling, old=BASE), attempt, "cpu")
    assert carried.result["build"]["steps"] == 1
    assert str(sibling) not in json.dumps(carried.result["build"])
    assert [one["what"] for one in told if "what" in one][-1] == "polishing"
    with pytest.raises(RequestError, match="needs a `model`"):
        make_order("rebase", {"concept": "bo"}, Path)


def test_a_wider_encoder_takes_mapped_vectors(taught, wider):
    found = rebase(RebaseOptions(concept="bo", new=wider, steps=0, score=False))
    assert "mapped" in found.said[0]
    assert found.build.files.keys() >= {"bo.safetensors"}


def test_without_the_pictures_it_learns_from_what_the_old_base_draws(taught, sibling, monkeypatch):
    monkeypatch.setattr(module, "SYNTHETIC_PROMPTS", ("{}, red", "{}"))
    for picture in taught.pictures:
        taught.find_picture(picture).unlink()
    with pytest.raises(RequestError, match="gone or was changed"):
        rebase(RebaseOptions(concept="bo", new=sibling, score=False))
    found = rebase(RebaseOptions(concept="bo", new=sibling, steps=1, withhold=True, score=False))
    assert "drawn pictures" in found.said[-1]


def test_what_cannot_be_carried_is_refused(taught):
    with pytest.raises(RequestError, match="same weights"):
        rebase(RebaseOptions(concept="bo", new=BASE))
    with pytest.raises(RequestError, match="`steps`"):
        RebaseOptions(concept="bo", new=BASE, steps=-1)
