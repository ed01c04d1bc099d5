"""Ask a base about names, with pictures of their bearer or without: `concept probe`.

Start reading at `probe`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sfumato.core.errors import RequestError
from sfumato.core.files import expand_path, open_regular
from sfumato.customize.create import list_photos
from sfumato.customize.examples import load_native
from sfumato.customize.probe import MOST_NAMES, ProbedName, probe_ages, probe_names
from sfumato.models.describe import MINI
from sfumato.models.load import load_model

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.latent_model import LatentModel

LONGEST_FILE_BYTES = 1 << 20
MOST_PHOTOS = 8
# What to do about a name, by verdict.
ADVICE = {
    "known": "Say the name in prompts; nothing has to be taught.",
    "partly": "Try the rung inversion first: sfumato concept train NAME --rung inversion.",
    "unknown": "Teach it: sfumato concept new, then sfumato concept train.",
}


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """Say what to ask: one `name` or a file of `names`, one a line; `photos` is a folder of the bearer's pictures."""

    name: str = ""
    names: Path | None = None
    noun: str = "person"
    model: str = MINI
    photos: Path | None = None
    ages: bool = False
    seed: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        if bool(self.name) == (self.names is not None):
            do = "Give a name, or `names`, a file with one name a line."
            raise RequestError("a probe asks about one name or about a file of names", got=self.name, do=do)
        if self.ages and self.names is not None:
            raise RequestError("`ages` are asked of one name", got=str(self.names), do="Give the name alone.")


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """Hold the answers, the best known first (ages: in their order), and what asking cost."""

    options: ProbeOptions
    answers: tuple[ProbedName, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return what `concept probe --json` prints."""
        return {
            "model": self.options.model,
            "class": self.options.noun,
            "names": [one.to_json() for one in self.answers],
            "seconds": round(self.seconds, 1),
        }


def probe(options: ProbeOptions) -> ProbeResult:
    """Ask a base whether it knows names.

    Cost: with mini about 15 CPU seconds for the first name, and half a second for each further one.

    Raises:
        RequestError: a name, a file or a picture is wrong.
        ModelError: the base cannot be probed.
    """
    names = [options.name] if options.names is None else _read_names(options.names)
    photos = [] if options.photos is None else list_photos(expand_path(options.photos, what="the photos"))
    model = load_model(options.model, device=options.device, dtype="fp32")
    began = time.monotonic()
    latents = _encode(photos[:MOST_PHOTOS], model) if photos else None
    if options.ages:
        answers = probe_ages(model, options.name, options.noun, latents=latents, seed=options.seed)
    else:
        answers = probe_names(model, names, options.noun, latents=latents, seed=options.seed)
    return ProbeResult(options=options, answers=tuple(answers), seconds=time.monotonic() - began)


def _read_names(path: Path) -> list[str]:
    path = expand_path(path, what="the file of names")
    with open_regular(path, what="the file of names") as stream:
        lines = stream.read(LONGEST_FILE_BYTES).decode(errors="replace").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not 1 <= len(names) <= MOST_NAMES:
        do = f"Write 1 to {MOST_NAMES} names, one a line."
        raise RequestError("a file of names holds too few or too many", got=f"{len(names)} in {path}", do=do)
    return names


def _encode(photos: list[Path], model: LatentModel) -> Tensor:
    pixels = np.stack([np.asarray(load_native(path, model.contract.native)) for path in photos])
    scaled = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1.0).permute(0, 3, 1, 2)
    return model.encode_image(scaled.to(model.device)).float().clone()
