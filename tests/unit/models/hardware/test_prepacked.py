"""Packed layers give what the plain layers give, and notice every change of their weights."""

import copy
import pickle

import pytest
import torch
from torch import nn

from sfumato.models.hardware.prepacked import PackedConvolution, PackedLinear, PackedPointwise, can_pack, pack_layer

pytestmark = pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN packing")

_LAYERS = [
    (lambda: nn.Linear(160, 128), (3, 5, 160), PackedLinear),
    (lambda: nn.Linear(160, 128, bias=False), (7, 160), PackedLinear),
    (lambda: nn.Conv2d(160, 128, 1), (2, 160, 6, 5), PackedPointwise),
    (lambda: nn.Conv2d(48, 64, 3, padding=1), (2, 48, 8, 8), PackedConvolution),
    (lambda: nn.Conv2d(48, 64, 3, stride=2, padding=1), (1, 48, 9, 9), PackedConvolution),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("make", "shape", "kind"), _LAYERS)
def test_the_result_is_the_layers(make, shape, kind, dtype):
    torch.manual_seed(3)
    layer = make().to(dtype).requires_grad_(False)
    packed = pack_layer(layer)
    assert isinstance(packed, kind)
    x = torch.randn(shape).to(dtype)
    expected = layer(x)
    assert torch.allclose(packed(x).float(), expected.float(), atol=1e-5 if dtype == torch.float32 else 0.02)
    if len(shape) == 4:
        other = torch.randn(shape[0], shape[1], 12, 4).to(dtype)
        assert packed(other).shape == layer(other).shape


@torch.no_grad()
def test_a_changed_weight_is_seen_and_the_old_bits_come_back():
    layer = nn.Linear(160, 128).requires_grad_(False)
    packed, x = pack_layer(layer), torch.randn(4, 160)
    first, original = packed(x), layer.weight.clone()
    layer.weight.copy_(original + 1)
    assert torch.allclose(packed(x), layer(x), atol=1e-4)
    with torch.inference_mode():
        layer.weight.copy_(original)
    assert torch.equal(packed(x), first)
    layer.weight = nn.Parameter(original * 2)
    assert torch.allclose(packed(x), layer(x), atol=1e-4)


def test_gradients_take_the_layers_own_path():
    layer = nn.Linear(160, 128)
    packed, x = pack_layer(layer), torch.randn(2, 160, requires_grad=True)
    packed(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None


def test_packed_inside_inference_mode_works_outside():
    layer = nn.Linear(160, 128).requires_grad_(False)
    packed, x = pack_layer(layer), torch.randn(2, 160)
    with torch.inference_mode():
        inside = packed(x)
    assert torch.equal(packed(x), inside)


@torch.inference_mode()
def test_weights_made_in_inference_mode_are_used_unpacked():
    layer = nn.Linear(160, 128)
    packed, x = pack_layer(layer), torch.randn(2, 160)
    assert torch.equal(packed(x), layer(x))
    layer.weight.mul_(2)
    assert torch.equal(packed(x), layer(x))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(4, 4),
        nn.LayerNorm(200),
        nn.Conv2d(64, 64, 3, groups=64),
        nn.Conv2d(64, 64, 3, padding="same"),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular"),
    ],
)
def test_what_cannot_be_packed_is_left_alone(layer):
    assert pack_layer(layer) is None


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_network_with_packed_layers_can_be_copied(clone):
    layer = nn.Linear(160, 128).requires_grad_(False)
    layer.forward = pack_layer(layer)
    x = torch.randn(2, 160)
    before = layer(x)
    twin = clone(layer)
    assert torch.equal(twin(x), before)
    with torch.no_grad():
        twin.weight.zero_()
    assert torch.equal(layer(x), before)
    assert not torch.equal(twin(x), before)
