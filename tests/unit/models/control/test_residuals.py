"""What control networks add equals diffusers' own networks, called as its pipeline calls them."""

from __future__ import annotations

import pytest
import torch

from checkpoints import write_folder
from control_networks import write_control_file, write_control_folder
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request_parts.arithmetic import Arithmetic
from sfumato.models.control.residuals import LAYER_DECAY, ControlInput, load_control, sum_residuals
from sfumato.models.load import load_model

SIZE = PixelSize(64, 64)
SIGMA = 3.0


def load(folder, family):
    model = load_model(write_folder(folder / family, family), device="cpu", arithmetic=Arithmetic(number_type="fp32"))
    return model, load_control(str(write_control_file(folder / "net.safetensors", family)), model.policy)


def encode(model, text, *, negative=False):
    return model.encode_prompt(parse_prompt(text).at_step(0, 1), size=SIZE, negative=negative)


def make_inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 4, 8, 8, generator=generator) * (SIGMA**2 + 1) ** 0.5
    return x, torch.rand(2, 3, 64, 64, generator=generator)


def ask_diffusers(model, network, x, picture, part, weight):
    """Return x0 by the networks of diffusers alone."""
    time = float(model.contract.schedule.sigma_to_t(torch.tensor([SIGMA]).numpy())[0])
    seen, times = x / (SIGMA**2 + 1) ** 0.5, torch.full((len(x),), time)
    words = part.hidden.expand(len(x), -1, -1)
    more = None
    if part.pooled is not None:
        more = {"text_embeds": part.pooled.expand(len(x), -1), "time_ids": part.time_ids.expand(len(x), -1)}
    with torch.no_grad():
        down, middle = network(
            seen, times, words, picture, conditioning_scale=weight, added_cond_kwargs=more, return_dict=False
        )
        out = model.unet(
            seen,
            times,
            words,
            added_cond_kwargs=more,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
    return x - SIGMA * out


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_guided_prediction_equals_diffusers(tmp_path, family):
    model, network = load(tmp_path, family)
    x, picture = make_inputs()
    wanted, unwanted = encode(model, "a red cat"), encode(model, "a dog", negative=True)
    control = ControlInput(network=network, picture=picture, weight=0.7, mode="balanced")
    found = model.denoise_guided(x, SIGMA, wanted, unwanted, 5.0, controls=[control])
    good, bad = (ask_diffusers(model, network, x, picture, one.parts[0], 0.7) for one in (wanted, unwanted))
    assert torch.allclose(found, bad + 5.0 * (good - bad), atol=2e-3, rtol=1e-4)
    plain = model.denoise_guided(x, SIGMA, wanted, unwanted, 5.0)
    assert float((found - plain).abs().max()) > 0.1
    # A control that leads leaves alone what guidance points away from.
    leading = ControlInput(network=network, picture=picture, weight=0.7, mode="control")
    found = model.denoise_guided(x, SIGMA, wanted, unwanted, 5.0, controls=[leading])
    free = model.denoise(x, SIGMA, unwanted)
    assert torch.allclose(found, free + 5.0 * (good - free), atol=2e-3, rtol=1e-4)
    # Without guidance there is the prompt alone.
    assert torch.allclose(model.denoise_guided(x, SIGMA, wanted, unwanted, 1.0, controls=[control]), good, atol=1e-4)


def test_a_folder_and_a_file_are_one_network(tmp_path):
    model, network = load(tmp_path, "sd15")
    other = load_control(str(write_control_folder(tmp_path / "folder")), model.policy)
    states = network.state_dict(), other.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class ThreeLayers:
    """A network that answers with ones at three depths."""

    dtype = torch.float32

    def __call__(self, sample, times, words, picture, *, added_cond_kwargs, return_dict):
        assert len(picture) == len(sample)
        layer = torch.ones(len(sample), 2, 4, 4) * picture.mean(dim=(1, 2, 3), keepdim=True)
        return (layer, layer), layer


def sum_ones(*controls, rows=4, prompts=2):
    words = {"encoder_hidden_states": torch.zeros(rows, 1, 1), "added_cond_kwargs": None}
    found = sum_residuals(controls, torch.zeros(rows, 4, 4, 4), torch.zeros(rows), words, prompts=prompts)
    layers = (*found["down_block_additional_residuals"], found["mid_block_additional_residual"])
    return torch.stack([layer.mean(dim=(1, 2, 3)) for layer in layers])


def make_unit(weight, mode="balanced"):
    picture = torch.ones(2, 3, 32, 32)
    picture[1] = 0.5
    return ControlInput(network=ThreeLayers(), picture=picture, weight=weight, mode=mode)


def test_units_add_up_and_every_row_gets_its_own_picture():
    row = torch.tensor([1.0, 0.5, 1.0, 0.5])
    assert torch.allclose(sum_ones(make_unit(1.0)), row.expand(3, 4))
    assert torch.allclose(sum_ones(make_unit(1.0), make_unit(0.5)), 1.5 * row.expand(3, 4))


def test_modes_say_who_leads():
    row = torch.tensor([1.0, 0.5, 1.0, 0.5])
    decay = torch.tensor([LAYER_DECAY**2, LAYER_DECAY, 1.0])[:, None]
    assert torch.allclose(sum_ones(make_unit(1.0, "prompt")), decay * row)
    assert torch.allclose(sum_ones(make_unit(1.0, "control")), torch.tensor([1.0, 0.5, 0.0, 0.0]).expand(3, 4))


def test_nothing_is_added_without_a_unit():
    assert sum_residuals([], torch.zeros(1), torch.zeros(1), {}, prompts=1) == {}
