"""Prompts for judging a model: held-out captions with their claims and the picture each speaks of.

Knows the world and its captions, no model. Start reading at `draw_prompts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.critic.reader.questions import Word
from sfumato.lab.mini.caption_claims import Claims, find_claims, says_open_hand
from sfumato.lab.reader.pictures import PICTURE_PX, PROMPT_SEEDS
from sfumato.lab.reader.words import find_labels
from sfumato.world.stream import Wish, make_sample

# Open hands are one prompt in twenty of the mix; their digits need prompts of their own.
HAND_SEEDS = PROMPT_SEEDS + 5_000_000
MOST_TRIES_PER_HAND = 50


@dataclass(frozen=True, eq=False)
class PromptSet:
    """Hold prompts, what each claims, all labels of its scene, and the drawn pictures uint8 [N, H, W, 3]."""

    prompts: tuple[str, ...]
    claims: tuple[Claims, ...]
    labels: tuple[dict[str, Word], ...]
    drawn: NDArray[np.uint8]

    def __len__(self) -> int:
        """Count the prompts."""
        return len(self.prompts)


def draw_prompts(count: int, *, seed: int) -> PromptSet:
    """Draw `count` full captions of the mix that `mini` is trained on, from scenes it was not."""
    first = PROMPT_SEEDS + seed * 100_000
    return _gather([_draw(number, Wish()) for number in range(first, first + count)])


def draw_open_hands(count: int, *, seed: int) -> PromptSet:
    """Draw `count` prompts for one open hand each; their only claim is the number of digits."""
    first = HAND_SEEDS + seed * 100_000
    found: list[_Prompt] = []
    for number in range(first, first + MOST_TRIES_PER_HAND * count):
        caption, _, labels, picture = _draw(number, Wish(shot="hand"))
        if says_open_hand(caption, labels):
            found.append((caption, {"digits": labels["digits"]}, labels, picture))
        if len(found) == count:
            break
    assert len(found) == count, "one hand in three is open"
    return _gather(found)


_Prompt = tuple[str, Claims, dict[str, Word], NDArray[np.uint8]]


def _draw(number: int, wish: Wish) -> _Prompt:
    sample = make_sample(number, size=PICTURE_PX, wish=wish)
    labels = find_labels(sample)
    caption = sample.captions[0]
    return caption, find_claims(caption, labels), labels, sample.image


def _gather(found: list[_Prompt]) -> PromptSet:
    captions, claims, labels, pictures = zip(*found, strict=True)
    return PromptSet(captions, claims, labels, np.stack(pictures))
