"""Settles the state of each digit after drawing: what was planned against what can be seen. Start reading at `settle_states`."""

from __future__ import annotations

from typing import cast

import numpy as np

from sfumato.world.truth import Truth

LEAST_PX = 6.0
"""Below this expected area a digit's pixels say nothing; the plan is believed."""
HIDDEN_SHARE = 0.30
"""A digit that shows less than this share of its drawn area is occluded."""


def settle_states(truth: Truth) -> Truth:
    """Return the truth with out-of-frame and occluded digits marked, and areas replaced by pixels."""
    height, width = truth.ids.shape
    counts = np.bincount(truth.ids.ravel(), minlength=len(truth.paths))
    facts = {path: dict(known) for path, known in truth.facts.items()}
    for path, known in facts.items():
        if "area" not in known:
            continue
        expected = cast("float", known.pop("area")) * height * height
        x, y = cast("tuple[float, float]", known["tip"])
        seen = sum(int(counts[i]) for i, name in enumerate(truth.paths) if name.startswith(path + "/"))
        known["expected_px"] = round(expected, 1)
        if not (0.0 <= x < width / height and 0.0 <= y < 1.0):
            known["state"] = "out-of-frame"
        elif known["state"] == "visible" and expected >= LEAST_PX and seen < HIDDEN_SHARE * expected:
            known["state"] = "occluded"
    return Truth(truth.ids, truth.paths, facts)
