"""What a worker tells of finished pictures: their facts, what became of parts and hands, and pictures that show it.

Evidence lies beside the picture in the folder of the job. Start reading at `describe_pictures`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato import api
from sfumato.canvas.formats.images import file_sha256, read_size
from sfumato.canvas.formats.save import save_canvas
from sfumato.core.files import write_atomic
from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.server.before import keep_base
from sfumato.server.views import name_facts
from sfumato.server.workers.loop import Attempt, Drawing, DrawnFile
from sfumato.workflows.check.evidence_picture import draw_evidence
from sfumato.workflows.find.find import open_store
from sfumato.workflows.report.check_table import say_checks

# Nobody looks at more, and each takes room for ever.
MOST_EVIDENCE = 64


@dataclass(eq=False)
class EvidenceFolder:
    """Save pictures that show something into the folder of a job, and name them for clients. A leaf.

    `first` is how many files stand before them.
    """

    attempt: Attempt
    first: int
    files: list[DrawnFile] = field(default_factory=list[DrawnFile])

    def add(self, picture: Image.Image | NDArray[np.uint8] | None) -> str | None:
        """Save a picture and return its id; None where there is none, or there are too many."""
        if picture is None or len(self.files) >= MOST_EVIDENCE:
            return None
        shown = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        path = self.attempt.folder / f"evidence-{len(self.files)}.png"
        save_canvas(path, shown, {})
        number = self.first + len(self.files)
        self.files.append(describe_file(path, shown.width, shown.height, role="evidence"))
        return self.attempt.name_file(number)


def describe_file(path: Path, width: int, height: int, **more: Any) -> DrawnFile:
    """Return a PNG file of a job as the queue keeps it."""
    return DrawnFile(path=path, media_type="image/png", width=width, height=height, sha256=file_sha256(path), **more)


def describe_pictures(pictures: Sequence[api.Picture], attempt: Attempt) -> Drawing:
    """Return the files of a job that drew, with what became of parts and hands; keep the facts of each beside it."""
    evidence = EvidenceFolder(attempt, first=len(pictures))
    files, told = list[DrawnFile](), list[dict[str, Any]]()
    for number, picture in enumerate(pictures):
        assert picture.path is not None, "every picture of a job has a file"
        # Where only a part was drawn, the file is larger than the plan.
        size = read_size(picture.path)
        if picture.base is not None:
            keep_base(picture.path, picture.base)
        files.append(describe_file(picture.path, size.width, size.height, seed=picture.request.seed))
        facts = _list_facts(picture)
        if picture.focus:
            facts["focus"] = list(_tell_focus(picture, evidence))
        if picture.anatomy is not None:
            facts["anatomy"] = _tell_anatomy(picture, evidence)
        _keep_facts(facts, picture.path)
        shown = ("seed", "focus", "anatomy", "safety", "self_check", "needs_look")
        told.append({"file": attempt.name_file(number)} | {name: facts[name] for name in shown})
    return Drawing(files=[*files, *evidence.files], result={"pictures": told})


def _tell_focus(picture: api.Picture, evidence: EvidenceFolder) -> Iterator[dict[str, Any]]:
    for one in picture.focus:
        frame = one.frame
        yield one.to_json() | {
            "frame": None if frame is None else [frame.left, frame.top, frame.width, frame.height],
            "before": evidence.add(one.before),
            "after": evidence.add(one.after),
        }


def _tell_anatomy(picture: api.Picture, evidence: EvidenceFolder) -> dict[str, Any]:
    anatomy = picture.anatomy
    assert anatomy is not None, "somebody asked for anatomy"
    told: dict[str, Any] = anatomy.to_json()
    repairs = {one.box: number for number, one in enumerate(anatomy.outcomes)}
    for row, one in zip(told["repairs"], anatomy.outcomes, strict=True):
        row |= {"before": evidence.add(one.before), "after": evidence.add(one.after)}
    if not anatomy.outcomes and picture.path is not None:
        # Where a hand was repaired, before and after show more than a sheet does.
        store = open_store(picture.path)
        for row, hand in zip(told["hands"], anatomy.hands, strict=True):
            if isinstance(hand, JudgedHand) and hand.box not in repairs:
                row["evidence"] = evidence.add(draw_evidence(store, hand))
    return told


def _list_facts(picture: api.Picture) -> dict[str, Any]:
    """Return what the engine told of a picture; where it lies is none of a client's business."""
    facts = {name: value for name, value in picture.to_json().items() if name not in ("path", "report")}
    if picture.checks is not None:
        facts["self_check"] = say_checks(picture.checks)
        facts["needs_look"] = any(verdict.fine is False for verdict in picture.checks.verdicts)
    else:
        facts["self_check"] = f"The self-check did not run: {picture.unchecked}." if picture.unchecked else ""
        facts["needs_look"] = False
    return facts


def _keep_facts(facts: dict[str, Any], path: Path) -> None:
    packed = json.dumps(facts, allow_nan=True).encode()
    write_atomic(name_facts(path), lambda file: file.write(packed))
