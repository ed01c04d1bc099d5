"""The part of a report that shows the self-check: one plain line, and the measures folded beneath it.

Knows no picture. Start reading at `write_checks`, then `WORDS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from sfumato.core.geometry import PixelBox
from sfumato.critic.picture.checks import Judged, Verdict
from sfumato.critic.picture.limits import COMMAND
from sfumato.workflows.report.frame import write_cell, write_table
from sfumato.workflows.self_check.redraw_faults import Rerun

# More boxes than this are no list that anybody reads.
MOST_BOXES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Say what a measure is for somebody who has never heard of it.

    `fault` is what a value beyond the limit shows. `show` writes a value in a unit that people know, `is_reversed` says
    that what it writes falls where the value rises, and with `is_of_limit` it gets the value as a share of the limit.
    """

    name: str
    fault: str
    meaning: str
    show: Callable[[float], str]
    is_reversed: bool = False
    is_of_limit: bool = False

    def write(self, value: float, limit: float | None) -> str:
        """Write a value of the measure, or its limit."""
        return self.show(value / limit if self.is_of_limit and limit else value)


def _show_colours(value: float) -> str:
    return f"{value:.1f} ΔE"


def _show_error(value: float) -> str:
    # Decibels of a peak signal-to-noise ratio, as the root of the mean square error over the full range.
    return f"{100.0 * 10.0 ** (-value / 20.0):.1f} %"


def _show_share(value: float) -> str:
    return f"{100.0 * value:.0f} %"


WORDS = {
    "seam ratio": Wording(
        name="Edges where tiles meet",
        fault="edges where tiles meet",
        meaning="How much stronger edges are where two tiles meet than just beside. 1 means that nothing shows.",
        show=lambda value: f"{value:.1f} times",
    ),
    "colour step": Wording(
        name="Largest colour steps where tiles meet",
        fault="colour steps where tiles meet",
        meaning="How far the colour jumps at the worst places between two tiles.",
        show=_show_colours,
    ),
    "median colour step": Wording(
        name="Usual colour step where tiles meet",
        fault="a colour step along most tiles",
        meaning="How far the colour jumps at a usual place between two tiles.",
        show=_show_colours,
    ),
    "lattice": Wording(
        name="Regular lines",
        fault="lines at regular distances",
        meaning="How clearly lines repeat at equal distances, as the borders of tiles do. Clear lines stand out from all others.",
        show=lambda value: f"{value:.1f} standard deviations",
    ),
    "base consistency": Wording(
        name="Difference from the base",
        fault="a result unlike its base",
        meaning="The usual difference in brightness, at the size of the base. 0 % means that both are equal.",
        show=_show_error,
        is_reversed=True,
    ),
    "added object mass": Wording(
        name="Largest added thing",
        fault="added things",
        meaning="How large and how distinct the largest thing is that the base does not show. Above 100 % it is a fault.",
        show=_show_share,
        is_of_limit=True,
    ),
    "colour drift": Wording(
        name="Colours of wide areas",
        fault="changed colours of wide areas",
        meaning="How far sky, ground and walls moved away from their colours in the base.",
        show=_show_colours,
    ),
    "tile shift": Wording(
        name="Shifted parts",
        fault="parts beside their place",
        meaning="How far parts of the picture lie beside their place in the base.",
        show=lambda value: f"{value:.2f} px of the base",
    ),
    "lost parts": Wording(
        name="Lost small parts",
        fault="small parts of the base that are gone",
        meaning="The contrast that is gone of the small part that lost most, such as an eye, a lip or a button.",
        show=_show_colours,
    ),
    "sharpness contrast": Wording(
        name="Sharp beside foggy places",
        fault="foggy places beside sharp ones",
        meaning="How much less fine detail the foggiest edges have than the sharpest.",
        show=lambda value: f"{value:.1f} dB",
    ),
    "grain": Wording(
        name="Noise on calm areas",
        fault="noise on calm areas",
        meaning="How much neighbouring pixels differ where the picture is calm. Brightness has 255 levels.",
        show=lambda value: f"{value:.1f} levels",
    ),
    "whiteness": Wording(
        name="Noise in place of detail",
        fault="noise in place of detail",
        meaning="The share of the finest detail that has no pattern at all.",
        show=_show_share,
    ),
}


def write_checks(judged: Judged | None, reruns: tuple[Rerun, ...] = (), *, unjudged: str = "") -> str:
    """Write the section of the self-check, or why there is none; nothing where there was nothing to judge."""
    if judged is None and unjudged:
        line = f"The self-check did not run: {unjudged}."
        return f"<section><h2>Self-check</h2><p class=verdict>{escape(line)}</p></section>"
    if judged is None or not judged.verdicts:
        return ""
    missed = "".join(f"<p class=note>{escape(say_left_out(rerun))}</p>" for rerun in reruns if rerun.left_out)
    look = " look" if _list_faults(judged) else ""
    return (
        f"<section><h2>Self-check</h2><p class='verdict{look}'>{escape(say_checks(judged))}</p>{missed}"
        f"<details><summary>What was measured</summary>{_write_table(judged)}{_write_notes(judged, reruns)}</details></section>"
    )


def say_checks(judged: Judged | None) -> str:
    """Say what a self-check found in one line."""
    told = [verdict for verdict in judged.verdicts if verdict.fine is not None] if judged else []
    if judged is None or not told:
        return "The self-check had nothing to compare with."
    faults = _list_faults(judged)
    return f"Look at: {', '.join(faults)}." if faults else "The self-check found nothing to look at."


def _list_faults(judged: Judged) -> list[str]:
    return [_say_fault(verdict, judged) for verdict in judged.verdicts if verdict.fine is False]


def _say_fault(verdict: Verdict, judged: Judged) -> str:
    if verdict.name == "added object mass" and judged.added_objects:
        return _say_places([PixelBox(*blob.box) for blob in judged.added_objects], "added thing")
    if verdict.name == "lost parts" and judged.lost_parts:
        return _say_places([PixelBox(*part.box) for part in judged.lost_parts], "lost small part")
    return WORDS[verdict.name].fault


def _say_places(boxes: list[PixelBox], thing: str) -> str:
    places = [f"{box.width} × {box.height} px at {box.left}, {box.top}" for box in boxes[:MOST_BOXES]]
    places += [f"and {len(boxes) - MOST_BOXES} more"] if len(boxes) > MOST_BOXES else []
    things = f"1 {thing}" if len(boxes) == 1 else f"{len(boxes)} {thing}s"
    return f"{things} ({'; '.join(places)})"


def _write_table(judged: Judged) -> str:
    return write_table(["Measure", "Found", "Limit", "Verdict"], [_write_verdict(one) for one in judged.verdicts])


def _write_verdict(verdict: Verdict) -> str:
    words, limit = WORDS[verdict.name], verdict.limit
    value = "nothing to judge" if math.isnan(verdict.value) else words.write(verdict.value, limit)
    sign = "at most" if (verdict.bad == "high") != words.is_reversed else "at least"
    border = "none" if limit is None else f"{sign} {words.write(limit, limit)}"
    word = {True: "fine", False: "look here", None: "no verdict"}[verdict.fine]
    cells = write_cell("Found", value) + write_cell("Limit", border)
    cells += write_cell("Verdict", word, look=verdict.fine is False)
    return f"<tr><td>{escape(words.name)}<small>{escape(words.meaning)}</small></td>{cells}</tr>"


def _write_notes(judged: Judged, reruns: tuple[Rerun, ...]) -> str:
    said = [_say_rerun(rerun) for rerun in reruns if not rerun.left_out]
    reasons: dict[str, list[str]] = {}
    for name, reason in judged.left_out.items():
        reasons.setdefault(reason, []).append(WORDS[name].name if name in WORDS else name)
    said += [f"Not measured because {reason}: {', '.join(names)}." for reason, names in reasons.items()]
    said.append(
        "ΔE is the distance of two colours: the eye does not see 1, sees 2 side by side, and sees 10 at a glance."
    )
    notes = "".join(f"<p class=note>{escape(line)}</p>" for line in said)
    return (
        f"{notes}<p class=note>Each measure compares the result with its base. A value beyond its limit is a reason to look, "
        "not a proof. The limits come from drawn scenes with known faults and from renders that were judged by eye: "
        f"<code>{escape(COMMAND)}</code>.</p>"
    )


def _say_rerun(rerun: Rerun) -> str:
    places = "1 place" if len(rerun.boxes) == 1 else f"{len(rerun.boxes)} places"
    percent = 100.0 * (rerun.after / rerun.before - 1.0) if rerun.before else 0.0
    change = f"Added things {'grew' if percent > 0 else 'shrank'} by {abs(percent):.0f} %."
    fate = "The new version was kept." if rerun.kept else "The picture stayed as it was."
    return f"Redraw {rerun.number} drew {places} again. {change} {fate}"


def say_left_out(rerun: Rerun) -> str:
    """Say in words that a re-run was left out, why, and what can be done; empty where it was not."""
    if rerun.left_out is None:
        return ""
    places = "1 place" if len(rerun.boxes) == 1 else f"{len(rerun.boxes)} places"
    return f"Redraw {rerun.number} of {places} was left out, and the picture stayed as it was: {rerun.left_out}."
