"""Training, calibrating and judging a parser end to end at tiny size."""

from dataclasses import replace

import numpy as np
import pytest

from sfumato.core.errors import RequestError
from sfumato.critic.anatomy.network import ParserShape
from sfumato.critic.anatomy.parser import load_parser
from sfumato.lab.critic.drawn_hands import draw_hand_examples
from sfumato.lab.critic.evaluate import CriticEvaluation, measure_area, run_evaluate_critic
from sfumato.lab.critic.examples import SOLID, save_examples
from sfumato.lab.critic.tables import DRAWN_SEEDS, POOL, SETS, SHARDS
from sfumato.lab.critic.train import RECIPE, ParserTraining, run_train_parser
from sfumato.lab.train_mini.run import ALONE, STAGES
from sfumato.train.task import Budget

HANDS = 16


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("critic")
    for number, name in enumerate(SETS):
        drawn = draw_hand_examples(1000 * number, HANDS)
        save_examples(folder / "state", f"drawn_{name}", drawn)
        solid = replace(drawn, source=np.full(HANDS, SOLID, np.uint8))
        save_examples(folder / "state", f"hands3d_{name}", solid)
    return ParserTraining(
        state=folder / "state",
        out=folder / "out",
        budget=Budget(steps=2, validate_every_s=1e6, save_every_s=1e6, grid_every_s=1e6, log_every_steps=1),
        recipe=replace(RECIPE, batch=4, warmup_steps=1),
        shape=ParserShape(widths=(4, 4, 4, 4), answers=8),
    )


def test_a_run_ends_with_a_parser_that_loads_and_is_judged(wanted):
    rows: list[dict[str, float | str]] = []
    parser, result = run_train_parser(wanted, report=rows.append)
    assert {"train", "validation"} == {row["kind"] for row in rows}
    assert {"loss", "parts", "count_drawn", "count_solid"} <= result.validation.keys()
    again = load_parser(wanted.out)
    assert again.beliefs.count == pytest.approx(parser.beliefs.count, abs=1e-4)
    assert 0.5 <= again.beliefs.least_goof <= 1
    assert again.beliefs.most_ok <= again.beliefs.least_goof
    _, longer = run_train_parser(replace(wanted, budget=replace(wanted.budget, steps=3)))
    assert longer.step == 3
    card = run_evaluate_critic(CriticEvaluation(hands=HANDS, state=wanted.state, folder=wanted.out))
    names = [row.name for row in card.rows]
    assert {"drawn: count wrong, countable hands", "3-D: goof said of right hands"} <= set(names)
    assert f"--n {HANDS}" in card.command


def test_sets_never_share_a_seed():
    shards = [set(SHARDS[name]) for name in SETS]
    assert not shards[0] & shards[1]
    assert not (shards[0] | shards[1]) & shards[2]
    assert set().union(*shards) == set(range(POOL.shards))
    assert len(set(DRAWN_SEEDS.values())) == len(SETS)


def test_all_stages_together_need_no_part_of_others():
    assert "parser" in STAGES
    assert "parser" in ALONE


def test_the_area_under_the_curve_by_hand():
    scores = np.array([0.1, 0.4, 0.35, 0.8])
    assert measure_area(scores, np.array([False, False, True, True])) == 0.75
    assert np.isnan(measure_area(scores, np.zeros(4, bool)))


def test_too_many_hands_are_refused():
    with pytest.raises(RequestError, match="number of hands"):
        CriticEvaluation(hands=10_000)
