"""Rules that turn facts about a machine into plain advice. Each rule sees all facts and nothing else.

Knows no files and measures nothing, so every rule is tested with made-up facts. To add a rule, write
a function that yields `Advice` and list it in `_RULES`. Start reading at `find_advice`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from sfumato.models.hardware.rates import THREAD_VARIABLES
from sfumato.workflows.doctor.facts import Facts

# The versions whose behaviour the code relies on, as in pyproject.toml.
FLOORS = {"torch": (2, 10), "diffusers": (0, 42), "transformers": (5, 3), "numpy": (2, 0), "pillow": (12, 3)}
# mini renders its demo in less; SD 1.5 in bf16 with packed weights and float32 decoder takes 5, SDXL three times that.
_MEMORY_FOR_MINI, _MEMORY_FOR_SD = 2e9, 6e9
_DISK_WANTED = 2e9
# A product that reaches less than half of what the instructions promise has something in its way: bf16
# instructions do at least twice the float32 rate.
_BF16_EXPECTED = 1.5


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that is off: how bad, what it is, what to do."""

    level: Literal["problem", "slow", "note"]
    what: str
    do: str


def find_advice(facts: Facts) -> tuple[Advice, ...]:
    """Apply every rule; the worst come first."""
    found = [one for rule in _RULES for one in rule(facts)]
    order = ("problem", "slow", "note")
    return tuple(sorted(found, key=lambda one: order.index(one.level)))


def _check_versions(facts: Facts) -> Iterator[Advice]:
    for package, floor in FLOORS.items():
        version = facts.versions.get(package, "missing")
        if version == "missing":
            yield Advice("problem", f"{package} is not installed", "Run `make setup`.")
        elif _read_version(version) < floor:
            least = ".".join(str(part) for part in floor)
            yield Advice("problem", f"{package} {version} is too old", f"Install {least} or newer: run `make setup`.")


def _check_settings(facts: Facts) -> Iterator[Advice]:
    if facts.settings_error:
        yield Advice("problem", f"a setting is wrong: {facts.settings_error}", "Correct or unset the variable.")


def _check_mini(facts: Facts) -> Iterator[Advice]:
    if facts.mini == "damaged":
        yield Advice("problem", "mini's files differ from their digests", "Install the package again.")
    elif facts.mini == "changed":
        yield Advice("note", "mini is not the model that was shipped", "Install the package again to get it back.")
    elif facts.mini == "absent":
        do = "Use --model PATH, or train it with `sfumato train mini`."
        yield Advice("note", "mini is not in this installation", do)


def _check_cores(facts: Facts) -> Iterator[Advice]:
    machine, threads = facts.machine, facts.runtime.threads
    if machine.quota_cores and machine.quota_cores < machine.cores:
        what = f"the container may use {machine.quota_cores:g} of {machine.cores} cores"
        yield Advice("note", what, "Raise its CPU quota for more speed; the number of threads follows the quota.")
    named = [name for name in THREAD_VARIABLES if name in facts.variables]
    if threads > machine.usable_cores:
        do = f"Unset {' and '.join(named)}." if named else f"Set SFUMATO_THREADS={machine.usable_cores}."
        yield Advice("slow", f"{threads} threads share {machine.usable_cores} cores and wait for each other", do)
    elif threads < machine.usable_cores and not facts.gpus:
        do = (
            f"Unset {' and '.join(named)} unless that is meant."
            if named
            else "Unset SFUMATO_THREADS unless that is meant."
        )
        yield Advice("slow", f"{threads} of {machine.usable_cores} usable cores are used", do)


def _check_load(facts: Facts) -> Iterator[Advice]:
    if facts.load > facts.machine.usable_cores:
        what = f"other work keeps the cores busy (load {facts.load:.1f} on {facts.machine.usable_cores})"
        yield Advice("note", what, "The rates above are lower than the machine's; measure again when it is quiet.")


def _check_memory(facts: Facts) -> Iterator[Advice]:
    machine = facts.machine
    if 0 < machine.free_bytes < _MEMORY_FOR_MINI:
        yield Advice("problem", f"only {machine.free_bytes / 1e9:.1f} GB of memory is free", "mini needs about 2 GB.")
    elif 0 < machine.free_bytes < _MEMORY_FOR_SD and not facts.gpus:
        what = f"{machine.free_bytes / 1e9:.1f} GB of memory is free: enough for mini, not for SD 1.5"
        yield Advice("note", what, "Free 6 GB for SD 1.x and 2.x, 16 GB for SDXL.")
    if machine.swapped_bytes > machine.memory_bytes / 10:
        yield Advice(
            "slow", f"{machine.swapped_bytes / 1e9:.1f} GB are swapped out", "Close programs before rendering."
        )


def _check_bf16(facts: Facts) -> Iterator[Advice]:
    if facts.gpus:
        return
    rates, promised = facts.rates, {"avx512_bf16", "amx_bf16", "bf16"} & set(facts.machine.instructions)
    capped = [name for name in facts.variables if name.endswith("MAX_CPU_ISA")]
    if capped:
        yield Advice("slow", f"{capped[0]} keeps instructions from being used", f"Unset {capped[0]}.")
    elif promised and rates.bf16_tflops < _BF16_EXPECTED * rates.fp32_tflops:
        what = f"the processor has {', '.join(sorted(promised))}, but bf16 products are no faster than fp32"
        yield Advice("slow", what, "Install a torch built with oneDNN (the default one from PyPI is).")
    elif not promised:
        do = "A machine with avx512_bf16, AMX or a GPU is several times faster."
        yield Advice("note", "the processor has no bf16 instructions: models run in float32", do)


def _check_packing(facts: Facts) -> Iterator[Advice]:
    if not facts.rates.packed_tflops and not facts.gpus:
        yield Advice(
            "slow", "this torch cannot pack weights", "Install a torch with oneDNN for about a fifth more speed."
        )


def _check_gpu(facts: Facts) -> Iterator[Advice]:
    if facts.device_files and not facts.gpus:
        do = "Check `nvidia-smi`, CUDA_VISIBLE_DEVICES, and that torch was built for CUDA (torch.version.cuda)."
        yield Advice("slow", "there is an NVIDIA GPU that torch cannot use", do)


def _check_folders(facts: Facts) -> Iterator[Advice]:
    for folder in facts.folders:
        if not folder.writable:
            level = "note" if folder.purpose == "remembered rates" else "problem"
            yield Advice(level, f"the folder for {folder.purpose}, {folder.path}, cannot be written", "Choose another.")
        elif folder.free_bytes < _DISK_WANTED:
            what = f"{folder.free_bytes / 1e9:.1f} GB are free for {folder.purpose} in {folder.path}"
            yield Advice("note", what, "Large pictures keep strips on disk while they are made: free 2 GB.")


def _read_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:2])


_RULES: tuple[Callable[[Facts], Iterator[Advice]], ...] = (
    _check_versions,
    _check_settings,
    _check_mini,
    _check_cores,
    _check_load,
    _check_memory,
    _check_bf16,
    _check_packing,
    _check_gpu,
    _check_folders,
)
