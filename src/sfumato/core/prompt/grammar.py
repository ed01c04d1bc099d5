r"""The prompt language: A1111's, read in linear time.

    (word) [word] (word:1.3)     stronger by 1.1, weaker by 1.1, weight 1.3; nested ones multiply
    \( \) \[ \] \\               the character itself; a backslash protects any character
    BREAK                        starts a new chunk of tokens
    [from:to:when]               `from` for the first `when` steps (10) or share of them (0.5), then `to`
    [to:when] [from::when]       adds or removes a text
    [a|b|c]                      takes turns, one a step
    a AND b:0.7                  two prompts, each predicted apart, with weights
    <lora:name:0.8>              a LoRA; <lora:name:0.8:0.5> or te=, unet= for the text encoder's own weight

Deliberate differences from A1111: `[from:to:10]` shows `from` for exactly 10 steps, and turns change
at every step from the first (A1111 is one step late in both); BREAK works inside brackets too; a
`:0.7` at the end is a weight only where there is an AND; a backslash protects every character, also
`:` and `|`; one bad bracket leaves the edits elsewhere intact; two numbers in a LoRA tag are denoiser,
text encoder; tags that cannot be used are errors, not warnings.

Knows no tokens and no model. Start reading at `parse_prompt`; the passes are `prompt_tags`,
`prompt_editing` and `prompt_weights`, in this order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.core.errors import RequestError
from sfumato.core.prompt.editing import Nodes, read_edits, render_text
from sfumato.core.prompt.tags import LoraTag, check_characters, take_tags
from sfumato.core.prompt.weights import LARGEST_WEIGHT, Segment, WeightedSpan, read_weights
from sfumato.core.request import LONGEST_PROMPT_CHARACTERS

__all__ = ["LoraTag", "ParsedPrompt", "PromptPart", "Segment", "WeightedSpan", "parse_prompt"]

# Every AND part is a pass of the denoiser at every step; people use two to five.
MOST_PARTS = 32

_AND = re.compile(r"\bAND\b")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class PromptPart:
    """Hold one AND part of a prompt at one step; BREAK stands between its segments."""

    weight: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Clause:
    """Hold one AND part of a prompt for all steps."""

    weight: float
    nodes: Nodes


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """Hold a parsed prompt: `text` as given, its LoRA tags, and its AND parts."""

    text: str
    loras: tuple[LoraTag, ...]
    clauses: tuple[Clause, ...]

    @property
    def is_constant(self) -> bool:
        """Tell whether all steps have the same words."""
        return all(isinstance(node, str) for clause in self.clauses for node in clause.nodes)

    def at_step(self, step: int, steps: int) -> tuple[PromptPart, ...]:
        """Return the AND parts at `step` (from 0) of `steps`; equal words give equal, hashable values.

        Cost: linear in the text without its brackets; the reading of brackets is remembered.

        Raises:
            RequestError: `step` is not one of `steps`, or the words of this step weigh or nest too much.
        """
        if not 0 <= step < steps:
            raise RequestError(f"a step lies between 0 and {steps - 1}", got=step)
        return tuple(
            PromptPart(clause.weight, read_weights(render_text(clause.nodes, step, steps))) for clause in self.clauses
        )

    def at_steps(self, steps: int) -> tuple[tuple[PromptPart, ...], ...]:
        """Return the AND parts of every step, so that a plan can count encodings and fail early."""
        if self.is_constant:
            return (self.at_step(0, steps),) * steps
        return tuple(self.at_step(step, steps) for step in range(steps))


def parse_prompt(text: str) -> ParsedPrompt:
    """Read a prompt.

    Raises:
        RequestError: it is too long or nests too deep, has control characters, too many AND parts, a
            weight out of range, or a tag that cannot be used.

    Cost: linear in the text.
    """
    if len(text) > LONGEST_PROMPT_CHARACTERS:
        raise RequestError(f"a prompt has at most {LONGEST_PROMPT_CHARACTERS} characters", got=len(text))
    check_characters(text)
    words, loras = take_tags(text)
    texts = _AND.split(words)
    if len(texts) > MOST_PARTS:
        raise RequestError(f"a prompt has at most {MOST_PARTS} AND parts", got=len(texts))
    clauses = tuple(_read_clause(part, weighted=len(texts) > 1) for part in texts)
    prompt = ParsedPrompt(text, loras, clauses)
    # Mistakes show now rather than in the middle of a render; later steps are read when they come.
    prompt.at_step(0, 1)
    return prompt


def _read_clause(text: str, *, weighted: bool) -> Clause:
    head, colon, tail = text.rpartition(":")
    if not weighted or not colon or head.endswith("\\") or not _NUMBER.fullmatch(tail.strip()):
        return Clause(1.0, read_edits(text))
    weight = float(tail)
    if abs(weight) > LARGEST_WEIGHT:
        raise RequestError(f"the weight of an AND part is at most {LARGEST_WEIGHT:g}", got=weight)
    return Clause(weight, read_edits(head))
