"""The pixels of a finished level after some of its cells have changed: decoded, kept and held again where that shows.

Every step from cells to pixels reads a known way around, and works in squares or strips that are always the same; so
what is done again comes out as if all had been. A KL autoencoder, which normalises over the whole picture, moves every
pixel a little: there the squares are those of a whole decoding, and the rest stays as it was. Knows no windows and no
steps. Start reading at `Mending.run`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from sfumato.canvas.grid import find_squares
from sfumato.canvas.overlay import PatchedPixels, measure_own
from sfumato.canvas.workspace.workspace import Entry
from sfumato.core.geometry import PixelSize
from sfumato.core.memory import give_back_memory
from sfumato.models.autoencoder.kl_tiles import CoderCheckpoint
from sfumato.nn.tiled import Notes
from sfumato.render.cohesive.finish import Held, find_drifting, hold_colours
from sfumato.render.cohesive.journal import find_mark, say_mark
from sfumato.render.sampling.pixels import to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sfumato.canvas.pixels import PixelStore
    from sfumato.canvas.workspace.workspace import Workspace
    from sfumato.core.geometry import LatentBox, PixelBox
    from sfumato.nn.tiled import Mark
    from sfumato.render.cohesive.level import Level

    ReadCells = Callable[[LatentBox], NDArray[np.float32]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Finished:
    """Hold a finished picture: its pixels, what reads its clean cells [C, h, w], and it shrunk before colours were held."""

    pixels: PixelStore
    read: ReadCells
    shrunk: Tensor | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Mending:
    """Finish some squares of a level again, into canvases called `name`, under a number of its own in the journal. A leaf."""

    level: Level
    name: str
    index: int

    def find_squares(self, boxes: Sequence[LatentBox]) -> tuple[PixelBox, ...]:
        """Return the squares whose pixels change with the cells of some boxes."""
        model, size, found = self.level.work.model, self.level.stage.canvas, list["PixelBox"]()
        cells = size.to_latent(model.contract.factor)
        for box in boxes:
            shown = box.grow(model.decoder_reach_cells).clip(cells).to_pixels(model.contract.factor)
            if self.level.known is not None:
                shown = shown.grow(self.level.known.measure_margin(size)).clip(size)
            if self.level.method.hold:
                shown = find_drifting(size, PixelSize(*self.level.base.size), shown)
            found.append(shown)
        return find_squares(size, found)

    def open(self, before: PixelStore, squares: tuple[PixelBox, ...], what: str = "pixels") -> PatchedPixels:
        """Return a picture with squares of its own."""
        own = self.level.space.open_pixels(f"{self.name}-{what}", measure_own(squares))
        return PatchedPixels(before, squares, own)

    def is_done(self, entry: Entry | None) -> bool:
        """Tell whether an entry of the journal lies behind it."""
        return entry is not None and (cast("int", entry.words["stage"]) > self.index or self._is_noted(entry, "done"))

    def run(self, before: Finished, read: ReadCells, squares: tuple[PixelBox, ...], entry: Entry | None) -> None:
        """Make the pixels of squares from cells, on from where an entry says; what was before stays.

        Raises:
            ModelError: the autoencoder gave numbers that are no picture.
            StorageError: the disk refuses; what was noted can be resumed.
        """
        if self.is_done(entry):
            return
        pixels, margin = self.open(before.pixels, squares), 0
        if self.level.known is not None:
            margin = self.level.known.measure_margin(pixels.size)
        needed = find_squares(pixels.size, [square.grow(margin).clip(pixels.size) for square in squares])
        decoded = self.open(before.pixels, needed, "decoded") if self.level.finishes else pixels
        if not self._is_noted(entry, "hold"):
            self._decode(read, needed, decoded, entry)
        if self.level.finishes:
            self._finish(before, decoded, pixels, squares)
        pixels.flush()
        self._note("done")
        self.level.space.drop(f"{self.name}-decoded")

    def forget(self) -> None:
        """Remove its canvases."""
        for what in ("pixels", "decoded"):
            self.level.space.drop(f"{self.name}-{what}")

    def _decode(
        self, read: ReadCells, needed: tuple[PixelBox, ...], target: PatchedPixels, entry: Entry | None
    ) -> None:
        model, size = self.level.work.model, self.level.stage.canvas

        def read_cells(box: LatentBox) -> Tensor:
            return torch.from_numpy(read(box))[None].to(model.device)

        def write(box: PixelBox, decoded: Tensor) -> None:
            target.write(box, to_bytes(decoded))

        cells = size.to_latent(model.contract.factor)
        model.decode_into(read_cells, cells, write, self._keep(entry), needed)
        target.flush()
        self._note("hold")

    def _finish(
        self, before: Finished, decoded: PatchedPixels, pixels: PatchedPixels, squares: tuple[PixelBox, ...]
    ) -> None:
        """Write the decoded squares, known detail kept and colours held; from the start after a stop, as it is done in place."""
        if self.level.known is not None:
            self.level.known.keep(decoded, pixels, squares)
        else:
            for square in squares:
                pixels.write(square, decoded.read(square))
        if self.level.method.hold:
            assert before.shrunk is not None, "who holds colours keeps what they were held by"
            shrunk = hold_colours(
                pixels, (self.level.base, self.level.stage.shown), Held(shrunk=before.shrunk, squares=squares)
            )
            self.level.space.save_part(f"{self.name}-shrunk", {"shrunk": shrunk.numpy()})

    def _keep(self, entry: Entry | None) -> CoderCheckpoint | None:
        """Return what notes how far the autoencoder is; nothing where nothing outlives the process."""
        if self.level.space.folder is None:
            return None

        def note(mark: Mark) -> None:
            words, arrays = say_mark(mark)
            give_back_memory()
            self.level.space.note(Entry({"stage": self.index, "phase": "decode", **words}, arrays))

        notes = Notes(mark=find_mark(entry, self.index, "decode"), note=note)
        return CoderCheckpoint(notes=notes, folder=self.level.space.folder)

    def _is_noted(self, entry: Entry | None, phase: str) -> bool:
        return entry is not None and (entry.words["stage"], entry.words["phase"]) == (self.index, phase)

    def _note(self, phase: str) -> None:
        # Squares fit nothing that the whole left in the heap, nor the other way round.
        give_back_memory()
        self.level.space.note(Entry({"stage": self.index, "phase": phase}), durable=True)


def load_shrunk(space: Workspace, name: str) -> Tensor | None:
    """Return a picture shrunk before its colours were held, as a level or its mending kept it; None where they were not."""
    arrays = space.load_part(f"{name}-shrunk")
    return None if arrays is None else torch.from_numpy(arrays["shrunk"])
