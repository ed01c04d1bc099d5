"""Which prompts draw something else on a new base: `promptset lock` and `promptset check`.

A lock keeps prompts, seeds and a description of each picture, not the pictures. A prompt has changed where the pictures
of two bases differ by more than seeds of one base do. Start reading at `lock_prompts`, then `check_prompts`.

Source: permutation test of two groups, Good 2005, Permutation, Parametric, and Bootstrap Tests of Hypotheses, chapter 3;
Benjamini and Hochberg 1995 (several prompts at once).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.core.errors import RequestError
from sfumato.core.files import check_path, expand_path, open_regular
from sfumato.core.request import RenderRequest
from sfumato.core.validate import check_int, check_text
from sfumato.customize.build import hash_base
from sfumato.customize.concept import read_json_file, write_json
from sfumato.models.load import load_model
from sfumato.workflows.personalize.likeness import read_pictures
from sfumato.workflows.personalize.score import draw_all

if TYPE_CHECKING:
    from sfumato.models.latent_model import LatentModel

FORMAT = 1
MOST_PROMPTS = 500
# Five seeds a base allow 252 ways to mix them: the smallest chance that can be seen is 1 in 126.
USUAL_SEEDS, LEAST_SEEDS, MOST_SEEDS = 5, 4, 8
STEPS = 12
# Of the prompts that are called changed, so many may be called so by chance.
FALSE_FRAC = 0.1
LONGEST_FILE_BYTES = 1 << 20
_CELLS = 8


@dataclass(frozen=True, kw_only=True)
class ChangedPrompt:
    """Hold what became of one prompt: `shift` is the distance between bases over the distance between seeds."""

    prompt: str
    shift: float
    chance: float
    changed: bool

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {"prompt": self.prompt, "shift": self.shift, "chance": self.chance, "changed": self.changed}


@dataclass(frozen=True, kw_only=True)
class PromptSetCheck:
    """Hold a check of all prompts, the most changed first; `same_base` tells that both bases have the same weights."""

    base: str
    same_base: bool
    rows: tuple[ChangedPrompt, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `promptset check --json` prints."""
        return {
            "base": self.base,
            "same_base": self.same_base,
            "changed": sum(row.changed for row in self.rows),
            "prompts": [row.to_json() for row in self.rows],
        }


def read_prompts(path: Path) -> list[str]:
    """Read a file with one prompt a line; lines that begin with # are notes.

    Raises:
        RequestError: there is none, or too many.
    """
    path = expand_path(path, what="the file of prompts")
    with open_regular(path, what="the file of prompts") as stream:
        lines = stream.read(LONGEST_FILE_BYTES).decode(errors="replace").splitlines()
    prompts = list(dict.fromkeys(line.strip() for line in lines if line.strip() and not line.startswith("#")))
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        do = f"Write 1 to {MOST_PROMPTS} prompts, one a line."
        raise RequestError("a file of prompts holds too few or too many", got=f"{len(prompts)} in {path}", do=do)
    return prompts


def lock_prompts(
    out: Path, prompts: Sequence[str], base: str, *, seeds: int = USUAL_SEEDS, steps: int = STEPS, device: str = "auto"
) -> dict[str, Any]:
    """Draw prompts on a base and keep what their pictures are like; return what was written.

    Raises:
        RequestError: a prompt or a number is wrong, or the file is there already.
        StorageError: the disk refuses.
    """
    out = expand_path(out, what="the locked prompts")
    check_path(out, what="the locked prompts")
    if out.exists():
        raise RequestError("there is a file of this name", got=str(out), do="Choose another name.")
    check_int("`seeds`", seeds, low=LEAST_SEEDS, high=MOST_SEEDS)
    check_int("`steps`", steps, low=1, high=1000)
    for prompt in prompts:
        check_text("a prompt", prompt, most=2000, empty=False)
    digest = hash_base(base)
    model = load_model(base, device=device, dtype="fp32")
    described = _describe_all(prompts, range(seeds), steps, base, model)
    native = model.contract.native
    lock = {
        "format": FORMAT, "base": str(base), "base_sha256": digest, "seeds": seeds, "steps": steps,
        "size": [native.width, native.height], "prompts": list(prompts),
        "pictures": [[[round(float(v), 6) for v in one] for one in group] for group in described],
    }  # fmt: skip
    write_json(out, lock)
    return lock


def check_prompts(path: Path, base: str, *, device: str = "auto") -> PromptSetCheck:
    """Draw locked prompts on another base and say which changed.

    Raises:
        RequestError: the base draws at another native size.
        StorageError: the lock cannot be read.
    """
    lock = read_json_file(expand_path(path, what="the locked prompts"), what="the locked prompts")
    try:
        if lock["format"] != FORMAT:
            raise RequestError("the lock was written by another version", got=str(path), do="Lock the prompts again.")
        prompts, seeds, steps = list(map(str, lock["prompts"])), int(lock["seeds"]), int(lock["steps"])
        before = np.asarray(lock["pictures"], np.float64)
        size, digest = tuple(lock["size"]), str(lock["base_sha256"])
    except (TypeError, KeyError, ValueError) as error:
        raise RequestError(
            "the locked prompts cannot be read", got=f"{path}: {error}", do="Lock them again."
        ) from error
    model = load_model(base, device=device, dtype="fp32")
    native = model.contract.native
    if (native.width, native.height) != size:
        got = f"{native}, locked at {size[0]}x{size[1]}"
        raise RequestError("the base draws at another native size", got=got, do="Lock prompts on a base of this size.")
    after = _describe_all(prompts, range(seeds), steps, base, model)
    return compare(prompts, before, after, base=base, same_base=hash_base(base) == digest)


def compare(
    prompts: Sequence[str], before: NDArray[np.float64], after: NDArray[np.float64], *, base: str, same_base: bool
) -> PromptSetCheck:
    """Compare descriptions [prompts, seeds, numbers] of two bases.

    Seeds of both bases are mixed in every way; the chance is the share of mixtures whose halves lie as far apart.
    """
    found: list[tuple[str, float, float]] = []
    for prompt, old, new in zip(prompts, before, after, strict=True):
        chance = _find_chance(old, new)
        spread = np.mean([np.linalg.norm(a - b) for a, b in combinations(old, 2)])
        shift = float(np.linalg.norm(new.mean(axis=0) - old.mean(axis=0)) / max(float(spread), 1e-9))
        found.append((prompt, shift, chance))
    limit = _find_limit([chance for _, _, chance in found])
    rows = [
        ChangedPrompt(prompt=prompt, shift=round(shift, 3), chance=round(chance, 4), changed=chance <= limit)
        for prompt, shift, chance in sorted(found, key=lambda row: (row[2], -row[1]))
    ]
    return PromptSetCheck(base=base, same_base=same_base, rows=tuple(rows))


def _find_chance(old: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    every = np.concatenate([old, new])
    count = len(old)
    whole = every.sum(axis=0)

    def measure(places: tuple[int, ...]) -> float:
        part = every[list(places)].sum(axis=0)
        return float(np.linalg.norm(part / count - (whole - part) / (len(every) - count)))

    seen = measure(tuple(range(count)))
    gaps = [measure(places) for places in combinations(range(len(every)), count)]
    return float(np.mean([gap >= seen * (1 - 1e-9) for gap in gaps]))


def _find_limit(chances: Sequence[float]) -> float:
    """Return the largest chance that counts as a change, so that few of many prompts are called so for nothing."""
    ordered = sorted(chances)
    allowed = [c for rank, c in enumerate(ordered, 1) if c <= FALSE_FRAC * rank / len(ordered)]
    return max(allowed, default=-1.0)


def _describe_all(
    prompts: Sequence[str], seeds: Sequence[int], steps: int, base: str, model: LatentModel
) -> NDArray[np.float64]:
    """Return what pictures are like: [prompts, seeds, numbers]; features of mini's reader, else small pictures."""
    contract = model.contract
    request = RenderRequest(prompt="-", size=contract.native, guidance=contract.guidance, model=str(base), steps=steps)
    pictures = draw_all(list(prompts), "", list(seeds), request, model)
    readings = read_pictures(pictures)
    small = (
        np.stack(
            [
                np.asarray(Image.fromarray(one).resize((_CELLS, _CELLS), Image.Resampling.BOX), np.float64)
                for one in pictures
            ]
        ).reshape(len(pictures), -1)
        / 255
    )
    described = small if readings is None else _join(small, np.asarray(readings.features, np.float64))
    return described.reshape(len(prompts), len(seeds), -1)


def _join(small: NDArray[np.float64], features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put both descriptions side by side, each of unit mean length, so that neither drowns the other."""
    return np.hstack([one / max(float(np.linalg.norm(one, axis=1).mean()), 1e-9) for one in (small, features)])
