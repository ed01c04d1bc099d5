"""A claim as a value: number, unit, n, interval, aim, seed and the command that prints it.

Knows nothing about what was measured. Start reading at `Measurement`, then `Card`; the two
intervals at the end are the only statistics here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfumato.core.seeds import sub_stream
from sfumato.core.serialize import Json

# Two in a thousand is the width of a line in a report; more rounds only cost time.
BOOTSTRAP_ROUNDS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One number with what is needed to doubt it; `low` and `high` bound the 95 % interval."""

    name: str
    value: float
    unit: str
    n: int
    low: float | None = None
    high: float | None = None
    aim: float | None = None
    aim_is: Literal["least", "most"] = "least"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Tell whether the value reaches the aim; None without an aim or without a number."""
        if self.aim is None or math.isnan(self.value):
            return None
        # A value of numpy would give a truth value that JSON does not know.
        return bool(self.value >= self.aim if self.aim_is == "least" else self.value <= self.aim)

    def to_json(self) -> dict[str, Json]:
        """Return the row as JSON values; a number that is none becomes null."""
        return {
            "name": self.name,
            "value": _finite(self.value),
            "unit": self.unit,
            "n": self.n,
            "low": _finite(self.low),
            "high": _finite(self.high),
            "aim": _finite(self.aim),
            "aim_is": self.aim_is if self.aim is not None else None,
            "met": self.met,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A set of measurements that one command printed."""

    title: str
    rows: tuple[Measurement, ...]
    seed: int
    command: str
    commit: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return the card as JSON values."""
        return {
            "card": self.title,
            "rows": [row.to_json() for row in self.rows],
            "seed": self.seed,
            "command": self.command,
            "commit": self.commit,
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Write the card as a table for people; losses stand between the wins, in the given order."""
        head = ("measure", "value", "unit", "n", "95 % interval", "aim", "met")
        cells = [head, *(_row_cells(row) for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        origin = f"seed {self.seed} · {self.command}" + (f" · {self.commit}" if self.commit else "")
        notes = [
            f"note: {note}" for note in (*self.notes, *(f"{row.name}: {row.note}" for row in self.rows if row.note))
        ]
        return "\n".join([self.title, *lines, *notes, origin])

    def to_line(self) -> str:
        """Write the card as one line of JSON, the last line that a measuring command prints."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False)


def measure_share(name: str, hits: int, n: int, *, aim: float | None = None, note: str = "") -> Measurement:
    """Make the row of a share in percent with its Wilson interval; n = 0 gives no number."""
    low, high = wilson_interval(hits, n)
    value = 100.0 * hits / n if n else math.nan
    return Measurement(name=name, value=value, unit="%", n=n, low=100 * low, high=100 * high, aim=aim, note=note)


def wilson_interval(hits: int, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval (fractions) of a share; (0, 1) when nothing was counted.

    Source: E. B. Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    assert 0 <= hits <= n, "a count cannot exceed what was counted"
    if n == 0:
        return (0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, slack = hits / n, z * z / n
    middle = (share + slack / 2) / (1 + slack)
    half = z * math.sqrt(share * (1 - share) / n + slack / (4 * n)) / (1 + slack)
    # Rounding can leave the edge 1e-17 outside the value when hits is 0 or n.
    return (max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.floating],
    statistic: Callable[[NDArray[np.float64]], float] = _mean,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Return the percentile interval of a statistic over resamples; (nan, nan) without values.

    Cost: `BOOTSTRAP_ROUNDS` calls of `statistic`.
    Source: B. Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return (math.nan, math.nan)
    stream = sub_stream(seed, "bootstrap")
    found = [statistic(sample[stream.integers(len(sample), size=len(sample))]) for _ in range(BOOTSTRAP_ROUNDS)]
    low, high = np.quantile(found, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return (float(low), float(high))


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _row_cells(row: Measurement) -> tuple[str, ...]:
    interval = "" if row.low is None or row.high is None else f"{_short(row.low)} … {_short(row.high)}"
    sign = "≥" if row.aim_is == "least" else "≤"
    aim = "" if row.aim is None else f"{sign} {_short(row.aim)}"
    met = {True: "yes", False: "NO", None: ""}[row.met]
    return (row.name, _short(row.value), row.unit, str(row.n), interval, aim, met)


def _short(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "–"


def align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a line for each row, columns aligned, with a rule under the first row."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]
