"""Work that lost a file while it was stopped is refused, or comes out the same; never as another picture."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fakes import CONTRACT, GaussianModel
from sfumato.canvas.mapped_latents import MappedLatents
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.errors import RequestError, StorageError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, PictureSource, RenderRequest
from sfumato.render.cohesive.input_picture import SourcePicture
from sfumato.render.engine import Inputs, run_plan
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render

BUDGET = RenderBudget(memory_bytes=4 * GIB, cost=GUESSES["mini"])
# Two levels, and a sampler that asks twice in a step: it has a canvas for its trials.
DRAWN = RenderRequest(
    prompt="a cat",
    size=PixelSize(144, 160),
    steps=3,
    seed=5,
    sampler="DPM++ SDE",
    method=CohesiveMethod(strength=0.4),
)
SMALL = PixelSize(72, 80)
GIVEN = replace(DRAWN, source=PictureSource(path="a.png", sha256="0" * 64, size=SMALL), method=CohesiveMethod(keep=1.0))


class Killed(BaseException):
    """What a process cannot catch."""


class Watched(DiskWorkspace):
    """A folder that lists what is noted in it, and whose process dies after an entry of some words."""

    def __init__(self, folder, *, resume, dies_at=None):
        super().__init__(folder, {"request": "one"}, resume=resume)
        self.dies_at, self.seen = dies_at, []

    def note(self, entry, *, durable=False):
        super().note(entry, durable=durable)
        self.seen.append(name_phase(entry.words))
        if self.seen[-1] == self.dies_at:
            self.release()
            raise Killed

    def release(self):
        """Let go of the folder, as the system does for a process, and of nothing else."""
        self._lock.release()


def name_phase(words):
    """Return the stage and phase of an entry, and whether there is a band in it."""
    return (words["stage"], words["phase"], words.get("sweep", 0), words.get("band", 0) > 0, "mark tiles" in words)


def drain(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def draw(request, space):
    """Return the pixels of a render."""
    plan, pixels = plan_render(request, CONTRACT, BUDGET), np.arange(80 * 72 * 3, dtype=np.uint32)
    given = SourcePicture(SMALL, lambda: iter([(pixels * 2654435761 >> 24).astype(np.uint8).reshape(80, 72, 3)]))
    inputs = Inputs(source=given) if request.source.kind == "picture" else None
    made = drain(run_plan(plan, request, GaussianModel(), inputs, space)).pixels
    return made.read(made.size.box)


@dataclass(frozen=True)
class Work:
    """A render, and the stages and phases of it at which it is stopped."""

    request: RenderRequest
    stages: Callable[[int], bool]
    phases: tuple[str, ...]


KINDS = {
    "drawn": Work(DRAWN, lambda stage: stage in (0, 2), ("prepare", "update", "hold", "done")),
    "drawn, every phase": Work(
        DRAWN, lambda stage: stage in (0, 2), ("draw", "prepare", "predict", "update", "decode", "hold", "done")
    ),
    "given": Work(GIVEN, lambda stage: stage in (0, 1), ("draw", "prepare", "done")),
}


def lose(folder, name, how):
    path = folder / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:5000])


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """Spare the disk: here processes die, not machines."""
    monkeypatch.setattr("os.fsync", lambda _handle: None)
    monkeypatch.setattr(MappedLatents, "_sync", lambda *_given: None)


@pytest.mark.parametrize("kind", ["drawn", "given", pytest.param("drawn, every phase", marks=pytest.mark.slow)])
def test_work_that_lost_a_file_gives_the_same_bytes_or_none(kind, tmp_path):
    work, whole = KINDS[kind], Watched(tmp_path / "whole", resume=False)
    wanted = draw(work.request, MemoryWorkspace())
    assert np.array_equal(draw(work.request, whole), wanted)
    refused = set()
    phases = [phase for phase in whole.seen if work.stages(phase[0]) and phase[1] in work.phases]
    for phase in dict.fromkeys(phases):
        stopped = tmp_path / "stopped"
        with pytest.raises(Killed):
            draw(work.request, Watched(stopped, resume=False, dies_at=phase))
        for path in sorted(stopped.iterdir()):
            for how in ("gone", "cut") if phase[1] == "prepare" and path.suffix != ".json" else ("gone",):
                found, error = resume_without(work, stopped, path.name, how)
                assert error is not None or np.array_equal(found, wanted), (phase, path.name, how)
                assert error is None or str(tmp_path / "lost") in f"{error.got} {error.do}"
                refused |= {path.name} if error else set()
        shutil.rmtree(stopped)
    assert any(name.endswith("-anchor.latents") for name in refused)
    assert any(name.endswith(".pixels") for name in refused)


def resume_without(work, stopped, name, how):
    """Return what a copy of stopped work gives that has lost a file, and the error where that is refused."""
    folder = shutil.copytree(stopped, stopped.with_name("lost"))
    lose(folder, name, how)
    try:
        space = Watched(folder, resume=True)
        try:
            return draw(work.request, space), None
        finally:
            space.release()
    except (StorageError, RequestError) as error:
        return None, error
    finally:
        shutil.rmtree(folder)
