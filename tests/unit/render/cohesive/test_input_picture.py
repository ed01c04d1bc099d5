"""A given picture grows like a base: from its own pixels, in levels of two, with words found by listening."""

import functools
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fakes import CONTRACT, GaussianModel
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.errors import ModelError, RequestError
from sfumato.core.geometry import PixelSize
from sfumato.core.request import CohesiveMethod, PictureSource, RenderRequest
from sfumato.render.cohesive.input_picture import SourcePicture, choose_shown_size, lay_out, open_source, shrink_source
from sfumato.render.cohesive.stages import LOOK_STRENGTHS, SEEDS, STEPS, count_read_bytes
from sfumato.render.engine import Inputs, run_plan
from sfumato.render.layout import choose_base_size
from sfumato.render.plan.budget import GIB, GUESSES, RenderBudget
from sfumato.render.plan.make_plan import find_largest_size, plan_render

BUDGET = RenderBudget(memory_bytes=8 * GIB, cost=GUESSES["mini"])
SMALL, LARGE = PixelSize(96, 64), PixelSize(192, 128)


def make_request(given=SMALL, size=LARGE, **changes):
    source = PictureSource(path="a.png", sha256="0" * 64, size=given)
    usual = RenderRequest(prompt="a house", size=size, steps=6, seed=3, source=source, method=CohesiveMethod())
    return replace(usual, **changes)


def make_given(size=SMALL, colour=(200, 60, 30)):
    """Return a picture of one colour on the left and another on the right, in bands of five rows."""
    pixels = np.zeros((*size.shape_hw, 3), np.uint8)
    pixels[:] = colour
    pixels[:, size.width // 2 :] = colour[::-1]
    return SourcePicture(size, lambda: (pixels[top : top + 5] for top in range(0, size.height, 5)))


def run(request, given, model=None, space=None):
    model, seen = model or GaussianModel(), []
    plan = plan_render(request, CONTRACT, BUDGET)
    steps = run_plan(plan, request, model, Inputs(source=given), space)
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen, model


def test_nothing_is_drawn_below_the_picture():
    plan = plan_render(make_request(), CONTRACT, BUDGET)
    assert [stage.name for stage in plan.stages] == ["picture", "level 1 of 1"]
    read, _ = plan.stages
    assert read.evaluations == 2 * (SEEDS * STEPS + len(LOOK_STRENGTHS))
    assert read.canvas == choose_base_size(PixelSize(192, 128), CONTRACT)


@pytest.mark.parametrize("given", [PixelSize(96, 64), PixelSize(64, 64), PixelSize(300, 170), PixelSize(90, 700)])
def test_levels_at_most_double_the_picture(given):
    plan = plan_render(make_request(given, PixelSize(1024, 768)), CONTRACT, BUDGET)
    widths = [given.width, *(stage.canvas.width for stage in plan.stages[1:])]
    assert widths[-1] == 1024
    assert all(after <= 2 * before + 8 for before, after in pairwise(widths))


def test_a_picture_far_below_native_size_is_taken_to_it_at_once():
    plan = plan_render(make_request(PixelSize(20, 20), PixelSize(256, 256)), CONTRACT, BUDGET)
    native = CONTRACT.native.area
    assert all(stage.canvas.area >= 0.8 * native for stage in plan.stages)
    assert plan.stages[-1].canvas == PixelSize(256, 256)


def test_a_picture_may_grow_to_native_size_and_no_further():
    request = make_request(PixelSize(40, 40), PixelSize(64, 64))
    result, _, _ = run(request, make_given(PixelSize(40, 40)))
    assert result.picture.size == (64, 64)


@pytest.mark.parametrize("size", [PixelSize(96, 64), PixelSize(64, 40), PixelSize(88, 64)])
def test_a_size_that_is_not_larger_is_refused(size):
    with pytest.raises(RequestError, match="grows to a larger size") as caught:
        plan_render(make_request(size=size), CONTRACT, BUDGET)
    assert "192x128" in str(caught.value)


def test_over_budget_no_size_below_the_picture_is_advised():
    request = make_request(PixelSize(8192, 8192), PixelSize(16384, 16384))
    tight = replace(BUDGET, memory_bytes=GIB // 2)
    assert find_largest_size(request, CONTRACT, tight) is None


def test_the_plan_counts_the_file_in_memory_and_on_disk():
    small, large = (
        plan_render(make_request(PixelSize(side, side), PixelSize(4096, 4096)), CONTRACT, BUDGET)
        for side in (256, 2048)
    )
    assert large.stages[0].memory_bytes > small.stages[0].memory_bytes
    assert large.stages[0].work_bytes - small.stages[0].work_bytes == 3 * (2048**2 - 256**2)
    source = make_request(PixelSize(30000, 30000)).source
    assert count_read_bytes(source) == count_read_bytes(replace(source, path="a.tif")) == 0


def test_evaluations_and_reports_are_those_of_the_plan():
    request = make_request(method=CohesiveMethod(predict=False), size=PixelSize(288, 160))
    plan = plan_render(request, CONTRACT, BUDGET)
    result, seen, model = run(request, make_given())
    assert 2 * sum(batch for batch, *_ in model.calls) == plan.evaluations
    assert len(seen) == sum(stage.ticks for stage in plan.stages)
    assert [stage.name for stage in result.trace] == [stage.name for stage in plan.stages]
    assert all(progress.preview().mode == "RGB" for progress in seen)


@pytest.mark.parametrize("prompt", ["a house", "", "[a cat:a dog:0.5]", "a cat AND a dog"])
def test_the_result_is_the_picture_again(prompt):
    request = make_request(prompt=prompt, size=PixelSize(288, 192), negative="fog")
    result, _, _ = run(request, make_given())
    small = np.asarray(result.picture.resize((2, 1), Image.Resampling.BOX), dtype=int)
    assert np.abs(small[0] - [(200, 60, 30), (30, 60, 200)]).max() < 25
    assert result.base.size == (75, 50)


def test_an_empty_prompt_draws_a_base_and_grows_it():
    request = replace(make_request(prompt=""), source=RenderRequest.__dataclass_fields__["source"].default)
    plan = plan_render(request, CONTRACT, BUDGET)
    steps = run_plan(plan, request, GaussianModel())
    assert len(list(steps)) == sum(stage.ticks for stage in plan.stages)


def test_another_aspect_takes_the_middle():
    """What is left of the middle half of a picture is its two colours, each half as wide."""
    size = PixelSize(128, 64)
    request = make_request(size, PixelSize(128, 128), method=CohesiveMethod(predict=False))
    result, _, _ = run(request, make_given(size))
    assert result.picture.size == (128, 128)
    left, right = np.asarray(result.picture.resize((2, 1), Image.Resampling.BOX), dtype=int)[0]
    assert left[0] > right[0]
    assert result.base.size[0] == result.base.size[1] == 64


def test_bands_are_laid_out_as_they_come():
    given, space = make_given(PixelSize(31, 23)), MemoryWorkspace()
    whole = np.concatenate(list(given.walk()))
    store = lay_out(given, space)
    assert np.array_equal(store.read(given.size.box), whole)
    shown = np.asarray(shrink_source(open_source(given.size, space), PixelSize(64, 32), PixelSize(16, 8)))
    height = 31 / 2
    box = (0, (23 - height) / 2, 31, (23 + height) / 2)
    wanted = Image.fromarray(whole).resize((16, 8), Image.Resampling.LANCZOS, box=box)
    assert np.array_equal(shown, np.asarray(wanted))


def test_a_picture_much_larger_is_shrunk_to_what_it_would_be_at_once():
    size, space = PixelSize(1001, 777), MemoryWorkspace()
    rng = np.random.default_rng(2)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((1001, 777))
    store = lay_out(SourcePicture(size, lambda: iter([np.asarray(coarse)])), space)
    shown = np.asarray(shrink_source(store, PixelSize(512, 512), PixelSize(32, 32)), dtype=int)
    whole = coarse.resize((32, 32), Image.Resampling.LANCZOS, box=(112, 0, 889, 777))
    assert np.abs(shown - np.asarray(whole, dtype=int)).max() <= 6


@pytest.mark.parametrize(
    ("picture", "target", "shown"),
    [
        (PixelSize(512, 512), PixelSize(1024, 1024), PixelSize(64, 64)),
        (PixelSize(40, 40), PixelSize(256, 256), PixelSize(40, 40)),
        (PixelSize(400, 100), PixelSize(400, 400), PixelSize(64, 64)),
        (PixelSize(2000, 2), PixelSize(9000, 8), PixelSize(2000, 2)),
    ],
)
def test_what_is_shown_has_the_aspect_of_the_target_and_is_no_larger_than_the_picture(picture, target, shown):
    assert choose_shown_size(picture, target, PixelSize(64, 64)) == shown


@settings(deadline=None, max_examples=100)
@given(st.integers(10, 200), st.integers(10, 200), st.integers(2, 16))
def test_a_small_copy_has_whole_pixels_on_both_sides(width, height, scale):
    picture, target = PixelSize(8 * width, 8 * height), PixelSize(8 * width * scale, 8 * height * scale)
    shown = choose_shown_size(picture, target, PixelSize(128, 128))
    across, down = target.width / shown.width, target.height / shown.height
    assert shown.area <= 1.02 * 128**2
    # Its last row or column lies so many px of the small copy away from where one scale for both sides would lay it.
    off = abs(across - down) / min(across, down) * max(shown.width, shown.height)
    assert off < 0.6 if max(width / height, height / width) < 2 else off < 1.0


class Killed(BaseException):
    """What a process cannot catch."""


class Mortal(DiskWorkspace):
    """A folder whose process dies at its nth entry, or after it kept the base."""

    left: int | None = None
    base = False

    def note(self, entry, *, durable=False):
        super().note(entry, durable=durable)
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Killed

    def save_part(self, name, arrays):
        super().save_part(name, arrays)
        if self.base:
            raise Killed


def ask_larger(keep):
    return make_request(size=PixelSize(288, 192), method=CohesiveMethod(keep=keep))


@functools.cache
def draw_undisturbed(keep):
    return run(ask_larger(keep), make_given())[0].picture.tobytes()


# What keeps detail reads the picture at every level.
@pytest.mark.parametrize(
    ("dies_at", "keep"), [*((place, 1.0) for place in ("base", 1, 2, 7, 25, 40)), (7, 0.0), (40, 0.0)]
)
def test_a_stopped_picture_goes_on_to_the_same_bytes(tmp_path, dies_at, keep):
    request, given, wanted = ask_larger(keep), make_given(), draw_undisturbed(keep)
    space = Mortal(tmp_path / "work", {"request": "one"}, resume=False)
    space.base, space.left = dies_at == "base", dies_at if dies_at != "base" else None
    with pytest.raises(Killed):
        run(request, given, space=space)
    space.close()
    again = DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=True)
    assert run(request, given, space=again)[0].picture.tobytes() == wanted
    assert not (tmp_path / "work" / "source.pixels").exists()
    again.close()


def make_dotted(size=SMALL):
    """Return a picture of dots that the model cannot draw: its cells have one colour each."""
    pixels = np.full((*size.shape_hw, 3), 120, np.uint8)
    pixels[3::8, 3::8] = 250
    return SourcePicture(size, lambda: iter([pixels]))


@pytest.mark.parametrize("size", [LARGE, PixelSize(288, 192)])
def test_what_the_picture_shows_sharply_is_kept_through_all_levels(size):
    given = make_dotted()
    enlarged = Image.fromarray(next(given.walk())).resize((size.width, size.height), Image.Resampling.LANCZOS)
    gaps = []
    for keep in (0.0, 1.0):
        result, _, _ = run(make_request(size=size, method=CohesiveMethod(keep=keep, guard=False)), given)
        gaps.append(np.abs(np.asarray(result.picture, float) - np.asarray(enlarged, float)).mean())
    assert gaps[1] < 0.5 * gaps[0]


def test_the_given_picture_is_dropped_once_the_last_level_is_finished(tmp_path):
    space = DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=False)
    run(make_request(), make_given(), space=space)
    assert not (tmp_path / "work" / "source.pixels").exists()
    assert (tmp_path / "work" / "level1-pixels.pixels").exists()


def test_a_look_that_is_no_picture_is_an_error_of_the_model():
    with pytest.raises(ModelError):
        run(make_request(), make_given(), FailsAtOnce())


class FailsAtOnce(GaussianModel):
    """A model whose first prediction fails, as the real one does where numbers leave its type."""

    def denoise_guided(self, *given, **more):
        raise ModelError("the denoiser gave numbers that are no picture")
