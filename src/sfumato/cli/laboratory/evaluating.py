"""The commands that compare: each names its options, calls the workflow, and prints.

Knows no picture. Start reading at `evaluate_hires`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def evaluate_hires(
    pictures_4x: Annotated[
        int, typer.Option("--pictures-4x", help="Prompts at 4 times the native area.", metavar="N")
    ] = 24,
    pictures_16x: Annotated[int, typer.Option("--pictures-16x", help="At 16 times.", metavar="N")] = 60,
    pictures_64x: Annotated[int, typer.Option("--pictures-64x", help="At 64 times.", metavar="N")] = 8,
    pictures_wide: Annotated[int, typer.Option("--pictures-wide", help="At 36 times, 16:9.", metavar="N")] = 0,
    methods: Annotated[
        str, typer.Option("--methods", help="Which methods, with commas between.", metavar="NAMES")
    ] = "lanczos,gobig,txt2imghd,multidiffusion,demofusion,cohesive",
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Also cohesive with one part off at a time.", show_default=False)
    ] = False,
    pictures_ablation: Annotated[
        int, typer.Option("--pictures-ablation", help="Prompts of the ablation, at 16 times.", metavar="N")
    ] = 24,
    pictures_drawn: Annotated[
        int, typer.Option("--pictures-drawn", help="Bases that are drawn, with their truth, at 16 times.", metavar="N")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Which prompts, and the noise.", metavar="S")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            help="Begin no new prompt after that; the same command goes on.",
            metavar="M",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of pictures, results, tables and sheets.", metavar="DIR")
    ] = Path("out/hires"),
    model: Annotated[str, typer.Option("--model", help="mini, or a folder trained like it.", metavar="REF")] = "mini",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto, fp32, bf16, fp16.", metavar="NAME")] = "auto",
) -> None:
    """Compare the ways to a large picture on the same prompts, seeds and bases; prints a card for each size, last line JSON."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.lab.hires.run import HiresEvaluation, run_evaluate_hires

    counts = {"4x": pictures_4x, "16x": pictures_16x, "64x": pictures_64x, "wide": pictures_wide}
    wanted = HiresEvaluation(
        model=model,
        pictures={name: count for name, count in counts.items() if count},
        methods=tuple(name.strip() for name in methods.split(",") if name.strip()),
        ablations=ablations,
        ablation_pictures=pictures_ablation,
        drawn_bases=pictures_drawn,
        seed=seed,
        minutes=minutes,
        out=out,
        device=device,
        dtype=dtype,
    )
    cards = run_evaluate_hires(wanted, on_progress=_count)
    sys.stdout.write("".join(f"{card.to_text()}\n\n" for card in cards))
    print_json({"cards": [card.to_json() for card in cards]})


def evaluate_critic(
    n: Annotated[int, typer.Option("--n", help="Hands of each kind, drawn and 3-D.", metavar="N")] = 600,
    state: Annotated[
        Path, typer.Option("--state", help="Folder of the sets of hands; made on first use.", metavar="DIR")
    ] = Path(".state/mini/parser"),
    parser: Annotated[
        Path | None,
        typer.Option(
            "--parser", help="A trained parser's folder; left out: mini's.", metavar="DIR", show_default=False
        ),
    ] = None,
) -> None:
    """Judge the critic of hands on hands it never saw: counts, planted faults, false flags; last line JSON."""
    from sfumato.lab.critic.evaluate import CriticEvaluation, run_evaluate_critic

    card = run_evaluate_critic(CriticEvaluation(hands=n, state=state, folder=parser), on_progress=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def evaluate_repair(
    n: Annotated[int, typer.Option("--n", help="Labelled hands of each kind; half as many twins.", metavar="N")] = 200,
    renders: Annotated[int, typer.Option("--renders", help="Hands that mini repairs.", metavar="N")] = 8,
    baselines: Annotated[
        int, typer.Option("--baselines", help="Faults and right twins that ours and others repair.", metavar="N")
    ] = 0,
    k: Annotated[int, typer.Option("--k", help="Candidates of best of k.", metavar="K")] = 4,
    state: Annotated[
        Path, typer.Option("--state", help="Folder of the sets of hands; made on first use.", metavar="DIR")
    ] = Path(".state/mini/parser"),
    sheets: Annotated[
        Path | None, typer.Option("--sheets", help="Folder for before and after.", metavar="DIR", show_default=False)
    ] = None,
) -> None:
    """Judge the repair of hands: auditor, acceptance with truth, harm, and what mini mends; last line JSON."""
    from sfumato.lab.critic.evaluate_repair import RepairEvaluation, run_evaluate_repair

    wanted = RepairEvaluation(hands=n, renders=renders, baselines=baselines, k=k, state=state, sheets=sheets)
    card = run_evaluate_repair(wanted, on_progress=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def evaluate_filters(
    n: Annotated[int, typer.Option("--n", help="Hands that each way draws.", metavar="N")] = 24,
    k: Annotated[int, typer.Option("--k", help="Seeds of which the critic picks one.", metavar="K")] = 4,
    sheets: Annotated[
        Path | None, typer.Option("--sheets", help="Folder for a sheet.", metavar="DIR", show_default=False)
    ] = None,
) -> None:
    """Measure filters while rendering on hands that mini draws: what each removes, keeps and costs; last line JSON."""
    from sfumato.lab.critic.filters import FilterEvaluation, run_evaluate_filters

    card = run_evaluate_filters(FilterEvaluation(hands=n, k=k, sheets=sheets), on_progress=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def _count(what: str, done: int, count: int) -> None:
    sys.stderr.write(f"{done} of {count}: {what}\n")


def evaluate_focus(
    n: Annotated[int, typer.Option("--n", help="How many scenes, about two faces each.", metavar="N")] = 40,
    tiles: Annotated[int, typer.Option("--tiles", help="How many texture tiles.", metavar="N")] = 100,
    seed: Annotated[int, typer.Option("--seed", help="Which scenes.", metavar="S")] = 1,
    model: Annotated[str, typer.Option("--model", help="mini, or a folder trained like it.", metavar="REF")] = "mini",
    sheets: Annotated[
        Path | None,
        typer.Option("--sheets", help="Folder for sheets and records of faces.", metavar="DIR", show_default=False),
    ] = None,
    levels: Annotated[
        int, typer.Option("--levels", help="How many scenes to compare focus while sampling on.", metavar="N")
    ] = 0,
) -> None:
    """Measure focus on small faces of drawn scenes against their truth; prints a card, last line JSON."""
    from sfumato.lab.focus.run import FocusEvaluation, run_evaluate_focus

    wanted = FocusEvaluation(scenes=n, tiles=tiles, seed=seed, model=model, sheets=sheets, levels=levels)
    card = run_evaluate_focus(wanted, on_progress=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def evaluate_find(
    half: Annotated[
        str,
        typer.Option("--half", help="judge, or calibrate: the half on which the limits were chosen.", metavar="HALF"),
    ] = "judge",
    labels: Annotated[Path, typer.Option("--labels", help="The file of labels.", metavar="FILE")] = Path(
        "tests/labels/real.json"
    ),
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            help="Folder of the labelled pictures; left out: those of `sfumato parts get renders`.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Count faces, hands and persons that `find` finds, misses and makes up in public renders; last line JSON.

    The pictures are fetched once with `sfumato parts get renders`. Their labels lie in the repository.
    """
    from sfumato.lab.find.run import FindEvaluation, run_evaluate_find

    wanted = FindEvaluation(half=half, labels=labels, pictures=pictures)
    card = run_evaluate_find(wanted, on_progress=_count)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")


def evaluate_upscale(
    upscaler: Annotated[
        str | None,
        typer.Option(
            "--upscaler", help="A network; left out: the one that suits each.", metavar="NAME", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the sheets.", metavar="DIR")] = Path("out/upscale"),
) -> None:
    """Halve and double twelve real pictures beside Lanczos; prints a table, last line JSON.

    Needs `sfumato parts get`, and `sfumato parts get hopper renders`. A sheet shows the truth, Lanczos, the result.
    """
    from sfumato.cli.exit_codes import print_json
    from sfumato.lab.upscale.run import run_evaluate_upscale, write_table

    rows = run_evaluate_upscale(out, upscaler=upscaler, on_picture=lambda done, of: _count("pictures", done, of))
    sys.stdout.write(f"{write_table(rows)}\n")
    nearer = sum(row.is_nearer for row in rows)
    print_json({"evaluate": "upscale", "n": len(rows), "nearer": nearer, "rows": [row.to_json() for row in rows]})


def evaluate_customize(
    subjects: Annotated[int, typer.Option("--subjects", help="New people to teach.", metavar="N")] = 12,
    steps: Annotated[int, typer.Option("--steps", help="Steps of each training.", metavar="N")] = 250,
    probe: Annotated[
        bool, typer.Option("--probe", help="Fit and judge the probe of names instead.", show_default=False)
    ] = False,
    stop_rule: Annotated[
        bool, typer.Option("--stop-rule", help="Compare what the stop rule keeps with truth.", show_default=False)
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Compare planned memory with measured.", show_default=False)
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the sheets.", metavar="DIR")] = Path("out/customize"),
) -> None:
    """Teach new people by ours and by the usual recipes in one run; prints a card, last line JSON."""
    from sfumato.core.errors import RequestError
    from sfumato.lab.customize.memory import measure_memory
    from sfumato.lab.customize.probe import evaluate_probe
    from sfumato.lab.customize.proof import ProofOptions, evaluate_customize
    from sfumato.lab.customize.stopping import evaluate_stop_rule

    if sum((probe, stop_rule, memory)) > 1:
        do = "Choose one of them."
        raise RequestError("`probe`, `stop_rule` and `memory` are three measurements", got="more than one", do=do)

    def tell(said: str) -> None:
        sys.stderr.write(f"{said}\n")

    if probe:
        card, _ = evaluate_probe()
    elif stop_rule:
        card = evaluate_stop_rule(subjects, steps, on_event=tell)
    elif memory:
        card = measure_memory(on_event=tell)
    else:
        card = evaluate_customize(ProofOptions(subjects=subjects, steps=steps, out=out), on_event=tell)
    sys.stdout.write(f"{card.to_text()}\n{card.to_line()}\n")
