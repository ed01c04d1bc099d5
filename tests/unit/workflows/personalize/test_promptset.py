"""Locked prompts: the same base changes nothing, what differs by more than seeds do is listed."""

import numpy as np
import pytest

from bundles import tiny_mini
from sfumato.core.errors import RequestError
from sfumato.workflows.personalize.promptset import check_prompts, compare, lock_prompts, read_prompts

BASE = str(tiny_mini())


def test_a_prompt_that_moved_is_called_and_one_within_seed_noise_is_not():
    noise = np.random.default_rng(1)
    before = noise.normal(size=(4, 5, 20))
    after = noise.normal(size=(4, 5, 20))
    after[2] += 3
    found = compare(["a", "b", "moved", "d"], before, after, base="new", same_base=False)
    assert [row.prompt for row in found.rows if row.changed] == ["moved"]
    assert found.rows[0].shift > 2 * found.rows[1].shift
    # The smallest chance of five seeds a base.
    assert found.rows[0].chance == pytest.approx(2 / 252, abs=1e-3)


def test_the_same_base_changes_no_prompt(tmp_path):
    lock_prompts(tmp_path / "lock.json", ["a cat", "a dog"], BASE, seeds=4, steps=1)
    found = check_prompts(tmp_path / "lock.json", BASE)
    assert found.same_base
    # Descriptions are kept with six digits.
    assert max(row.shift for row in found.rows) < 0.001
    assert not any(row.changed for row in found.rows)


def test_what_is_wrong_is_refused(tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("# notes\n\n")
    with pytest.raises(RequestError, match="too few"):
        read_prompts(prompts)
    with pytest.raises(RequestError, match="`seeds`"):
        lock_prompts(tmp_path / "lock.json", ["a cat"], BASE, seeds=1)
    (tmp_path / "lock.json").write_text('{"format": 1}')
    with pytest.raises(RequestError, match="cannot be read"):
        check_prompts(tmp_path / "lock.json", BASE)
    with pytest.raises(RequestError, match="a file of this name"):
        lock_prompts(tmp_path / "lock.json", ["a cat"], BASE)
