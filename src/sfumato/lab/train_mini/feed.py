"""Feed fresh drawings to a denoiser that trains: rows of its latents are overwritten in place, oldest first.

A process of its own beside the training. The tables keep their length, so the disk does not grow; the place of a row
decides who is in it, so every pass holds the exact counts of named characters. Start reading at `feed_latents`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sfumato.core.errors import RequestError, StorageError
from sfumato.core.files import hold, write_atomic
from sfumato.lab.train_mini.pictures import (
    HANDS,
    ROWS_PER_WRITE,
    SEEDS_PER_TABLE,
    PictureTable,
    draw_example,
    list_filled,
    open_pictures,
    read_world,
)
from sfumato.lab.train_mini.stages import MiniTraining, encode_images, open_latents, spell
from sfumato.models.mini import load_mini_autoencoder, load_mini_tokenizer
from sfumato.train.loop import StopSignal

if TYPE_CHECKING:
    from pathlib import Path

NOTE, LOCK = "feed.json", "feed.lock"


@dataclass
class FeedState:
    """How far the feed is: by table the next place to draw, and the encoder that made the latents. A leaf."""

    encoder: str
    places: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FeedResult:
    """What a feed did: pictures overwritten, and how often the whole of each table has been by now."""

    pictures: int
    rounds: dict[str, float]


def feed_latents(wanted: MiniTraining) -> FeedResult:
    """Draw, encode and overwrite until the minutes end or SIGTERM or SIGINT comes, at most `pace` pictures a second.

    Hands in photograph style stay as they are: one costs as much as sixteen scenes. Stopped at any time, the next feed
    goes on with the block that was not finished.

    Raises:
        RequestError: no end is given, or two of them, or the pace is out of range.
        StorageError: another feed runs, nothing is encoded yet, or the encoder is not the one of the latents.
    """
    minutes = wanted.make_budget().minutes
    if not 0.1 <= wanted.pace <= 10_000:
        raise RequestError("the pace is out of range", got=wanted.pace, do="Use 0.1 to 10,000 pictures a second.")
    tables = [table for table in list_filled(wanted.state) if table != HANDS]
    lock = _lock(wanted.state)
    try:
        with StopSignal() as stop:
            return _Feed(wanted, tables).run(stop, minutes)
    finally:
        os.close(lock)


class _Feed:
    """A feed at work: its tables, the encoder, and how far it is. A leaf."""

    def __init__(self, wanted: MiniTraining, tables: list[PictureTable]) -> None:
        self.wanted, self.tables = wanted, tables
        self.rows = {table.name: _count_rows(wanted.state, table) for table in tables}
        self.totals = {table.name: read_world(open_pictures(wanted.state, table)).total for table in tables}
        self.encoder = load_mini_autoencoder(wanted.state / "vae").encoder.to(torch.bfloat16).eval()
        self.tokenizer = load_mini_tokenizer(wanted.state / "tokenizer")
        self.state = _read_state(wanted.state)

    def run(self, stop: StopSignal, minutes: float | None) -> FeedResult:
        """Feed block after block until a signal comes or the minutes are over."""
        torch.set_num_threads(1)
        pictures, end = 0, float("inf") if minutes is None else time.monotonic() + 60 * minutes
        while not stop.wanted and time.monotonic() < end:
            start = time.monotonic()
            count = self.feed_block(min(self.tables, key=self._share))
            pictures += count
            if self.wanted.report is not None and pictures // 1280 != (pictures - count) // 1280:
                self.wanted.report(
                    {"kind": "feed", "pictures": pictures, "rounds": round(min(self._rounds().values()), 3)}
                )
            rest = count / self.wanted.pace - (time.monotonic() - start)
            # In short naps, so that a signal is heard.
            while rest > 0 and not stop.wanted and time.monotonic() < end:
                time.sleep(min(rest, 0.5))
                rest -= 0.5
        return FeedResult(pictures, self._rounds())

    def feed_block(self, table: PictureTable) -> int:
        """Overwrite the next rows of a table; return how many."""
        rows, place = self.rows[table.name], self._place(table)
        first = place % rows
        count = min(ROWS_PER_WRITE, rows - first)
        drawn = [draw_example(table, place + k, self.totals[table.name]) for k in range(count)]
        images = np.stack([one.image for one in drawn])
        codes = encode_images(self.encoder, images, range(count))
        captions = [str(caption) for one in drawn for caption in one.captions]
        words = spell(self.tokenizer, captions).reshape(count, 4, -1)
        latents, tokens = open_latents(self.wanted.state, table)
        tokens.overwrite(first, words)
        latents.overwrite(first, codes)
        self.state.places[table.name] = (place + count) % self._period(table)
        text = json.dumps(asdict(self.state))
        write_atomic(self.wanted.state / NOTE, lambda stream: stream.write(text.encode()))
        return count

    def _place(self, table: PictureTable) -> int:
        # The rows that are there are the first round.
        return self.state.places.get(table.name, self.rows[table.name] % self._period(table))

    def _period(self, table: PictureTable) -> int:
        """Return the places of whole rounds that a table's seeds allow; after them the first comes again."""
        return SEEDS_PER_TABLE // self.rows[table.name] * self.rows[table.name]

    def _share(self, table: PictureTable) -> float:
        return self._place(table) / self.rows[table.name]

    def _rounds(self) -> dict[str, float]:
        return {table.name: round(self._share(table), 4) for table in self.tables}


def _count_rows(state: Path, table: PictureTable) -> int:
    latents, tokens = open_latents(state, table)
    rows = len(latents)
    if rows == 0 or not rows == len(tokens) == len(open_pictures(state, table)):
        do = "Run the stage latents to its end first."
        raise StorageError("The pictures of a table are not all encoded", got=f"{table.name}: {rows}", do=do)
    total = read_world(open_pictures(state, table)).total
    if table.named and rows % total:
        do = "Draw it to its end: run the stages pictures and latents."
        raise StorageError("A table of named characters is not whole", got=f"{rows} of {total}", do=do)
    return rows


def _read_state(state: Path) -> FeedState:
    weights = sorted((state / "vae").glob("*.safetensors"))
    encoder = hashlib.sha256(b"".join(path.read_bytes() for path in weights)).hexdigest()[:16]
    try:
        found = FeedState(**json.loads((state / NOTE).read_text()))
    except FileNotFoundError:
        return FeedState(encoder)
    except (ValueError, TypeError) as error:
        raise StorageError("The note of the feed cannot be read", got=str(state / NOTE), do="Delete it.") from error
    if found.encoder != encoder:
        do = f"Delete the folders latents* and {NOTE}, and run the stage latents again."
        raise StorageError("The autoencoder is not the one of the latents", got=encoder, do=do)
    return found


def _lock(state: Path) -> int:
    handle = os.open(state / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    if not hold(handle):
        os.close(handle)
        raise StorageError("Another feed runs on this state", got=str(state), do="Stop it first.")
    return handle
