"""Sub-seeds are the same everywhere and differ by purpose."""

import numpy as np

from sfumato.core.seeds import sub_seed, sub_stream


def test_values_are_pinned():
    assert sub_seed(7, "world", 3) == 647715592901553814


def test_purposes_do_not_run_into_each_other():
    seeds = [
        sub_seed(1, "a", "bc"),
        sub_seed(1, "ab", "c"),
        sub_seed(1, "a", 1),
        sub_seed(1, "a", "1"),
        sub_seed(11, "a"),
    ]
    assert len(set(seeds)) == len(seeds)


def test_streams_repeat_and_are_independent():
    first, again, other = sub_stream(1, "a"), sub_stream(1, "a"), sub_stream(1, "b")
    values = first.standard_normal(4000)
    assert np.array_equal(values, again.standard_normal(4000))
    assert abs(np.corrcoef(values, other.standard_normal(4000))[0, 1]) < 0.06
