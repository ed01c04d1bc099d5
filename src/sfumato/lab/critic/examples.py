"""Crops of hands with exact labels, in one form for the drawn world and for 3-D hands, and tables of them on disk.

Label ids are those of `world.hands3d.labels`; `CORE_BIT` marks the inner half of a digit, `IGNORED` what is not asked for.
Knows no network. Start reading at `HandExamples`, then `convert_hands3d`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sfumato.core.errors import StorageError
from sfumato.core.files import write_atomic
from sfumato.critic.anatomy.labels import CAUSES, DIGITS
from sfumato.lab.hands3d.pool import FAULT_IDS, HandBatch
from sfumato.world.hands3d.labels import digit_of_part
from sfumato.world.truth import STATES

CORE_BIT, IGNORED, UNKNOWN = 64, 63, 255
"""A bit of a label; the id of a pixel, and the value of an answer, that are not asked for."""
# A pixel of a digit belongs to its core where it is at least this share of the digit's half width from the border.
CORE_SHARE = 0.45
TIPS = (4, 8, 12, 16, 20, 24)
DRAWN, SOLID = 0, 1
"""Where an example comes from: the drawn world, or a 3-D hand."""


@dataclass(frozen=True, eq=False)
class HandExamples:
    """Hold N crops of hands, 128 px square, and what is true of them."""

    images: NDArray[np.uint8]  # [N, 128, 128, 3]
    labels: NDArray[np.uint8]  # [N, 128, 128]
    tips: NDArray[np.float32]  # [N, 6, 2], x and y in px; NaN for a digit that is not visible
    states: NDArray[np.uint8]  # [N, 6], place in STATES, or UNKNOWN
    cause: NDArray[np.uint8]  # [N], place in CAUSES, or UNKNOWN where a fault was planted that cannot be seen
    countable: NDArray[np.bool_]  # [N]
    right: NDArray[np.uint8]  # [N], 1 for a right hand, or UNKNOWN
    cartoon: NDArray[np.bool_]  # [N]
    hand: NDArray[np.bool_]  # [N], False for a crop without a hand
    source: NDArray[np.uint8]  # [N], DRAWN or SOLID
    exception: NDArray[np.bool_]  # [N], a hand that differs and is right: an amputation, a prosthesis, a glove

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def take(self, chosen: NDArray[np.int64] | slice) -> HandExamples:
        """Return some of the examples."""
        return HandExamples(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def count_digits(self) -> NDArray[np.int64]:
        """Return how many digits are visible, int64 [N]."""
        return (self.states == STATES.index("visible")).sum(1)


def join_examples(several: list[HandExamples]) -> HandExamples:
    """Return several sets as one."""
    return HandExamples(
        **{field.name: np.concatenate([getattr(one, field.name) for one in several]) for field in fields(HandExamples)}
    )


def save_examples(folder: Path, name: str, examples: HandExamples) -> None:
    """Write a set as one file per array, pictures last, so that a whole set has pictures.

    Raises:
        StorageError: the folder cannot be written.
    """
    for field in reversed(fields(HandExamples)):
        array = getattr(examples, field.name)
        write_atomic(
            folder / f"{name}.{field.name}.npy", lambda stream, array=array: np.save(stream, array, allow_pickle=False)
        )


def open_examples(folder: Path, name: str) -> HandExamples | None:
    """Open a set, its pictures and labels mapped from disk, or return None where there is none.

    Raises:
        StorageError: a file of it cannot be read.
    """
    if not (folder / f"{name}.images.npy").exists():
        return None
    try:
        return HandExamples(
            **{
                field.name: np.load(folder / f"{name}.{field.name}.npy", mmap_mode="r", allow_pickle=False)
                for field in fields(HandExamples)
            }
        )
    except (OSError, ValueError) as error:
        raise StorageError("a set of hands cannot be read", got=str(folder / name), do="Delete it.") from error


def mark_cores(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return label ids [H, W] with CORE_BIT set in the inner part of every digit."""
    digits = np.where(labels == IGNORED, 0, digit_of_part()[np.minimum(labels, 27)])
    marked = labels.copy()
    for digit in np.unique(digits):
        if digit == 0:
            continue
        mask = digits == digit
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        depth = np.asarray(ndimage.distance_transform_edt(np.pad(mask[cut], 1)))[1:-1, 1:-1]
        # The width is that of most of its length, not of a wide base.
        half_width = float(np.percentile(depth[mask[cut]], 90))
        marked[cut] |= np.where(depth >= max(1.0, CORE_SHARE * half_width), CORE_BIT, 0).astype(np.uint8)
    return marked


def convert_hands3d(batch: HandBatch) -> HandExamples:
    """Return 3-D hands of a pool of 128 px as examples."""
    visible = batch.states == STATES.index("visible")
    extra = DIGITS.index("extra")
    kinds = [CAUSES.index(kind.split("_")[0]) if kind else 0 for kind in FAULT_IDS]
    cause = np.array(kinds, np.uint8)[batch.faults]
    # A fault that the picture does not show is not asked for.
    shows = batch.countable | ((cause == CAUSES.index("extra")) & visible[:, extra])
    cause = np.where((cause > 0) & ~shows, UNKNOWN, cause).astype(np.uint8)
    tips = np.where(visible[..., None], batch.joints[:, TIPS], np.nan).astype(np.float32)
    count = len(batch)
    return HandExamples(
        images=batch.images,
        labels=np.stack([mark_cores(parts) for parts in batch.parts]),
        tips=tips,
        states=batch.states,
        cause=cause,
        countable=batch.countable,
        right=batch.right.astype(np.uint8),
        cartoon=np.zeros(count, np.bool_),
        hand=np.ones(count, np.bool_),
        source=np.full(count, SOLID, np.uint8),
        exception=np.zeros(count, np.bool_),
    )
