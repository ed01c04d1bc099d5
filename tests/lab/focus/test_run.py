"""The proof of focus: refusals, the command that repeats it, and the tile of a plain enlargement."""

from dataclasses import replace

import pytest

from sfumato.core.errors import RequestError
from sfumato.lab.focus.run import FocusEvaluation


@pytest.mark.parametrize("change", [{"scenes": 0}, {"scenes": 10**6}, {"tiles": -1}, {"levels": -1}, {"seed": -1}])
def test_an_evaluation_out_of_range_is_refused(change):
    with pytest.raises(RequestError):
        replace(FocusEvaluation(), **change)


def test_levels_alone_are_an_evaluation():
    assert FocusEvaluation(scenes=0, levels=1).command.endswith("--levels 1")


def test_the_command_repeats_the_evaluation():
    said = FocusEvaluation(scenes=3, tiles=4, seed=5).command
    assert said == "sfumato evaluate focus --n 3 --tiles 4 --seed 5"
