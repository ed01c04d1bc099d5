"""A policy follows from measured rates; the process settings leave alone what the user has set."""

import json

import pytest
import torch

from sfumato.core.errors import ModelError, RequestError
from sfumato.models.hardware import throughput
from sfumato.models.hardware import torch_settings as runtime
from sfumato.models.hardware.detect import Hardware, detect_hardware, read_quota, read_torch_version
from sfumato.models.hardware.policy import (
    choose_cpu_policy,
    choose_policy,
    count_packed_bytes,
    count_threads,
    find_rates,
    fit_policy,
)
from sfumato.models.hardware.rates import Rates
from sfumato.models.hardware.throughput import measure_rates

_FAST_BF16 = {"bf16_tflops": 0.8, "fp32_tflops": 0.2, "packed_tflops": 0.85, "threads": 2}


def _rates(**changes) -> Rates:
    return Rates(**{**_FAST_BF16, "fused_attention_ms": 30.0, "blocked_attention_ms": 12.0, **changes})


def test_fast_bf16_runs_in_bf16_with_our_attention_and_packed_weights():
    policy = choose_cpu_policy(_rates())
    assert (policy.unet_dtype, policy.attention, policy.packed) == (torch.bfloat16, "blocked", True)
    assert policy.memory_format == torch.channels_last
    assert policy.vae_dtype == torch.float32


def test_slow_bf16_runs_in_float32_with_the_fused_attention():
    policy = choose_cpu_policy(_rates(bf16_tflops=0.21))
    assert (policy.unet_dtype, policy.attention) == (torch.float32, "sdpa")


def test_the_faster_attention_is_taken():
    assert choose_cpu_policy(_rates(fused_attention_ms=5.0)).attention == "sdpa"
    assert choose_cpu_policy(_rates(fused_attention_ms=0.0, blocked_attention_ms=0.0)).attention == "sdpa"


def test_packing_that_does_not_work_is_not_used():
    assert not choose_cpu_policy(_rates(packed_tflops=0.0)).packed


def test_weights_are_packed_where_both_copies_take_half_the_memory():
    policy = choose_cpu_policy(_rates())
    assert fit_policy(policy, 10**9, 4 * 10**9).packed
    assert not fit_policy(policy, 10**9, 4 * 10**9 - 1).packed
    assert not fit_policy(choose_cpu_policy(_rates(packed_tflops=0.0)), 1, 10**9).packed


def test_the_packed_copy_is_as_large_as_the_weights_and_nothing_where_it_is_not_made():
    policy = choose_cpu_policy(_rates())
    assert count_packed_bytes(policy, 1000) == 1000 * policy.unet_dtype.itemsize
    assert count_packed_bytes(policy, 10**15) == 0
    assert count_packed_bytes(choose_cpu_policy(_rates(packed_tflops=0.0)), 1000) == 0


def test_a_named_dtype_is_obeyed():
    assert choose_cpu_policy(_rates(), "fp32").unet_dtype == torch.float32
    with pytest.raises(RequestError, match="number type"):
        choose_cpu_policy(_rates(), "int4")


def test_unknown_and_absent_devices_are_refused():
    with pytest.raises(RequestError):
        choose_policy("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError):
            choose_policy("cuda")


def test_rates_are_measured_once_and_remembered(tmp_path):
    first = find_rates(tmp_path)
    (file,) = tmp_path.glob("rates-*.json")
    assert json.loads(file.read_text())["threads"] == first.threads == count_threads() == torch.get_num_threads()
    find_rates.cache_clear()
    assert find_rates(tmp_path) == first


def test_a_damaged_memory_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "measure_rates", _rates)
    find_rates.cache_clear()
    find_rates(tmp_path)
    (file,) = tmp_path.glob("rates-*.json")
    for damage in ("", "[1]", '{"bf16_tflops": 1}'):
        file.write_text(damage)
        find_rates.cache_clear()
        assert find_rates(tmp_path) == _rates()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    find_rates.cache_clear()
    assert find_rates(tmp_path / "file").threads > 0


def test_rates_are_positive():
    found = measure_rates(rounds=1)
    assert found.fp32_tflops > 0
    assert found.bf16_tflops > 0


def test_the_machine_is_described():
    machine = detect_hardware()
    assert 1 <= machine.usable_cores <= machine.cores
    assert machine.free_bytes <= machine.memory_bytes
    assert read_torch_version() == torch.__version__


@pytest.mark.parametrize(("text", "cores"), [("max 100000", None), ("150000 100000", 1.5), ("nonsense", None)])
def test_quota_of_a_container(tmp_path, text, cores):
    (tmp_path / "cpu.max").write_text(text)
    assert read_quota(tmp_path) == cores


def test_quota_of_an_old_container(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("50000")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert read_quota(tmp_path) == 0.5


def test_a_quota_below_the_cores_limits_them():
    machine = Hardware(
        chip="", cores=8, allowed_cores=6, quota_cores=1.5, memory_bytes=0, free_bytes=0, swapped_bytes=0,
        instructions=(),
    )  # fmt: skip
    assert machine.usable_cores == 2


def test_what_the_environment_sets_is_left_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    runtime.apply_runtime.cache_clear()
    before = torch.get_num_threads()
    applied = runtime.apply_runtime()
    assert applied == runtime.Runtime(before, "as the environment says", "7")
    runtime.apply_runtime.cache_clear()


def test_threads_asked_for_are_set():
    before = torch.get_num_threads()
    try:
        assert runtime.apply_runtime(1).threads == 1
    finally:
        torch.set_num_threads(before)
        runtime.apply_runtime.cache_clear()
