"""The commands that train: each names its options, calls the workflow, and prints.

Knows no network. Start reading at `train_mini`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def train_mini(
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            help="pictures, vocabulary, teacher, autoencoder, latents, feed, unet, decoder, reader, detector, parser, pack, or all.",
            metavar="NAME",
        ),
    ] = "all",
    state: Annotated[
        Path, typer.Option("--state", help="Folder of checkpoints, logs and sample grids.", metavar="DIR")
    ] = Path(".state/mini"),
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="Budget; the learning rate falls to its end.", metavar="M", show_default=False),
    ] = None,
    open_ended: Annotated[bool, typer.Option("--open-ended", help="Train at a steady rate until stopped.")] = False,
    land_minutes: Annotated[
        float | None,
        typer.Option(
            "--land-minutes",
            help="From the newest state of --open-ended, let the rate fall for so long.",
            metavar="M",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Go on from the last checkpoint.")] = True,
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Start from these weights: a bundle, or mini.", metavar="DIR", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where pack writes the bundle. Left out: the folder mini below --state.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", help="How many pictures to draw.", metavar="N")] = 60_000,
    workers: Annotated[int, typer.Option("--workers", help="Processes that draw them.", metavar="N")] = 1,
    pace: Annotated[
        float, typer.Option("--pace", help="Pictures a second that a feed draws at most.", metavar="X")
    ] = 10.0,
) -> None:
    """Train mini, the embedded model, from the drawn world; stop and resume at will."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.lab.train_mini.run import run_train_mini
    from sfumato.lab.train_mini.stages import MiniTraining

    def report(row: dict[str, float | str]) -> None:
        sys.stderr.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")

    wanted = MiniTraining(
        state=state,
        minutes=minutes,
        open_ended=open_ended,
        land_minutes=land_minutes,
        resume=resume,
        init=init,
        pictures=pictures,
        workers=workers,
        pace=pace,
        report=report,
    )
    print_json({name: str(value) for name, value in run_train_mini(wanted, stage=stage, out=out).items()})
