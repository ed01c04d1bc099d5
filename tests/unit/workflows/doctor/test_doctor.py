"""The doctor reports this machine, and each rule speaks when its fact is off and only then."""

import dataclasses
import json

import pytest

from sfumato.models.hardware.detect import Gpu, Hardware
from sfumato.models.hardware.policy import Policy
from sfumato.models.hardware.rates import Rates
from sfumato.models.hardware.torch_settings import Runtime
from sfumato.workflows.doctor.advice import find_advice
from sfumato.workflows.doctor.doctor import Diagnosis, run_doctor
from sfumato.workflows.doctor.facts import Facts, Folder

_VERSIONS = {"torch": "2.15.0+cu132", "diffusers": "0.42.1", "transformers": "5.23.0", "numpy": "2.4", "pillow": "12.3"}
_MACHINE = Hardware(
    chip="test", cores=2, allowed_cores=2, quota_cores=None, memory_bytes=24 * 10**9, free_bytes=20 * 10**9,
    swapped_bytes=0, instructions=("avx512_bf16",),
)  # fmt: skip
_RATES = Rates(
    bf16_tflops=0.8, fp32_tflops=0.2, packed_tflops=0.85, fused_attention_ms=30, blocked_attention_ms=12, threads=2
)
_WELL = Facts(
    versions=_VERSIONS,
    machine=_MACHINE,
    gpus=(),
    rates=_RATES,
    gpu_tflops=0.0,
    runtime=Runtime(2, "as the system has it", "64"),
    policy=Policy("cpu", "bf16", "fp32", "fp32"),
    folders=(Folder(purpose="pictures", path="/p", free_bytes=10**11, writable=True),),
    parts={"palm": "ready", "x4plus": "absent"},
    mini="whole",
    load=0.3,
    variables={},
)


def _but(**changes) -> Facts:
    return dataclasses.replace(_WELL, **changes)


def _machine(**changes) -> Facts:
    return _but(machine=dataclasses.replace(_MACHINE, **changes))


def _rates(**changes) -> Facts:
    return _but(rates=dataclasses.replace(_RATES, **changes))


def test_a_machine_without_faults_gets_no_advice():
    assert find_advice(_WELL) == ()
    assert Diagnosis(facts=_WELL).healthy


_CASES = [
    (_but(versions=_VERSIONS | {"torch": "2.9.1"}), "problem", "torch 2.9.1 is too old"),
    (_but(versions=_VERSIONS | {"diffusers": "missing"}), "problem", "diffusers is not installed"),
    (_but(settings_error="the setting threads is a number"), "problem", "a setting is wrong"),
    (_but(mini="damaged"), "problem", "mini's files differ"),
    (_but(mini="absent"), "note", "mini is not in this installation"),
    (_machine(quota_cores=1.5), "note", "the container may use 1.5 of 2 cores"),
    (_but(runtime=Runtime(8, "", "64"), variables={"OMP_NUM_THREADS": "8"}), "slow", "8 threads share 2 cores"),
    (_but(runtime=Runtime(1, "", "64"), variables={"OMP_NUM_THREADS": "1"}), "slow", "1 of 2 usable cores"),
    (_but(load=6.0), "note", "other work keeps the cores busy"),
    (_machine(free_bytes=10**9), "problem", "only 1.0 GB of memory is free"),
    (_machine(free_bytes=4 * 10**9), "note", "enough for mini, not for SD 1.5"),
    (_machine(swapped_bytes=5 * 10**9), "slow", "5.0 GB are swapped out"),
    (_rates(bf16_tflops=0.2), "slow", "bf16 products are no faster than fp32"),
    (_but(variables={"ONEDNN_MAX_CPU_ISA": "AVX2"}), "slow", "keeps instructions from being used"),
    (_machine(instructions=("avx2",)), "note", "no bf16 instructions"),
    (_rates(packed_tflops=0.0), "slow", "cannot pack weights"),
    (_but(device_files=True), "slow", "an NVIDIA GPU that torch cannot use"),
    (_but(folders=(Folder(purpose="temporary files", path="/t", free_bytes=9, writable=False),)), "problem", "/t"),
    (_but(folders=(Folder(purpose="temporary files", path="/t", free_bytes=10**9, writable=True),)), "note", "1.0 GB"),
]


@pytest.mark.parametrize(("facts", "level", "words"), _CASES, ids=[case[2][:40] for case in _CASES])
def test_a_fact_that_is_off_is_named_with_what_to_do(facts, level, words):
    fitting = [one for one in find_advice(facts) if words in one.what]
    assert [one.level for one in fitting] == [level]
    assert fitting[0].do.endswith(".")


def test_problems_come_first():
    levels = [one.level for one in find_advice(_but(load=9.0, mini="damaged", runtime=Runtime(1, "", "64")))]
    assert levels == ["problem", "slow", "note"]


def test_a_gpu_silences_what_only_matters_without_one():
    facts = dataclasses.replace(_machine(instructions=(), free_bytes=5 * 10**9), gpus=(Gpu("test", 80 * 10**9, "9.0"),))
    assert find_advice(facts) == ()


def test_the_report_of_this_machine():
    diagnosis = run_doctor()
    found = json.loads(diagnosis.to_line())
    assert found["rates"]["fp32_tflops"] > 0
    assert found["machine"]["usable_cores"] >= 1
    assert found["policy"]["device"]
    text = diagnosis.to_text()
    assert all(word in text for word in ("processor", "would use", "matmul", "mini"))
    assert all(one.what in text for one in diagnosis.advice)


def test_a_wrong_setting_is_advice_and_not_a_failure(monkeypatch):
    monkeypatch.setenv("SFUMATO_THREADS", "many")
    diagnosis = run_doctor()
    assert not diagnosis.healthy
    assert "SFUMATO_THREADS" in diagnosis.to_text()
