"""Text that changes while a picture is made: [from:to:when], [to:when], [from::when], [a|b].

Knows no weights: other brackets pass through as text. One pass with an explicit stack, linear in
the text, because each character moves at most `DEEPEST_NESTING` times. Start reading at
`read_edits`, then `render_text`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sfumato.core.prompt.weights import DEEPEST_NESTING, too_deep

_TOKEN = re.compile(r"\\.?|[()\[\]:|]|[^\\()\[\]:|]+", re.DOTALL)
_WHEN = re.compile(r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Moment:
    """Hold a point in a render: a number of steps, or a share of them."""

    value: float
    is_share: bool

    def has_come(self, step: int, steps: int) -> bool:
        """Tell whether `step` (from 0) is at or after the moment."""
        return step >= (int(self.value * steps + 1e-6) if self.is_share else int(self.value))


@dataclass(frozen=True, slots=True)
class Change:
    """Hold a text until a moment and another one from then on."""

    before: Nodes
    after: Nodes
    moment: Moment


@dataclass(frozen=True, slots=True)
class Turns:
    """Hold texts that take turns, one a step."""

    options: tuple[Nodes, ...]


Node: TypeAlias = "str | Change | Turns"
Nodes: TypeAlias = "tuple[Node, ...]"


@dataclass(slots=True)
class _Frame:
    """Hold what has been read since a bracket opened, with the places of its separators."""

    opening: str
    nodes: list[Node] = field(default_factory=list[Node])
    colons: list[int] = field(default_factory=list[int])
    bars: list[int] = field(default_factory=list[int])

    def take(self, inner: _Frame, closing: str = "") -> None:
        """Append a bracket that turned out to be plain text.

        Closed, it hides its separators; left open, its colons and bars are this frame's own.
        """
        offset = len(self.nodes) + 1
        self.nodes.append(inner.opening)
        self.nodes.extend(inner.nodes)
        if closing:
            self.nodes.append(closing)
            return
        self.colons.extend(place + offset for place in inner.colons)
        self.bars.extend(place + offset for place in inner.bars)


def read_edits(text: str) -> Nodes:
    """Return a text as constant stretches and changes.

    Brackets without a partner stay text, as do square brackets that are neither an edit nor turns.

    Raises:
        RequestError: brackets nest deeper than `DEEPEST_NESTING`.
    """
    stack = [_Frame("")]
    for match in _TOKEN.finditer(text):
        mark = match.group()
        top = stack[-1]
        if mark in "([":
            if len(stack) > DEEPEST_NESTING:
                raise too_deep()
            stack.append(_Frame(mark))
        elif mark in ")]":
            _close(stack, mark)
        else:
            places = {":": top.colons, "|": top.bars}.get(mark)
            if places is not None:
                places.append(len(top.nodes))
            top.nodes.append(mark)
    _fold(stack, 0)
    return _tidy(stack[0].nodes)


def render_text(nodes: Nodes, step: int, steps: int) -> str:
    """Return the text at `step` (from 0) of `steps`; visits each node once, without recursion."""
    words: list[str] = []
    left: list[Node] = list(reversed(nodes))
    while left:
        node = left.pop()
        if isinstance(node, str):
            words.append(node)
        elif isinstance(node, Change):
            left.extend(reversed(node.after if node.moment.has_come(step, steps) else node.before))
        else:
            left.extend(reversed(node.options[step % len(node.options)]))
    return "".join(words)


def _close(stack: list[_Frame], mark: str) -> None:
    partner = "(" if mark == ")" else "["
    depth = next((place for place in range(len(stack) - 1, 0, -1) if stack[place].opening == partner), 0)
    if depth == 0:
        stack[-1].nodes.append(mark)
        return
    _fold(stack, depth)
    frame = stack.pop()
    node = _make_node(frame) if mark == "]" else None
    if node is None:
        stack[-1].take(frame, mark)
    else:
        stack[-1].nodes.append(node)


def _fold(stack: list[_Frame], depth: int) -> None:
    """Turn brackets that never close, above `depth`, into text of the frame at `depth`."""
    for frame in stack[depth + 1 :]:
        stack[depth].take(frame)
    del stack[depth + 1 :]


def _make_node(frame: _Frame) -> Change | Turns | None:
    if 1 <= len(frame.colons) <= 2:
        *fields, last = _cut(frame.nodes, frame.colons)
        moment = _read_moment(last)
        if moment is not None:
            before = fields[0] if len(fields) == 2 else ()
            return Change(before, fields[-1], moment)
    if frame.bars:
        return Turns(tuple(_cut(frame.nodes, frame.bars)))
    return None


def _read_moment(nodes: Nodes) -> Moment | None:
    text = "".join(node for node in nodes if isinstance(node, str)).strip()
    if not _WHEN.fullmatch(text) or not all(isinstance(node, str) for node in nodes):
        return None
    return Moment(float(text), "." in text)


def _cut(nodes: Sequence[Node], places: Sequence[int]) -> list[Nodes]:
    starts = [0, *(place + 1 for place in places)]
    return [_tidy(nodes[start:end]) for start, end in zip(starts, [*places, len(nodes)], strict=True)]


def _tidy(nodes: Sequence[Node]) -> Nodes:
    """Join neighbouring stretches of text."""
    tidy: list[Node] = []
    words: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            words.append(node)
            continue
        if words:
            tidy.append("".join(words))
            words = []
        tidy.append(node)
    if words:
        tidy.append("".join(words))
    return tuple(tidy)
