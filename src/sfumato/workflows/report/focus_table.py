"""The parts of a report that show passes: what focus drew anew, and what became of hands, before and after.

Knows values and pictures; no model. Start reading at `write_focus`, then `write_anatomy`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.render.passes.focus_outcome import FocusOutcome
from sfumato.render.passes.repair import RepairOutcome
from sfumato.workflows.check.check import UnreadHand
from sfumato.workflows.repair.run import AnatomyResult
from sfumato.workflows.report.frame import write_cell, write_figure, write_table, write_time

# A page shows so many pairs, and lists so many parts; more is no page that anybody reads.
MOST_PAIRS, MOST_ROWS = 12, 40
# A small crop is shown enlarged to about this side.
SHOWN_PX = 256
_REPAIRS = {"repaired": "repaired", "rolled-back": "stayed: no round was accepted", "left": "left alone"}
_VERDICTS = {"kept": "drawn anew", "dropped": "stayed: every try failed", "left": "left alone"}


def write_focus(outcomes: Sequence[FocusOutcome]) -> str:
    """Return pairs of before and after, and a table of all parts; nothing where focus was off."""
    if not outcomes:
        return ""
    pairs = [
        f"<div class=pair>{write_crop(one.before, f'{one.kind} before')}{write_crop(one.after, f'{one.kind} after')}</div>"
        for one in outcomes
        if one.before is not None and one.after is not None
    ]
    kept = sum(one.verdict == "kept" for one in outcomes)
    tried = sum(one.verdict != "left" for one in outcomes)
    lead = f"<p>{kept} of {tried} parts that were tried are drawn anew; {len(outcomes) - tried} were left alone.</p>"
    rows = [_write_row(one) for one in outcomes[:MOST_ROWS]]
    more = len(outcomes) - len(rows)
    rest = f"<p class=note>{more} more parts are in the output of --json.</p>" if more else ""
    table = write_table(("Part", "Box in px", "Verdict", "Tries", "Time", "Why"), rows)
    return f"<section><h2>Focus</h2>{lead}{''.join(pairs[:MOST_PAIRS])}{table}{rest}</section>"


def write_crop(pixels: NDArray[np.uint8], words: str) -> str:
    """Return a figure of a crop, uint8 [h, w, 3], enlarged where it is small."""
    picture = Image.fromarray(pixels)
    times = max(1, round(SHOWN_PX / max(picture.size)))
    enlarged = picture.resize((picture.width * times, picture.height * times), Image.Resampling.BICUBIC)
    return write_figure(enlarged, words)


def _write_row(one: FocusOutcome) -> str:
    box = f"{one.box.width} × {one.box.height} at {one.box.left}, {one.box.top}"
    took = write_time(one.seconds) if one.tries else ""
    cells = (
        write_cell("Part", one.kind),
        write_cell("Box in px", box),
        write_cell("Verdict", _VERDICTS[one.verdict]),
        write_cell("Tries", str(one.tries) if one.tries else ""),
        write_cell("Time", took),
        write_cell("Why", "; ".join(one.reasons)),
    )
    return f"<tr>{''.join(cells)}</tr>"


def write_anatomy(anatomy: AnatomyResult | None) -> str:
    """Return the hands of a picture with verdicts and repairs; nothing where nobody looked at them."""
    if anatomy is None:
        return ""
    repaired = {one.box: one for one in anatomy.outcomes}
    rows = [_write_hand(hand, repaired.get(hand.box)) for hand in anatomy.hands[:MOST_ROWS]]
    pairs = [
        f"<div class=pair>{write_crop(one.before, 'hand before')}{write_crop(one.after, 'hand after')}</div>"
        for one in anatomy.outcomes
        if one.before is not None and one.after is not None
    ]
    wrong = len(anatomy.list_wrong())
    lead = f"<p>{len(anatomy.hands)} hands were found; {wrong} of them are delivered wrong.</p>"
    table = write_table(("Hand in px", "Verdict", "Why", "Repair", "Candidates", "Time", "What the judges said"), rows)
    return f"<section><h2>Hands</h2>{lead}{''.join(pairs)}{table}</section>"


def _write_hand(hand: JudgedHand | UnreadHand, outcome: RepairOutcome | None) -> str:
    box = f"{hand.box.width} × {hand.box.height} at {hand.box.left}, {hand.box.top}"
    verdict = f"{hand.verdict.word} ({hand.verdict.sure:.2f})" if isinstance(hand, JudgedHand) else "not-countable"
    reason = hand.verdict.reason if isinstance(hand, JudgedHand) else hand.reason
    said = [text for one in (outcome.rounds if outcome else ()) for text in (one.words, *one.reasons)]
    cells = (
        write_cell("Hand in px", box),
        write_cell("Verdict", verdict),
        write_cell("Why", reason),
        write_cell("Repair", _REPAIRS[outcome.verdict] if outcome else ""),
        write_cell("Candidates", str(outcome.candidates) if outcome and outcome.candidates else ""),
        write_cell("Time", write_time(outcome.seconds) if outcome and outcome.candidates else ""),
        write_cell("What the judges said", "; ".join(said)),
    )
    return f"<tr>{''.join(cells)}</tr>"
