"""The word that calls a concept in a prompt: which words will do, and whether a prompt says it.

Knows vocabularies and the prompt grammar; no weights. Start reading at `names_trigger`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from sfumato.core.errors import RequestError
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.models.describe import MINI, find_checkpoint
from sfumato.models.files.vocabularies import load_packaged, read_folder
from sfumato.models.text.concepts import ConceptTable

# A word, or several with single spaces or hyphens: no sign that the prompt grammar reads.
_TRIGGER = re.compile(r"(?!.$)[^\W_]+(?:[ -][^\W_]+)*")
LONGEST_TRIGGER = 40
# Of the grammar, or in every second prompt; most of the others are words of mini's captions.
_FREQUENT = frozenset(
    {
        "and",
        "break",
        "the",
        "of",
        "at",
        "for",
        "from",
        "is",
        "it",
        "to",
        "by",
        "person",
        "people",
        "boy",
        "girl",
        "animal",
    }
)
# CLIP's tokens stand in the order of how often their letters met in its captions. "beach", "coat" and "lamp" are among
# the first 20,000, and so are many given names; made-up words are not.
COMMON_TOKENS = 20_000


def check_trigger(trigger: str) -> None:
    """Check that a trigger is a word by which nothing else is called.

    Raises:
        RequestError: it has signs of the prompt grammar, or is a word that prompts are full of.
    """
    if not _TRIGGER.fullmatch(trigger) or len(trigger) > LONGEST_TRIGGER:
        do = "Use two letters or digits and more, such as bo or bo-7."
        raise RequestError("this cannot be a trigger", got=trigger, do=do)
    if trigger.lower() in _FREQUENT or f"{trigger.lower()}</w>" in _mini_words():
        do = "Use a name or a made-up word as `trigger`: prompts without it stay as they are."
        raise RequestError("the trigger is a common word", got=trigger, do=do)


def is_known_to_clip(trigger: str) -> bool:
    """Tell whether CLIP has a token of its own for a trigger, and met it often: prompts may say it for another reason."""
    return load_packaged()[0].get(f"{trigger.lower()}</w>", COMMON_TOKENS) < COMMON_TOKENS


def names_trigger(trigger: str, *prompts: str, steps: int = 1) -> bool:
    """Tell whether one of the prompts says a trigger at any of `steps`: a whole word in any case, as embeddings are found.

    Raises:
        RequestError: a prompt cannot be read.
    """
    table = ConceptTable()
    table.replace({trigger: (0,)})
    texts = (text for prompt in prompts for text in _list_texts(prompt, steps))
    return any(not isinstance(part, str) for text in texts for part in table.split(text))


def _list_texts(prompt: str, steps: int) -> Iterator[str]:
    parsed = parse_prompt(prompt)
    for parts in dict.fromkeys(parsed.at_steps(1 if parsed.is_constant else steps)):
        yield from (span.text for part in parts for segment in part.segments for span in segment)


@cache
def _mini_words() -> frozenset[str]:
    return frozenset(read_folder(find_checkpoint(MINI) / "tokenizer")[0])
