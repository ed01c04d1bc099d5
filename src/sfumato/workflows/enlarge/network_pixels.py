"""A picture enlarged by an ESRGAN network into pixels on the disk or in memory, gone on with where it was stopped.

Each pass fills one canvas of the workspace; the journal says how many rows of which panel are done. Knows no final
size. Start reading at `grow_pixels`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from sfumato.canvas.workspace.workspace import Entry, Workspace
from sfumato.core.geometry import PixelSize
from sfumato.models.upscaler.grown_rows import GrowthPlan, RowNetwork, grow, plan_growth

if TYPE_CHECKING:
    from sfumato.canvas.pixels import PixelStore
    from sfumato.core.resampling import ReadPixels

# Takes what share of the work is done, 0 to 1.
OnShare = Callable[[float], None]
# Work that a crash may lose. Noting costs a flush of what was written since.
NOTE_S = 5.0


def grow_pixels(
    network: RowNetwork,
    read: ReadPixels,
    source: PixelSize,
    least_width: float,
    workspace: Workspace,
    on_share: OnShare,
) -> PixelStore:
    """Enlarge a picture by as many passes as it takes to be `least_width` px wide, and return its pixels.

    Raises:
        ModelError: the network gave numbers that are no picture.
        StorageError: the disk refuses, or the work that was stopped is damaged.
    """
    plans = list_plans(network, source, least_width)
    at, first_panel, first_row = _read_entry(workspace.find_entry())
    total, before = sum(plan.size.area for plan in plans), 0
    store = workspace.open_pixels("pass0", plans[0].size)
    for number, plan in enumerate(plans):
        store = workspace.open_pixels(f"pass{number}", plan.size)
        if number >= at:
            growth = _GrowthPass(network, plan, number, workspace, store)
            start = (first_panel, first_row) if number == at else (0, 0)

            def share(done: int, offset: int = before) -> None:
                on_share((offset + done) / total)

            growth.run(read, panel=start[0], row=start[1], on_done=share)
        read = store.read
        before += plan.size.area
    return store


def list_plans(network: RowNetwork, source: PixelSize, least_width: float) -> list[GrowthPlan]:
    """Return the passes that a network takes to make a picture at least so wide: one, or more."""
    plans = [plan_growth(network, source)]
    while plans[-1].size.width < least_width:
        plans.append(plan_growth(network, plans[-1].size))
    return plans


class _GrowthPass:
    """One pass of a network over a picture. A leaf."""

    def __init__(
        self, network: RowNetwork, plan: GrowthPlan, number: int, workspace: Workspace, store: PixelStore
    ) -> None:
        self._network, self._plan, self._number = network, plan, number
        self._workspace, self._store = workspace, store

    def run(self, read: ReadPixels, *, panel: int, row: int, on_done: Callable[[int], None]) -> None:
        """Fill the canvas from a panel and a row of it on."""
        noted = time.monotonic()
        for piece in grow(self._network, read, self._plan, panel=panel, rows_done=row):
            self._store.write(piece.box, piece.pixels)
            left, right = self._plan.place_panel(piece.panel)
            scale = self._plan.scale
            on_done(left * scale * self._plan.size.height + (right - left) * scale * piece.rows_done)
            if time.monotonic() - noted > NOTE_S:
                self._note(self._number, piece.panel, piece.rows_done)
                noted = time.monotonic()
        self._note(self._number, self._plan.panels - 1, self._plan.size.height)

    def _note(self, number: int, panel: int, rows: int) -> None:
        self._store.flush()
        self._workspace.note(Entry({"pass": number, "panel": panel, "rows": rows}), durable=True)


def _read_entry(entry: Entry | None) -> tuple[int, int, int]:
    if entry is None:
        return 0, 0, 0
    at, panel, rows = (cast("int", entry.words[name]) for name in ("pass", "panel", "rows"))
    return at, panel, rows
