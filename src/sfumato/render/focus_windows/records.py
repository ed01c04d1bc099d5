"""What is known of focus windows between two steps, and as arrays in a part of a workspace.

Knows tensors and arrays; asks no network. Start reading at `FocusWindow`, then `WindowWalk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfumato.core.geometry import LatentBox, PixelBox, PixelSize
from sfumato.nn.samplers import SamplerState, make_sampler
from sfumato.nn.samplers.replay import Question, advance_known
from sfumato.render.passes.focus_outcome import FocusOutcome
from sfumato.render.passes.focus_part import FocusTarget

if TYPE_CHECKING:
    from sfumato.render.sampling.run_steps import CanvasNoise


@dataclass(frozen=True, eq=False, kw_only=True)
class FocusWindow:
    """Hold one window: its part, its cells of the level, and what lay there before the first step.

    `anchor` [1, C, H, W] is the crop of what lies below at the window's size. `rest` [1, C, h, w] is what the level's
    reference has beyond that crop when it is shrunk and encoded alone: so an unchanged window changes nothing.
    `share` [h, w] says how much of the level is the window's: 0 beyond the part.
    """

    index: int
    target: FocusTarget
    cells: LatentBox
    anchor: Tensor
    rest: Tensor
    share: Tensor

    @property
    def name(self) -> str:
        """Return what its tensors are called by in a part of a workspace."""
        return f"w{self.index}"


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowWalk:
    """Hold where a window is on its way: the state of the sampler, its answers in this step, and what is asked next."""

    state: SamplerState
    answers: tuple[Tensor, ...]
    asked: Tensor

    def advance(self, answer: Tensor, sampler_name: str, noise: CanvasNoise) -> WindowWalk:
        """Return where it is after one more answer."""
        answers = (*self.answers, answer)
        after = advance_known(make_sampler(sampler_name), self.state, answers, noise.at)
        if isinstance(after, Question):
            return WindowWalk(state=self.state, answers=answers, asked=after.x)
        return WindowWalk(state=after, answers=(), asked=after.x)

    def to_tensors(self, name: str) -> dict[str, Tensor]:
        """Return everything as named tensors."""
        told = {f"{name}.state.{key}": value for key, value in self.state.to_tensors().items()}
        told |= {f"{name}.answer.{place}": answer for place, answer in enumerate(self.answers)}
        return told | {f"{name}.asked": self.asked}

    @classmethod
    def from_tensors(cls, name: str, tensors: dict[str, Tensor]) -> WindowWalk:
        """Return what `to_tensors` wrote."""
        head, answers = f"{name}.state.", sorted(key for key in tensors if key.startswith(f"{name}.answer."))
        state = {key.removeprefix(head): value for key, value in tensors.items() if key.startswith(head)}
        return cls(
            state=SamplerState.from_tensors(state),
            answers=tuple(tensors[key] for key in answers),
            asked=tensors[f"{name}.asked"],
        )


def show_at(outcome: FocusOutcome, canvas: PixelSize, final: PixelSize) -> FocusOutcome:
    """Return what became of a part of a level with its box in px of the last level; only there its pixels still lie."""
    if canvas == final:
        return outcome
    across, down, box = final.width / canvas.width, final.height / canvas.height, outcome.box
    sides = (box.left * across, box.top * down, box.right * across, box.bottom * down)
    return replace(outcome, box=PixelBox(*(round(side) for side in sides)), frame=None, before=None, after=None)


def pack_window(
    index: int, target: FocusTarget, cells: LatentBox, *, anchor: Tensor, rest: Tensor
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a window before its first step."""
    numbers = [*_list_sides(target.box), *_list_sides(target.core), *_list_sides(cells), int(target.oval)]
    return {
        f"w{index}.numbers": np.array(numbers, np.int64),
        f"w{index}.context": np.array(target.context, np.float64),
        f"w{index}.words": np.frombuffer(f"{target.kind}\n{target.prompt}".encode(), np.uint8),
        f"w{index}.anchor": anchor.detach().cpu().numpy(),
        f"w{index}.rest": rest.detach().cpu().numpy(),
    }


def unpack_target(index: int, known: dict[str, NDArray[np.generic]]) -> tuple[FocusTarget, LatentBox]:
    """Return the part and the cells of a window from its arrays."""
    numbers = [int(number) for number in np.asarray(known[f"w{index}.numbers"], np.int64)]
    kind, _, prompt = np.asarray(known[f"w{index}.words"], np.uint8).tobytes().decode().partition("\n")
    target = FocusTarget(
        kind=kind,
        box=PixelBox(*numbers[:4]),
        core=PixelBox(*numbers[4:8]),
        context=float(np.asarray(known[f"w{index}.context"], np.float64)),
        prompt=prompt,
        oval=bool(numbers[12]),
    )
    return target, LatentBox(*numbers[8:12])


def pack_outcomes(outcomes: Sequence[FocusOutcome]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of what became of the parts of a level."""
    arrays = dict[str, NDArray[np.generic]]()
    for index, one in enumerate(outcomes):
        arrays[f"w{index}.reason"] = np.frombuffer("\n".join(one.reasons).encode(), np.uint8)
        arrays[f"w{index}.strength"] = np.array(one.strength)
        if one.before is not None and one.after is not None and one.frame is not None:
            arrays |= {f"w{index}.before": one.before, f"w{index}.after": one.after}
            arrays[f"w{index}.frame"] = np.array(_list_sides(one.frame), np.int64)
    return arrays


def unpack_outcome(window: FocusWindow, known: dict[str, NDArray[np.generic]], stage: str) -> FocusOutcome:
    """Return what became of the part of a window."""
    name, is_kept = window.name, f"{window.name}.after" in known
    reason = np.asarray(known[f"{name}.reason"], np.uint8).tobytes().decode()
    frame = [int(side) for side in np.asarray(known[f"{name}.frame"], np.int64)] if is_kept else None
    return FocusOutcome(
        kind=window.target.kind,
        box=window.target.box,
        verdict="kept" if is_kept else "dropped",
        tries=1,
        strength=float(np.asarray(known[f"{name}.strength"], np.float64)),
        reasons=(reason,) if reason else (),
        frame=None if frame is None else PixelBox(*frame),
        before=np.asarray(known[f"{name}.before"], np.uint8) if is_kept else None,
        after=np.asarray(known[f"{name}.after"], np.uint8) if is_kept else None,
        stage=stage,
    )


def _list_sides(box: PixelBox | LatentBox) -> tuple[int, int, int, int]:
    return (box.left, box.top, box.right, box.bottom)


def to_tensors(arrays: dict[str, NDArray[np.generic]], device: torch.device) -> dict[str, Tensor]:
    """Return arrays as tensors, those in float32 on the device; single numbers are left out."""
    found = {name: torch.from_numpy(np.array(values)) for name, values in arrays.items() if values.ndim}
    return {name: value.to(device) if value.dtype == torch.float32 else value for name, value in found.items()}
