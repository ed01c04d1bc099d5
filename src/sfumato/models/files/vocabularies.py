"""Read the vocabularies and merge rules of CLIP, from the package or from a checkpoint folder.

Knows files and words, and not the library that tokenizes with them: a plan counts words and must not
wait for it. Start reading at `read_folder`.

Source: byte-pair encoding as in OpenAI CLIP: 256 byte symbols, the same with `</w>`, one token per
merge rule, two special tokens: 49,408 in all.
"""

from __future__ import annotations

import bz2
import os
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sfumato.core.errors import ModelError
from sfumato.models.files.gate_json import LARGEST_VOCABULARY_BYTES, read_config, read_json
from sfumato.models.files.header import open_plain_file, refuse

if TYPE_CHECKING:
    from pathlib import Path

BEGIN, END = "<|startoftext|>", "<|endoftext|>"

# CLIP has 48,894.
MOST_MERGES = 300_000

Merges = list[tuple[str, str]]


def read_folder(folder: Path) -> tuple[dict[str, int], Merges]:
    """Read `vocab.json` and `merges.txt`, or `tokenizer.json`, of a diffusers folder.

    Raises:
        ModelError: neither is there.
        UnsafeFileError: a file is too large or malformed.
    """
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        vocabulary = read_json(folder / "vocab.json", LARGEST_VOCABULARY_BYTES)
        merges = _read_merges(folder / "merges.txt")
    elif (folder / "tokenizer.json").is_file():
        vocabulary, merges = _read_fast(folder / "tokenizer.json")
    else:
        raise ModelError("the tokenizer has no vocabulary", got=str(folder), do="It needs vocab.json and merges.txt.")
    _check_vocabulary(folder, vocabulary, merges)
    return vocabulary, merges


def check_special_tokens(vocabulary: dict[str, int], padding: str) -> None:
    """Check that a vocabulary has the tokens that CLIP needs.

    Raises:
        ModelError: it lacks one.
    """
    for token in (BEGIN, END, padding):
        if token not in vocabulary:
            raise ModelError("the vocabulary lacks a token that CLIP needs", got=token)


def count_folder_words(folder: Path) -> int:
    """Count the words of a diffusers folder's vocabulary.

    Raises: as `read_folder`.
    """
    return len(read_folder(folder)[0])


@cache
def load_packaged() -> tuple[dict[str, int], Merges]:
    """Return the words and merge rules of OpenAI CLIP."""
    packed = (resources.files("sfumato") / "data" / "clip" / "merges.txt.bz2").read_bytes()
    merges = _split_merges(bz2.decompress(packed).decode("utf-8"))
    symbols = _byte_symbols()
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *(left + right for left, right in merges), BEGIN, END]
    return {word: number for number, word in enumerate(words)}, merges


def read_padding(folder: Path) -> str:
    """Return the padding token that a diffusers folder names, else the end token."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            padding = read_config(folder / name).get("pad_token", END)
            padding = padding.get("content", END) if isinstance(padding, dict) else padding
            if isinstance(padding, str):
                return padding
    return END


def _byte_symbols() -> list[str]:
    """List a printable character for each byte, those that print as themselves first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]


def _read_merges(path: Path) -> Merges:
    with os.fdopen(open_plain_file(path), "rb") as file:
        raw = file.read(LARGEST_VOCABULARY_BYTES + 1)
    if len(raw) > LARGEST_VOCABULARY_BYTES:
        refuse(path, f"it is larger than {LARGEST_VOCABULARY_BYTES} bytes")
    if raw.count(b"\n") > MOST_MERGES:
        refuse(path, f"it holds more than {MOST_MERGES} merge rules")
    return _split_merges(raw.decode("utf-8", errors="replace"))


def _split_merges(text: str) -> Merges:
    lines = (line.split(" ", 2) for line in text.split("\n") if line and not line.startswith("#version"))
    return [(parts[0], parts[1]) for parts in lines if len(parts) == 2]


def _read_fast(path: Path) -> tuple[Any, Merges]:
    content = read_json(path, LARGEST_VOCABULARY_BYTES)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or model.get("type") != "BPE" or not isinstance(model.get("merges"), list):
        refuse(path, "it is not a byte-pair tokenizer")
    pairs = (tuple(merge.split(" ", 2)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"])
    return model.get("vocab"), [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _check_vocabulary(folder: Path, vocabulary: Any, merges: Merges) -> None:
    if not isinstance(vocabulary, dict) or not all(
        type(number) is int and number >= 0 for number in vocabulary.values()
    ):
        refuse(folder, "the vocabulary does not map words to numbers")
    if not all(isinstance(part, str) for merge in merges for part in merge):
        refuse(folder, "the merge rules are not text")
