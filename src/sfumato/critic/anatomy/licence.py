"""What a prompt allows: hands that differ because someone asked for them.

Knows words, no picture. Start reading at `find_licences`.
"""

from __future__ import annotations

import re

LICENCES: dict[str, tuple[str, ...]] = {
    "cartoon": ("cartoon", "comic", "anime", "manga", "toon", "caricature", "mascot", "emoji", "doodle"),
    "glove": ("glove", "gloves", "gloved", "mitten", "mittens", "gauntlet", "gauntlets"),
    "prosthesis": ("prosthesis", "prosthetic", "prostheses", "bionic", "cyborg", "robot", "robotic", "artificial hand"),
    "amputation": (
        "amputee", "amputation", "amputated", "stump", "missing finger", "missing fingers", "missing a finger",
        "limb difference", "four fingers", "three fingers", "six fingers", "polydactyly", "without fingers",
    ),
    "fist": ("fist", "fists", "clenched hand", "clenched hands", "clenching"),
    "creature": ("alien", "monster", "demon", "claw", "claws", "paw", "paws", "puppet", "doll"),
}  # fmt: skip
"""Words of a prompt by the reason for which a hand may differ."""
_PATTERNS = {
    reason: re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, words)) + r")(?![\w])", re.IGNORECASE)
    for reason, words in LICENCES.items()
}
# A word right after one of these is not wanted.
_DENIED = re.compile(r"\b(no|not|without|non|never)\s+(a\s+|an\s+|any\s+)?$", re.IGNORECASE)


def find_licences(prompt: str) -> tuple[str, ...]:
    """Return the reasons for which a prompt lets hands differ, in the order of `LICENCES`."""
    found = []
    for reason, pattern in _PATTERNS.items():
        if any(not _DENIED.search(prompt[: match.start()]) for match in pattern.finditer(prompt)):
            found.append(reason)
    return tuple(found)
