"""A window is told what lies in it, the style always, and never nothing."""

import torch

from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.core.prompt.grammar import WeightedSpan
from sfumato.render.sampling.phrase_maps import make_phrase_maps

CANVAS = LatentSize(40, 20)
LEFT, RIGHT, UPPER = torch.zeros(10, 20), torch.zeros(10, 20), torch.zeros(10, 20)
LEFT[:, :10], RIGHT[:, 10:], UPPER[:5] = 0.9, 0.2, 0.5
MAPS = {"house": LEFT, "dog": RIGHT, "sky": UPPER, "red": LEFT}
TEXT = (WeightedSpan("a photo of a red house and a dog under the sky", 1.0),)


def read(word):
    return MAPS.get(word, torch.zeros(10, 20))


def told(box, part=(0.0, 0.0, 1.0, 1.0)):
    return [phrase.text for phrase in make_phrase_maps(TEXT, read, part).choose(box, CANVAS)]


def test_a_window_is_told_what_lies_in_it():
    assert told(LatentBox(0, 12, 8, 20)) == ["a photo of", "a red house"]
    assert told(LatentBox(30, 0, 40, 8)) == ["a photo of", "a dog", "under the sky"]
    assert told(LatentBox(0, 0, 40, 20)) == ["a photo of", "a red house", "a dog", "under the sky"]


def test_a_rim_is_not_enough():
    assert told(LatentBox(4, 12, 22, 20)) == ["a photo of", "a red house"]
    assert told(LatentBox(14, 12, 26, 20)) == ["a photo of", "a red house", "a dog"]


def test_a_canvas_that_shows_a_part_of_the_base_looks_there():
    assert told(LatentBox(0, 12, 40, 20), part=(0.5, 0.0, 1.0, 1.0)) == ["a photo of", "a dog"]


def test_words_never_attended_to_are_everywhere():
    maps = make_phrase_maps((WeightedSpan("a unicorn, a dog", 1.0),), read, (0.0, 0.0, 1.0, 1.0))
    assert [p.text for p in maps.choose(LatentBox(0, 0, 8, 8), CANVAS)] == ["a unicorn"]


def test_where_nothing_lies_the_nearest_is_told():
    faint = torch.zeros(10, 20)
    faint[0, 0] = 1.0
    maps = make_phrase_maps((WeightedSpan("a dot", 1.0),), lambda _: faint, (0.0, 0.0, 1.0, 1.0))
    assert [p.text for p in maps.choose(LatentBox(0, 0, 40, 20), CANVAS)] == ["a dot"]
