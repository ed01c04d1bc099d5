"""Law: what attaches detaches, in any order and number format, to the very bits that were there."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sfumato.models.adapters.layer_delta import LayerDelta
from sfumato.models.adapters.weight_backup import WeightBackup, WeightName

PLACES = [WeightName("unet", "0"), WeightName("unet", "1"), WeightName("unet", "1", "bias"), WeightName("unet", "2")]


def make_network(dtype: torch.dtype) -> nn.Sequential:
    """Make three layers, the kernel laid out channels last."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 4))
    return network.to(dtype=dtype).to(memory_format=torch.channels_last)


def make_delta(target: WeightName, shape: torch.Size, seed: int) -> LayerDelta:
    """Make a random change of some kind for a target."""
    torch.manual_seed(seed)
    if target.parameter == "bias" or len(shape) == 1:
        return LayerDelta("full", {"diff": torch.randn(shape)})
    factors = {"up": torch.randn(shape[0], 2), "down": torch.randn(2, *shape[1:])}
    magnitude = torch.rand(shape[0]) + 0.5 if seed % 2 else None
    return LayerDelta("lora", factors, 0.5, magnitude)


def bits(network: nn.Module) -> list[Tensor]:
    """Copy all weights as integers, so that -0 and NaN payloads count."""
    kinds = {2: torch.int16, 4: torch.int32}
    return [weight.detach().clone().view(kinds[weight.element_size()]) for weight in network.parameters()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    """Tell whether all bits agree."""
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


owners = st.lists(st.sets(st.sampled_from(PLACES), min_size=1), min_size=1, max_size=4)


@settings(deadline=None, max_examples=25)
@given(
    owners=owners, shuffle=st.randoms(use_true_random=False), dtype=st.sampled_from(["float32", "bfloat16", "float16"])
)
def test_any_order_of_detaching_restores_the_bits(owners: list[set[WeightName]], shuffle: object, dtype: str) -> None:
    network = make_network(getattr(torch, dtype))
    backup = WeightBackup({"unet": network})
    original = bits(network)
    changes = [
        {target: (0.5 + number, make_delta(target, backup.find(target).shape, number)) for target in sorted(places)}
        for number, places in enumerate(owners)
    ]
    for number, change in enumerate(changes):
        backup.add(number, change)
    order = list(range(len(changes)))
    shuffle.shuffle(order)
    while order:
        backup.remove(order.pop())
        fresh = make_network(getattr(torch, dtype))
        replay = WeightBackup({"unet": fresh})
        for number in sorted(order):
            replay.add(number, changes[number])
        assert same(bits(network), bits(fresh)), "the weights depend on more than the adapters in force"
    assert same(bits(network), original)
    assert not backup.touched
