"""Listening to attention changes no bit and hears the rows it was asked about."""

import torch

from checkpoints import write_folder
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.models.load import load_model
from sfumato.models.text.attention_maps import WordMaps


def test_listening_changes_nothing_and_attention_adds_up_to_one(tmp_path):
    model = load_model(write_folder(tmp_path / "folder", "sd15", tiny=True), device="cpu", dtype="fp32")
    size = PixelSize(96, 64)
    cond = model.encode_prompt(parse_prompt("a red house").at_step(0, 1), size=size)
    plain = model.encode_prompt(parse_prompt("").at_step(0, 1), size=size, negative=True)
    x = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    alone = model.denoise_guided(x, 3.0, cond, plain, 5.0)
    with model.watch_words(cond, size) as maps:
        heard = model.denoise_guided(x, 3.0, cond, plain, 5.0)
    assert torch.equal(alone, heard)
    tokens = cond.parts[0].hidden.shape[1]
    total = sum(maps.read((position,)) for position in range(tokens))
    torch.testing.assert_close(total, torch.ones(8, 12), rtol=1e-3, atol=1e-3)
    before = maps.read((1,)).clone()
    model.denoise_guided(x, 3.0, cond, plain, 5.0)
    assert torch.equal(before, maps.read((1,))), "the layers are left alone afterwards"


def test_rows_of_another_prompt_are_not_heard():
    maps = WordMaps(torch.ones(1, 3, 4), (2, 2))
    layer = torch.nn.Module()
    maps.listen(layer, (torch.zeros(1, 4, 8),), {"encoder_hidden_states": torch.zeros(1, 3, 4)})
    maps.listen(layer, (torch.zeros(1, 4, 8),), {})
    assert torch.equal(maps.read((1,)), torch.zeros(2, 2))


def test_layers_of_every_depth_land_on_the_latents():
    maps = WordMaps(torch.ones(1, 2, 4), (7, 9))
    for cells in (63, 4 * 5, 2 * 3, 50):
        maps.add(torch.full((2, cells), 0.5))
    assert torch.equal(maps.read((0,)), torch.full((7, 9), 0.5))
    assert torch.equal(maps.read(()), torch.zeros(7, 9))


def test_what_was_heard_can_be_gone_on_with():
    whole, first = WordMaps(torch.ones(1, 2, 4), (3, 5)), WordMaps(torch.ones(1, 2, 4), (3, 5))
    parts = torch.rand(3, 2, 15, generator=torch.Generator().manual_seed(2))
    assert first.to_tensors() == {}
    for part in parts:
        whole.add(part)
    first.add(parts[0])
    second = WordMaps(torch.ones(1, 2, 4), (3, 5))
    second.go_on({})
    second.go_on(first.to_tensors())
    second.add(parts[1])
    second.add(parts[2])
    assert torch.equal(second.read((0, 1)), whole.read((0, 1)))
