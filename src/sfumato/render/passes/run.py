"""A pass: find boxes of a finished picture, draw them anew, keep the result if a judge says so.

Finder and judge are handed in, so nothing here knows what a fault is. Start reading at `RenderPass`, then `run_pass`;
docs/howto/add-a-pass.md shows one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch

from sfumato.canvas.grid import find_grid_boxes
from sfumato.canvas.overlay import OverlayPixels, measure_own
from sfumato.canvas.pixels import PixelStore
from sfumato.core.errors import BudgetError, ModelError, SfumatoError, StorageError
from sfumato.core.geometry import PixelBox
from sfumato.render.passes.redraw_box import PassProposal, draw_box, find_frame

if TYPE_CHECKING:
    from collections.abc import Generator

    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.request import RenderRequest
    from sfumato.models.latent_model import LatentModel
    from sfumato.render.progress import Progress

FindBoxes: TypeAlias = Callable[[PixelStore, int], Sequence[PassProposal]]
JudgeResult: TypeAlias = Callable[[PixelStore, Sequence[PixelBox]], bool]

# The noise of a pass must not repeat that of any level, look or trial, nor that of another round or box.
PASS_STAGES, ROUNDS_APART = 1 << 15, 1 << 10
# What a pass fails of without harm to the picture that is there.
_HARMLESS = (StorageError, BudgetError, ModelError, MemoryError, torch.OutOfMemoryError)


@dataclass(frozen=True, eq=False, kw_only=True)
class RenderPass:
    """Hold what a pass does.

    `find` gets the picture and the number of the round, from 1, and proposes boxes; none ends the pass. `judge` gets
    the picture after the round and the squares in which it differs, and tells whether it is kept. Both have to decide
    by pixels alone, so a resumed render decides alike. A round that is not kept is followed by another one.
    """

    name: str
    find: FindBoxes
    judge: JudgeResult
    rounds: int = 1


@dataclass(frozen=True, kw_only=True)
class PassRound:
    """State what one round did: its proposals, whether they were kept, its seconds, and why it was dropped, if it was."""

    number: int
    proposals: tuple[PassProposal, ...]
    kept: bool
    seconds: float
    dropped: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class PassResult:
    """Hold the picture after a pass, and its rounds."""

    pixels: PixelStore
    rounds: tuple[PassRound, ...]


def run_pass(
    work: RenderPass,
    pixels: PixelStore,
    request: RenderRequest,
    model: LatentModel,
    space: Workspace,
    *,
    window_batch: int = 1,
) -> Generator[Progress, None, PassResult]:
    """Run the rounds of a pass over a picture; yield the progress of every box. The picture itself is never written to.

    A stopped pass runs again from its beginning, with the same result. A round that the disk, the memory or the model
    has no room for is dropped and ends the pass: the picture stays as it was.
    """
    rounds: list[PassRound] = []
    for number in range(1, work.rounds + 1):
        proposals = tuple(work.find(pixels, number))
        if not proposals:
            break
        began, kept, dropped = time.monotonic(), False, None
        name = f"{work.name}{number}-pixels"
        try:
            after, squares = yield from _draw_round(
                proposals, pixels, request, model, space, name=name, number=number, window_batch=window_batch
            )
            kept = work.judge(after, squares)
            pixels = after if kept else pixels
        except _HARMLESS as error:
            dropped = str(error) if isinstance(error, SfumatoError) else "the memory is full"
        if not kept:
            space.drop(name)
        took = time.monotonic() - began
        rounds.append(PassRound(number=number, proposals=proposals, kept=kept, seconds=took, dropped=dropped))
        if dropped is not None:
            break
    return PassResult(pixels=pixels, rounds=tuple(rounds))


def _draw_round(
    proposals: tuple[PassProposal, ...],
    pixels: PixelStore,
    request: RenderRequest,
    model: LatentModel,
    space: Workspace,
    *,
    name: str,
    number: int,
    window_batch: int,
) -> Generator[Progress, None, tuple[PixelStore, tuple[PixelBox, ...]]]:
    """Draw all boxes of a round over the picture; return the picture after, and the squares in which it differs."""
    contract = model.contract
    frames = [find_frame(one, pixels.size, contract.native, contract.factor)[0] for one in proposals]
    squares = find_grid_boxes(pixels.size, frames)
    # What a stopped pass left is drawn anew.
    space.drop(name)
    after = OverlayPixels(pixels, squares, space.open_pixels(name, measure_own(squares)))
    for square in squares:
        after.write(square, pixels.read(square))
    single = replace(request, batch=1)
    for index, proposal in enumerate(proposals):
        stage = PASS_STAGES + number * ROUNDS_APART + index
        # Boxes may overlap: each starts from what the ones before it left.
        frame, drawn = yield from draw_box(after, proposal, single, model, noise_stage=stage, window_batch=window_batch)
        after.write(frame, drawn)
    after.flush()
    return after, squares
