"""The finished pictures of a state folder: found by words, model and date, marked as favourites, deleted and brought back.

A deleted picture is out of sight at once; its file goes when the time to undo is over. Knows no HTTP. Start reading at
`Gallery.search`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, false, func, select, update

from sfumato.server.queue.alike import Alike, MakeThumbnail
from sfumato.server.queue.records import NotFoundError
from sfumato.server.queue.store import JobStore
from sfumato.server.queue.tables import files, jobs, marks

# Long enough to notice a mistake on the next day.
UNDO_S = 24 * 3600.0
_ESCAPE = "\\"


@dataclass(frozen=True, kw_only=True)
class GallerySearch:
    """Say which pictures are wanted; None where nothing is said. Times are seconds since 1970.

    `words` are all found in the prompt, in any order. `deleted` asks for those that can be brought back, and for no others.
    `similar` is the id of a picture, drawn or sent: the most alike come first, itself before all.
    """

    words: str = ""
    model: str | None = None
    since_s: float | None = None
    until_s: float | None = None
    favourites: bool = False
    deleted: bool = False
    similar: str | None = None


@dataclass(frozen=True, kw_only=True)
class GalleryPicture:
    """One picture of the gallery, as JSON values for a client."""

    file_id: str
    job_id: str
    prompt: str
    model: str
    method: str
    seed: int | None
    width: int
    height: int
    created_s: float
    favourite: bool
    deleted_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Return what a client may know of the picture."""
        return {
            "id": self.file_id,
            "url": f"/api/v1/files/{self.file_id}",
            "job": self.job_id,
            "prompt": self.prompt,
            "model": self.model,
            "method": self.method,
            "seed": self.seed,
            "width": self.width,
            "height": self.height,
            "created_s": self.created_s,
            "favourite": self.favourite,
            "deleted_s": self.deleted_s,
        }


class Gallery:
    """The pictures that jobs have drawn. Threads may share it."""

    def __init__(
        self, store: JobStore, make_thumbnail: MakeThumbnail, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Use the database of the queue, and small copies to tell which pictures look alike."""
        self._store, self._clock = store, clock
        self._alike = Alike(store, make_thumbnail)

    def search(self, wanted: GallerySearch, *, most: int, skip: int = 0) -> tuple[list[GalleryPicture], int]:
        """Return the newest or most alike pictures that fit, at most `most` after the first `skip`, and how many fit in all.

        Raises:
            NotFoundError: pictures like one that is not there are wanted.
        """
        prompt, model = jobs.c.request["prompt"].as_string(), jobs.c.request["model"].as_string()
        gone = marks.c.deleted_s
        rules: list[ColumnElement[bool]] = [gone.is_not(None) if wanted.deleted else gone.is_(None)]
        rules.append(files.c.role == "picture")
        rules += [prompt.ilike(f"%{_escape(word)}%", escape=_ESCAPE) for word in wanted.words.split()]
        if wanted.model is not None:
            rules.append(model == wanted.model)
        if wanted.since_s is not None:
            rules.append(files.c.created_s >= wanted.since_s)
        if wanted.until_s is not None:
            rules.append(files.c.created_s < wanted.until_s)
        if wanted.favourites:
            rules.append(marks.c.favourite.is_(True))
        joined = files.join(jobs, files.c.job_id == jobs.c.id).outerjoin(marks, marks.c.file_id == files.c.id)
        columns = (files, jobs.c.request, func.coalesce(marks.c.favourite, false()).label("liked"), marks.c.deleted_s)
        found = select(*columns).select_from(joined).where(*rules)
        if wanted.similar is not None:
            return self._search_alike(wanted.similar, found, most=most, skip=skip)
        newest = found.order_by(jobs.c.number.desc(), files.c.number.desc()).limit(most).offset(skip)
        with self._store.engine.connect().execution_options(reads_only=True) as connection, connection.begin():
            rows = connection.execute(newest).mappings().all()
            count = connection.execute(select(func.count()).select_from(joined).where(*rules)).scalar_one()
        return [_make_picture(row) for row in rows], int(count)

    def _search_alike(
        self, similar: str, found: Select[Any], *, most: int, skip: int
    ) -> tuple[list[GalleryPicture], int]:
        with self._store.engine.connect().execution_options(reads_only=True) as connection, connection.begin():
            fitting = list(connection.execute(found.with_only_columns(files.c.id)).scalars())
        order = [one for one in self._alike.rank(similar, fitting) if one in set(fitting)]
        page = order[skip : skip + most]
        with self._store.engine.connect().execution_options(reads_only=True) as connection, connection.begin():
            rows = {row["id"]: row for row in connection.execute(found.where(files.c.id.in_(page))).mappings()}
        return [_make_picture(rows[one]) for one in page if one in rows], len(order)

    def list_models(self) -> list[str]:
        """Return the models of the pictures, by name."""
        model = jobs.c.request["model"].as_string()
        wanted = select(model).join(files, files.c.job_id == jobs.c.id).distinct()
        with self._store.engine.connect().execution_options(reads_only=True) as connection, connection.begin():
            return sorted(str(name) for (name,) in connection.execute(wanted).all() if name)

    def set_favourite(self, file_id: str, *, favourite: bool) -> None:
        """Mark a picture as a favourite, or not.

        Raises:
            NotFoundError: no job drew such a picture.
        """
        self._mark(file_id, {"favourite": favourite})

    def delete(self, file_id: str) -> float:
        """Put a picture out of sight; return until when it can be brought back. Older ones lose their files now.

        Raises:
            NotFoundError: no job drew such a picture.
        """
        now = self._clock()
        self._mark(file_id, {"deleted_s": now})
        self.purge()
        return now + UNDO_S

    def restore(self, file_id: str) -> None:
        """Bring a deleted picture back.

        Raises:
            NotFoundError: there is no such picture any more.
        """
        self._mark(file_id, {"deleted_s": None})

    def purge(self) -> int:
        """Remove the files of pictures whose time to undo is over; return how many."""
        old = select(marks.c.file_id).where(marks.c.deleted_s <= self._clock() - UNDO_S)
        with self._store.engine.begin() as connection:
            rows = connection.execute(select(files.c.id, files.c.path).where(files.c.id.in_(old))).all()
            # The rows first: a crash between leaves a file that nobody asks for, not a row without its file.
            connection.execute(delete(files).where(files.c.id.in_([row.id for row in rows])))
        for row in rows:
            path = self._store.folder / row.path
            # Beside it lie its tiles, its base and its facts.
            for beside in path.parent.glob(f"{path.stem}.*"):
                if beside.is_dir():
                    shutil.rmtree(beside, ignore_errors=True)
                else:
                    beside.unlink(missing_ok=True)
        return len(rows)

    def _mark(self, file_id: str, changes: dict[str, Any]) -> None:
        with self._store.engine.begin() as connection:
            _check_drawn(connection, file_id)
            changed = connection.execute(update(marks).where(marks.c.file_id == file_id).values(**changes))
            if changed.rowcount == 0:
                connection.execute(marks.insert().values(file_id=file_id, **changes))


def _check_drawn(connection: Connection, file_id: str) -> None:
    drawn = select(files.c.id).where(files.c.id == file_id, files.c.job_id.is_not(None))
    if connection.execute(drawn).scalar() is None:
        raise NotFoundError("the gallery has no such picture", got=file_id, do="Ask for the gallery again.")


def _escape(word: str) -> str:
    for letter in (_ESCAPE, "%", "_"):
        word = word.replace(letter, _ESCAPE + letter)
    return word


def _make_picture(row: Any) -> GalleryPicture:
    request = dict(row["request"])
    # A picture that was only enlarged names its method in a word, or not at all.
    method = request.get("method")
    return GalleryPicture(
        file_id=row["id"],
        job_id=row["job_id"],
        prompt=str(request.get("prompt", "")),
        model=str(request.get("model", "")),
        method=str(method.get("kind", "")) if isinstance(method, dict) else str(method or ""),
        seed=None if row["seed"] is None else int(row["seed"]),
        width=row["width"],
        height=row["height"],
        created_s=row["created_s"],
        favourite=bool(row["liked"]),
        deleted_s=row["deleted_s"],
    )
