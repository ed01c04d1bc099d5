"""Describe this installation and machine, say what would be used, and what is off.

The facts come from `workflows.doctor_facts`, the rules from `workflows.doctor_advice`. Start reading
at `run_doctor`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sfumato.workflows.doctor.advice import Advice, find_advice
from sfumato.workflows.doctor.facts import PACKAGES, Facts, gather_facts


def run_doctor() -> Diagnosis:
    """Gather the facts of this machine and what follows from them; about a second."""
    facts = gather_facts()
    return Diagnosis(facts=facts, advice=find_advice(facts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What `sfumato doctor` found."""

    facts: Facts
    advice: tuple[Advice, ...] = ()

    @property
    def healthy(self) -> bool:
        """Tell whether rendering can work as installed."""
        return not any(one.level == "problem" for one in self.advice)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        facts = self.facts
        return {
            "doctor": "healthy" if self.healthy else "problems",
            "versions": facts.versions,
            "machine": asdict(facts.machine)
            | {"usable_cores": facts.machine.usable_cores, "load": round(facts.load, 2)},
            "rates": {name: round(value, 4) for name, value in asdict(facts.rates).items()},
            "gpu_tflops": round(facts.gpu_tflops, 2),
            "runtime": asdict(facts.runtime),
            "policy": facts.policy.to_json(),
            "folders": [asdict(folder) for folder in facts.folders],
            "mini": facts.mini,
            "parts": facts.parts,
            "variables": facts.variables,
            "advice": [asdict(one) for one in self.advice],
        }

    def to_line(self) -> str:
        """Write one line of JSON."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """Write the report for people: facts, what would be used, then advice."""
        rows = list(_describe(self.facts))
        width = max(len(name) for name, _ in rows)
        lines = [f"{name.ljust(width)}  {words}" for name, words in rows]
        if not self.advice:
            return "\n".join([*lines, "", "Nothing is off."])
        return "\n".join([*lines, "", *(f"{one.level}: {one.what}. {one.do}" for one in self.advice)])


def _describe(facts: Facts) -> Iterator[tuple[str, str]]:
    machine, rates, policy = facts.machine, facts.rates, facts.policy
    yield "sfumato", f"{facts.versions['sfumato']}, Python {facts.versions['python']}, {facts.versions['system']}"
    yield "packages", ", ".join(f"{name} {facts.versions[name]}" for name in PACKAGES)
    quota = f", container quota {machine.quota_cores:g}" if machine.quota_cores else ""
    yield (
        "processor",
        f"{machine.chip}; {machine.usable_cores} of {machine.cores} cores usable{quota}; load {facts.load:.1f}",
    )
    yield "instructions", " ".join(machine.instructions) or "none of note"
    swap = f", {machine.swapped_bytes / 1e9:.1f} GB swapped" if machine.swapped_bytes else ""
    yield "memory", f"{machine.free_bytes / 1e9:.1f} of {machine.memory_bytes / 1e9:.1f} GB free{swap}"
    gpus = ", ".join(f"{gpu.name} ({gpu.memory_bytes / 1e9:.0f} GB, {gpu.capability})" for gpu in facts.gpus)
    yield "GPU", f"{gpus}; bf16 matmul {facts.gpu_tflops:.0f} TFLOP/s" if gpus else "none that torch can use"
    yield (
        "matmul",
        (
            f"bf16 {rates.bf16_tflops:.3f}, fp32 {rates.fp32_tflops:.3f}, packed {rates.packed_tflops:.3f} TFLOP/s on the CPU"
        ),
    )
    yield "attention", f"fused {rates.fused_attention_ms:.1f} ms, blocked {rates.blocked_attention_ms:.1f} ms"
    for folder in facts.folders:
        state = f"{folder.free_bytes / 1e9:.1f} GB free" if folder.writable else "not writable"
        yield folder.purpose, f"{folder.path} ({state})"
    yield "mini", facts.mini
    ready = [name for name, state in facts.parts.items() if state == "ready"]
    yield "parts ready", ", ".join(ready) or "none: `sfumato parts get` fetches eyes for real pictures"
    if facts.variables:
        yield "set", " ".join(f"{name}={value}" for name, value in facts.variables.items())
    yield (
        "would use",
        (
            f"{policy.device}, {facts.runtime.threads} threads; denoiser {str(policy.unet_dtype).removeprefix('torch.')}, "
            f"autoencoder {str(policy.vae_dtype).removeprefix('torch.')}; {policy.attention} attention; "
            f"weights {'packed' if policy.packed else 'as stored'}; memory {facts.runtime.allocator}"
        ),
    )
