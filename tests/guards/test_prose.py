"""Sentences of README and docs/*.md can be read at once: none is longer than 35 words.

The log is history and stays as it was written. Start reading at `list_sentences`.
"""

import re

from guards.source import ROOT, report

MOST_WORDS = 35
# Page -> sentences that are still longer. The number may only fall, and the guard asks for the new one when it does.
LONG_SENTENCES: dict[str, int] = {}

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING_OR_MARKUP = re.compile(r"\s*(#|<|>|\||!\[|---)")
_ITEM = re.compile(r"\s*([-*]|\d+\.)\s+")
_WORD = re.compile(r"[^\W_][\w'’%.×/-]*")


def list_paragraphs(text: str) -> list[str]:
    """Return the paragraphs and items of a list of a page, without code, tables and headings."""
    found: list[str] = []
    for part in re.split(r"\n\s*\n", _FENCE.sub("", text)):
        lines = [line for line in part.splitlines() if not _HEADING_OR_MARKUP.match(line)]
        items = "\n".join(_ITEM.sub("\n\n", line) if _ITEM.match(line) else line.strip() for line in lines)
        found += [" ".join(item.split()) for item in items.split("\n\n") if item.strip()]
    return found


def list_sentences(text: str) -> list[str]:
    """Return the sentences of a page; code in a line and the target of a link count as nothing."""
    found: list[str] = []
    for paragraph in list_paragraphs(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "Code", paragraph))
        found += [sentence for sentence in re.split(r"(?<=[.!?])[)\"”]?\s+(?=[A-Z0-9*\"“(])", plain) if sentence]
    return found


def list_long(text: str) -> list[str]:
    """Return the sentences that are too long."""
    return [sentence for sentence in list_sentences(text) if len(_WORD.findall(sentence)) > MOST_WORDS]


def test_sentences_are_short():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = {str(page.relative_to(ROOT)): list_long(page.read_text()) for page in pages}
    wrong = []
    for page, long in found.items():
        allowed = LONG_SENTENCES.get(page, 0)
        if len(long) > allowed:
            wrong += [f"{page}: {len(long)} sentences of more than {MOST_WORDS} words, {allowed} allowed", *long[:3]]
        elif len(long) < allowed:
            wrong.append(f"{page}: lower its number in LONG_SENTENCES to {len(long)}")
    report(wrong + [f"{page}: the page is gone" for page in LONG_SENTENCES if page not in found])


def test_it_bites():
    short, long = "One two three. " * 30, "word " * 36 + "end."
    assert list_long(f"# {long}\n\n{short}\n\n| {long} |\n\n```\n{long}\n```\n\n- {short}\n- {short}\n") == []
    assert list_long(f"- {short}\n- {long}\n") == [long]
