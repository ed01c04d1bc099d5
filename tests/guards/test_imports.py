"""The architecture holds: ranks, borders for outside packages, no rings, no imports inside functions."""

import functools

import pytest

from guards import imports
from guards.source import find_modules, make_module, report


def list_known():
    return frozenset(module.name for module in find_modules())


@functools.cache
def list_edges():
    known = list_known()
    return [edge for module in find_modules() for edge in imports.find_edges(module, known)]


@pytest.mark.parametrize(
    "check", [imports.check_ranks, imports.check_outside, imports.check_functions, imports.find_cycles]
)
def test_the_architecture_holds(check):
    report(check(list_edges()))


def test_every_package_has_a_rank():
    tops = {module.name.split(".")[1] for module in find_modules() if module.name.count(".") >= 1}
    packages = {top for top in tops if any(name.startswith(f"sfumato.{top}.") for name in list_known())}
    assert packages <= set(imports.RANKS)


def find_reach(start):
    """Return every name that importing `start` imports, ours and others'."""
    runs = [edge for edge in list_edges() if not edge.inside_function and not edge.typing_only]
    seen, left = set(), [start]
    while left:
        here = left.pop()
        seen.add(here)
        left.extend({edge.target for edge in runs if edge.source == here} - seen)
    return seen


@pytest.mark.parametrize("module", ["sfumato.workflows.prepare", "sfumato.workflows.requests"])
def test_planning_waits_for_no_library_of_networks(module):
    reach = find_reach(module)
    assert "sfumato.models.contract" in reach or "sfumato.render.plan.choose_method" in reach
    assert not {"diffusers", "transformers", "spandrel"} & {name.split(".")[0] for name in reach}


SAMPLES = {
    "sfumato.nn.a": "import sfumato.models.b\n",
    "sfumato.models.b": "from sfumato.nn import a\nfrom ..core import c\n",
    "sfumato.core.c": "import torch\ndef f():\n    import json\n",
    "sfumato.render.d": "from sfumato.world import e\n",
    "sfumato.world.e": "import diffusers\n",
    "sfumato.critic.f": "from scipy import ndimage, stats\n",
}


def sample_edges():
    modules = [make_module(name, text, f"{name[-1]}.py") for name, text in SAMPLES.items()]
    known = frozenset(SAMPLES)
    return [edge for module in modules for edge in imports.find_edges(module, known)]


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (imports.check_ranks, ["a.py:1: nn may not import models", "d.py:1: render may not import world"]),
        (
            imports.check_outside,
            [
                "c.py:1: core may not import torch",
                "e.py:1: world may not import diffusers",
                "f.py:1: only lab may import scipy.stats",
            ],
        ),
        (imports.check_functions, ["c.py:3: import of json"]),
        (imports.find_cycles, ["a.py:1: ring sfumato.nn.a -> sfumato.models.b -> sfumato.nn.a"]),
    ],
)
def test_each_check_bites(check, expected):
    found = sorted(check(sample_edges()))
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)
