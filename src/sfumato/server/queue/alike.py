"""Which kept pictures look like another one: by where their colours lie and which way their edges run.

Each picture has a short vector, made once from its small copy and kept beside its row. It knows what a picture looks
like, not what it means: a red coat and a red car may be near. Start reading at `Alike.rank`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import select

from sfumato.core.errors import RequestError
from sfumato.critic.picture.colour import LOOK_VERSION, measure_look
from sfumato.server.queue.records import NotFoundError
from sfumato.server.queue.store import JobStore
from sfumato.server.queue.tables import files, looks

_WRITTEN_TOGETHER = 64

MakeThumbnail = Callable[[str, Path], bytes]
"""Returns a small copy of a picture, as JPEG, from its id and path."""


@dataclass(frozen=True, eq=False)
class Alike:
    """Order pictures by how alike they look. A leaf; threads may share it."""

    store: JobStore
    make_thumbnail: MakeThumbnail

    def rank(self, file_id: str, others: Iterable[str]) -> list[str]:
        """Return the ids of `others`, the most alike first. Looks that are missing are made, 10 ms each, and kept.

        Raises:
            NotFoundError: there is no picture `file_id`.
        """
        wanted = list(dict.fromkeys([file_id, *others]))
        found = self._collect(wanted)
        if file_id not in found:
            raise NotFoundError("there is no such picture", got=file_id, do="Ask for the gallery again.")
        target = found[file_id]
        distances = {one: float(np.square(found[one] - target).sum()) for one in wanted if one in found}
        return sorted((one for one in wanted if one in distances), key=lambda one: (one != file_id, distances[one]))

    def _collect(self, ids: list[str]) -> dict[str, NDArray[np.float32]]:
        wanted = set(ids)
        columns = select(files.c.id, files.c.path, looks.c.version, looks.c.vector)
        query = columns.select_from(files.outerjoin(looks, looks.c.file_id == files.c.id))
        with self.store.engine.connect().execution_options(reads_only=True) as connection, connection.begin():
            # All rows, not a list of ids: a database takes only so many values in one question.
            rows = {row.id: row for row in connection.execute(query).all() if row.id in wanted}
        found: dict[str, NDArray[np.float32]] = {}
        fresh: dict[str, NDArray[np.float32]] = {}
        for one, row in rows.items():
            if row.version == LOOK_VERSION:
                found[one] = np.frombuffer(row.vector, np.float32)
                continue
            try:
                packed = self.make_thumbnail(one, self.store.folder / row.path)
            except (OSError, RequestError):
                # Its file is gone or cannot be read: it looks like nothing.
                continue
            with Image.open(io.BytesIO(packed)) as small:
                fresh[one] = measure_look(small)
            if len(fresh) >= _WRITTEN_TOGETHER:
                self._keep(fresh)
                found |= fresh
                fresh = {}
        self._keep(fresh)
        return found | fresh

    def _keep(self, fresh: dict[str, NDArray[np.float32]]) -> None:
        if not fresh:
            return
        rows = [{"file_id": one, "version": LOOK_VERSION, "vector": look.tobytes()} for one, look in fresh.items()]
        with self.store.engine.begin() as connection:
            # A picture may have been removed meanwhile, or measured by another thread.
            there = set(connection.execute(select(files.c.id).where(files.c.id.in_(fresh))).scalars())
            connection.execute(looks.delete().where(looks.c.file_id.in_(fresh)))
            rows = [row for row in rows if row["file_id"] in there]
            if rows:
                connection.execute(looks.insert(), rows)
