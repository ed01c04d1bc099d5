"""The bench of upscaling networks compares the same picture."""

import json

import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN

from sfumato.core.errors import RequestError
from sfumato.lab.bench.upscaler import run_bench_upscaler


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(0)
    save_file(ESRGAN(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=2).state_dict(), tmp_path / "x2.safetensors")
    return str(tmp_path / "x2.safetensors")


def test_rows_by_rows_are_the_whole(network):
    bench = run_bench_upscaler(network, side=24, rounds=1)
    assert [(row.name.split(",")[0], row.number_type) for row in bench.rows] == [
        ("spandrel", "fp32"),
        ("spandrel", "bf16"),
        ("ours", "fp32"),
        ("ours", "bf16"),
    ]
    assert bench.rows[0].most_steps == bench.rows[2].most_steps == 0
    assert all(row.processor_s > 0 for row in bench.rows)
    assert json.loads(bench.to_line())["bench"] == "upscaler"
    assert len(bench.to_text().splitlines()) == 7


def test_a_side_out_of_range_is_refused(network):
    with pytest.raises(RequestError):
        run_bench_upscaler(network, side=4)
