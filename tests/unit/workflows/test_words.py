"""The words that mini knows are those of its captions, not the pieces that its tokenizer cuts words into."""

import json
import random
import re

from sfumato.models.describe import MINI, find_checkpoint
from sfumato.workflows.prepare import MINI_EXAMPLES, find_unknown_words, list_words
from sfumato.world.caption import make_captions
from sfumato.world.compose import make_scene


def test_the_list_holds_every_word_of_the_captions_and_each_is_one_token():
    seen = set()
    for seed in range(1200):
        rng = random.Random(f"world 1 {seed}")
        for caption in make_captions(make_scene(rng, mix="mini"), rng):
            seen |= set(re.findall(r"[a-z]+", caption.lower()))
    assert seen == set(list_words())
    vocabulary = json.loads((find_checkpoint(MINI) / "tokenizer" / "vocab.json").read_text())
    assert not [word for word in list_words() if f"{word}</w>" not in vocabulary]


def test_real_words_that_are_pieces_of_others_are_unknown():
    assert find_unknown_words("a King with an ace AND a castle <lora:crown:1>") == ("king", "ace", "castle")
    assert not [word for example in MINI_EXAMPLES for word in find_unknown_words(example)]
