"""`sfumato evaluate customize --memory`: planned bytes of teaching beside the measured peak of two steps.

Each trial runs in a process of its own: a process that taught before holds memory that a second trial would use again, and
its growth reads 0. The base is SD 1.5 in kind with fewer channels and random weights. Start reading at `measure_memory`;
`main` is the process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from sfumato.core.cards import Card, Measurement
from sfumato.core.errors import ModelError
from sfumato.core.files import file_sha256
from sfumato.core.memory import read_memory, restart_peak_memory
from sfumato.core.request_parts.arithmetic import Arithmetic
from sfumato.customize.concept import ConceptFolder, ConceptPicture, read_concept, write_concept
from sfumato.customize.full import FullLearner
from sfumato.customize.learn import Learner
from sfumato.customize.memory.plan import describe_settings, estimate_pictures, plan_memory
from sfumato.customize.settings import ConceptSettings
from sfumato.lab.true_shapes.random_checkpoint import write_random_folder
from sfumato.models.load import load_model

# A third of SD 1.5's channels and half of its side: 100 M weights, a step of some seconds, less than 3 GB.
CHANNELS, SIDE_CELLS = [112, 224, 448, 448], 32
PICTURES, STEPS = 6, 2
LONGEST_S = 3600
_SMALL = ConceptSettings(rung="full", batch=1, optimiser="adam8", offload=True, checkpointing=True, number_type="bf16")
TRIALS: tuple[ConceptSettings, ...] = (
    ConceptSettings(rung="inversion", batch=2),
    ConceptSettings(rung="lora", batch=2),
    ConceptSettings(rung="lora", batch=2, micro_batch=1, checkpointing=True),
    ConceptSettings(rung="oft", batch=2),
    ConceptSettings(rung="full", batch=1),
    ConceptSettings(rung="full", batch=1, optimiser="adam8", checkpointing=True),
    _SMALL,
)


@dataclass(frozen=True, kw_only=True)
class MemoryTrial:
    """What one process held: `before` a model, `peak` at most, and the peak that was `planned`."""

    settings: ConceptSettings
    before: int
    peak: int
    planned: int

    @property
    def ratio(self) -> float:
        """Return planned over measured bytes, the program left out of both."""
        return (self.planned - self.before) / max(1, self.peak - self.before)


def measure_memory(
    trials: tuple[ConceptSettings, ...] = TRIALS,
    *,
    changes: dict[str, dict[str, Any]] | None = None,
    on_event: Callable[[str], object] | None = None,
) -> Card:
    """Teach a shape for two steps in each way and print one card. `changes` are those of the configurations.

    Cost: about a CPU minute a trial, 0.4 GB of disk, less than 3 GB of memory.

    Raises:
        ModelError: a process failed.
    """
    tell = on_event or (lambda _said: None)
    usual: dict[str, dict[str, Any]] = {"unet": {"block_out_channels": CHANNELS, "sample_size": SIDE_CELLS}}
    with TemporaryDirectory(prefix="sfumato-memory-") as folder:
        shape = usual if changes is None else changes
        base = write_random_folder(Path(folder) / "base", "sd15", shape)
        side = 8 * int(shape["unet"]["sample_size"])
        concept = _make_concept(Path(folder) / "bo.concept", side)
        rows: list[Measurement] = []
        for settings in trials:
            tell(describe_settings(settings))
            found = run_trial(base, concept, settings)
            note = f"planned {found.planned / 1e9:.2f} GB, the program's {found.before / 1e9:.2f} GB in both"
            name = describe_settings(settings)
            rows.append(Measurement(name=f"peak: {name}", value=found.peak / 1e9, unit="GB", n=1, note=note))
            rows.append(Measurement(name=f"planned over measured: {name}", value=found.ratio, unit="of 1", n=1))
    return Card(
        title=f"memory of teaching, SD 1.5 in kind with channels {CHANNELS}, {STEPS} steps",
        rows=tuple(rows),
        seed=1,
        command="sfumato evaluate customize --memory",
        notes=("above 1 the plan is careful, below 1 it promises too much; the program is left out of both",),
    )


def run_trial(base: Path, concept: Path, settings: ConceptSettings) -> MemoryTrial:
    """Run one trial in a new process.

    Raises:
        ModelError: the process failed.
    """
    asked = json.dumps({"base": str(base), "concept": str(concept), "settings": settings.to_json()})
    command = [sys.executable, "-m", "sfumato.lab.customize.memory", asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ModelError("a trial of memory failed", got=last[:300], do="Run it alone to see why.")
    found = json.loads(done.stdout.strip().rpartition("\n")[2])
    planned = plan_memory(str(base), settings, program_bytes=found["before"]).peak
    return MemoryTrial(settings=settings, before=found["before"], peak=found["peak"], planned=planned)


def _make_concept(folder: Path, side: int) -> Path:
    (folder / "pictures").mkdir(parents=True)
    noise = np.random.default_rng(7)
    pictures: list[ConceptPicture] = []
    for number in range(PICTURES):
        path = folder / "pictures" / f"{number}.png"
        Image.fromarray(noise.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)
        pictures.append(ConceptPicture(file=path.name, sha256=file_sha256(path), caption="bo in a meadow"))
    write_concept(ConceptFolder(path=folder, name="bo", trigger="bo", noun="man", pictures=tuple(pictures)))
    return folder


def main() -> None:
    """Run the trial that the command line describes; print the bytes held before, and at most, as JSON."""
    asked = json.loads(sys.argv[1])
    settings = ConceptSettings(**asked["settings"])
    concept = read_concept(Path(asked["concept"]))
    # The libraries of a real checkpoint belong to the program, and are imported above.
    restart_peak_memory()
    before = read_memory("VmRSS")
    plain = Arithmetic(number_type=settings.number_type)  # pyright: ignore[reportArgumentType]
    model = load_model(asked["base"], dtype=settings.number_type, arithmetic=plain)
    model.autoencoder_bytes = estimate_pictures(model.contract)
    with TemporaryDirectory(prefix="sfumato-trial-", dir=concept.path) as folder:
        if settings.rung == "full":
            learner = FullLearner(concept, model, settings, base="trial", folder=Path(folder))
        else:
            learner = Learner(concept, model, settings)
        learner.check()
        for _ in range(STEPS):
            learner.step()
        learner.keep_best()
        learner.close()
    sys.stdout.write(json.dumps({"before": before, "peak": read_memory("VmHWM")}) + "\n")


if __name__ == "__main__":
    main()
