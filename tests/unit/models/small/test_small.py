"""Our networks of mini give diffusers' and transformers' bits, and a picture of mini loads neither library."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sfumato.models import load
from sfumato.models.describe import find_checkpoint
from sfumato.models.files.gate_json import read_json
from sfumato.models.files.vocabularies import BEGIN, END, load_packaged
from sfumato.models.small import autoencoder, text, unet

UNET: dict[str, Any] = {
    "in_channels": 4, "out_channels": 4, "block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 24, "attention_head_dim": 4,
}  # fmt: skip
UNETS = {
    "two levels": {},
    "two layers a level": {"layers_per_block": 2},
    "one level": {
        "block_out_channels": (32,), "down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",),
    },
    "attention above only": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "three levels": {
        "block_out_channels": (16, 32, 64),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    },
}  # fmt: skip


def copy_weights(ours, theirs):
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    ours.load_state_dict(theirs.state_dict())
    return ours.eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("case", UNETS)
@pytest.mark.parametrize("size", [(8, 8), (16, 12), (9, 7)])
def test_the_denoiser_gives_diffusers_bits(case, size):
    torch.manual_seed(1)
    theirs = UNet2DConditionModel(**(UNET | UNETS[case])).eval().requires_grad_(requires_grad=False)
    assert unet.fits(dict(theirs.config))
    ours = copy_weights(unet.Unet(dict(theirs.config)), theirs)
    x, words = torch.randn(2, 4, *size), torch.randn(2, 5, 24)
    for times in (torch.tensor([0.0, 999.0]), torch.tensor([437.25])):
        expected = theirs(x, times.expand(2), encoder_hidden_states=words, return_dict=False)[0]
        assert torch.equal(ours(x, times, encoder_hidden_states=words)[0], expected)


@pytest.mark.parametrize(
    "change",
    [
        {"use_linear_projection": True}, {"act_fn": "gelu"}, {"transformer_layers_per_block": 2}, {"class_embed_type": "timestep"},
        {"addition_embed_type": "text_time"}, {"attention_head_dim": [4, 4]}, {"down_block_types": ["AttnDownBlock2D"] * 2},
        {"only_cross_attention": True}, {"a_key_of_next_year": 1},
    ],
)  # fmt: skip
def test_what_the_denoiser_does_not_know_is_left_to_diffusers(change):
    config = dict(UNet2DConditionModel(**UNET).config)
    assert unet.fits(config)
    assert not unet.fits(config | change)


@pytest.mark.parametrize("blocks", [((0, 2, 3, 3), (3, 3, 2, 0)), ((1, 1), (1, 1)), ((1, 3, 3, 3), (3, 3, 3, 1))])
def test_the_autoencoder_gives_diffusers_bits(blocks):
    torch.manual_seed(1)
    widths = (16,) * len(blocks[0])
    theirs = AutoencoderTiny(
        encoder_block_out_channels=widths, decoder_block_out_channels=widths,
        num_encoder_blocks=blocks[0], num_decoder_blocks=blocks[1],
    ).eval().requires_grad_(requires_grad=False)  # fmt: skip
    config = dict(theirs.config) | {"_class_name": "AutoencoderTiny"}
    assert autoencoder.fits(config)
    ours = copy_weights(autoencoder.TinyAutoencoder(config), theirs)
    x, cells = torch.rand(2, 3, 32, 48) * 2 - 1, torch.randn(2, 4, 5, 6)
    assert torch.equal(ours.encoder(x), theirs.encoder(x))
    assert torch.equal(ours.decoder(cells), theirs.decoder(cells))
    assert not autoencoder.fits(config | {"act_fn": "gelu"})
    assert not autoencoder.fits(config | {"encoder_block_out_channels": (16, 32)})


@pytest.mark.parametrize("layers", [1, 4])
@pytest.mark.parametrize("tokens", [3, 77])
def test_the_text_encoder_gives_transformers_bits(layers, tokens):
    torch.manual_seed(1)
    config = CLIPTextConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4
    )
    theirs = CLIPTextModel(config).eval().requires_grad_(requires_grad=False)
    assert text.fits(config.to_dict())
    ours = copy_weights(text.ClipText(config.to_dict()), theirs)
    ids = torch.randint(0, 100, (2, tokens))
    states = ours(ids, output_hidden_states=True).hidden_states
    expected = theirs(ids, output_hidden_states=True).hidden_states
    assert len(states) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(states, expected, strict=True))
    assert not text.fits(config.to_dict() | {"hidden_act": "gelu"})
    assert not text.fits(config.to_dict() | {"architectures": ["CLIPTextModelWithProjection"]})


TEXTS = (
    "", " ", "a red house", "A  RED\thouse\n", "it's we'll I'd they've",
    "12 345 1a2b", "!!! ... (x:1.2), [y]", "déjà vu", "de\u0301ja\u0300",
    "猫と犬", "🙂🙃", f"{BEGIN} a {END} b", "<|startoftext|", "a" * 500, "\u00a0x\u2003y", "ÄÖÜ ẞ İ", "\u200bzero\ufeff", "a_b-c/d\\e",
)  # fmt: skip


@pytest.mark.parametrize("words", TEXTS)
def test_texts_are_cut_as_transformers_cuts_them(words):
    vocabulary, merges = load_packaged()
    theirs = CLIPTokenizer(vocab=vocabulary, merges=merges)
    ours = text.ClipWords(vocabulary, merges, END)
    assert ours(words)["input_ids"] == theirs(words, add_special_tokens=False, verbose=False)["input_ids"]
    assert len(ours) == len(theirs)
    assert (ours.bos_token_id, ours.eos_token_id) == (theirs.bos_token_id, theirs.eos_token_id)


def test_mini_is_built_of_these(monkeypatch):
    model = load.load_model("mini", device="cpu", dtype="fp32")
    assert isinstance(model.unet, unet.Unet)
    monkeypatch.setattr(load, "is_small", lambda *_: False)
    other = load.load_model("mini", device="cpu", dtype="fp32")
    assert isinstance(other.unet, UNet2DConditionModel)
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.decode(x), other.decode(x))
    vocabulary = read_json(find_checkpoint("mini") / "tokenizer" / "vocab.json", 2**20)
    assert len(model.tokenizers[0]) == len(other.tokenizers[0]) == len(vocabulary)
    hidden = [
        each.text_encoders[0](torch.arange(77)[None], output_hidden_states=True).hidden_states
        for each in (model, other)
    ]
    assert all(torch.equal(one, two) for one, two in zip(*hidden, strict=True))


COLD = """
import sys
from sfumato.cli import main
try:
    main(["render", "a red house", "--method", "native", "--size", "128x128", "--steps", "1", "--no-report", "--out", {out!r}])
except SystemExit as end:
    assert not end.code, end.code
slow = {{"torch._dynamo", "scipy.stats"}} & set(sys.modules)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {heavy!r}), bool(slow))
"""
# scipy.ndimage serves the self-check; scipy.stats would cost a second.
HEAVY = {"diffusers", "transformers", "peft", "torchvision", "spandrel", "sympy", "sklearn", "huggingface_hub"}


def test_a_picture_of_mini_waits_for_torch_alone(tmp_path):
    script = COLD.format(out=str(tmp_path / "x.png"), heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1].split() == ["False"]
