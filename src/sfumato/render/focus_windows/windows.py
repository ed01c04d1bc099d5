"""Windows that draw small parts of a level at two to four times its scale while the level itself is sampled.

Each window is a canvas of its own, of native size, over a few cells of the level. It walks the same noise levels with
words of its own. In every step its prediction is shrunk and fused into that of the level. The low bands of both are held
to what lies below. Then the sampler takes one step on the level, and one on each window. Knows boxes and words; no finder
and no journal. Start reading at `FocusWindows.ask`, then `Fused`.

Sources: fused predictions, Barbero Jimenez 2023, Mixture of Diffusers; partial start, Meng et al. 2022, SDEdit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sfumato.core.geometry import LatentBox, LatentSize
from sfumato.nn.bands import take_low
from sfumato.nn.samplers import make_sampler
from sfumato.nn.schedules import first_step, make_sigmas
from sfumato.render.cohesive.stages import settings_of
from sfumato.render.focus_windows.place import MOST_WINDOWS, choose_windows, cut_crop, fade_edges
from sfumato.render.focus_windows.records import (
    FocusWindow,
    WindowWalk,
    pack_outcomes,
    pack_window,
    to_tensors,
    unpack_outcome,
    unpack_target,
)
from sfumato.render.passes.focus_outcome import FocusOutcome, FocusWhileSampling
from sfumato.render.passes.focus_part import DrawnPart, lay_back, make_mask
from sfumato.render.sampling.pixels import from_bytes, to_bytes
from sfumato.render.sampling.prompt_schedule import PromptSchedule
from sfumato.render.sampling.run_steps import CanvasNoise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfumato.canvas.pixels import PixelStore
    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.resampling import FloatBox
    from sfumato.models.contract import ModelContract
    from sfumato.render.sampling.latent_rows import Planes
    from sfumato.render.sampling.run_steps import Work
    from sfumato.render.stages import Stage

# The noise of these windows must not repeat that of any level, look, trial or pass.
WINDOW_STAGES = 3 << 13


@dataclass(frozen=True, eq=False, kw_only=True)
class FusedPatch:
    """Hold what a window says of some cells of the level, [1, C, h, w], and how much of it counts there, [h, w]."""

    cells: LatentBox
    clean: Tensor
    share: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Fused:
    """Read the predictions of a level with those of its windows in them. A leaf; it writes nothing.

    So a step that is done again after a stop never fuses twice.
    """

    planes: Planes
    patches: tuple[FusedPatch, ...]

    def read(self, rows: slice) -> Tensor:
        """Return rows of the fused predictions, [C, rows, w]."""
        values = self.planes.read(rows)
        for patch in self.patches:
            box = patch.cells
            top, bottom = max(rows.start, box.top), min(rows.stop, box.bottom)
            if top >= bottom:
                continue
            here = (slice(top - rows.start, bottom - rows.start), slice(box.left, box.right))
            there = slice(top - box.top, bottom - box.top)
            old = values[:, here[0], here[1]]
            values[:, here[0], here[1]] = torch.lerp(old, patch.clean[0, :, there].to(old), patch.share[there].to(old))
        return values


def hold(predicted: Tensor, anchor: Tensor, lock: float) -> Tensor:
    """Return the prediction of a window with its low band held by `lock` to what lies below, [1, C, H, W].

    The level is held to the same, so both stay together. Its own latents are of another scale: enlarged ones, tried
    here, grew into patterns from step to step.
    """
    return predicted + lock * (take_low(anchor) - take_low(predicted))


@dataclass(frozen=True, eq=False, kw_only=True)
class FocusWindows:
    """Draw all windows of one level. A leaf.

    What is known lies in parts of the workspace: one for the windows, one for each question of two steps at most.
    """

    work: Work
    stage: Stage
    level: int
    space: Workspace
    focus: FocusWhileSampling
    _prompts: dict[str, PromptSchedule] = field(default_factory=dict[str, PromptSchedule])

    @property
    def _contract(self) -> ModelContract:
        return self.work.model.contract

    @cached_property
    def windows(self) -> tuple[FocusWindow, ...]:
        """Return the windows that were opened, read from the workspace."""
        known = self.space.load_part(self._name("windows"))
        if known is None:
            return ()
        tensors = to_tensors(known, self.work.model.device)
        count = int(np.asarray(known["count"], np.int64))
        return tuple(self._read_window(index, known, tensors) for index in range(count))

    def open(self, below: PixelStore, taken: FloatBox, reference: Planes) -> None:
        """Choose the windows and draw each up to the first step of the level, which grows from `reference`.

        The first steps of a window are its own: it may be drawn anew more strongly than the level.
        """
        targets = self.focus.place(below, taken, self.stage.canvas)
        chosen = choose_windows(targets, self.stage.canvas, self._contract)
        arrays: dict[str, NDArray[np.generic]] = {"count": np.array(len(chosen))}
        for index, (target, cells) in enumerate(chosen):
            fine = self._fine.to_pixels(self._contract.factor)
            crop = cut_crop(below, taken, self.stage.canvas, cells.to_pixels(self._contract.factor), fine)
            clean = self.work.model.encode_image(from_bytes(crop)).to(self.work.model.device)
            rows, columns = cells.slices_hw
            shrunk = self._shrink(clean, cells)
            rest = reference.read(rows)[None, :, :, columns] - shrunk
            arrays |= pack_window(index, target, cells, anchor=clean, rest=rest)
        self.space.save_part(self._name("windows"), arrays)
        self.__dict__.pop("windows", None)
        walks = {window.name: self._begin(window) for window in self.windows}
        self._save_walks(self._place(0, 0), walks, {})

    def ask(self, step: int, sweep: int, sigma: float, *, is_last: bool) -> None:
        """Ask every window in a sweep of a step of the level, at its noise level `sigma`.

        Reads the part of this question and writes that of the next one.
        """
        known = self._load_walks(self._place(step, sweep))
        walks, patches = dict[str, WindowWalk](), dict[str, Tensor]()
        for window in self.windows:
            walk = WindowWalk.from_tensors(window.name, known)
            predicted = self._predict(window, walk.asked, sigma, self._first + walk.state.index)
            held = hold(predicted, window.anchor, self._find_lock(sigma))
            patches[window.name] = self._shrink(held, window.cells) + window.rest
            walks[window.name] = walk.advance(held, self.work.request.sampler, self._noise(window))
        self._save_walks(self._place(step + 1, 0) if is_last else self._place(step, sweep + 1), walks, patches)

    def fuse(self, predictions: Planes, step: int, sweep: int, *, is_last: bool) -> Fused:
        """Return the predictions of the level with those of the windows in a sweep of a step."""
        known = self._load_walks(self._place(step + 1, 0) if is_last else self._place(step, sweep + 1))
        patches = tuple(
            FusedPatch(cells=window.cells, clean=known[f"{window.name}.patch"], share=window.share)
            for window in self.windows
            if f"{window.name}.patch" in known
        )
        return Fused(planes=predictions, patches=patches)

    def lay(self, pixels: PixelStore, steps: int) -> None:
        """Lay what the windows drew over the finished level, each part where the judge agrees; keep what became of each.

        The level holds it already as well as so few cells can: the pixels of the window hold more.
        """
        known, outcomes = self._load_walks(self._place(steps, 0)), list[FocusOutcome]()
        for window in self.windows:
            walk = WindowWalk.from_tensors(window.name, known)
            part = self._draw_part(window, self.work.model.decode(walk.state.x), pixels)
            reason = self.focus.judge(pixels, part)
            outcome = FocusOutcome(
                kind=window.target.kind,
                box=window.target.box,
                verdict="dropped" if reason else "kept",
                tries=1,
                strength=part.strength,
                reasons=(reason,) if reason else (),
                frame=part.frame,
                before=None if reason else part.before,
                after=None if reason else part.after,
                stage=self.stage.name,
            )
            outcomes.append(outcome)
            if not reason:
                pixels.write(part.frame, part.after)
        self.space.save_part(self._name("outcomes"), pack_outcomes(outcomes))

    def find_outcomes(self) -> tuple[FocusOutcome, ...]:
        """Return what became of every part of a finished level, its boxes in px of the level."""
        known = self.space.load_part(self._name("outcomes")) or {}
        return tuple(
            unpack_outcome(window, known, self.stage.name)
            for window in self.windows
            if f"{window.name}.reason" in known
        )

    def _draw_part(self, window: FocusWindow, decoded: Tensor, pixels: PixelStore) -> DrawnPart:
        frame = window.cells.to_pixels(self._contract.factor).clip(self.stage.canvas)
        before, target = pixels.read(frame), window.target
        drawn = to_bytes(decoded)
        small = Image.fromarray(drawn).resize((frame.width, frame.height), Image.Resampling.LANCZOS)
        share = make_mask(frame, target.core, oval=target.oval)
        # What the crop does not show cannot fade: the mask ends at the edge of the crop.
        share = fade_edges(share, frame, self.stage.canvas)
        size = (drawn.shape[1], drawn.shape[0])
        return DrawnPart(
            target=target,
            frame=frame,
            share=share,
            before=before,
            after=lay_back(before, np.asarray(small), share, max(target.box.width, target.box.height)),
            parent=np.asarray(Image.fromarray(before).resize(size, Image.Resampling.LANCZOS)),
            drawn=drawn,
            strength=self.focus.settings.strength,
        )

    def _begin(self, window: FocusWindow) -> WindowWalk:
        """Return a window after the steps that it takes alone, held to what lies below."""
        noise = self._noise(window)
        sampler = make_sampler(self.work.request.sampler)
        x = window.anchor + float(self._sigmas[0]) * noise.initial()
        state = sampler.start(x, self._sigmas)
        for _ in range(self.stage.first_step - self._first):
            step = self._first + state.index

            def denoise(x: Tensor, sigma: float, /, step: int = step) -> Tensor:
                predicted = self._predict(window, x, sigma, step)
                return hold(predicted, window.anchor, self._find_lock(sigma))

            state = sampler.step(state, denoise, noise.at)
        return WindowWalk(state=state, answers=(), asked=state.x)

    def _predict(self, window: FocusWindow, x: Tensor, sigma: float, step: int) -> Tensor:
        request, size = self.work.request, self._fine.to_pixels(self._contract.factor)
        words = window.target.prompt or request.prompt
        with self.focus.attach(words):
            if words not in self._prompts:
                self._prompts[words] = PromptSchedule(self.work.model, replace(request, prompt=words))
            wanted, unwanted = self._prompts[words].at_step(step, self.stage.steps, size)
            return self.work.model.denoise_guided(
                x, sigma, wanted, unwanted, request.guidance, rescale=request.guidance_rescale
            )

    def _shrink(self, clean: Tensor, cells: LatentBox) -> Tensor:
        """Return the prediction of a window in cells of the level: shown, shrunk as a picture, and encoded."""
        factor = self._contract.factor
        shown = Image.fromarray(to_bytes(self.work.model.decode(clean)))
        side = cells.size.to_pixels(factor)
        small = np.array(shown.resize((side.width, side.height), Image.Resampling.LANCZOS))
        return self.work.model.encode_image(from_bytes(small))

    def _noise(self, window: FocusWindow) -> CanvasNoise:
        return CanvasNoise(
            seed=self.work.request.seed,
            stage=WINDOW_STAGES + self.level * MOST_WINDOWS + window.index,
            boxes=(self._fine.box,),
            channels=self._contract.latent_channels,
            device=self.work.model.device,
        )

    def _find_lock(self, sigma: float) -> float:
        """Return how much of the low band of a window is held at a noise level: at first no less than of the level itself.

        It fades with the noise: layout is decided early, and what is held to the end pulls eyes back into blank skin.
        """
        most = max(self.focus.settings.lock, settings_of(self.work.request).lock)
        return most * sigma / float(self._sigmas[0])

    @cached_property
    def _first(self) -> int:
        """Return the first step of a window: earlier than the level's where focus is stronger."""
        return min(self.stage.first_step, first_step(self.stage.steps, self.focus.settings.strength))

    @cached_property
    def _sigmas(self) -> NDArray[np.float32]:
        return make_sigmas(self.work.request.schedule, self._contract.schedule, self.stage.steps)[self._first :]

    @cached_property
    def _fine(self) -> LatentSize:
        side = min(self._contract.native.to_latent(self._contract.factor).shape_hw)
        return LatentSize(side, side)

    def _name(self, what: str) -> str:
        return f"level{self.level}-focus-{what}"

    def _place(self, step: int, sweep: int) -> str:
        # Of a step all questions, of the next one the first: a power cut goes back no farther than the step before.
        return self._name(f"{step % 2}-{sweep}")

    def _save_walks(self, name: str, walks: dict[str, WindowWalk], patches: dict[str, Tensor]) -> None:
        tensors = {key: value for owner, walk in walks.items() for key, value in walk.to_tensors(owner).items()}
        tensors |= {f"{owner}.patch": patch for owner, patch in patches.items()}
        self.space.save_part(name, {key: value.detach().cpu().numpy() for key, value in tensors.items()})

    def _load_walks(self, name: str) -> dict[str, Tensor]:
        return to_tensors(self.space.load_part(name) or {}, self.work.model.device)

    def _read_window(
        self, index: int, known: dict[str, NDArray[np.generic]], tensors: dict[str, Tensor]
    ) -> FocusWindow:
        target, cells = unpack_target(index, known)
        frame = cells.to_pixels(self._contract.factor)
        share = fade_edges(make_mask(frame, target.core, oval=target.oval), frame, self.stage.canvas)
        factor = self._contract.factor
        mean = share.reshape(cells.height, factor, cells.width, factor).mean(axis=(1, 3))
        return FocusWindow(
            index=index,
            target=target,
            cells=cells,
            anchor=tensors[f"w{index}.anchor"],
            rest=tensors[f"w{index}.rest"],
            share=torch.from_numpy(mean.astype(np.float32)).to(self.work.model.device),
        )
