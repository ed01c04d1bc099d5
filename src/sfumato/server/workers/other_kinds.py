"""Jobs that draw no picture from a prompt: look at one, enlarge one without a model, teach or carry a concept.

Start reading at `look`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from sfumato.core.errors import InterruptedRender
from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.models.hardware.policy import choose_policy
from sfumato.server.orders import EnlargeOrder, LookOrder, RebaseOrder, TeachOrder
from sfumato.server.workers.loop import Attempt, Drawing
from sfumato.server.workers.results import EvidenceFolder, describe_file
from sfumato.workflows.check.check import check_picture
from sfumato.workflows.check.evidence_picture import draw_evidence
from sfumato.workflows.check.mark import draw_verdicts
from sfumato.workflows.enlarge.enlarge import enlarge
from sfumato.workflows.find.find import find_things, open_store
from sfumato.workflows.find.mark import draw_marks
from sfumato.workflows.personalize.rebase import rebase
from sfumato.workflows.personalize.teach import TeachEvent, teach_concept

# Both bases are opened, the result is polished, and the card is drawn.
_REBASE_STAGES = 4


def look(order: LookOrder, attempt: Attempt) -> Drawing:
    """Find things in a picture or check its hands; `marked` names a picture that shows where.

    Raises: as `api.find` and `api.check`.
    """
    _begin(attempt, "look")
    evidence, picture = EvidenceFolder(attempt, first=0), Path(order.path)
    if not order.check:
        things = find_things(picture, kinds=order.kinds, by=order.by)
        told: dict[str, Any] = things.to_json()
        # The points of a face or a hand, as the finder documents them.
        for row, one in zip(told["found"], things.found, strict=True):
            row["points"] = [[round(x, 2), round(y, 2)] for x, y in one.points]
        told["marked"] = evidence.add(draw_marks(open_store(picture), things.found)) if things.found else None
        return Drawing(files=evidence.files, result=told)
    checked = check_picture(picture, prompt=order.prompt, boxes=order.list_boxes(), by=order.by)
    told = {name: value for name, value in checked.to_json().items() if name != "path"}
    store = open_store(picture)
    told["marked"] = evidence.add(draw_verdicts(store, checked.hands)) if checked.hands else None
    for row, hand in zip(told["hands"], checked.hands, strict=True):
        row["evidence"] = evidence.add(draw_evidence(store, hand)) if isinstance(hand, JudgedHand) else None
    return Drawing(files=evidence.files, result=told)


def enlarge_picture(order: EnlargeOrder, attempt: Attempt, device: str) -> Drawing:
    """Enlarge a picture by a network or by resampling.

    Raises:
        InterruptedRender: somebody wants it to stop; what is done is kept for the next attempt.
        Others: as `workflows.enlarge`.
    """
    _begin(attempt, "enlarge")

    def hear(done_frac: float) -> None:
        attempt.tell(_make_progress("enlarge", round(100 * done_frac), 100, done_frac))
        if attempt.should_stop():
            raise InterruptedRender("the picture was not enlarged to its end", do="Try it again.")

    enlarged = enlarge(
        Path(order.path),
        order.size,
        method=order.method,
        upscaler=order.upscaler,
        out=attempt.folder / "picture.png",
        resume=any(attempt.folder.glob("*.work")),
        # Resampling takes the name of a device, not auto.
        device=str(choose_policy(device).device),
        on_share=hear,
    )
    assert enlarged.path is not None, "it has a file"
    told = {"upscaler": Path(enlarged.request.upscaler).stem, "why": enlarged.words}
    file = describe_file(enlarged.path, order.size.width, order.size.height)
    return Drawing(files=[file], result=told)


def teach(order: TeachOrder, attempt: Attempt, device: str) -> Drawing:
    """Teach a model a concept; a stopped training goes on where it was with the next attempt.

    Raises: as `teach_concept`.
    """
    _begin(attempt, "teach")
    options = order.to_options(device)
    began_left_s = 0.0

    def hear(event: TeachEvent) -> None:
        nonlocal began_left_s
        began_left_s = max(began_left_s, event.left_s or 0.0)
        done = 1.0 - event.left_s / began_left_s if event.left_s and began_left_s else 0.0
        told = _make_progress("teach", event.step, options.steps or 0, done) | {"left_s": event.left_s}
        told |= {"what": event.what, "loss": event.loss, "check": asdict(event.check) if event.check else None}
        attempt.tell(told)

    taught = teach_concept(options, on_event=hear, should_stop=attempt.should_stop)
    evidence = EvidenceFolder(attempt, first=0)
    told: dict[str, Any] = {name: value for name, value in taught.to_json().items() if name not in ("page", "concept")}
    told["concept"] = taught.concept.name
    shown = taught.concept.path / "preview.png"
    if shown.exists():
        with Image.open(shown) as opened:
            told["preview"] = evidence.add(opened.convert("RGB"))
    return Drawing(files=evidence.files, result=told)


def carry(order: RebaseOrder, attempt: Attempt, device: str) -> Drawing:
    """Carry a concept to another base; a stopped one begins again with the next attempt.

    Raises: as `rebase`.
    """
    _begin(attempt, "rebase")
    stages = 0

    def hear(said: str) -> None:
        nonlocal stages
        stages += 1
        attempt.tell(_make_progress("rebase", stages, _REBASE_STAGES, stages / _REBASE_STAGES) | {"what": said})

    carried = rebase(order.to_options(device), on_event=hear, should_stop=attempt.should_stop)
    told = carried.to_json()
    # A base may be named by where it lies.
    told["build"] = {name: told["build"][name] for name in ("steps", "best_step", "seconds") if name in told["build"]}
    return Drawing(files=[], result=told)


def _begin(attempt: Attempt, stage: str) -> None:
    """Tell one step at once: from here on silence counts as a hang only where nothing is computed."""
    attempt.tell(_make_progress(stage, 0, 1, 0.0))


def _make_progress(stage: str, step: int, steps: int, done_frac: float) -> dict[str, Any]:
    told = {"event": "progress", "index": 0, "pictures": 1, "stage": stage, "stage_index": 0, "stages": 1}
    return told | {"step": step, "steps": steps, "unit": "step", "done_frac": done_frac, "left_s": None}
