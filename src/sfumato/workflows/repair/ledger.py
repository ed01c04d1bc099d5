"""The ledger: what was decided about the hands of a picture, on which evidence, by which limits, at what cost.

One line of JSON for each picture, in `ledger.jsonl` of the state folder, only ever appended. A line holds the digest of
the line before it, so that a change of the past shows, and all numbers that a verdict was made from, so that it can be
made again bit for bit. A line that a crash cut off is skipped and told. Knows verdicts and files, no network. Start
reading at `append_entry`, then `replay_verdict`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import make_state_folder, make_storage_error
from sfumato.core.serialize import Json, canonical_text
from sfumato.core.settings import load_settings
from sfumato.core.version import __version__
from sfumato.critic.anatomy.belief import Beliefs
from sfumato.critic.anatomy.evidence import HandEvidence
from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.critic.anatomy.verdict import HandVerdict, judge_evidence

LEDGER_NAME = "ledger.jsonl"
FORMAT = 1
_EVIDENCE_NUMBERS = ("middles", "tips", "countable", "right", "cartoon", "hand")
# A line holds a page of numbers for each hand; 256 hands fit many times.
LONGEST_LINE_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Hold what was read: entries, the oldest first, and the numbers of lines that are cut off or break the chain."""

    path: Path
    entries: tuple[dict[str, Any], ...]
    damaged: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()


def find_ledger() -> Path:
    """Return where the ledger lies: in the state folder of the settings.

    Raises:
        StorageError: the folder cannot be made.
    """
    return make_state_folder(load_settings().state) / LEDGER_NAME


def describe_hand(hand: JudgedHand, beliefs: Beliefs, licences: Sequence[str], *, prompted: bool) -> dict[str, Json]:
    """Return one hand for the ledger: evidence, limits and verdict."""
    evidence, box = hand.evidence, hand.box
    return {
        "box": [box.left, box.top, box.width, box.height],
        "evidence": {
            "count_logs": cast("list[Json]", evidence.count_logs.tolist()),
            "cause_logs": cast("list[Json]", evidence.cause_logs.tolist()),
            **{name: getattr(evidence, name) for name in _EVIDENCE_NUMBERS},
        },
        "beliefs": json.loads(json.dumps(asdict(beliefs))),
        "licences": list(licences),
        "prompted": prompted,
        "verdict": json.loads(json.dumps(asdict(hand.verdict))),
    }


def replay_verdict(hand: dict[str, Any]) -> HandVerdict:
    """Judge a hand of the ledger again, from its numbers alone.

    Raises:
        RequestError: the entry lacks numbers.
    """
    try:
        numbers = hand["evidence"]
        evidence = HandEvidence(
            digits=(),
            count_logs=np.array(numbers["count_logs"], np.float64),
            cause_logs=np.array(numbers["cause_logs"], np.float64),
            **{name: numbers[name] for name in _EVIDENCE_NUMBERS},
        )
        beliefs = Beliefs.from_json(hand["beliefs"])
        return judge_evidence(evidence, beliefs, licences=hand["licences"], prompted=hand["prompted"])
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError("an entry of the ledger lacks what its verdict was made from", got=str(error)) from error


def is_replayed(hand: dict[str, Any]) -> bool:
    """Tell whether a hand's verdict comes out as it was written, to the last bit."""
    return json.loads(json.dumps(asdict(replay_verdict(hand)))) == hand["verdict"]


def append_entry(facts: dict[str, Json], path: Path | None = None) -> str:
    """Append one entry to the ledger, and return its id; what was appended survives a crash.

    Raises:
        StorageError: the ledger cannot be written.
    """
    path = path or find_ledger()
    entry = {"format": FORMAT, "version": __version__, "time": datetime.now(UTC).isoformat(timespec="seconds"), **facts}
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Two commands that end together: one line after the other.
            fcntl.flock(handle, fcntl.LOCK_EX)
            last, is_whole = _read_end(handle)
            entry["previous"] = hashlib.sha256(last).hexdigest() if last else ""
            entry["id"] = hashlib.sha256(canonical_text(cast("Json", entry)).encode()).hexdigest()[:16]
            line = canonical_text(cast("Json", entry)).encode() + b"\n"
            _write_all(handle, line if is_whole else b"\n" + line)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise make_storage_error(path, error) from error
    return str(entry["id"])


def _write_all(handle: int, line: bytes) -> None:
    while line:
        line = line[os.write(handle, line) :]


def _read_end(handle: int) -> tuple[bytes, bool]:
    """Return the last whole line, without its end, and whether the file ends with a whole line."""
    size = os.fstat(handle).st_size
    if size == 0:
        return b"", True
    tail = os.pread(handle, LONGEST_LINE_BYTES, max(0, size - LONGEST_LINE_BYTES))
    whole = tail.endswith(b"\n")
    lines = [line for line in tail.split(b"\n")[: None if whole else -1] if line and _parse(line) is not None]
    return (lines[-1] if lines else b""), whole


def read_ledger(path: Path | None = None) -> Ledger:
    """Read the whole ledger; one that is not there is empty.

    Raises:
        StorageError: it cannot be read.
    """
    path = path or find_ledger()
    try:
        raw = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StorageError("the ledger cannot be read", got=f"{path}: {error}") from error
    entries, damaged, broken, last = list[dict[str, Any]](), list[int](), list[int](), b""
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line:
            continue
        entry = _parse(line)
        if entry is None:
            damaged.append(number)
            continue
        if entry.get("previous") != (hashlib.sha256(last).hexdigest() if last else ""):
            broken.append(number)
        entries.append(entry)
        last = line
    return Ledger(path=path, entries=tuple(entries), damaged=tuple(damaged), broken=tuple(broken))


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None
