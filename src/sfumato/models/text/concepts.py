"""Find the names of attached textual-inversion concepts in prompt text.

A concept is a name that stands for one or more rows of the text encoder's embedding matrix. This
module knows names and row numbers; it knows neither the tokenizer nor the matrix. Start reading at
`ConceptTable.split`.

A name matches as a whole word, whatever its case and inner white space, with or without the
`embedding:` prefix of other tools; the longest name wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(slots=True)
class ConceptTable:
    """The names in force and the embedding rows each stands for."""

    rows: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _pattern: re.Pattern[str] | None = None

    def replace(self, rows: dict[str, tuple[int, ...]]) -> None:
        """Put `rows` (name to row numbers) in force instead of what was there."""
        self.rows = {fold_name(name): ids for name, ids in rows.items()}
        self._pattern = _compile(self.rows)

    def split(self, text: str) -> list[str | tuple[int, ...]]:
        """Split text into plain stretches and the rows of the concepts named between them."""
        if self._pattern is None:
            return [text]
        found: list[str | tuple[int, ...]] = []
        start = 0
        for match in self._pattern.finditer(text):
            found.append(text[start : match.start()])
            found.append(self.rows[fold_name(match.group("name"))])
            start = match.end()
        found.append(text[start:])
        return [part for part in found if part]


def fold_name(name: str) -> str:
    """Return the spelling by which two names count as the same."""
    return " ".join(name.lower().split())


def _compile(names: dict[str, tuple[int, ...]]) -> re.Pattern[str] | None:
    if not names:
        return None
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(
        r"(?:(?<!\w)embedding:)?(?P<name>" + "|".join(_spell(name) for name in longest_first) + ")", re.IGNORECASE
    )


def _spell(name: str) -> str:
    # Only ends made of letters and digits need a border: "<cat>" may touch anything, "cat" may not sit in "cats".
    before = r"(?<!\w)" if re.match(r"\w", name) else ""
    after = r"(?!\w)" if re.search(r"\w$", name) else ""
    return before + r"\s+".join(re.escape(word) for word in name.split(" ")) + after
