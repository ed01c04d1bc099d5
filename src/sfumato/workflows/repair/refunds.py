"""Refunds for pictures with wrong hands, computed from the ledger by a stated policy; nothing is paid here.

| what became of the picture | refund |
| --- | --- |
| withheld | all of its price |
| delivered with a hand called goof, at least so surely | the share of its price |
| all else: repaired, licensed, not countable, not sure | nothing |

From the probabilities that the critic gave, it says too how many refunds are expected to be wrong, and how many are
expected to be missed. Knows entries of the ledger. Start reading at `list_refunds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sfumato.core.errors import RequestError
from sfumato.core.validate import check_float

UNITS = ("picture", "second", "evaluation")


@dataclass(frozen=True, kw_only=True)
class RefundPolicy:
    """Say what a picture costs and when it is given back: `price` for each `unit`, from a probability on, by a share."""

    least: float = 0.9
    share: float = 1.0
    price: float = 1.0
    unit: str = "picture"

    def __post_init__(self) -> None:
        check_float("`least`, a probability,", self.least, low=0.0, high=1.0)
        check_float("`share` of the price", self.share, low=0.0, high=1.0)
        check_float("`price`", self.price, low=0.0, high=1e9)
        if self.unit not in UNITS:
            raise RequestError("a picture is paid by another unit", got=self.unit, do=f"Say {', '.join(UNITS)}.")

    def __str__(self) -> str:
        """Say the policy in a sentence."""
        return (
            f"{self.price:g} a {self.unit}; all of it back for a picture that was withheld, {self.share:.0%} for one "
            f"delivered with a hand that is wrong with probability {self.least:g} or more"
        )


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Hold what one picture gets back, and why; `wrong` is the probability that one of its hands is wrong."""

    id: str
    picture: str
    price: float
    refund: float
    wrong: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class RefundTotal:
    """Hold all refunds by a policy, and how many are expected to be given wrongly, or missed."""

    policy: RefundPolicy
    refunds: tuple[Refund, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the form of `sfumato ledger refunds --json`."""
        given = [one for one in self.refunds if one.refund > 0]
        kept = [one for one in self.refunds if one.refund == 0]
        return {
            "policy": str(self.policy),
            "pictures": len(self.refunds),
            "refunded": len(given),
            "price": round(sum(one.price for one in self.refunds), 6),
            "refund": round(sum(one.refund for one in self.refunds), 6),
            "expected_false_refunds": round(sum(1.0 - one.wrong for one in given), 3),
            "expected_missed_refunds": round(sum(one.wrong for one in kept), 3),
            "refunds": [{**vars_of(one)} for one in self.refunds],
        }


def vars_of(refund: Refund) -> dict[str, Any]:
    """Return one refund as JSON values."""
    return {
        "id": refund.id,
        "picture": refund.picture,
        "price": round(refund.price, 6),
        "refund": round(refund.refund, 6),
        "wrong": round(refund.wrong, 4),
        "reason": refund.reason,
    }


def list_refunds(entries: Sequence[dict[str, Any]], policy: RefundPolicy) -> RefundTotal:
    """Return what every picture of the ledger gets back; one that was decided on twice counts by its last entry."""
    last: dict[str, dict[str, Any]] = {}
    for entry in entries:
        picture = entry.get("picture") or {}
        last[str(picture.get("request_sha256") or entry["id"])] = entry
    return RefundTotal(policy=policy, refunds=tuple(_refund(entry, policy) for entry in last.values()))


def _refund(entry: dict[str, Any], policy: RefundPolicy) -> Refund:
    cost = entry.get("cost") or {}
    counts = {"picture": 1.0, "second": cost.get("seconds", 0.0), "evaluation": cost.get("evaluations", 0)}
    price = policy.price * float(counts[policy.unit])
    wrong = _measure_wrong(entry)
    goofs = [
        float(hand["verdict"]["goof"])
        for hand in _list_unmended(entry)
        if hand.get("verdict", {}).get("word") == "goof"
    ]
    if entry.get("delivered") == "withheld":
        share, reason = 1.0, "withheld"
    elif goofs and max(goofs) >= policy.least:
        share, reason = policy.share, f"a hand is wrong with probability {max(goofs):.2f}"
    else:
        share, reason = 0.0, "no hand is called wrong so surely"
    name = str((entry.get("picture") or {}).get("name", ""))
    return Refund(id=str(entry["id"]), picture=name, price=price, refund=price * share, wrong=wrong, reason=reason)


def _list_unmended(entry: dict[str, Any]) -> list[dict[str, Any]]:
    mended = [one["box"] for one in entry.get("repairs", ()) if one["verdict"] == "repaired"]
    return [hand for hand in entry.get("hands", ()) if hand["box"] not in mended]


def _measure_wrong(entry: dict[str, Any]) -> float:
    """Return the probability that at least one hand is wrong, hands taken as independent; uncountable ones say nothing."""
    right = 1.0
    for hand in _list_unmended(entry):
        verdict = hand.get("verdict", {})
        if verdict.get("word") in ("ok", "goof", "abstain"):
            right *= 1.0 - float(verdict["goof"])
    return 1.0 - right
