"""Judge the pictures of one prompt: measures and objects of each beside the common base, kept once made.

Joins measures, objects, detector and store. Start reading at `Judge.judge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sfumato.core.errors import ModelError
from sfumato.core.geometry import PixelSize
from sfumato.core.serialize import Json
from sfumato.critic.detector.detector import SHIPPED, load_detector
from sfumato.critic.picture.base_comparison import crop_base
from sfumato.lab.hires.measures import StepLines, join_lines, measure_picture
from sfumato.lab.hires.methods import DRAWN
from sfumato.lab.hires.objects import (
    MAYBE_SHARE,
    SeenObject,
    Watcher,
    count_excess,
    count_kinds,
    find_objects,
    join_known,
    list_lost,
    list_phantoms,
)
from sfumato.lab.hires.prompts import ScenePrompt, draw_scene_of
from sfumato.lab.hires.store import Record, Store, digest_folder, make_key

# Raised when the same picture would be measured differently than before.
JUDGE_VERSION = 4
# How strongly the enlarged base is sharpened for the last look at it, in percent of what a blur as wide as one of its
# pixels takes away: about as crisp as the results are.
SHARPEN_PERCENT = 150


@dataclass(frozen=True, eq=False)
class Case:
    """Hold one prompt at one size, and the lines of its base and of every method's picture."""

    prompt: ScenePrompt
    size: PixelSize
    base: Record
    made: Mapping[str, Record]


@dataclass(frozen=True, eq=False)
class Judge:
    """Judge pictures of a store, with or without a watcher for objects. A leaf."""

    store: Store
    watcher: Watcher | None = None

    def judge(self, case: Case) -> dict[str, Record]:
        """Return the measures of every picture of a case."""
        keys = {name: self._key(record["key"], find_case_lines(name, case)) for name, record in case.made.items()}
        known = {name: self.store.find_judged(key) for name, key in keys.items()}
        found = {name: record for name, record in known.items() if record is not None}
        if len(found) < len(keys):
            bench = self._look(case)
            for name in keys.keys() - found.keys():
                found[name] = self.store.add_judged(keys[name], self._judge_one(name, case, bench))
        return {name: found[name] for name in case.made}

    def find(self, case: Case) -> dict[str, Record]:
        """Return the measures of a case that are known already."""
        found = {
            name: self.store.find_judged(self._key(record["key"], find_case_lines(name, case)))
            for name, record in case.made.items()
        }
        return {name: record for name, record in found.items() if record is not None}

    def _key(self, picture: str, lines: StepLines) -> str:
        watching = self.watcher.name if self.watcher else "nobody"
        where: list[Json] = [list(each) for each in lines.to_json()]
        return make_key({"picture": picture, "judge": JUDGE_VERSION, "watcher": watching, "lines": where})

    def _look(self, case: Case) -> _Bench:
        """Look at the base once for all methods; of the drawn scene the base is drawn too."""
        base = self.store.load(case.base["key"])
        # Drawn at another aspect a scene is composed otherwise.
        shown = crop_base(base, (case.size.width, case.size.height))
        drawn = Image.fromarray(draw_scene_of(case.prompt, PixelSize(*shown.size)))
        return _Bench(self._see(base, case.size), self._see(drawn, case.size))

    def _see(self, base: Image.Image, size: PixelSize) -> _Seen:
        """Look at a base as it is, enlarged, and enlarged and sharpened: a smear that only gets crisp is nobody new."""
        if self.watcher is None:
            return _Seen(base, (), ())
        sides = (size.width, size.height)
        shown = crop_base(base, sides)
        small = find_objects(self.watcher, np.asarray(shown), sides)
        large = shown.resize(sides, Image.Resampling.LANCZOS)
        crisp = large.filter(ImageFilter.UnsharpMask(size.width / shown.width, SHARPEN_PERCENT, threshold=0))
        known = small
        for view in (large, crisp):
            known = join_known(known, find_objects(self.watcher, np.asarray(view), sides))
        return _Seen(base, small, known)

    def _judge_one(self, name: str, case: Case, bench: _Bench) -> Record:
        seen = bench.drawn if name == DRAWN else bench.base
        picture = self.store.load(case.made[name]["key"])
        record = measure_picture(picture, seen.base, find_case_lines(name, case))
        if self.watcher is not None:
            record |= self._count(np.asarray(picture), seen, case)
        return record

    def _count(self, picture: NDArray[np.uint8], seen: _Seen, case: Case) -> Record:
        assert self.watcher is not None, "only a watcher counts"
        sides = (case.size.width, case.size.height)
        found = find_objects(self.watcher, picture, sides)
        # At matching scale: what is as large as it was in the base is looked for as it was there.
        small = Image.fromarray(picture).resize(crop_base(seen.base, sides).size, Image.Resampling.BOX)
        shown = (*found, *find_objects(self.watcher, np.asarray(small), sides))
        sure = [one for one in shown if one.sure]
        return {
            "phantoms": [one.to_json() for one in list_phantoms(found, seen.known)],
            "lost": [one.to_json() for one in list_lost(seen.small, shown)],
            "unsure": [one.to_json() for one in list_lost(seen.small, sure)],
            "held": sum(one.sure for one in seen.small),
            "counts": count_kinds(found),
            "excess": count_excess(found, case.prompt.most),
            "people": [one.to_json() for one in found if one.kind == "person" and one.sure][:4],
        }


@dataclass(frozen=True, eq=False)
class _Seen:
    """A base, what is in it at its own size, and what may be in it at any size."""

    base: Image.Image
    small: tuple[SeenObject, ...]
    known: tuple[SeenObject, ...]


@dataclass(frozen=True, eq=False)
class _Bench:
    """The base that was rendered and the one that was drawn."""

    base: _Seen
    drawn: _Seen


def find_case_lines(name: str, case: Case) -> StepLines:
    """Return where windows of a picture ended; for one without windows the lines of all others."""
    own = case.made[name].get("lines")
    others = [record["lines"] for record in case.made.values() if "lines" in record]
    return join_lines(others if own is None else [own])


def load_watcher(device: str = "cpu") -> Watcher | None:
    """Load the shipped detector with its doubts let through; None where there is none."""
    try:
        detector = load_detector(device=device)
    except ModelError:
        return None
    least = {str(kind): calibration.least for kind, calibration in detector.calibration.items()}
    doubts = {
        kind: replace(calibration, least=MAYBE_SHARE * calibration.least)
        for kind, calibration in detector.calibration.items()
    }
    return Watcher(replace(detector, calibration=doubts), least, digest_folder(SHIPPED))
