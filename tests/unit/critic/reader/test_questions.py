"""Questions and answers as numbers and back."""

import numpy as np
import pytest

from sfumato.core.errors import ModelError, RequestError
from sfumato.critic.reader.questions import NOT_ASKED, Vocabulary

WORDS = Vocabulary((("place", ("beach", "room")), ("people", (0, 1, 2))))


def test_labels_become_indices_and_silence_a_mark():
    assert WORDS.encode({"people": 2}).tolist() == [NOT_ASKED, 2]
    assert WORDS.encode({"place": "room", "people": 0}).tolist() == [1, 0]
    assert WORDS.encode({}).dtype == np.int64
    assert (WORDS.names, WORDS.sizes) == (("place", "people"), (2, 3))


@pytest.mark.parametrize("labels", [{"hat": "red"}, {"place": "moon"}])
def test_words_outside_are_refused(labels):
    with pytest.raises(RequestError, match="vocabulary"):
        WORDS.encode(labels)


def test_it_survives_json_with_the_kind_of_each_word():
    assert Vocabulary.from_json(WORDS.to_json()) == WORDS
    assert Vocabulary.from_json(WORDS.to_json()).classes("people") == (0, 1, 2)


@pytest.mark.parametrize(
    "broken", [None, [], [["a"]], [["a", [1]]], [["a", [1, 1]]], [["a", [True, False]]], [["a", "b", "c"]]]
)
def test_broken_json_is_named(broken):
    with pytest.raises(ModelError, match="vocabulary"):
        Vocabulary.from_json(broken)


def test_an_unknown_head_is_named():
    with pytest.raises(RequestError, match="no such head"):
        WORDS.classes("hat")
