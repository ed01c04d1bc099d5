"""Options of the command line that say how a picture is changed: its mask, its sides, and variations of a seed.

Start reading at `EditOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sfumato.core.defaults import DEFAULTS
from sfumato.core.request_parts.edit import FILLS

_CHANGE, _PICTURE = "A picture that is changed", "The picture"


def _option(name: str, *, words: str, panel: str, meta: str | None = None) -> Any:
    return typer.Option(name, help=words, metavar=meta, show_default=False, rich_help_panel=panel)


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """Hold what was typed of a change; None where nothing was."""

    mask_blur: Annotated[
        int | None, _option("--mask-blur", words="Soften --mask by so many px.", panel=_CHANGE, meta="N")
    ] = None
    mask_fill: Annotated[
        str | None,
        _option(
            "--mask-fill",
            words=f"What stands under --mask before it is drawn: {', '.join(FILLS)} (default {DEFAULTS.mask_fill}).",
            panel=_CHANGE,
            meta="WORD",
        ),
    ] = None
    only_masked: Annotated[
        bool | None,
        typer.Option(
            "--only-masked",
            help="Draw the masked part alone, at --size or native size, and put it back.",
            show_default=False,
            rich_help_panel=_CHANGE,
        ),
    ] = None
    mask_padding: Annotated[
        int | None,
        _option(
            "--mask-padding",
            words=f"Room round the masked part that is drawn alone, in px (default {DEFAULTS.mask_padding}).",
            panel=_CHANGE,
            meta="N",
        ),
    ] = None
    outpaint: Annotated[
        str | None,
        _option(
            "--outpaint",
            words="Grow --init by so many px on each side, and draw what is new; one number grows all sides.",
            panel=_CHANGE,
            meta="LEFT,TOP,RIGHT,BOTTOM",
        ),
    ] = None
    style: Annotated[
        list[str] | None,
        _option(
            "--style", words="A named style of SFUMATO_STYLES; may be given several times.", panel=_PICTURE, meta="NAME"
        ),
    ] = None
    variation_seed: Annotated[
        int | None,
        _option("--variation-seed", words="Another seed, which --seed is varied towards.", panel=_PICTURE, meta="N"),
    ] = None
    variation_strength: Annotated[
        float | None,
        _option(
            "--variation-strength",
            words="How far, 0 to 1; picture i of a batch takes the variation seed + i.",
            panel=_PICTURE,
            meta="X",
        ),
    ] = None
    region: Annotated[
        list[str] | None,
        _option(
            "--region",
            words="A part of the picture with words of its own: left, right, top, bottom, middle, or LEFT,TOP,WIDTH,HEIGHT "
            "in shares of it; may be given several times.",
            panel=_PICTURE,
            meta="PLACE:WORDS",
        ),
    ] = None
    control: Annotated[
        list[str] | None,
        _option(
            "--control",
            words="A control network and its picture; a weight (default 1), a share of the steps as 0-0.8, canny for its edges, "
            "and prompt or control, which then leads, may follow; may be given several times.",
            panel=_PICTURE,
            meta="NETWORK:PICTURE[:W][:FROM-TO]",
        ),
    ] = None
    control_out: Annotated[
        Path | None,
        _option("--control-out", words="Write the picture that --control sees.", panel=_PICTURE, meta="FILE"),
    ] = None
    seamless: Annotated[
        str | None,
        _option(
            "--seamless",
            words="Sides that meet, so that copies lie beside each other without a seam: off, x, y or both (default off).",
            panel=_PICTURE,
            meta="WORD",
        ),
    ] = None


EDITS = frozenset(
    {
        "region",
        "control",
        "control_out",
        "seamless",
        "mask_blur",
        "mask_fill",
        "only_masked",
        "mask_padding",
        "outpaint",
        "variation_seed",
        "variation_strength",
        "style",
    }
)
