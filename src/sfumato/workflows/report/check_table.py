"""The part of a report that shows the self-check: values, limits, and what they mean in words.

Knows no picture. Start reading at `write_checks`.
"""

from __future__ import annotations

import math
from html import escape

from sfumato.critic.picture.checks import Judged, Verdict
from sfumato.critic.picture.limits import COMMAND
from sfumato.workflows.self_check.redraw_faults import Rerun

# What a measure tells, for somebody who has never heard of it.
WORDS = {
    "seam ratio": "gradient where windows meet, against lines beside",
    "colour step": "largest steps of colour where windows meet",
    "median colour step": "usual step of colour where windows meet",
    "lattice": "lines at equal distances, anywhere",
    "base consistency": "how much of the base is there",
    "added object mass": "things the base does not have",
    "colour drift": "colours of wide areas against the base",
    "tile shift": "parts beside their place in the base",
    "grain": "noise on calm ground",
    "whiteness": "finest detail that is only noise",
}
# More boxes than this are no list that anybody reads.
MOST_BOXES = 8


def write_checks(judged: Judged | None, reruns: tuple[Rerun, ...] = (), *, unjudged: str = "") -> str:
    """Write the section of the self-check, or why there is none; nothing where there was nothing to judge."""
    if judged is None and unjudged:
        return f"<section><h2>Self-check</h2><p class=note>Nothing was measured: {escape(unjudged)}.</p></section>"
    if judged is None or not judged.verdicts:
        return ""
    rows = "".join(_row(verdict) for verdict in judged.verdicts)
    return (
        "<section><h2>Self-check</h2><div class=scroll><table><thead><tr><th>measure<th>what it tells<th>value"
        f"<th>limit<th></tr></thead><tbody>{rows}</tbody></table></div>{_places(judged)}{_reruns(reruns)}{_left_out(judged)}"
        "<p class=note>The result against its base. Limits were calibrated on drawn pictures with planted faults and on judged renders "
        f"(<code>{escape(COMMAND)}</code>): a value beyond one is a reason to look, no proof.</p></section>"
    )


def _row(verdict: Verdict) -> str:
    sign = "at most" if verdict.bad == "high" else "at least"
    value = "nothing to judge" if math.isnan(verdict.value) else f"{verdict.value:.3g} {verdict.unit}"
    word = {True: "fine", False: "look here", None: ""}[verdict.fine]
    limit = "none" if verdict.limit is None else f"{sign} {verdict.limit:.3g} {verdict.unit}"
    cells = (verdict.name, WORDS[verdict.name], value, limit, word)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _places(judged: Judged) -> str:
    if not judged.added_objects:
        return ""
    boxes = [
        "{2} × {3} px at {0}, {1}".format(*_corner_and_size(blob.box)) for blob in judged.added_objects[:MOST_BOXES]
    ]
    more = len(judged.added_objects) - len(boxes)
    boxes += [f"and {more} more" if more else ""]
    return f"<p class=note>Not in the base: {escape('; '.join(box for box in boxes if box))}.</p>"


def _reruns(reruns: tuple[Rerun, ...]) -> str:
    return "".join(f"<p class=note>{escape(_say_rerun(rerun))}</p>" for rerun in reruns)


def _say_rerun(rerun: Rerun) -> str:
    if rerun.left_out:
        return say_left_out(rerun)
    return (
        f"Redraw {rerun.number}: {len(rerun.boxes)} places drawn again from the base; things the base does not have "
        f"weigh {rerun.after:.0f} instead of {rerun.before:.0f}; "
        f"{'kept' if rerun.kept else 'not kept, the picture stayed as it was'}."
    )


def say_left_out(rerun: Rerun) -> str:
    """Say in words that a redraw was left out, and why; empty where it was not."""
    if rerun.left_out is None:
        return ""
    places = f"{len(rerun.boxes)} places"
    return f"Redraw {rerun.number} of {places} was left out, the picture stayed as it was ({rerun.left_out})."


def _left_out(judged: Judged) -> str:
    reasons: dict[str, list[str]] = {}
    for name, reason in judged.left_out.items():
        reasons.setdefault(reason, []).append(name)
    said = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
    return f"<p class=note>Not measured: {escape(said)}.</p>" if said else ""


def _corner_and_size(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return (box[0], box[1], box[2] - box[0], box[3] - box[1])
