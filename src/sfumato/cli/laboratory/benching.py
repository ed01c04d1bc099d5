"""`sfumato bench probe`, `forecast`, `growth`, `coding`, `upscaler` and `shapes`: parse, measure, print.

Imports the workflows only when a command runs. Start reading at `bench_probe`.
"""

from __future__ import annotations

import sys
from pathlib import Path
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
    from sfumato.core.escape import write_command
    from sfumato.workflows.forecast.calibrate import run_probe

    words = ["sfumato", "bench", "probe", "--model", model, *(["--vae", vae] if vae else [])]
    found = run_probe(model, vae=vae, device=device, dtype=dtype, command=write_command(*words))
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
    from sfumato.lab.bench.forecast import Forecasts, run_bench_forecast

    wanted = Forecasts(models=tuple(model or ["mini"]), steps=steps, methods=_split(methods), dtype=dtype)
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
    from sfumato.lab.bench.scaling import run_bench_growth

    if not all(side.strip().isdecimal() for side in sides.split(",")):
        raise RequestError("--sides are whole numbers with commas between them", got=sides, do="Say 1024,2048.")

    def on_trial(done: int, trials: int) -> None:
        _count("trial", done, trials)

    wanted = tuple(int(side) for side in sides.split(","))
    bench = run_bench_growth(wanted, model=model, steps=steps, suffix=suffix, on_trial=on_trial)
    sys.stdout.write(f"{bench.to_text()}\n{bench.to_line()}\n")


def bench_coding(
    sizes: Annotated[
        str, typer.Option("--sizes", help="Sizes of the pictures in pixels.", metavar="WxH,WxH")
    ] = "1024x1024,4096x1024,8192x512",
    model: Annotated[str, typer.Option("--model", help="mini, a folder, or a file.", metavar="REF")] = "mini",
) -> None:
    """Measure memory and time of decoding and encoding pictures that pass by; prints a table, last line JSON."""
    from sfumato.core.geometry import PixelSize
    from sfumato.lab.bench.autoencoder import run_bench_coding

    def on_trial(done: int, trials: int) -> None:
        _count("trial", done, trials)

    bench = run_bench_coding([PixelSize.parse(size) for size in _split(sizes)], model=model, on_trial=on_trial)
    sys.stdout.write(f"{bench.to_text()}\n{bench.to_line()}\n")


def bench_upscaler(
    upscaler: Annotated[
        str,
        typer.Option("--upscaler", help="A part, or a .safetensors file of the ESRGAN family.", metavar="NAME|FILE"),
    ] = "x4plus",
    side: Annotated[int, typer.Option("--side", help="Side of the square that is enlarged.", metavar="PX")] = 64,
) -> None:
    """Measure an upscaling network by rows beside spandrel's: time, share of the matmul rate, difference."""
    from sfumato.lab.bench.upscaler import run_bench_upscaler

    bench = run_bench_upscaler(upscaler, side=side)
    sys.stdout.write(f"{bench.to_text()}\n{bench.to_line()}\n")


def bench_shapes(
    shapes: Annotated[
        str | None,
        typer.Option("--shapes", help="Shapes with random weights: sd15, sdxl (default: both).", metavar="A,B"),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="A diffusers folder instead; may be given again.", metavar="DIR"),
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Side of the square picture in pixels.", metavar="PX")] = 2048,
    steps: Annotated[int, typer.Option("--steps", help="Steps of the render.", metavar="N")] = 4,
    rows: Annotated[
        str, typer.Option("--rows", help="What to measure: probe, render, resume, call, decode.", metavar="A,B")
    ] = "probe,render,resume,call,decode",
    dtype: Annotated[str, _DTYPE] = "auto",
    device: Annotated[str, _DEVICE] = "auto",
    minutes: Annotated[float, typer.Option("--minutes", help="Most minutes of one process.", metavar="M")] = 60.0,
    most_gb: Annotated[
        float | None,
        typer.Option(
            "--most-gb",
            help="Most memory of one process (default: 0.9 of what is free).",
            metavar="GIB",
            show_default=False,
        ),
    ] = None,
    budget_gb: Annotated[
        float | None,
        typer.Option("--budget-gb", help="Budget of our render.", metavar="GIB", show_default=False),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option("--work", help="Keep checkpoints and rows that are done here.", metavar="DIR", show_default=False),
    ] = None,
) -> None:
    """Measure memory, time and resuming on true shapes beside diffusers at full size; prints tables, last line JSON."""
    from sfumato.lab.true_shapes.run import ShapesAsked, run_bench_shapes

    asked = ShapesAsked(
        shapes=() if shapes is None else _split(shapes),
        folders=tuple(model or ()),
        size_px=size,
        steps=steps,
        dtype=dtype,
        device=device,
        rows=_split(rows),
        minutes=minutes,
        most_gb=most_gb,
        budget_gb=budget_gb,
        work=work,
    )

    def on_row(name: str, row: str) -> None:
        sys.stderr.write(f"{name}: {row}\n")

    bench = run_bench_shapes(asked, on_row=on_row)
    sys.stdout.write(f"{bench.to_text()}\n{bench.to_line()}\n")


def _split(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(","))


def _count(what: str, done: int, count: int) -> None:
    sys.stderr.write(f"{what} {done} of {count}\n")
