"""A byte-pair vocabulary in the two files a CLIPTokenizer opens.

All 256 bytes are in it, alone and as a word's end, so any text can be spelled; words of the
captions become one token each. It knows text only. Start reading at `learn_merges`.

Source: Sennrich, Haddow and Birch 2016 (arXiv:1508.07909); byte alphabet and "</w>" as in CLIP.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
# CLIP's own cut: letters together, digits one by one, the rest together.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+|_+")
# Printable bytes stand for themselves; the others move up past Latin-1, as in GPT-2's and CLIP's tables.
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
TOKENS_AT_MOST = 77


def byte_alphabet() -> list[str]:
    """Return the 256 characters that stand for bytes 0 to 255 in CLIP's vocabularies."""
    table: list[str] = []
    shifted = 0
    for byte in range(256):
        if byte in _PRINTABLE:
            table.append(chr(byte))
        else:
            table.append(chr(256 + shifted))
            shifted += 1
    return table


def count_words(captions: Iterable[str]) -> Counter[str]:
    """Count the words of all captions, lower case, cut as CLIP cuts them."""
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(WORDS.findall(caption.lower()))
    return counts


def learn_merges(
    words: Counter[str], known: Sequence[tuple[str, str]] = (), *, at_most: int = 3000
) -> list[tuple[str, str]]:
    """Join the most frequent neighbours until every word is one token or `at_most` merges are made.

    `known` are merges of an earlier vocabulary. They stay first, so its tokens keep their ids.
    """
    alphabet = byte_alphabet()
    pieces: dict[str, list[str]] = {}
    for word in words:
        letters = [alphabet[byte] for byte in word.encode()]
        pieces[word] = [*letters[:-1], letters[-1] + WORD_END]
    for pair in known:
        pieces = {word: _join(parts, pair) for word, parts in pieces.items()}
    merges = list(known)
    while len(merges) < at_most:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        # Ties go to the alphabet, so that the same captions give the same file.
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = {word: _join(parts, best) for word, parts in pieces.items()}
    return merges


def list_tokens(merges: Sequence[tuple[str, str]]) -> list[str]:
    """Return the plain tokens of a vocabulary in the order of their ids; the special ones follow."""
    alphabet = byte_alphabet()
    return [*alphabet, *(letter + WORD_END for letter in alphabet), *dict.fromkeys(a + b for a, b in merges)]


def split_new_tokens(known: Sequence[tuple[str, str]], merges: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Return, for each token that `merges` has and `known` has not, the known tokens (ids) that spell it."""
    ids = {token: number for number, token in enumerate(list_tokens(known))}
    split: list[list[int]] = []
    for token in list_tokens(merges)[len(ids) :]:
        letters = list(token.removesuffix(WORD_END))
        parts = [*letters[:-1], letters[-1] + token[len(letters) :]]
        for pair in known:
            parts = _join(parts, pair)
        split.append([ids[part] for part in parts])
    return split


def read_merges(folder: Path) -> list[tuple[str, str]]:
    """Return the merges that `save_vocabulary` wrote to a folder, the first first."""
    lines = (folder / "merges.txt").read_text("utf-8").splitlines()[1:]
    return [(first, second) for first, second in (line.split() for line in lines)]


def save_vocabulary(folder: Path, merges: list[tuple[str, str]]) -> int:
    """Write vocab.json, merges.txt and the tokenizer's configuration; return the number of tokens."""
    tokens = [*list_tokens(merges), START, END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(
        json.dumps({token: index for index, token in enumerate(tokens)}, ensure_ascii=False, indent=0), "utf-8"
    )
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), "utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    settings = special | {"model_max_length": TOKENS_AT_MOST, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), "utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=1), "utf-8")
    return len(tokens)


def _join(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined
