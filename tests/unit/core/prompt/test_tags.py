"""LoRA tags in their spellings, and characters that a prompt may not have."""

import pytest

from sfumato.core.errors import RequestError
from sfumato.core.prompt.tags import LoraTag, check_characters, take_tags


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("<lora:ink>", LoraTag("ink")),
        ("<lora:ink:0.8>", LoraTag("ink", 0.8)),
        ("<lora:ink:0.8:0.5>", LoraTag("ink", 0.5, 0.8)),
        ("<lora:ink:te=0.5:unet=1>", LoraTag("ink", 1.0, 0.5)),
        ("<lora:ink:unet=0.3>", LoraTag("ink", 0.3)),
        ("<lora:ink:te=0.3>", LoraTag("ink", 0.3)),
        ("<lora:ink:0.7:0.7>", LoraTag("ink", 0.7)),
        ("<lora: soft ink v1.2 : -.5 >", LoraTag("soft ink v1.2", -0.5)),
        ("<lyco:ink:1>", LoraTag("ink")),
        ("<LORA:ink:1>", LoraTag("ink")),
    ],
)
def test_tags(tag, expected):
    assert take_tags(f"a{tag}b") == ("ab", (expected,))


@pytest.mark.parametrize(
    "tag",
    [
        "<lora:>",
        "<lora::1>",
        "<lora:a:x>",
        "<lora:a:1:2:3>",
        "<lora:a:nan>",
        "<lora:a:1e9>",
        "<lora:a:11>",
        "<lora:a:1:te=1>",
        "<lora:a:dyn=4>",
        "<lora:../a:1>",
        "<lora:..:1>",
        "<lora:dir/a:1>",
        r"<lora:dir\a:1>",
        "<hypernet:a:1>",
    ],
)
def test_tags_that_cannot_be_used_are_refused(tag):
    with pytest.raises(RequestError):
        take_tags(tag)


@pytest.mark.parametrize("text", [r"\<lora:a:1>", "<3", "a < b > c", "<lora", "<lora:a", "<b>bold</b>"])
def test_other_angles_are_text(text):
    assert take_tags(text) == (text, ())


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x07", "\x7f", "\x9b", "\u202e", "\u2066", "\ud800"])
def test_characters_that_are_no_text_are_refused(character):
    with pytest.raises(RequestError, match=f"U.{ord(character):04X} at character 2"):
        check_characters(f"ab{character}c")


def test_text_of_all_kinds_passes():
    check_characters("tab\tline\nreturn\r 猫 קט قط 🐈 \u200d e\u0301")
