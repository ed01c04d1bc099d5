"""Twelve real pictures halved and doubled again by the product, beside Lanczos: which looks more like the truth.

Writes a sheet of each picture: the truth, the halved picture, Lanczos, the product. The verdict by eye is not in here.
Start reading at `run_evaluate_upscale`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sfumato.core.cards import align
from sfumato.core.geometry import PixelSize
from sfumato.lab.upscale.pictures import load_pictures
from sfumato.models.measures.perceptual import PerceptualDistance
from sfumato.workflows.enlarge.enlarge import enlarge
from sfumato.workflows.enlarge.rehearse import enlarge_plainly, halve, stack_pictures
from sfumato.workflows.prepare import check_folder

if TYPE_CHECKING:
    from sfumato.core.resampling import Pixels

OnPicture = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleRow:
    """One picture: perceptual distances and PSNR in dB to the truth, by the product and by Lanczos."""

    picture: str
    upscaler: str
    network: float
    lanczos: float
    network_db: float
    lanczos_db: float
    faults: tuple[str, ...]

    @property
    def is_nearer(self) -> bool:
        """Tell whether the product looks more like the truth than Lanczos."""
        return self.network < self.lanczos

    def to_json(self) -> dict[str, object]:
        """Return the row as JSON values."""
        return {
            "picture": self.picture,
            "upscaler": self.upscaler,
            "perceptual": round(self.network, 5),
            "perceptual_lanczos": round(self.lanczos, 5),
            "psnr_db": round(self.network_db, 2),
            "psnr_lanczos_db": round(self.lanczos_db, 2),
            "nearer": self.is_nearer,
            "faults": list(self.faults),
        }


def run_evaluate_upscale(
    out: Path, *, upscaler: str | None = None, on_picture: OnPicture = lambda *_: None
) -> list[UpscaleRow]:
    """Halve and double the twelve pictures, write a sheet of each into `out`, and return a row of each.

    Without `upscaler` the product chooses for each halved picture. Takes about two minutes of a core.

    Raises:
        ModelError: a part was not fetched.
        StorageError: `out` cannot be written.
    """
    check_folder(out)
    distance, pictures = PerceptualDistance(), list(load_pictures())
    rows: list[UpscaleRow] = []
    for number, (name, truth) in enumerate(pictures):
        on_picture(number, len(pictures))
        small = out / f"{number + 1:02}-small.png"
        Image.fromarray(halve(truth)).save(small)
        done = enlarge(small, PixelSize(truth.shape[1], truth.shape[0]), upscaler=upscaler)
        found, plain = np.asarray(done.image), enlarge_plainly(halve(truth))
        _write_sheet(out / f"{number + 1:02}-sheet.png", truth, plain, found)
        one, other = distance.measure(stack_pictures([found, plain]), stack_pictures([truth, truth]))
        rows.append(
            UpscaleRow(
                picture=name,
                upscaler=Path(done.request.upscaler).name,
                network=one,
                lanczos=other,
                network_db=_measure_psnr(found, truth),
                lanczos_db=_measure_psnr(plain, truth),
                faults=done.check.faults if done.check else (),
            )
        )
    on_picture(len(pictures), len(pictures))
    return rows


def write_table(rows: Sequence[UpscaleRow]) -> str:
    """Write the rows for people, and how many are nearer to the truth than Lanczos."""
    head = ("picture", "by", "perceptual", "Lanczos", "PSNR", "Lanczos", "nearer", "check")
    lines = [
        (
            row.picture,
            row.upscaler,
            f"{row.network:.4f}",
            f"{row.lanczos:.4f}",
            f"{row.network_db:.2f}",
            f"{row.lanczos_db:.2f}",
            "yes" if row.is_nearer else "no",
            "failed" if row.faults else "-",
        )
        for row in rows
    ]
    nearer = sum(row.is_nearer for row in rows)
    return "\n".join([*align([head, *lines]), f"nearer to the truth than Lanczos: {nearer} of {len(rows)}"])


def _write_sheet(path: Path, *pictures: Pixels) -> None:
    Image.fromarray(np.concatenate(pictures, axis=1)).save(path)


def _measure_psnr(one: Pixels, other: Pixels) -> float:
    mean = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 99.0 if mean == 0.0 else float(10.0 * np.log10(255.0**2 / mean))
