"""Truth: the tree of parts of a drawn picture, with masks, boxes and states at the drawn size.

A part is named by its path, such as `person1/arm_left/hand/index/segment2`. Its mask is the union of its own visible
pixels and those of everything below it. It knows nothing of drawing. Start reading at `Truth`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

STATES = ("visible", "folded", "occluded", "out-of-frame", "absent")


@dataclass
class PartTree:
    """Collects parts while a picture is drawn: each path gets an id, each id may carry facts."""

    paths: list[str] = field(default_factory=lambda: [""])
    facts: dict[str, dict[str, object]] = field(default_factory=dict)
    _ids: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, **facts: object) -> int:
        """Return the id of a part, made on first use; facts are merged into what is known of it."""
        part = self._ids.get(path)
        if part is None:
            part = len(self.paths)
            self.paths.append(path)
            self._ids[path] = part
        if facts:
            self.facts.setdefault(path, {}).update(facts)
        return part


@dataclass(frozen=True)
class Truth:
    """What is in a picture: `ids` uint16 [H, W] holds the topmost part of each pixel, `paths[id]` its name."""

    ids: NDArray[np.uint16]
    paths: tuple[str, ...]
    facts: dict[str, dict[str, object]]

    def mask(self, path: str) -> NDArray[np.bool_]:
        """Return the visible pixels of a part and of all parts below it, bool [H, W]."""
        wanted = [i for i, name in enumerate(self.paths) if i and (name == path or name.startswith(path + "/"))]
        table = np.zeros(len(self.paths), np.bool_)
        table[wanted] = True
        return table[self.ids]

    def box(self, path: str) -> tuple[int, int, int, int] | None:
        """Return (left, top, right, bottom) in pixels of the visible part, or None where nothing shows."""
        return _find_box(self.mask(path))

    def state(self, path: str) -> str:
        """Return one of STATES for a part; parts never drawn are absent."""
        return str(self.facts.get(path, {}).get("state", "visible" if path in self.paths else "absent"))

    def names(self, under: str = "") -> tuple[str, ...]:
        """List every part and every group of parts below `under`, parents before children."""
        found: dict[str, None] = {}
        for name in sorted({*self.paths[1:], *self.facts}):
            steps = name.split("/")
            for depth in range(1, len(steps) + 1):
                found.setdefault("/".join(steps[:depth]), None)
        return tuple(name for name in sorted(found) if not under or name == under or name.startswith(under + "/"))

    def to_json(self) -> dict[str, object]:
        """Return the tree as plain values: per part its id, box, visible area in pixels and facts."""
        areas = np.bincount(self.ids.ravel(), minlength=len(self.paths))
        own_ids = {name: i for i, name in enumerate(self.paths) if i}
        parts: dict[str, object] = {}
        for name in self.names():
            box = self.box(name)
            entry: dict[str, object] = {
                "id": own_ids.get(name, 0),
                "box": list(box) if box else None,
                "own_px": int(areas[own_ids[name]]) if name in own_ids else 0,
            }
            parts[name] = entry | self.facts.get(name, {})
        height, width = self.ids.shape
        return {"width_px": width, "height_px": height, "parts": parts}


def _find_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
