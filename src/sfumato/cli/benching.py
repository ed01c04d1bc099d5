"""`sfumato bench probe` and `sfumato bench forecast`: parse, measure, print.

Imports the workflows only when a command runs. Start reading at `bench_probe`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

_DEVICE = typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME")
_DTYPE = typer.Option("--dtype", help="auto, fp32, bf16, fp16.", metavar="NAME")


def bench_probe(
    model: Annotated[str, typer.Option("--model", help="mini, a diffusers folder, or a file.", metavar="REF")] = "mini",
    vae: Annotated[
        str | None, typer.Option("--vae", help="Autoencoder to use instead.", metavar="REF", show_default=False)
    ] = None,
    device: Annotated[str, _DEVICE] = "auto",
    dtype: Annotated[str, _DTYPE] = "auto",
) -> None:
    """Measure what a model costs here, for later plans: seconds and memory of its calls; last line JSON."""
    from sfumato.workflows.probe import run_probe

    words = ["sfumato bench probe", f"--model {model}", *([f"--vae {vae}"] if vae else [])]
    found = run_probe(model, vae=vae, device=device, dtype=dtype, command=" ".join(words))
    sys.stdout.write(f"{found.to_text()}\n{found.to_line()}\n")


def bench_forecast(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="mini (default), a folder, or a file; may be given again.", metavar="REF"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Steps of every render.", metavar="N")] = 8,
    methods: Annotated[
        str, typer.Option("--methods", help="Methods, with commas between them.", metavar="A,B")
    ] = "cohesive,gobig",
    dtype: Annotated[str, _DTYPE] = "auto",
) -> None:
    """Measure how far plans are off: probe, render a small set, compare; prints a card, last line JSON."""
    from sfumato.workflows.bench_forecast import Forecasts, run_bench_forecast

    chosen = tuple(name.strip() for name in methods.split(","))
    wanted = Forecasts(models=tuple(model or ["mini"]), steps=steps, methods=chosen, dtype=dtype)
    card = run_bench_forecast(wanted, on_render=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def bench_growth(
    sides: Annotated[
        str, typer.Option("--sides", help="Sides of the square pictures in pixels.", metavar="PX,PX")
    ] = "1024,2048,4096",
    steps: Annotated[int, typer.Option("--steps", help="Steps of every render.", metavar="N")] = 20,
    suffix: Annotated[str, typer.Option("--suffix", help="Format written: .png, .tif or .dzi.", metavar="S")] = ".tif",
    model: Annotated[str, typer.Option("--model", help="mini, a folder, or a file.", metavar="REF")] = "mini",
) -> None:
    """Measure that cost per pixel and memory do not follow the size; prints a table, last line JSON."""
    from sfumato.core.errors import RequestError
    from sfumato.workflows.bench_growth import run_bench_growth

    if not all(side.strip().isdecimal() for side in sides.split(",")):
        raise RequestError("--sides are whole numbers with commas between them", got=sides, do="Say 1024,2048.")

    def on_trial(done: int, trials: int) -> None:
        _count("trial", done, trials)

    wanted = tuple(int(side) for side in sides.split(","))
    bench = run_bench_growth(wanted, model=model, steps=steps, suffix=suffix, on_trial=on_trial)
    sys.stdout.write(f"{bench.to_text()}\n{bench.to_line()}\n")


def _count(what: str, done: int, count: int) -> None:
    sys.stderr.write(f"{what} {done} of {count}\n")
