"""Networks over tiles: statistics, attention, sweeps and the maps between them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoencoders import run_streamed
from sfumato.nn.tiled import (
    Attend,
    Conv,
    Extent,
    Fork,
    Join,
    Linear,
    MemoryLimits,
    MemoryMapStore,
    Norm,
    Silu,
    Upsample,
    make_program,
)
from sfumato.nn.tiled.attention import mix_by_score, query_block
from sfumato.nn.tiled.regions import Region, Span
from sfumato.nn.tiled.statistics import measure_moments

TOLERANCE = 1e-5
CPU = torch.device("cpu")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def conv(into, out, seed, **more):
    return Conv(draw(out, into, 3, 3, seed=seed) / 5, draw(out, seed=seed + 1), before=1, after=1, **more)


def room(tile_pixels, store_bytes=2**30, opened=None):
    def open_offload(extent, dtype):
        shelf = MemoryMapStore.make(extent, dtype, CPU, CPU)
        if opened is not None:
            opened.append(shelf)
        return shelf

    return MemoryLimits(work_bytes=2**26, store_bytes=store_bytes, open_offload=open_offload, tile_pixels=tile_pixels)


def test_tiles_of_different_brightness_are_not_taken_for_equal():
    """Two tiles with means -1 and 1 and variance 1 each have variance 2 together, not 1."""
    dark, bright = draw(1, 4, 8, 8) * 1.0 - 1, draw(1, 4, 8, 8, seed=1) + 1
    both = measure_moments(dark).merge(measure_moments(bright))
    whole = torch.cat([dark, bright], dim=3).double()
    assert torch.allclose(both.mean, whole.mean((0, 2, 3)), atol=1e-7)
    assert torch.allclose(both.squares / both.count, whole.var((0, 2, 3), correction=0), atol=1e-6)
    assert float((both.squares / both.count).mean()) > 1.7


def test_frozen_moments_are_torchs_group_norm():
    x, norm = draw(1, 12, 9, 7) * 3 + 5, nn.GroupNorm(4, 12, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    moments = measure_moments(x[..., :4]).merge(measure_moments(x[..., 4:]))
    fixed = moments.freeze(Norm(4, 1e-6, norm.weight.detach(), norm.bias.detach()))
    whole = Region(Span(0, 9), Span(0, 7))
    assert torch.allclose(fixed.run(x, whole, whole), norm(x), atol=TOLERANCE)


def test_a_mean_far_from_zero_costs_no_more_digits_than_in_the_whole():
    """Squares less the square of the mean would have none left."""
    x, norm = draw(1, 8, 20, 12) + 1e4, Norm(4, 1e-6, torch.ones(8), torch.zeros(8))
    moments = measure_moments(x[..., :5]).merge(measure_moments(x[..., 5:]))
    fixed, whole = moments.freeze(norm), Region(Span(0, 20), Span(0, 12))
    exact = F.group_norm(x.double(), 4, eps=1e-6)
    lost = float((F.group_norm(x, 4, eps=1e-6) - exact).abs().max())
    assert lost > 1e-4
    assert float((fixed.run(x, whole, whole) - exact).abs().max()) < 1.5 * lost


def test_what_overflows_is_no_number_and_never_a_picture():
    x, norm = draw(1, 8, 6, 6) * 1e22, Norm(4, 1e-6, torch.ones(8), torch.zeros(8))
    whole = Region(Span(0, 6), Span(0, 6))
    assert not bool(F.group_norm(x, 4).isfinite().any())
    assert not bool(measure_moments(x).freeze(norm).run(x, whole, whole).isfinite().any())


@pytest.mark.parametrize("level", [0.0, 0.1, 1e9 / 3, -1e12 / 7])
def test_equal_values_have_no_variance(level):
    found = measure_moments(torch.full((1, 2, 31, 17), level))
    assert bool((found.squares >= 0).all())
    assert float(found.squares.max()) <= found.count * (1e-7 * level) ** 2
    assert float((found.mean - level).abs().max()) <= 1e-7 * abs(level)


@pytest.mark.parametrize("blocks", [1, 3, 7])
def test_scores_in_blocks_are_one_softmax(blocks):
    """Large scores: an exponential without the running maximum would overflow."""
    queries, keys = draw(5, 8) * 40, draw(21, 8, seed=1)
    mixed = mix_by_score(queries, iter(keys.split(21 // blocks)))
    assert torch.allclose(mixed, (queries @ keys.T).softmax(1) @ keys, atol=TOLERANCE)


def test_the_block_of_queries_follows_from_the_memory():
    assert query_block(512, 0) == 1
    assert query_block(512, 2**26) * 2 < query_block(512, 2**28)


def test_attention_needs_neither_keys_nor_values():
    linears = [nn.Linear(8, 8) for _ in range(4)]
    layer = Attend(*(Linear(one.weight.detach() * 3, one.bias.detach()) for one in linears))
    x = draw(1, 8, 5, 6)
    out = run_streamed([Fork(), layer, Join()], x, room(7))
    tokens = x[0].flatten(1).T
    query, key, value = (F.linear(tokens, one.weight, one.bias) for one in (layer.query, layer.key, layer.value))
    mixed = F.scaled_dot_product_attention(query[None], key[None], value[None])[0]
    expected = F.linear(mixed, layer.out.weight, layer.out.bias).T.reshape(1, 8, 5, 6) + x
    assert torch.allclose(out, expected, atol=TOLERANCE)


def residual(into, out, seed):
    shortcut = None if into == out else Conv(draw(out, into, 1, 1, seed=seed + 9), None)
    norms = [Norm(2, 1e-6, draw(wide, seed=seed), draw(wide, seed=seed + 1)) for wide in (into, out)]
    return [
        Fork(shortcut),
        norms[0],
        Silu(),
        conv(into, out, seed + 2),
        norms[1],
        Silu(),
        conv(out, out, seed + 4),
        Join(),
    ]


LAYERS = [
    conv(3, 4, 1),
    *residual(4, 4, 10),
    Conv(draw(8, 4, 3, 3, seed=30) / 5, None, stride=2, after=1),
    *residual(8, 8, 40),
    Upsample(),
    conv(8, 8, 50),
    *residual(8, 4, 60),
    conv(4, 2, 70),
]


def run_whole(layers, x):
    aside = x
    for layer in layers:
        if isinstance(layer, Fork):
            aside = x if layer.shortcut is None else F.conv2d(x, layer.shortcut.weight)
        elif isinstance(layer, Join):
            x = x + aside
        elif isinstance(layer, Norm):
            x = F.group_norm(x, layer.groups, layer.weight, layer.bias, layer.eps)
        elif isinstance(layer, Conv):
            padded = F.pad(x, (layer.before, layer.after) * 2)
            x = F.conv2d(padded, layer.weight, layer.bias, layer.stride)
        else:
            x = F.silu(x) if isinstance(layer, Silu) else x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return x


@pytest.mark.parametrize("tile_pixels", [1, 5, 16, 70, 10**6])
@pytest.mark.parametrize("side", [(12, 10), (7, 9), (2, 3)])
def test_tiles_of_any_size_equal_the_whole(side, tile_pixels):
    x = draw(1, 3, *side)
    out = run_streamed(LAYERS, x, room(tile_pixels))
    assert torch.allclose(out, run_whole(LAYERS, x), atol=TOLERANCE, rtol=TOLERANCE)


def test_where_maps_are_kept_changes_no_bit_and_every_shelf_is_closed():
    x, opened = draw(1, 3, 12, 10), []
    program = make_program(LAYERS, Extent(3, 12, 10))
    inside = run_streamed(LAYERS, x, room(20))
    outside = run_streamed(LAYERS, x, room(20, store_bytes=0, opened=opened))
    assert torch.equal(inside, outside)
    assert len(opened) == len(program.maps) - 1
    assert all(shelf.whole.numel() == 0 for shelf in opened)


def test_shelves_are_closed_when_a_tile_fails():
    opened = []
    broken = [*LAYERS[:-1], conv(5, 2, 70)]
    with pytest.raises(RuntimeError, match="channels"):
        run_streamed(broken, draw(1, 3, 12, 10), room(20, 0, opened))
    assert opened
    assert all(shelf.whole.numel() == 0 for shelf in opened)


def test_a_window_is_cut_from_the_whole():
    x = draw(1, 3, 12, 10)
    window = Region(Span(3, 8), Span(1, 10))
    part = run_streamed(LAYERS, x, room(13), window)
    assert torch.allclose(part, run_whole(LAYERS, x)[..., 3:8, 1:10], atol=TOLERANCE, rtol=TOLERANCE)


def test_storage_says_what_is_in_memory_and_what_is_not():
    program = make_program(LAYERS, Extent(3, 64, 64))
    everything = program.store(2**40, 4)
    assert not everything.offloaded
    assert everything.memory_bytes == program.peak_count() * 4
    half = program.store(everything.memory_bytes // 2, 4)
    assert half.memory_bytes <= everything.memory_bytes // 2
    assert half.spill_bytes + half.memory_bytes >= everything.memory_bytes
    nothing = program.store(0, 4)
    assert (nothing.memory_bytes, nothing.spill_bytes) == (0, everything.memory_bytes)


def test_the_branch_of_an_upsampled_map_is_not_kept():
    """Eight channels at full size would be the largest map of all; they are computed twice instead."""
    program = make_program(LAYERS, Extent(3, 64, 64))
    forked = next(sweep for sweep in program.passes if sweep.shortcut is not None)
    assert forked.keep is None
    assert program.peak_count() == (4 + 4 + 8 // 4) * 64 * 64
