"""The vocabulary of CLIP that ships in the package, and those of folders."""

from __future__ import annotations

import json

import pytest

from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.models.files.vocabularies import count_folder_words
from sfumato.models.text.tokenizers import load_clip_tokenizer, load_folder_tokenizer


def test_the_packaged_vocabulary_is_clips():
    words = load_clip_tokenizer()
    assert len(words) == 49408
    assert words.convert_tokens_to_ids(["<|startoftext|>", "<|endoftext|>"]) == [49406, 49407]
    assert words.convert_tokens_to_ids(["a</w>", "photo</w>", "cat</w>"]) == [320, 1125, 2368]
    assert words("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert words("A  Photo\nof a CAT").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert words.pad_token_id == 49407
    assert load_clip_tokenizer(open_clip=True).pad_token_id == 0


@pytest.mark.parametrize("split", [True, False])
def test_a_folders_vocabulary_is_read_from_either_form(tmp_path, split):
    load_clip_tokenizer(open_clip=True).save_pretrained(tmp_path)
    if split:
        model = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
        (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
        lines = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
        (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
        (tmp_path / "tokenizer.json").unlink()
    words = load_folder_tokenizer(tmp_path)
    assert count_folder_words(tmp_path) == 49408
    assert (
        words("a photo of a cat, 12 unseenwords!").input_ids
        == load_clip_tokenizer()("a photo of a cat, 12 unseenwords!").input_ids
    )
    assert words.pad_token_id == 0


def test_a_folder_without_a_vocabulary_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="no vocabulary"):
        load_folder_tokenizer(tmp_path)


@pytest.mark.parametrize("vocabulary", ['{"a": -1}', '{"a": "b"}', "[]", "[" * 40 + "]" * 40])
def test_a_malformed_vocabulary_is_refused(tmp_path, vocabulary):
    (tmp_path / "vocab.json").write_text(vocabulary)
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(UnsafeFileError):
        load_folder_tokenizer(tmp_path)
