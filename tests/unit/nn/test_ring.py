"""A canvas whose sides meet looks the same to networks and windows, however it is turned."""

import pytest
import torch
from torch import nn

from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.nn.ring import cut_ring, list_ring_starts, pad_circularly
from sfumato.nn.windows import Fusion, cover_ring, make_weights


class Net(nn.Module):
    """Go down a level and up again, as a denoiser does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.down = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.up, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        low = torch.tanh(self.down(torch.tanh(self.first(x))))
        return self.last(torch.tanh(self.up(nn.functional.interpolate(low, scale_factor=2.0))))


@pytest.mark.parametrize(("across", "down"), [(True, False), (False, True), (True, True)])
@torch.inference_mode()
def test_a_network_on_a_ring_does_not_know_where_the_edge_is(across, down):
    net, x = Net().double(), torch.randn(1, 2, 8, 12, dtype=torch.float64)
    plain = net(x)
    turn = (2 * down, 4 * across)
    with pad_circularly(net, across=across, down=down):
        straight, turned = net(x), net(x.roll(turn, (-2, -1)))
    assert torch.allclose(turned, straight.roll(turn, (-2, -1)), atol=1e-12)
    assert not torch.allclose(plain.roll(turn, (-2, -1)), net(x.roll(turn, (-2, -1))), atol=1e-3)
    assert torch.equal(net(x), plain)


def test_a_network_is_as_before_when_a_call_fails():
    net = Net()
    with pytest.raises(ValueError, match="stop"), pad_circularly(net, across=True, down=True):
        raise ValueError("stop")
    assert (net.first.padding, len(net.first._forward_pre_hooks)) == ((1, 1), 0)


@pytest.mark.parametrize(
    ("length", "window", "stride"), [(32, 16, 8), (40, 16, 8), (33, 16, 7), (16, 16, 8), (8, 16, 8)]
)
def test_windows_on_a_ring_lie_close_enough_all_the_way_round(length, window, stride):
    starts = list_ring_starts(length, window, stride)
    gaps = [after - before for before, after in zip(starts, [*starts[1:], starts[0] + length], strict=True)]
    assert sum(gaps) == length
    assert len(starts) == 1 or max(gaps) <= stride


def test_windows_that_stick_out_are_cut_and_fused_around_the_edge():
    size, window = LatentSize(40, 24), LatentSize(16, 16)
    values = torch.randn(1, 3, 24, 40)
    boxes = cover_ring(size, window, 8, across=True, down=False)
    assert {box.size for box in boxes} == {window}
    assert max(box.right for box in boxes) > size.width
    assert max(box.bottom for box in boxes) == size.height
    fusion = Fusion(size, values)
    for box in boxes:
        fusion.add(box, cut_ring(values, box), make_weights(box, size, 8, across=True))
    assert torch.allclose(fusion.finish(), values, atol=1e-5)
    # No column is special: the sums of weights repeat with the windows.
    sums = fusion.weight[12]
    assert torch.allclose(sums, sums.roll(8), atol=1e-5)
    assert torch.equal(cut_ring(values, LatentBox(-2, 0, 2, 24)), torch.cat([values[..., -2:], values[..., :2]], -1))
