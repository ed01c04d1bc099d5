"""The part of a report that shows hands: the verdict on each, what was tried, and what was put back, before and after.

Knows values and pictures; no model. Start reading at `write_anatomy`.
"""

from __future__ import annotations

from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.render.passes.repair import RepairOutcome
from sfumato.workflows.check.check import UnreadHand
from sfumato.workflows.repair.run import AnatomyResult
from sfumato.workflows.report.focus_table import write_crop
from sfumato.workflows.report.frame import write_cell, write_table, write_time

MOST_ROWS = 40
_VERDICTS = {"repaired": "repaired", "rolled-back": "stayed: no round was accepted", "left": "left alone"}


def write_anatomy(anatomy: AnatomyResult | None) -> str:
    """Return the hands of a picture with verdicts and repairs; nothing where nobody looked at them."""
    if anatomy is None:
        return ""
    repaired = {one.box: one for one in anatomy.outcomes}
    rows = [_write_row(hand, repaired.get(hand.box)) for hand in anatomy.hands[:MOST_ROWS]]
    pairs = [
        f"<div class=pair>{write_crop(one.before, 'hand before')}{write_crop(one.after, 'hand after')}</div>"
        for one in anatomy.outcomes
        if one.before is not None and one.after is not None
    ]
    wrong = len(anatomy.list_wrong())
    lead = f"<p>{len(anatomy.hands)} hands were found; {wrong} of them are delivered wrong.</p>"
    table = write_table(("Hand in px", "Verdict", "Why", "Repair", "Candidates", "Time", "What the judges said"), rows)
    return f"<section><h2>Hands</h2>{lead}{''.join(pairs)}{table}</section>"


def _write_row(hand: JudgedHand | UnreadHand, outcome: RepairOutcome | None) -> str:
    box = f"{hand.box.width} × {hand.box.height} at {hand.box.left}, {hand.box.top}"
    verdict = f"{hand.verdict.word} ({hand.verdict.sure:.2f})" if isinstance(hand, JudgedHand) else "not-countable"
    reason = hand.verdict.reason if isinstance(hand, JudgedHand) else hand.reason
    said = [text for one in (outcome.rounds if outcome else ()) for text in (one.words, *one.reasons)]
    cells = (
        write_cell("Hand in px", box),
        write_cell("Verdict", verdict),
        write_cell("Why", reason),
        write_cell("Repair", _VERDICTS[outcome.verdict] if outcome else ""),
        write_cell("Candidates", str(outcome.candidates) if outcome and outcome.candidates else ""),
        write_cell("Time", write_time(outcome.seconds) if outcome and outcome.candidates else ""),
        write_cell("What the judges said", "; ".join(said)),
    )
    return f"<tr>{''.join(cells)}</tr>"
