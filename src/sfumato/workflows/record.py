"""What the ledger gets of one picture whose hands were looked at, and what becomes of a picture that is withheld.

Start reading at `record_picture`.
"""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.core.errors import ModelError, StorageError
from sfumato.core.files import file_sha256
from sfumato.core.request import WITHHOLD, PictureSource
from sfumato.core.serialize import Json, to_json
from sfumato.critic.anatomy.auditor import SHIPPED_AUDITOR, has_auditor
from sfumato.critic.anatomy.auditor import WEIGHTS_NAME as AUDITOR_WEIGHTS
from sfumato.critic.anatomy.judge import JudgedHand
from sfumato.critic.anatomy.parser import FILES, SHIPPED
from sfumato.workflows.repair.ledger import append_entry, describe_hand

# What the ledger calls the counter that stands in for a trained auditor; its code goes with the version.
COUNTER = "skin counter"

if TYPE_CHECKING:
    from sfumato.workflows.deliver import DrawnPicture
    from sfumato.workflows.job import Picture


def is_withheld(drawn: DrawnPicture) -> bool:
    """Tell whether a picture is kept from its user: a hand stayed wrong, and the request says so."""
    anatomy = drawn.anatomy
    return anatomy is not None and anatomy.settings.unrepaired == WITHHOLD and bool(anatomy.list_wrong())


def withhold(drawn: DrawnPicture) -> ModelError:
    """Return the error that stands in place of a picture that is withheld."""
    assert drawn.anatomy is not None, "only hands keep a picture back"
    hand = drawn.anatomy.list_wrong()[0]
    place = f"{hand.box.left},{hand.box.top},{hand.box.width},{hand.box.height}"
    do = "Say `unrepaired` flag to get it all the same, or try another `seed`."
    return ModelError("the picture is withheld: a hand stays wrong", got=f"{place}: {hand.verdict.reason}", do=do)


def record_picture(drawn: DrawnPicture, picture: Picture | None) -> tuple[str, ...]:
    """Append what was decided about the hands of a picture to the ledger; None is one that is withheld.

    Returns what a user should know: that the ledger could not be written. The picture is there all the same.
    """
    anatomy = drawn.anatomy
    assert anatomy is not None, "hands were looked at"
    wrong = bool(anatomy.list_wrong())
    source = drawn.request.source
    seconds = time.monotonic() - drawn.began_s
    candidates = sum(one.candidates for one in anatomy.outcomes)
    facts: dict[str, Json] = {
        "picture": {
            "name": drawn.path.name if drawn.path else "",
            "sha256": picture.sha256 if picture else None,
            "source_sha256": source.sha256 if isinstance(source, PictureSource) else None,
            "size": str(drawn.request.size),
            "request_sha256": drawn.request.request_hash(),
        },
        "model": {"name": drawn.request.model, "sha256": drawn.digests.model},
        "judges": _digest_judges(),
        "settings": to_json(anatomy.settings),
        "hands": [
            describe_hand(hand, anatomy.parser.beliefs, anatomy.licences, prompted=anatomy.prompted)
            if isinstance(hand, JudgedHand)
            else {"box": [hand.box.left, hand.box.top, hand.box.width, hand.box.height], "reason": hand.reason}
            for hand in anatomy.hands
        ],
        "repairs": [one.to_json() for one in anatomy.outcomes],
        "cost": {
            "seconds": round(seconds, 3),
            "evaluations": drawn.plan.evaluations,
            "candidates": candidates,
            "anatomy_seconds": round(drawn.anatomy_s, 3),
        },
        "delivered": "withheld" if picture is None else ("flagged" if wrong else "delivered"),
    }
    try:
        append_entry(facts)
    except StorageError as error:
        return (f"the ledger has no entry for this picture: {error}",)
    return ()


@lru_cache(maxsize=1)
def _digest_judges() -> dict[str, Json]:
    auditor = SHIPPED_AUDITOR / AUDITOR_WEIGHTS if has_auditor() else None
    return {"parser": _digest(SHIPPED / FILES.weights), "auditor": COUNTER if auditor is None else _digest(auditor)}


def _digest(path: Path) -> str:
    return file_sha256(path, what="the weights of a judge")
