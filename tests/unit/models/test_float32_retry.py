"""A model in half precision computes in float32 for a while, and is the same to the bit afterwards."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from bundles import tiny_mini
from sfumato.core.errors import ModelError
from sfumato.core.geometry import PixelSize
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.models.hardware.policy import Policy
from sfumato.models.hardware.prepacked import can_pack, pack_layer
from sfumato.models.load import load_model
from sfumato.render.cohesive.windows import full_precision


@pytest.fixture(scope="module")
def model():
    return load_model(str(tiny_mini()), dtype="bf16", device="cpu")


@pytest.fixture
def ask(model):
    """Predict the same x0 again."""
    size = PixelSize(64, 64)
    told, plain = (model.encode_prompt(parse_prompt(text).at_step(0, 1), size=size) for text in ("a cat", ""))
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    return lambda: model.denoise_guided(x, 2.0, told, plain, 2.0)


def copy_weights(model):
    return {name: value.clone() for name, value in model.unet.state_dict().items()}


def is_same(model, before):
    now = model.unet.state_dict()
    return all(now[name].dtype == value.dtype and torch.equal(now[name], value) for name, value in before.items())


def test_inside_it_is_float32_and_afterwards_the_same_bits(model, ask):
    before, policy, first = copy_weights(model), model.policy, ask()
    assert model.dtype == torch.bfloat16
    with full_precision(model):
        assert model.dtype == torch.float32
        assert {weight.dtype for weight in model.unet.parameters()} == {torch.float32}
        inside = ask()
        again = ask()
    assert model.policy == policy
    assert is_same(model, before)
    assert all(torch.equal(*pair) for pair in zip(inside, again, strict=True))
    # bf16 keeps eight bits: the answers agree so far and no further.
    assert all(torch.allclose(*pair, atol=0.15) for pair in zip(first, inside, strict=True))
    assert not torch.equal(first[0], inside[0])
    # Packed copies of weights would still be those of float32.
    assert all(torch.equal(*pair) for pair in zip(first, ask(), strict=True))


def test_float32_inside_is_that_of_a_model_in_float32(model, ask):
    twin = load_model(str(tiny_mini()), dtype="fp32", device="cpu")
    twin.unet.load_state_dict({name: value.float() for name, value in model.unet.state_dict().items()})
    with full_precision(model):
        inside = ask()
    kept, model.unet, model.policy = (model.unet, model.policy), twin.unet, twin.policy
    try:
        assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(inside, ask(), strict=True))
    finally:
        model.unet, model.policy = kept


def test_an_error_inside_leaves_the_same_bits(model, ask):
    before, policy, first = copy_weights(model), model.policy, ask()
    with pytest.raises(ModelError), full_precision(model):
        raise ModelError("no numbers")
    assert model.policy == policy
    assert is_same(model, before)
    assert all(torch.equal(*pair) for pair in zip(first, ask(), strict=True))


def test_float32_stays_untouched():
    model = load_model(str(tiny_mini()), dtype="fp32", device="cpu")
    pointers, policy = [weight.data_ptr() for weight in model.unet.parameters()], model.policy
    with full_precision(model):
        assert model.policy is policy
    assert [weight.data_ptr() for weight in model.unet.parameters()] == pointers


@dataclass
class Packed:
    """One packed layer, as the denoisers of a CPU have many."""

    unet: nn.Module
    policy: Policy
    controls: dict[str, nn.Module] = field(default_factory=dict[str, nn.Module])


@pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN packing")
def test_packed_layers_follow_there_and_back():
    layer = nn.Linear(160, 128).bfloat16().requires_grad_(False)
    layer.forward = pack_layer(layer)
    policy = Policy("cpu", "bf16", "bf16", "bf16")
    model, x = Packed(layer, policy), torch.randn(4, 160)
    first = layer(x.bfloat16())
    for _ in range(2):
        with full_precision(model):
            assert torch.allclose(layer(x), nn.functional.linear(x, layer.weight, layer.bias), atol=1e-5)
        assert torch.equal(layer(x.bfloat16()), first)
