"""Lines through trials: exact where the truth is a line, never below zero, and near in relative terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.models.time_calls import Trial
from sfumato.render.plan.budget import GUESSES, CostModel
from sfumato.render.plan.fit_cost import fit_cost, fit_footprint, fit_line

FACTOR = 8
TRUTH = CostModel(call_s=0.01, cell_s=2e-5, decode_s=4e-7, encode_s=3e-7)


def make_trials(truth=TRUTH, *, weigh=True):
    windows = [(64, 2), (256, 2), (256, 8)]
    trials = [
        Trial(part="denoise", cells=cells, batch=batch, seconds=truth.denoise_s(1, batch, cells), peak_bytes=None)
        for cells, batch in windows
    ]
    for part, each_s in (("decode", truth.decode_s), ("encode", truth.encode_s)):
        trials += [
            Trial(part=part, cells=cells, batch=1, seconds=each_s * cells * FACTOR**2, peak_bytes=None)
            for cells in (64, 256)
        ]
    if not weigh:
        return trials
    return [_weighed(trial) for trial in trials]


def _weighed(trial):
    each = {"denoise": 5000, "decode": 300 * FACTOR**2, "encode": 200 * FACTOR**2}[trial.part]
    peak = 1_000_000 + each * trial.cells * trial.batch
    return Trial(part=trial.part, cells=trial.cells, batch=trial.batch, seconds=trial.seconds, peak_bytes=peak)


def test_a_machine_that_is_a_line_is_found_exactly():
    fitted = fit_cost(make_trials(), GUESSES["mini"], FACTOR)
    for name in ("call_s", "cell_s", "decode_s", "encode_s"):
        assert getattr(fitted, name) == pytest.approx(getattr(TRUTH, name))
    assert fitted.basis == "probe"
    assert fitted.save_s == GUESSES["mini"].save_s


def test_attention_is_timed_by_the_pair():
    attended = Trial(part="attend", cells=4096, batch=1000, seconds=0.5, peak_bytes=0)
    assert fit_cost([*make_trials(), attended], GUESSES["sd1"], FACTOR).attend_s == pytest.approx(0.5 / 4_096_000)
    # One that has none takes no time, whatever was guessed.
    assert fit_cost(make_trials(), GUESSES["sd1"], FACTOR).attend_s == 0.0


def test_memory_is_a_line_too():
    footprint = fit_footprint(make_trials(), FACTOR)
    assert (footprint.call, footprint.cell) == (1_000_000, 5000)
    assert (footprint.tile, footprint.decode_pixel, footprint.encode_pixel) == (1_000_000, 300, 200)


def test_a_small_window_with_a_cost_of_its_own_does_not_bend_the_line():
    small, *others = make_trials()
    odd = Trial(part="denoise", cells=small.cells, batch=small.batch, seconds=1.0, peak_bytes=1 << 40)
    assert fit_cost([odd, *others], GUESSES["mini"], FACTOR) == fit_cost(make_trials(), GUESSES["mini"], FACTOR)
    assert fit_footprint([odd, *others], FACTOR) == fit_footprint(make_trials(), FACTOR)


def test_memory_is_right_where_it_is_largest():
    points = [(512, 2e6), (2048, 23e6)]
    _, cell = fit_line(points, relative=False)
    assert cell * 2048 == pytest.approx(23e6, rel=0.05)


def test_memory_that_was_not_weighed_is_not_fitted():
    assert fit_footprint(make_trials(weigh=False), FACTOR) is None


positive = st.floats(1e-4, 1e4)


@given(st.lists(st.tuples(positive, positive), min_size=2, max_size=5, unique_by=lambda point: point[0]))
def test_no_line_says_that_something_costs_less_than_nothing(points):
    start, slope = fit_line(points)
    assert start >= 0
    assert slope >= 0
    assert start + slope > 0


@given(positive, positive)
def test_one_size_alone_still_gives_a_line_through_it(x, y):
    start, slope = fit_line([(x, y), (x, y)])
    assert start + slope * x == pytest.approx(y)
