"""From what a client says to a job in the queue: names, pictures and sizes are checked here for every surface.

The request itself is made where the command line and the library make theirs, so the same words give the same pixels.
A client names models, never paths, and its pictures by id. Start reading at `Intake.submit`.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from sfumato import api
from sfumato.core import serialize
from sfumato.core.errors import BudgetError, RequestError, UnsafeFileError
from sfumato.core.files import write_atomic
from sfumato.server.names import check_names, hide_concepts
from sfumato.server.orders import EnlargeOrder, Order, make_order
from sfumato.server.queue.records import JobKind, JobRecord, NotFoundError, StoredFile
from sfumato.server.queue.store import JobStore

# What a browser, an editor and a camera send; other formats have had more holes than uses.
_FORMATS = ("PNG", "JPEG", "WEBP")
# Sides of every model are whole numbers of cells.
_CELL_PX = 8


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Turn what clients say into jobs. A leaf.

    `most_pixels` limits what is drawn, `most_sent_pixels` the pictures that clients send, `most_queued` the jobs that
    wait. `budget_bytes`, `device` and `dtype` are those of the worker, for plans.
    """

    store: JobStore
    most_pixels: int
    most_sent_pixels: int
    most_queued: int
    budget_bytes: int | None = None
    device: str = "auto"
    dtype: str = "auto"

    def make_request(self, said: Mapping[str, Any], *, needs_prompt: bool = True) -> api.RenderRequest:
        """Return the request that the command line would make of the same settings.

        `said` has the names of `RequestValues`; `init` and `mask` are ids of files.

        Raises:
            RequestError: a setting is wrong, has no effect, or names a file that is not there.
            BudgetError: more pixels than this server draws for a client.
        """
        request = self.make_order("render", said, needs_prompt=needs_prompt)
        assert isinstance(request, api.RenderRequest), "of this kind"
        return request

    def make_order(self, kind: str, said: Mapping[str, Any], *, needs_prompt: bool = True) -> Order:
        """Return what a job of a kind does with the settings that a client says, see `orders.make_order`.

        Raises: as `make_request`.
        """
        order = make_order(kind, said, self.find_path, needs_prompt=needs_prompt)
        if isinstance(order, api.RenderRequest | EnlargeOrder):
            self._check_pixels(order.size)
        return order

    def find_native(self, model: str | None) -> api.PixelSize:
        """Return the size that a model draws at once.

        Raises:
            NotFoundError: there is no such model.
        """
        check_names(api.RequestValues(model=model))
        return api.load_contract(model or api.DEFAULTS.model).native

    def prepare(self, request: api.RenderRequest) -> api.Job:
        """Plan a request as its worker will, and refuse what the worker would refuse.

        Raises: as `api.prepare`.
        """
        options = api.RunOptions(
            out=self.store.folder / "jobs" / "picture.png",
            report=False,
            budget_bytes=self.budget_bytes,
            device=self.device,
            dtype=self.dtype,
        )
        return api.prepare(request, options)

    def forecast(self, said: Mapping[str, Any], *, kind: str = "render") -> dict[str, Any]:
        """Say what a job would cost and draw, without queueing it, as JSON values.

        A job that costs too much is an answer: `accepted` is false and `refusal` names the largest that fits. Jobs that
        use no diffusion model have no plan.

        Raises:
            RequestError: a setting is wrong.
        """
        unknown = api.find_unknown_words(str(said.get("prompt") or ""))
        is_mini = (said.get("model") or api.DEFAULTS.model) == api.DEFAULTS.model
        told: dict[str, Any] = {"unknown_words": list(unknown) if is_mini else [], "plan": None, "refusal": None}
        try:
            order = self.make_order(kind, said, needs_prompt=False)
            job = self.prepare(order) if isinstance(order, api.RenderRequest) else None
        except BudgetError as error:
            return told | {"accepted": False, "refusal": error.to_json()}
        if job is None:
            return told | {"accepted": True, "warnings": []}
        plan = job.plan.to_json()
        return told | {
            "accepted": True,
            "size": plan["size"],
            "method": plan["method"],
            "memory_bytes": plan["memory_bytes"],
            "seconds": plan["total_seconds"],
            "warnings": list(job.warnings),
            "plan": plan,
        }

    def submit(
        self,
        said: Mapping[str, Any],
        *,
        surface: str,
        kind: JobKind = "render",
        order_key: str | None = None,
        needs_prompt: bool = True,
    ) -> JobRecord:
        """Check what a client says, and queue it.

        Raises:
            RequestError, BudgetError, UnsafeFileError: it is refused; nothing is queued.
            QueueFullError: too many jobs wait.
            StorageError: the disk refuses.
        """
        order, planned_s = self.make_order(kind, said, needs_prompt=needs_prompt), None
        if isinstance(order, api.RenderRequest):
            plan = self.prepare(order).plan
            planned_s = round((plan.seconds + plan.save_s) * plan.batch, 2)
            request = hide_concepts(self._hide_folder(order)).to_json()
        else:
            request = self._hide_path(serialize.to_json(order))
        return self.store.submit(
            request,
            surface=surface,
            kind=kind,
            order_key=order_key,
            planned_s=planned_s,
            most_queued=self.most_queued,
        )

    def add_picture(self, packed: bytes) -> StoredFile:
        """Keep a picture that a client sends, encoded anew; the same picture has the same id.

        Raises:
            RequestError: it is no PNG, JPEG or WebP picture, or is damaged.
            UnsafeFileError: its header promises more than `most_sent_pixels`.
        """
        return self.keep_picture(self.open_picture(packed))

    def open_picture(self, packed: bytes) -> Image.Image:
        """Decode a picture that a client sends: upright, RGB or RGBA, without texts and profiles.

        Raises: as `add_picture`.
        """
        most = self.most_sent_pixels
        try:
            with warnings.catch_warnings():
                # Pillow warns of large pictures; the header is checked below, and the setting is the limit.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                picture = Image.open(io.BytesIO(packed), formats=_FORMATS)
            if picture.width * picture.height > most:
                what = "the picture has more pixels than this server opens"
                got = f"{picture.width}x{picture.height}"
                raise UnsafeFileError(what, got=got, do=f"Send at most {most} pixels.")
            picture.load()
            picture = ImageOps.exif_transpose(picture)
            return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        except Image.DecompressionBombError as error:
            raise UnsafeFileError("the picture is a decompression bomb", got=str(error)) from error
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
            do = "Send PNG, JPEG or WebP."
            raise RequestError("the picture cannot be read", got=type(error).__name__, do=do) from error

    def keep_picture(self, picture: Image.Image) -> StoredFile:
        """Keep a picture in the folder of what clients have sent, as PNG.

        Raises:
            StorageError: the disk refuses.
        """
        stream = io.BytesIO()
        # Pillow would carry on texts and profiles of the sender.
        picture.info.clear()
        picture.save(stream, "PNG", compress_level=1)
        return self._keep_packed(stream.getvalue())

    def _keep_packed(self, packed: bytes) -> StoredFile:
        with Image.open(io.BytesIO(packed), formats=["PNG"]) as opened:
            picture_size = opened.size
        digest = hashlib.sha256(packed).hexdigest()
        path = self.store.folder / "uploads" / f"{digest}.png"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, lambda file: file.write(packed))
        kept = self.store.add_file(
            StoredFile(
                id=digest,
                path=path.relative_to(self.store.folder).as_posix(),
                media_type="image/png",
                width=picture_size[0],
                height=picture_size[1],
                bytes=len(packed),
                sha256=digest,
            )
        )
        if not path.exists():
            # An old copy was pruned between the two; from now on it is young.
            write_atomic(path, lambda file: file.write(packed))
        return kept

    def find_path(self, file_id: str) -> Path:
        """Return where a file lies that a client names by id.

        Raises:
            NotFoundError: there is no such file.
        """
        path = self.store.folder / self.store.find_file(file_id).path
        if not path.is_file():
            raise NotFoundError("the file is gone", got=file_id, do="Send it again.")
        return path

    def _hide_folder(self, request: api.RenderRequest) -> api.RenderRequest:
        """Name files relative to the state folder, where the worker works: the request is stored in every picture."""
        places = {name: getattr(request.source, name, None) for name in ("path", "mask")}
        changes = {name: self._cut_folder(place) for name, place in places.items() if place}
        controls = tuple(replace(one, picture=self._cut_folder(one.picture)) for one in request.controls)
        source = replace(request.source, **changes) if changes else request.source
        return replace(request, source=source, controls=controls)

    def _hide_path(self, value: Any) -> dict[str, Any]:
        return value | {"path": self._cut_folder(value["path"])} if "path" in value else value

    def _cut_folder(self, place: str) -> str:
        """Return a path relative to the state folder; a picture that was made of sent ones is kept there first."""
        path, folder = Path(place).resolve(), self.store.folder.resolve()
        if not path.is_relative_to(folder):
            path = folder / self._keep_packed(path.read_bytes()).path
        return path.relative_to(folder).as_posix()

    def _check_pixels(self, size: api.PixelSize) -> None:
        most = self.most_pixels
        if size.area <= most:
            return
        scale = (most / size.area) ** 0.5
        sides = [max(_CELL_PX, int(side * scale) // _CELL_PX * _CELL_PX) for side in (size.width, size.height)]
        do = f"Ask for {sides[0]}x{sides[1]}, the largest of this shape."
        raise BudgetError("this server draws no picture of so many pixels", got=str(size), do=do)
