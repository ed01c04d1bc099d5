"""The same person in every picture, unknown to mini; and a score that tells that person from another."""

import numpy as np
import pytest

from sfumato.canvas.formats.images import load_picture
from sfumato.core.errors import RequestError
from sfumato.lab.customize.character import describe_character, draw_character, make_character, write_character
from sfumato.workflows.personalize.likeness import read_pictures, score_identity
from sfumato.world.palette import HAIR, RARE_HAIR


def test_the_hair_is_of_no_colour_that_mini_knows():
    assert not RARE_HAIR.keys() & HAIR.keys()
    assert all(make_character(seed).hair in RARE_HAIR for seed in range(20))
    assert make_character(3) == make_character(3)
    assert "blue hair and glasses in an orange coat" in describe_character(make_character(1))


def test_pictures_have_masks_of_the_person_and_captions_with_a_gap():
    for one in draw_character(make_character(1), 5, 1):
        assert 0.02 < one.mask.mean() < 0.8
        assert one.caption.count("{}") == 1
    with pytest.raises(RequestError, match="out of range"):
        draw_character(make_character(1), 0, 1)


def test_the_files_are_those_that_a_concept_is_made_of(tmp_path):
    paths = write_character(tmp_path, 1, name="zo", count=2)
    assert [path.name for path in paths] == ["1.png", "2.png"]
    assert "zo" in (tmp_path / "1.txt").read_text()
    assert load_picture(tmp_path / "1_mask.png").size == load_picture(paths[0]).size == (128, 128)


def test_the_score_tells_the_person_from_another():
    def read(person, seed):
        return read_pictures(np.stack([one.pixels for one in draw_character(make_character(person), 6, seed)]))

    photos = read(1, 1)
    rows = {row.name: row for row in score_identity(read(1, 2), read(4, 3), photos)}
    assert rows["identity"].value > 0.6
    assert rows["marks right, with the concept"].value > rows["marks right, the class alone (floor)"].value
    same = {row.name: row for row in score_identity(read(4, 5), read(4, 3), photos)}
    assert same["identity"].value < 0.4
