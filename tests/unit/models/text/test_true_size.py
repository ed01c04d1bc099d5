"""At the true sizes of SD 1.5, SD 2.1 and SDXL, with random weights, prompts equal the diffusers pipeline's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from checkpoints import build_empty, make_configs
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.models.text.clip import TextTower
from sfumato.models.text.encoder import DEPTHS, PromptEncoder
from sfumato.models.text.tokenizers import load_clip_tokenizer

PROMPT = "A portrait of an élderly woman, 35mm film; it's 1997 & she's smiling <3"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "name", "width", "open_clip"),
    [("sd1", "sd15", 768, (False,)), ("sd2", "sd21", 1024, (True,)), ("sdxl", "sdxl", 2048, (False, True))],
)
def test_prompts_equal_the_diffusers_pipeline(
    tiny_parts: Any, family: str, name: str, width: int, open_clip: tuple[bool, ...]
) -> None:
    configs = make_configs(name, tiny=False)
    torch.manual_seed(0)
    encoders = tuple(
        build_empty(part, configs[part]).eval() for part in ("text_encoder", "text_encoder_2") if part in configs
    )
    tokenizers = tuple(load_clip_tokenizer(open_clip=kind) for kind in open_clip)
    parts = replace(tiny_parts(family), encoders=encoders, tokenizers=tokenizers)
    towers = [TextTower(t, e, depth=DEPTHS[family]) for t, e in zip(tokenizers, encoders, strict=True)]
    (part,) = parse_prompt(PROMPT).at_step(0, 1)
    encoded = PromptEncoder(towers).encode([part.segments])
    assert encoded.hidden.shape == (1, 77, width)
    if family == "sdxl":
        hidden, _, pooled, _ = parts.pipeline().encode_prompt(PROMPT, do_classifier_free_guidance=False)
        assert torch.equal(encoded.pooled, pooled)
    else:
        hidden, _ = parts.pipeline().encode_prompt(PROMPT, "cpu", 1, False)
    assert torch.equal(encoded.hidden, hidden)
