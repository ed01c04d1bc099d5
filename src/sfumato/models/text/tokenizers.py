"""Make CLIP tokenizers from files in the package or in a checkpoint folder.

Knows the library's class and what it gets wrong; `vocabularies` reads the files. Start reading at
`load_clip_tokenizer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import CLIPTokenizer

from sfumato.models.files.vocabularies import (
    END,
    Merges,
    check_special_tokens,
    load_packaged,
    read_folder,
    read_padding,
)

if TYPE_CHECKING:
    from pathlib import Path

# SD 1.x and the first encoder of SDXL pad with the end token, OpenCLIP towers with id 0.
PAD_OPEN_CLIP = "!"


def load_clip_tokenizer(*, open_clip: bool = False) -> CLIPTokenizer:
    """Make the tokenizer of OpenAI CLIP from the packaged merge rules."""
    vocabulary, merges = load_packaged()
    return _make(vocabulary, merges, PAD_OPEN_CLIP if open_clip else END)


def load_folder_tokenizer(folder: Path) -> CLIPTokenizer:
    """Make the tokenizer of a diffusers folder, from `vocab.json` and `merges.txt` or `tokenizer.json`.

    Raises:
        ModelError: neither is there.
        UnsafeFileError: a file is too large or malformed.
    """
    vocabulary, merges = read_folder(folder)
    return _make(vocabulary, merges, read_padding(folder))


def _make(vocabulary: dict[str, int], merges: Merges, padding: str) -> CLIPTokenizer:
    check_special_tokens(vocabulary, padding)
    # The length only steers what other programs do with a saved copy; prompts are cut by our own rules.
    words = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)  # pyright: ignore[reportArgumentType]
    # Named afterwards: as an argument it would become a special token, and every "!" in a prompt would be
    # read as padding instead of as the word that OpenCLIP learned.
    words.pad_token = padding
    return words
