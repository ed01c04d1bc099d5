"""Memory is planned from shapes: what saves memory is planned smaller, and a budget changes as little as it must."""

from dataclasses import replace

import pytest

from bundles import tiny_mini
from sfumato.core.errors import BudgetError
from sfumato.customize.memory.plan import GB, choose_settings, find_step_cost, plan_memory, simulate_cost
from sfumato.customize.settings import ConceptSettings
from sfumato.models.describe import load_contract

PROGRAM = 300_000_000
LORA = ConceptSettings(rung="lora", vectors=2, rank=4, batch=6)


def plan(**changes):
    return plan_memory("mini", replace(LORA, **changes), program_bytes=PROGRAM)


def test_a_plan_names_its_parts_and_their_sum():
    found = plan()
    assert dict(found.parts)["the program"] == PROGRAM
    assert found.peak == sum(size for _, size in found.parts) > PROGRAM
    assert found.to_json()["peak_bytes"] == found.peak


def test_what_saves_memory_is_planned_smaller():
    rows = [plan(batch=64), plan(batch=64, micro_batch=32), plan(batch=64, micro_batch=32, checkpointing=True)]
    peaks = [one.peak for one in rows]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)
    assert plan(rank=16).peak > plan(rank=1).peak


def test_shapes_that_nobody_counted_are_simulated():
    base = str(tiny_mini())
    contract = load_contract(base)
    usual, twice = (find_step_cost(base, contract, replace(LORA, checkpointing=on)) for on in (False, True))
    assert 0 < twice.each < usual.each
    # A rank of 1 is a row of numbers on either side of each projection.
    assert usual.rank_numbers == twice.rank_numbers > 0


@pytest.mark.slow  # torch runs shapes without numbers slowly
def test_the_counted_bytes_of_mini_are_what_a_simulation_counts():
    settings = replace(LORA, vectors=4, rank=8)
    known, counted = find_step_cost("mini", load_contract("mini"), settings), simulate_cost("mini", settings)
    assert (known.each, known.rank_numbers) == (counted.each, counted.rank_numbers)


def test_a_wide_budget_changes_nothing():
    assert choose_settings("mini", LORA, 10 * GB, program_bytes=PROGRAM).settings == LORA


def test_rows_are_the_first_to_be_fewer():
    wanted = replace(LORA, batch=64)
    budget = plan(batch=64).peak - 1
    found = choose_settings("mini", wanted, budget, program_bytes=PROGRAM)
    assert found.peak <= budget
    assert found.settings == replace(wanted, micro_batch=found.settings.micro_batch)
    assert 0 < found.settings.micro_batch < 64


def test_a_narrow_budget_says_the_least_that_fits():
    with pytest.raises(BudgetError) as caught:
        choose_settings("mini", LORA, GB // 10, program_bytes=PROGRAM)
    assert "budget_gb" in caught.value.do
    assert "0.10 GB" in str(caught.value.got)
