"""Models stay loaded while memory and the setting allow it; the least recently used goes first."""

import pytest

from sfumato.server.workers.models import ModelCache, measure_weights


def key(name):
    return name, None, None, None


class Shelf:
    """Loads nothing, and counts."""

    def __init__(self, free):
        self.free, self.loaded = free, []

    def open_cache(self, most=3):
        return ModelCache(load=self.load, measure_size=lambda _ref: 100, measure_free=lambda: self.free, most=most)

    def load(self, wanted):
        self.loaded.append(wanted[0])
        return object()


def test_a_model_is_loaded_once_and_the_oldest_goes():
    shelf = Shelf(free=10_000)
    cache = shelf.open_cache(most=2)
    first = cache.open(key("a"))
    cache.open(key("b"))
    assert cache.open(key("a")) is first
    cache.open(key("c"))
    assert (shelf.loaded, cache.keys) == (["a", "b", "c"], [key("a"), key("c")])


def test_little_memory_keeps_one():
    shelf = Shelf(free=200)
    cache = shelf.open_cache()
    cache.open(key("a"))
    cache.open(key("b"))
    assert cache.keys == [key("b")]


def test_a_budget_counts_what_is_kept(monkeypatch):
    monkeypatch.setenv("SFUMATO_BUDGET_GB", str(360 / 1024**3))
    cache = Shelf(free=10_000).open_cache()
    cache.open(key("a"))
    cache.open(key("b"))
    assert len(cache.keys) == 2
    cache.open(key("c"))
    assert cache.keys == [key("b"), key("c")]


def test_others_go_when_a_job_needs_their_room():
    cache = Shelf(free=10_000).open_cache()
    cache.open(key("a"))
    cache.open(key("b"))
    assert cache.drop_others(key("b")) is True
    assert cache.drop_others(key("b")) is False
    cache.clear()
    assert cache.keys == []


@pytest.mark.parametrize("ref", ["mini", "nobody", "/nowhere/x.safetensors"])
def test_what_has_no_size_is_0(ref):
    assert measure_weights(ref) == 0
