"""Sub-seeds by name: one seed of the request, as many independent streams as there are purposes.

A name instead of a counter means that a new purpose cannot shift the numbers of an old one. Knows
no tensor; noise for a canvas comes from the counter-based generator of the layer above.
Start reading at `sub_seed`.
"""

from __future__ import annotations

import hashlib

import numpy as np


def sub_seed(seed: int, *purpose: str | int) -> int:
    """Derive a seed of 64 bits for a purpose, named by words and numbers; the same on every machine.

    Distinct (seed, purpose) pairs collide with probability 2**-64 per pair.
    """
    assert purpose, "a sub-seed without a purpose would be the seed itself under another name"
    # The length in front keeps ("a", "bc") and ("ab", "c") apart; the letter keeps 1 and "1" apart.
    words = [f"{type(word).__name__[0]}{len(str(word))}:{word}" for word in (seed, *purpose)]
    return int.from_bytes(hashlib.sha256("/".join(words).encode()).digest()[:8], "little")


def sub_stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a fresh NumPy generator for a purpose; equal arguments give equal numbers."""
    return np.random.Generator(np.random.Philox(sub_seed(seed, *purpose)))
