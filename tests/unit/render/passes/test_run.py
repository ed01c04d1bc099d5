"""A pass draws boxes of a finished picture anew: nothing else moves, it repeats to the byte, and it never loses the picture."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import CONTRACT, GaussianModel
from sfumato.canvas.pixels import MemoryPixels
from sfumato.canvas.workspace.disk_workspace import DiskWorkspace
from sfumato.canvas.workspace.workspace import MemoryWorkspace
from sfumato.core.geometry import PixelBox, PixelSize
from sfumato.core.request import CohesiveMethod, RenderRequest
from sfumato.render.passes.redraw_box import MOST_NATIVE_AREAS, PassProposal, find_frame
from sfumato.render.passes.run import RenderPass, run_pass

SIZE = PixelSize(320, 256)
REQUEST = RenderRequest(prompt="a cat", size=SIZE, steps=4, seed=5, method=CohesiveMethod())
BOX = PixelBox(130, 90, 170, 140)


def make_pixels():
    values = np.random.default_rng(0).integers(0, 256, (*SIZE.shape_hw, 3), dtype=np.uint8)
    return MemoryPixels(SIZE, values)


def propose(*boxes, **more):
    return tuple(PassProposal(box=box, strength=0.5, reason="a test", **more) for box in boxes or (BOX,))


@dataclass
class Judge:
    """Keeps what its list says, and remembers the squares."""

    verdicts: list[bool]
    squares: list[object] = field(default_factory=list)

    def __call__(self, pixels, squares):
        self.squares.append(squares)
        return self.verdicts[len(self.squares) - 1]


def run(proposals, judge=None, *, rounds=1, space=None, model=None, pixels=None):
    work = RenderPass(name="test", find=lambda *_: proposals, judge=judge or Judge([True] * rounds), rounds=rounds)
    steps = run_pass(work, pixels or make_pixels(), REQUEST, model or GaussianModel(), space or MemoryWorkspace())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def read(pixels):
    return pixels.read(pixels.size.box)


def test_only_the_box_and_a_soft_edge_change():
    pixels = make_pixels()
    before = read(pixels)
    result = run(propose(), pixels=pixels)
    after, (frame, _) = read(result.pixels), find_frame(propose()[0], SIZE, CONTRACT.native, CONTRACT.factor)
    outside = np.ones(SIZE.shape_hw, bool)
    outside[frame.slices_hw] = False
    assert np.array_equal(after[outside], before[outside])
    assert np.abs(after[BOX.slices_hw].astype(int) - before[BOX.slices_hw]).mean() > 5
    # At the edge of the frame next to nothing of the new pixels counts.
    edge = (slice(frame.top, frame.bottom), slice(frame.left, frame.left + 1))
    assert np.abs(after[edge].astype(int) - before[edge]).max() <= 10
    assert np.array_equal(read(pixels), before)
    assert [(one.number, one.kept, one.dropped) for one in result.rounds] == [(1, True, None)]


def test_it_repeats_to_the_byte_also_where_a_stopped_one_left_something(tmp_path):
    once = read(run(propose()).pixels)
    space = DiskWorkspace(tmp_path / "work", {"request": "one"}, resume=False)
    work = RenderPass(name="test", find=lambda *_: propose(), judge=Judge([True]))
    stopped = run_pass(work, make_pixels(), REQUEST, GaussianModel(), space)
    next(stopped)
    stopped.close()
    assert np.array_equal(read(run(propose(), space=space).pixels), once)
    space.close()


def test_the_noise_of_two_boxes_and_two_rounds_differs():
    flat = MemoryPixels(SIZE, np.full((*SIZE.shape_hw, 3), 128, np.uint8))
    left, right = PixelBox(64, 64, 96, 96), PixelBox(192, 64, 224, 96)
    both = read(run(propose(left, right), pixels=flat).pixels)
    assert not np.array_equal(both[left.slices_hw], both[right.slices_hw])
    first, second = (
        read(run(propose(left), Judge(kept), rounds=2, pixels=flat).pixels) for kept in ([True, False], [False, True])
    )
    assert not np.array_equal(first, second)


def test_what_the_judge_refuses_leaves_no_trace():
    space, pixels, judge = MemoryWorkspace(), make_pixels(), Judge([False, False])
    result = run(propose(), judge, rounds=2, space=space, pixels=pixels)
    assert result.pixels is pixels
    assert [one.kept for one in result.rounds] == [False, False]
    assert len(judge.squares) == 2
    assert all(any(square.find_overlap(BOX) for square in squares) for squares in judge.squares)


def test_no_proposal_ends_a_pass():
    pixels = make_pixels()
    result = run((), rounds=3, pixels=pixels)
    assert (result.pixels, result.rounds) == (pixels, ())


def test_a_model_that_fails_drops_the_round_and_ends_the_pass():
    pixels = make_pixels()
    result = run(propose(), rounds=3, model=GaussianModel(poison=2), pixels=pixels)
    assert result.pixels is pixels
    assert [one.kept for one in result.rounds] == [False]
    assert "no picture" in result.rounds[0].dropped


def test_drawing_starts_from_other_pixels_where_a_proposal_gives_some():
    black = propose(start=lambda box: np.zeros((box.height, box.width, 3), np.uint8))
    weak = [PassProposal(box=BOX, strength=0.25, reason="", start=one.start) for one in (*propose(), *black)]
    plain, dark = (read(run((one,)).pixels)[BOX.slices_hw].mean() for one in weak)
    assert dark < plain


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 300),
    st.integers(0, 240),
    st.integers(1, 320),
    st.integers(1, 256),
    st.sampled_from([1.0, 2.0, 4.0]),
)
def test_a_frame_holds_its_box_with_context_and_its_canvas_suits_the_model(left, top, width, height, scale):
    box = PixelBox(left, top, left + width, top + height).clip(SIZE)
    frame, canvas = find_frame(propose(box, scale=scale)[0], SIZE, CONTRACT.native, CONTRACT.factor)
    assert SIZE.box.contains(frame)
    assert frame.contains(box)
    assert canvas == canvas.round_up(CONTRACT.factor)
    assert canvas.area <= MOST_NATIVE_AREAS * CONTRACT.native.area * 1.2
    assert min(canvas.width, canvas.height) >= min(64, CONTRACT.native.width) - CONTRACT.factor
    if frame.left > 0 and frame.right < SIZE.width:
        assert frame.width >= box.width + 2 * CONTRACT.factor


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_box_is_drawn_at_native_size_or_larger(scale):
    model = GaussianModel()
    run(propose(PixelBox(150, 120, 158, 128), scale=scale), model=model)
    assert {call[1:3] for call in model.calls} == {CONTRACT.native.to_latent(8).shape_hw}
