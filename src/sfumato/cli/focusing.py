"""`sfumato focus`, `repair` and `ledger`: parts or hands of a picture are drawn anew, the rest stays to the bit.

Imports the workflows only when a command runs. Start reading at `focus`, then `repair`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli.commands import Json
from sfumato.cli.options import UPSCALE_LACKS, RenderOptions, takes_options
from sfumato.cli.rendering import run_request, show_plan
from sfumato.core.errors import RequestError
from sfumato.core.escape import escape_controls

if TYPE_CHECKING:
    from sfumato.core.request import RenderRequest
    from sfumato.models.contract import ModelContract
    from sfumato.workflows.values import RequestValues


@dataclass(frozen=True, kw_only=True)
class PictureOptions(RenderOptions):
    """Hold what was typed after a command that works on a picture; what makes or sizes a picture stays None."""

    picture: Annotated[Path, typer.Argument(help="The picture.", metavar="PICTURE", show_default=False)]
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            help="What the picture shows; left out: as stored in the picture.",
            metavar="TEXT",
            show_default=False,
            rich_help_panel="The picture",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List every part, why it is taken or left, and what it costs.",
            rich_help_panel="Running",
            show_default=False,
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class FocusOptions(PictureOptions):
    """Hold what was typed after `focus`."""

    focus_detail: Annotated[
        int | None,
        typer.Option(
            "--focus-detail",
            help="2, 4 or 8: write a .dzi or .tif so many times as large, in which parts keep all detail.",
            metavar="N",
            show_default=False,
            rich_help_panel="The picture",
        ),
    ] = None


FOCUS_LACKS = UPSCALE_LACKS.union(
    ("size", "batch", "method", "upscaler", "overlap", "level_strength", "lock", "detail", "focus_when")
)


@takes_options(FocusOptions, without=FOCUS_LACKS)
def focus(options: FocusOptions) -> None:
    """Draw small faces, people or boxes of a picture anew at native size; what does not fit is dropped.

    Prompt, model and steps come from the picture where it carries them; options change them. --focus names kinds
    (default auto), --focus-box boxes. Outside the parts no pixel changes.
    """
    from sfumato.cli.read_options import check_options, read_values
    from sfumato.workflows.requests import make_focus_request

    check_options(options)
    values, stored, contract = read_picture_words(options.picture, read_values(options), what="focus")
    _work_on(options, make_focus_request(values, options.picture, contract, stored=stored), "focus")


def _work_on(options: PictureOptions, request: RenderRequest, name: str) -> None:
    """Run the request of a picture, or show its plan; `name` ends the file that nobody named."""
    from sfumato.cli.read_options import place_output

    request, run_options = place_output(options, request, f"{options.picture.stem} {name}")
    (show_plan if options.dry_run else run_request)(request, run_options, as_json=options.json)


def read_picture_words(
    picture: Path, values: RequestValues, *, what: str
) -> tuple[RequestValues, RenderRequest | None, ModelContract]:
    """Return the values completed by what a picture carries, its stored request, and the contract of the model.

    `what` names the command.

    Raises:
        RequestError: there is no such picture, or nobody names the model.
    """
    from sfumato.canvas.formats.images import read_texts
    from sfumato.models.describe import load_contract
    from sfumato.workflows.stored import read_stored

    stored = None
    if not picture.is_file():
        raise RequestError("there is no such picture", got=str(picture), do="Give a .png, .jpg, .webp or .tif.")
    texts = read_texts(picture)
    if "sfumato" in texts or "parameters" in texts:
        try:
            stored, values, left = read_stored(picture, values)
        except RequestError:
            # Enlarged without a model, or by another version: the picture is there all the same.
            left = ("what the picture says of how it was made",)
        sys.stderr.writelines(escape_controls(f"not honoured: {said}") + "\n" for said in left)
    model = values.model or (stored.model if stored else None)
    if model is None:
        do = "Name your checkpoint, or `model` mini for pictures of its own small world."
        raise RequestError(f"{what} needs a `model` that knows what the picture shows", do=do)
    contract = load_contract(model, vae=values.vae or (stored.vae if stored else None), prediction=values.prediction)
    return replace(values, model=model), stored, contract


@dataclass(frozen=True, kw_only=True)
class RepairOptions(PictureOptions):
    """Hold what was typed after `repair`."""

    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            help="A hand, instead of finding them; with a cause (extra, missing, fused, split, third-limb, wrong-side) it "
            "is worked on whatever the critic says. May be repeated.",
            metavar="X,Y,W,H[:CAUSE]",
            show_default=False,
            rich_help_panel="The picture",
        ),
    ] = None


REPAIR_LACKS = FOCUS_LACKS.union(("focus", "focus_box", "anatomy")) - {"unrepaired"}


@takes_options(RepairOptions, without=REPAIR_LACKS)
def repair(options: RepairOptions) -> None:
    """Draw hands that are surely wrong anew; one is put back only if the goof is gone and a second judge agrees.

    Prompt, model and steps come from the picture where it carries them; options change them. Hands that are right,
    licensed by the prompt, or not countable are left, and where nothing is put back no pixel changes. Every decision
    goes into the ledger.
    """
    from sfumato.cli.read_options import check_options, read_values
    from sfumato.workflows.requests import make_repair_request

    check_options(options)
    values, stored, contract = read_picture_words(options.picture, read_values(options), what="repair")
    request = make_repair_request(replace(values, anatomy=None), options.picture, contract, stored=stored)
    _work_on(options, request, "repair")


def ledger_show(
    last: Annotated[int, typer.Option("--last", help="How many entries, the newest last.", metavar="N", min=1)] = 20,
    json: Json = False,
) -> None:
    """List what was decided about hands, and check that every verdict comes out again from its numbers."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.repair.ledger import is_replayed, read_ledger

    ledger = read_ledger()
    entries = ledger.entries[-last:]
    replayed = {entry["id"]: all(is_replayed(one) for one in entry["hands"] if "evidence" in one) for entry in entries}
    if json:
        found = {
            "path": str(ledger.path),
            "entries": [{**entry, "replayed": replayed[entry["id"]]} for entry in entries],
            "damaged_lines": list(ledger.damaged),
            "broken_chain_at_lines": list(ledger.broken),
        }
        print_json(found)
        return
    for entry in entries:
        sys.stdout.write(escape_controls(_describe_entry(entry, is_same=replayed[entry["id"]])) + "\n")
    sys.stdout.write(escape_controls(f"{len(entries)} of {len(ledger.entries)} entries in {ledger.path}") + "\n")
    for words, lines in (("cut off", ledger.damaged), ("not what the line before it says", ledger.broken)):
        if lines:
            sys.stderr.write(f"warning: lines that are {words}: {', '.join(map(str, lines))}\n")


def _describe_entry(entry: dict[str, Any], *, is_same: bool) -> str:
    hands = [hand.get("verdict", {}).get("word", "not-countable") for hand in entry["hands"]]
    mended = sum(one["verdict"] == "repaired" for one in entry["repairs"])
    seen = ", ".join(f"{hands.count(word)} {word}" for word in dict.fromkeys(hands)) or "no hand"
    same = "replayed" if is_same else "NOT AS WRITTEN"
    name = entry["picture"]["name"] or "(in memory)"
    return f"{entry['id']}  {entry['time']}  {entry['delivered']:<9}  {name}  {seen}; {mended} repaired; {same}"


def ledger_refunds(
    least: Annotated[float, typer.Option("--least", help="From this probability on a hand counts as wrong.")] = 0.9,
    share: Annotated[float, typer.Option("--share", help="How much of the price comes back.")] = 1.0,
    price: Annotated[float, typer.Option("--price", help="The price of a unit.")] = 1.0,
    unit: Annotated[str, typer.Option("--unit", help="picture, second or evaluation.", metavar="WORD")] = "picture",
    json: Json = False,
) -> None:
    """Compute refunds for pictures with wrong hands from the ledger, by a policy; nothing is paid."""
    from sfumato.cli.exit_codes import print_json
    from sfumato.workflows.repair.ledger import read_ledger
    from sfumato.workflows.repair.refunds import RefundPolicy, list_refunds

    total = list_refunds(read_ledger().entries, RefundPolicy(least=least, share=share, price=price, unit=unit))
    found = total.to_json()
    if json:
        print_json(found)
        return
    for one in total.refunds:
        line = f"{one.id}  {one.refund:10.2f} of {one.price:.2f}  {one.picture or '(in memory)'}: {one.reason}"
        sys.stdout.write(escape_controls(line) + "\n")
    sys.stdout.write(
        f"policy    {found['policy']}\n"
        f"refunds   {found['refunded']} of {found['pictures']} pictures, {found['refund']:.2f} of {found['price']:.2f}\n"
        f"expected  {found['expected_false_refunds']} wrong refunds, {found['expected_missed_refunds']} missed ones, "
        "by the critic's own probabilities\n"
    )


LEDGER_GROUP = (
    "ledger",
    "What was decided about hands, and refunds.",
    {"show": ledger_show, "refunds": ledger_refunds},
)
