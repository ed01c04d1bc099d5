"""The speed table is whole, its arithmetic is right, and every row computes the same function."""

import json

import pytest

from sfumato.core.errors import RequestError
from sfumato.lab.bench.denoiser_speed import count_flop, make_random_unet
from sfumato.lab.bench.native import run_bench_native
from sfumato.models.files.detect_layout import load_family_configs

_TINY = load_family_configs("sd15")["unet"] | {
    "block_out_channels": [32, 64, 64, 64],
    "attention_head_dim": 4,
    "cross_attention_dim": 48,
    "layers_per_block": 1,
}


@pytest.fixture(scope="module")
def bench():
    return run_bench_native(quick=True, size_px=128, config=_TINY)


def test_every_row_is_there_and_agrees_with_float32(bench):
    rows = bench.denoiser.rows
    assert [row.dtype for row in rows[:3]] == ["fp32", "bf16", "bf16"]
    assert rows[3].name.startswith("ours")
    assert rows[0].mean_difference == 0
    assert all(row.mean_difference < 0.05 for row in rows)
    assert all(len(row.seconds) == 1 for row in rows)


def test_rates_follow_from_flop_and_seconds(bench):
    row = bench.denoiser.rows[1]
    assert row.tflops == pytest.approx(row.flop / row.median_s / 1e12)
    assert bench.denoiser.share(row) == pytest.approx(row.tflops / bench.denoiser.matmul_tflops["bf16"])


def test_the_line_is_json_and_the_table_names_all_rows(bench):
    line, text = bench.to_line(), bench.to_text()
    found = json.loads(line)
    assert "\n" not in line
    assert found["gain"] > 0
    assert [row["name"] for row in found["rows"]] == [row.name for row in bench.denoiser.rows]
    assert all(row.name in text for row in bench.denoiser.rows)
    assert "mini at its native size" in text
    assert sum(found["mini"]["shares"]["shares"].values()) == pytest.approx(1)


def test_flop_of_one_layer_more_is_counted():
    small, large = (make_random_unet(_TINY | {"layers_per_block": layers}) for layers in (1, 2))
    assert count_flop(large, 128, 2) > count_flop(small, 128, 2)
    assert count_flop(small, 128, 2) == 2 * count_flop(small, 128, 1)


@pytest.mark.slow
def test_sd15_costs_what_the_literature_says():
    # 401.6 GMAC a forward pass at 512 px by a layer count checked against T-GATE's published figure.
    assert count_flop(make_random_unet(load_family_configs("sd15")["unet"]), 512, 2) == pytest.approx(
        4 * 401.6e9, rel=0.01
    )


@pytest.mark.parametrize("wrong", [{"size_px": 100}, {"size_px": 4096}, {"steps": 0}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(RequestError):
        run_bench_native(config=_TINY, **wrong)
