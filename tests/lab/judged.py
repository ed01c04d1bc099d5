"""What is known of one judged picture, made up: a few plain measures, each to be chosen.

Start reading at `make_shown`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sfumato.core.cards import Measurement
from sfumato.lab.hires.rows import JudgedPicture

OBJECT = ("person", 0, 0, 1, 1, 0.9)


def make_shown(
    prompt: int, *, phantoms: int = 0, lost: int = 0, unsure: int = 0, held: int = 2, **measured: float
) -> JudgedPicture:
    """Make a picture with some sure objects in its base.

    `measured` may hold psnr, energy, on (a seam ratio), parts (lost of ten), contrast and foggy.
    """
    psnr, energy, on = (measured.get(name, usual) for name, usual in (("psnr", 30.0), ("energy", 100.0), ("on", 1.0)))
    judged = {
        "phantoms": [list(OBJECT)] * phantoms,
        "lost": [list(OBJECT)] * lost,
        "unsure": [list(OBJECT)] * unsure,
        "held": held,
        "excess": phantoms,
        "blobs": 0,
        "lattice": 1.0,
        "psnr_db": psnr,
        "drift": 0.5,
        "octaves": [energy],
        "small_parts": [measured.get("parts", 0), 10],
        "strongest_lost": 20.0 if measured.get("parts") else 0.0,
        "sharpness": [measured.get("contrast"), measured.get("foggy", 0.0)],
        "seams": [[1.0, 0.1], [1.0, None]],
        "seams_last": [[on, 0.3]] * 2,
        "seams_off": [[1.0, 0.1]] * 3,
    }
    made = {"seconds": 2.0, "peak_bytes": 2**20}
    return JudgedPicture(prompt, "crowd", made, judged, {}, 1.25)


def find_row(rows: Sequence[Measurement], end: str) -> Measurement:
    """Return the first row whose name ends so."""
    return next(row for row in rows if row.name.endswith(end))
