"""A render that dies anywhere goes on to the same bytes, and does next to nothing twice."""

from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fakes import CONTRACT, GaussianModel
from sfumato.canvas import grid
from sfumato.canvas.pixels import FilePixels
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.core.errors import ModelError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, PictureSource, RenderRequest
from sfumato.render.cohesive.input_picture import SourcePicture
from sfumato.render.cohesive.stages import SEEDS
from sfumato.render.cohesive.stages import STEPS as TRIAL_STEPS
from sfumato.render.engine import Inputs, run_plan
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import plan_render

BUDGET = RenderBudget(memory_bytes=4 * GIB, cost=GUESSES["mini"])
REQUEST = RenderRequest(
    prompt="a cat", size=PixelSize(192, 256), steps=4, seed=5, guidance=3.0, method=CohesiveMethod(strength=0.6)
)
IDENTITY = {"request": "one"}


class Killed(BaseException):
    """What a process cannot catch."""


class Mortal(DiskWorkspace):
    """A folder whose process dies before, or right after, its nth entry."""

    def __init__(self, folder, *, resume, dies_at=None, after=False):
        super().__init__(folder, IDENTITY, resume=resume)
        self.left, self.after = dies_at, after
        self.notes = 0

    def note(self, entry, *, durable=False):
        self.notes += 1
        if self.notes == self.left and not self.after:
            self.die()
        super().note(entry, durable=durable)
        if self.notes == self.left:
            self.die()

    def die(self):
        """Let go of the folder, as the system does for a process, and of nothing else."""
        self._lock.release()
        raise Killed


def run(request, model, space=None, inputs=None):
    steps = run_plan(plan_render(request, CONTRACT, BUDGET), request, model, inputs, space)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value.picture


@pytest.fixture(scope="module")
def undisturbed():
    """Return the pixels of the request drawn without a stop, and the model that drew them."""
    model = GaussianModel()
    return np.asarray(run(REQUEST, model)), model


def take_turns(places):
    """Die by turns before and right after an entry."""
    return [(place, number % 2 == 1) for number, place in enumerate(places)]


def take_both(places):
    return [(place, after) for place in places for after in (False, True)]


def count_cells(model):
    return sum(int(np.prod(call[:3])) for call in model.calls)


# One sampler at every seventh entry; the others, whose states differ, here and there.
@pytest.mark.parametrize(
    ("sampler", "step"),
    [("DPM++ 2M", 7), ("DPM++ SDE", 19), ("UniPC", 19)]
    + [pytest.param(sampler, 1, marks=pytest.mark.slow) for sampler in ("DPM++ 2M", "DPM++ SDE", "UniPC")],
)
def test_a_render_that_dies_anywhere_gives_the_same_bytes(sampler, step, tmp_path):
    request = replace(REQUEST, sampler=sampler)
    whole = GaussianModel()
    wanted = np.asarray(run(request, whole))
    undisturbed = Mortal(tmp_path / "whole", resume=False)
    assert np.array_equal(np.asarray(run(request, GaussianModel(), undisturbed)), wanted)
    places = range(1, undisturbed.notes + 1, step)
    for dies_at, after in take_both(places) if step == 1 else take_turns(places):
        folder = tmp_path / f"{dies_at}{after}"
        model = GaussianModel()
        with pytest.raises(Killed):
            run(request, model, Mortal(folder, resume=False, dies_at=dies_at, after=after))
        found = run(request, model, Mortal(folder, resume=True))
        assert np.array_equal(np.asarray(found), wanted), (dies_at, after)
        # At most one row of windows, or one look at the whole, is done twice; both halves of guidance count.
        assert count_cells(model) - count_cells(whole) <= 3 * 2 * 16 * 16


def test_a_render_that_dies_twice_gives_the_same_bytes(tmp_path, undisturbed):
    wanted, _ = undisturbed
    for dies_at in (3, 4):
        with pytest.raises(Killed):
            run(REQUEST, GaussianModel(), Mortal(tmp_path / "work", resume=dies_at > 3, dies_at=dies_at))
    found = run(REQUEST, GaussianModel(), Mortal(tmp_path / "work", resume=True))
    assert np.array_equal(np.asarray(found), wanted)


@dataclass
class FailsOnce(GaussianModel):
    """A model that gives no numbers in its nth call, as half precision does, or from then on."""

    fails_at: int = 20
    ever: bool = False

    def denoise_guided(self, x, sigma, cond, uncond, guidance, *, rescale=0.0, controls=()):
        self.fails_at -= 1
        if self.fails_at == 0 or (self.ever and self.fails_at < 0):
            raise ModelError("the denoiser gave numbers that are no picture")
        return super().denoise_guided(x, sigma, cond, uncond, guidance, rescale=rescale)


def test_a_window_without_numbers_is_predicted_again(undisturbed):
    wanted = undisturbed[0].astype(np.int16)
    assert np.abs(np.asarray(run(REQUEST, FailsOnce()), dtype=np.int16) - wanted).max() <= 1


def test_a_window_that_stays_without_numbers_is_named_and_can_be_resumed(tmp_path, undisturbed):
    with pytest.raises(ModelError) as caught, closing(Mortal(tmp_path / "work", resume=False)) as space:
        run(REQUEST, FailsOnce(ever=True), space)
    assert "window (" in str(caught.value)
    assert "level 1" in str(caught.value)
    found = run(REQUEST, GaussianModel(), Mortal(tmp_path / "work", resume=True))
    assert np.array_equal(np.asarray(found), undisturbed[0])


def entries(space_type, folder):
    """Return the words of every entry of a render that nobody disturbs."""
    space, seen = space_type(folder, resume=False), []
    before = space.note
    space.note = lambda entry, **more: (seen.append(entry.words), before(entry, **more))[1]
    run(REQUEST, GaussianModel(), space)
    return seen


def test_a_render_that_dies_after_its_base_draws_no_base_again(tmp_path, undisturbed):
    wanted, model = undisturbed[0], GaussianModel()
    done = entries(Mortal, tmp_path / "whole").index({"stage": 0, "phase": "done"})
    with pytest.raises(Killed):
        run(REQUEST, model, Mortal(tmp_path / "work", resume=False, dies_at=done + 1, after=True))
    again = GaussianModel()
    found = run(REQUEST, again, Mortal(tmp_path / "work", resume=True))
    assert np.array_equal(np.asarray(found), wanted)
    assert model.calls[0] not in again.calls


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "DPM++ SDE"])
def test_a_base_that_dies_anywhere_goes_on_at_its_step(sampler, tmp_path):
    """Drawn, tried three times: a stop costs one step, of two calls at most, or one trial of four."""
    request = replace(REQUEST, sampler=sampler)
    whole = GaussianModel()
    wanted = np.asarray(run(request, whole))
    made = REQUEST.steps + SEEDS
    # The state of the second is larger; it stops before every other entry, which costs the most.
    places = take_turns(range(1, made + 2)) if sampler == "DPM++ 2M" else [(at, False) for at in range(1, made + 2, 2)]
    for dies_at, after in places:
        folder, model = tmp_path / f"{dies_at}{after}", GaussianModel()
        with pytest.raises(Killed):
            run(request, model, Mortal(folder, resume=False, dies_at=dies_at, after=after))
        found = run(request, model, Mortal(folder, resume=True))
        assert np.array_equal(np.asarray(found), wanted), (dies_at, after)
        most = 0 if after else 2 if dies_at <= REQUEST.steps else TRIAL_STEPS
        assert len(model.calls) - len(whole.calls) <= most, (dies_at, after)


def test_encoding_and_decoding_go_on_after_their_last_band(tmp_path, undisturbed):
    """Every third entry of both: a stop costs one band, and colours are never held twice."""
    wanted, whole = undisturbed
    phases = [words["phase"] for words in entries(Mortal, tmp_path / "whole")]
    coded = [at for at, phase in enumerate(phases, start=1) if phase in ("prepare", "decode", "hold")]
    assert {"prepare", "decode", "hold"} <= set(phases)
    for dies_at, after in take_turns(coded[::3]):
        folder, model = tmp_path / f"{dies_at}{after}", GaussianModel()
        with pytest.raises(Killed):
            run(REQUEST, model, Mortal(folder, resume=False, dies_at=dies_at, after=after))
        found = run(REQUEST, model, Mortal(folder, resume=True))
        assert np.array_equal(np.asarray(found), wanted), (dies_at, after)
        assert len(model.coded) - len(whole.coded) <= (0 if after else 1), (dies_at, after)


@pytest.fixture(scope="module")
def grown():
    """Return a request to grow a picture, that picture, the pixels drawn without a stop, and the model."""
    size = PixelSize(96, 128)
    pixels = np.random.default_rng(4).integers(0, 256, (128, 96, 3), np.uint8)
    inputs = Inputs(source=SourcePicture(size, lambda: iter([pixels])))
    request = replace(REQUEST, source=PictureSource(path="a.png", sha256="0" * 64, size=size))
    model = GaussianModel()
    return request, inputs, np.asarray(run(request, model, inputs=inputs)), model


# One of each kind, and the last.
@pytest.mark.parametrize(
    "dies_at",
    [at if at in (1, 3, 5, 6, 10) else pytest.param(at, marks=pytest.mark.slow) for at in range(1, 11)],
)
def test_a_given_picture_is_looked_at_and_encoded_once(dies_at, tmp_path, grown):
    """Its words, three trials, the base, and the bands of the first level: each is an entry of its own."""
    (request, inputs, wanted, whole), model = grown, GaussianModel()
    with pytest.raises(Killed):
        run(request, model, Mortal(tmp_path / "work", resume=False, dies_at=dies_at, after=True), inputs)
    found = run(request, model, Mortal(tmp_path / "work", resume=True), inputs)
    assert np.array_equal(np.asarray(found), wanted)
    assert len(model.calls) == len(whole.calls)
    assert len(model.coded) == len(whole.coded)


@pytest.fixture(scope="module")
def in_squares():
    """Return the pixels of the request held to its colours in squares of 64 px, of which the first level has several."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grid, "SIDE_PX", 64)
        return np.asarray(run(REQUEST, GaussianModel()))


# The first square and the last; those between differ from neither.
@pytest.mark.parametrize("writes", [1, 4, *(pytest.param(at, marks=pytest.mark.slow) for at in (2, 3))])
def test_colours_are_held_once_however_often_it_dies(writes, tmp_path, monkeypatch, in_squares):
    monkeypatch.setattr(grid, "SIDE_PX", 64)
    wanted = in_squares
    inner = FilePixels.write

    def die(store, box, values):
        nonlocal left
        if store.path.name == "level1-pixels.pixels":
            left -= 1
            if left == 0:
                raise Killed
        inner(store, box, values)

    for resume in (False, True):
        left = writes
        with monkeypatch.context() as patched:
            patched.setattr(FilePixels, "write", die)
            space = Mortal(tmp_path / "work", resume=resume)
            with pytest.raises(Killed):
                run(REQUEST, GaussianModel(), space)
            space._lock.release()
    found = run(REQUEST, GaussianModel(), Mortal(tmp_path / "work", resume=True))
    assert np.array_equal(np.asarray(found), wanted)


def test_a_picture_that_was_lost_with_its_folder_half_removed_is_drawn_anew(tmp_path, monkeypatch, undisturbed):
    """Killed while the folder goes, nothing may be taken for finished: the pixels may be gone already."""
    wanted, _ = undisturbed
    space = Mortal(tmp_path / "work", resume=False)
    run(REQUEST, GaussianModel(), space)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_given, **_named: None)
        space.remove()
    for path in (tmp_path / "work").glob("*.pixels"):
        path.unlink()
    found = run(REQUEST, GaussianModel(), Mortal(tmp_path / "work", resume=True))
    assert np.array_equal(np.asarray(found), wanted)
