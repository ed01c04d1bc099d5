"""Named characters: exact counts in every run of a table, marks that tell them apart, ages that change what they should."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sfumato.world.broad.characters import (
    CHARACTERS,
    LEAST_COUNT,
    MOST_COUNT,
    STATED_TOTAL,
    count_appearances,
    find_character,
    pick_appearance,
)
from sfumato.world.palette import RARE_HAIR
from sfumato.world.stream import Wish, make_sample


@pytest.mark.parametrize("total", [2_000, 10_000])
@pytest.mark.parametrize("run", [0, 2])
def test_every_run_of_a_table_holds_exactly_the_counts(total: int, run: int) -> None:
    found = Counter[tuple[str, str]]()
    for place in range(run * total, (run + 1) * total):
        who = pick_appearance(place, total)
        if who is not None:
            found[who.name, who.age] += 1
    assert {(one.name, one.age): one.count for one in count_appearances(total) if one.count} == dict(found)


def test_counts_lie_on_a_log_scale_and_half_have_two_ages() -> None:
    counts = [one.count for one in CHARACTERS]
    assert len(CHARACTERS) == 24
    assert (counts[0], counts[-1]) == (MOST_COUNT, LEAST_COUNT)
    steps = np.diff(np.log(counts))
    assert np.abs(steps - steps.mean()).max() < 0.06
    assert sum(len(one.appearances()) == 2 for one in CHARACTERS) == 12
    assert sum(one.count for one in count_appearances(STATED_TOTAL)) == sum(counts)
    assert min(one.count for one in count_appearances(40_000)) == 1


def test_no_two_characters_share_their_marks_and_none_has_hair_kept_for_concepts() -> None:
    marks = {
        (p.hair, p.hair_style, p.skin, p.top, p.glasses, p.beard, p.hat, p.scarf, p.marks)
        for p in (one.person for one in CHARACTERS)
    }
    assert len(marks) == len(CHARACTERS)
    assert not {one.person.hair for one in CHARACTERS} & set(RARE_HAIR)


def test_an_age_changes_beard_and_hair_but_not_marks() -> None:
    child, adult = find_character("Lamno").at_age("child"), find_character("Lamno").person
    assert (child.age, child.beard, child.marks, child.top) == ("child", False, adult.marks, adult.top)
    assert find_character("Rouve").at_age("old").hair == "grey"
    assert find_character("Halno").at_age("young").hair == "black"


def test_a_wish_draws_a_character_and_every_full_caption_names_them() -> None:
    for seed in range(12):
        sample = make_sample(seed, size=48, wish=Wish(mix="broad", character="Laeve", age="child"))
        person = sample.scene.people[0][0]
        known = find_character("Laeve").at_age("child")
        assert known == replace(
            person, wobble=known.wobble, smile=known.smile, arm_side=known.arm_side,
            pose=known.pose, held=known.held, held_colour=known.held_colour,
        )  # fmt: skip
        assert all("Laeve" in caption for caption in sample.captions)
        assert any(word in caption for caption in sample.captions for word in ("child", "girl", "little"))
