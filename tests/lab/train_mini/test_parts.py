"""Class maps fit their pictures and name what matters."""

from pathlib import Path

import numpy as np

from sfumato.lab.train_mini.parts import CLASSES, PATTERNS, classify_parts, draw_parts, open_parts
from sfumato.lab.train_mini.pictures import (
    FIRST,
    SEEDS_PER_TABLE,
    TABLES,
    TRAINING_SEEDS,
    draw_example,
    draw_pictures,
    open_pictures,
)
from sfumato.world.stream import Wish, make_sample


def test_every_part_of_the_world_but_a_few_has_a_class() -> None:
    seen, other = set[int](), 0
    for seed in range(40):
        truth = make_sample(seed, wish=Wish(mix="mini" if seed < 10 else "broad", with_truth=True)).truth
        assert truth is not None
        classes = classify_parts(truth)
        assert classes.shape == truth.ids.shape
        seen |= set(np.unique(classes).tolist())
        other += int((classes == CLASSES - 1).sum())
    assert {
        PATTERNS.index(name) for name in (r"head/eye$", r"head/mouth$", r"nail$", r"^place/(sky|stars|sun|moon)$")
    } <= seen
    assert other < 0.02 * 40 * 128**2


def test_maps_follow_the_pictures_of_their_table_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    for table in TABLES[:3]:
        draw_pictures(tmp_path, 4, table)
        assert draw_parts(tmp_path, table) == len(open_pictures(tmp_path, table))
    draw_pictures(tmp_path, 6)
    assert draw_parts(tmp_path, TABLES[0]) == 6
    maps = open_parts(tmp_path, TABLES[0]).open_rows()
    # A hand, a face or a sky is of one colour here and there: the picture changes where the class does.
    picture = open_pictures(tmp_path, TABLES[0]).open_rows()[0].astype(float)
    borders = np.diff(maps[0].astype(int), axis=1) != 0
    steps = np.abs(np.diff(picture, axis=1)).sum(axis=2)
    assert steps[borders].mean() > 3 * steps[~borders].mean()


def test_the_first_world_speaks_its_own_captions_and_leaves_photographs_of_hands_to_the_model() -> None:
    drawn = [draw_example(FIRST, place, 40, with_truth=True) for place in range(40)]
    labels = [one.note["labels"] for one in drawn]
    hands = [label for label in labels if isinstance(label, dict) and label["shot"] in ("hand", "hands")]
    assert hands
    assert {label["style"] for label in hands} == {"cartoon"}
    seed = TRAINING_SEEDS + SEEDS_PER_TABLE * TABLES.index(FIRST)
    others = [place for place, label in enumerate(labels) if label not in hands]
    for place in others[:8]:
        sample = make_sample(seed + place)
        assert drawn[place].captions == sample.captions
        assert np.array_equal(drawn[place].image, sample.image)
        assert drawn[place].truth is not None
