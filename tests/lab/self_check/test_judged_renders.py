"""Limits from judged renders: chosen on some prompts, judged on others, and dropped where clean renders lie beyond them."""

import numpy as np

from fakes import GaussianModel
from sfumato.lab.hires.judge import Case, Judge, find_case_lines, load_watcher
from sfumato.lab.hires.methods import COHESIVE, list_methods
from sfumato.lab.hires.prompts import list_prompts
from sfumato.lab.hires.run import HiresEvaluation, find_size, open_studio
from sfumato.lab.self_check.judged_renders import (
    SPEAKERS,
    JudgedRender,
    choose_on_renders,
    describe_judged,
    read_judged,
)
from sfumato.lab.self_check.synthetic_defects import DEFECTS


def make_renders(noisy=0.0):
    """Return clean renders of the engine, and of another method with phantoms; `noisy` clean ones look bad on later prompts."""
    renders = []
    for number in range(96):
        late = number // 6 % 2 == 1
        mass = 900.0 if late and number % 6 < 6 * noisy else 2.0 * (number * 7 % 96)
        renders.append(
            JudgedRender(COHESIVE, number, 0, {"added object mass": mass, "base consistency": 33.0 - mass / 90})
        )
        loud = {"added object mass": 5000.0, "base consistency": 12.0}
        renders.append(JudgedRender("multidiffusion", number, 3, loud))
    return renders


def make_planted(mass=700.0, psnr=20.0):
    values = {
        (name, "", 0.0): np.linspace(0, 1, 21) + (38.0 if name == "base consistency" else 0.0) for name in SPEAKERS
    }
    for name, defects in SPEAKERS.items():
        for defect in defects:
            values[name, defect, DEFECTS[defect].visible] = np.full(21, mass if name == "added object mass" else psnr)
    return values


def test_a_limit_is_what_most_clean_renders_stay_under_on_its_own_prompts():
    chosen = [one.values["added object mass"] for one in make_renders() if one.chosen_on and not one.phantoms]
    limit = choose_on_renders("added object mass", make_renders())
    # One of 48 beyond leaves no doubt that one in ten is too many, two do.
    assert limit == max(value for value in chosen if value < max(chosen))
    assert choose_on_renders("added object mass", make_renders(0.5)) == choose_on_renders(
        "added object mass", make_renders()
    )
    assert choose_on_renders("base consistency", make_renders()) < 33.0


def test_measures_that_find_what_was_planted_and_leave_clean_renders_alone_are_usable():
    rows, notes, limits = describe_judged(make_renders(), make_planted())
    assert set(limits) == set(SPEAKERS)
    assert "added object mass is usable on renders for pasted person" in notes
    areas = [row for row in rows if row.unit == "AUC"]
    assert [row.value for row in areas] == [1.0, 1.0]
    assert all(row.met is not False for row in rows)


def test_a_measure_that_misses_or_cries_wolf_is_only_a_number():
    _, notes, limits = describe_judged(make_renders(), make_planted(mass=50.0))
    assert set(limits) == {"base consistency"}
    assert "added object mass is a number without a verdict on renders: its limit misses planted faults" in notes
    _, notes, limits = describe_judged(make_renders(noisy=0.5), make_planted())
    assert limits == {}
    assert "added object mass is a number without a verdict on renders: clean renders lie beyond its limit" in notes


def test_renders_that_were_made_and_judged_are_found_again(tmp_path):
    model = GaussianModel()
    studio = open_studio(HiresEvaluation(out=tmp_path), model)
    size, prompt = find_size("4x", model.contract.native), list_prompts(1, seed=1)[0]
    method = list_methods((COHESIVE,), model)[COHESIVE]
    base, made = studio.make_base(prompt, size), studio.make(COHESIVE, method, prompt, size)
    assert read_judged((tmp_path,), model) == ()
    judge = Judge(studio.store, load_watcher())
    judge.judge(Case(prompt, size, base, {COHESIVE: made}))
    (found,) = read_judged((tmp_path,), model)
    assert (found.method, found.number) == (COHESIVE, 0)
    assert set(found.values) == set(SPEAKERS)
    assert find_case_lines(COHESIVE, Case(prompt, size, base, {COHESIVE: made})).every.xs
