"""A workspace in a folder: after a crash it holds what the last entry of its journal says, whatever came after.

An entry lists the files that it counts on: of those none is ever made anew, what is not listed always is.
Start reading at `DiskWorkspace`.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from sfumato.canvas.latents import LatentStore
from sfumato.canvas.mapped_latents import MappedLatents, create_file
from sfumato.canvas.pixels import FilePixels, PixelStore, create_pixels
from sfumato.canvas.workspace.fingerprint import join_differences, list_differences
from sfumato.canvas.workspace.folder_lock import lock_folder
from sfumato.canvas.workspace.workspace import Arrays, Entry
from sfumato.core.errors import LostWorkError, RequestError, StorageError
from sfumato.core.files import make_storage_error, name_unfinished, remove_leftovers, shorten_name, sync_folder
from sfumato.core.geometry import LatentSize, PixelSize
from sfumato.core.serialize import Json


def clear_away(folder: Path, *, first: tuple[str, ...]) -> None:
    """Move a folder that is held to a name of its own, then remove it: nobody who comes meanwhile finds a part of it.

    Where it cannot be moved it goes from where it is, the files named `first` before the others.
    """
    away = name_unfinished(folder)
    try:
        folder.rename(away)
    except OSError:
        away = folder
    with suppress(OSError):
        sync_folder(folder.parent)
    for name in first:
        with suppress(OSError):
            (away / name).unlink(missing_ok=True)
    shutil.rmtree(away, ignore_errors=True)


Store = TypeVar("Store", MappedLatents, FilePixels)
_OWNER, _JOURNAL, _DURABLE, _PART = "sfumato-work.json", "journal.npz", "journal-durable.npz", ".part.npz"
_NEWBORN = f".{_OWNER}.part"
_WORK, _LATENTS, _PIXELS = ".work", ".latents", ".pixels"
_WORDS, _BOOT, _FILES = "words", "boot", "files"
# Another at every start of the system; what was not flushed before that may be lost. Linux only.
_BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")


class DiskWorkspace:
    """Keep everything in a folder of its own, for one piece of work named by `identity`."""

    def __init__(self, folder: Path, identity: Mapping[str, Json], *, resume: bool) -> None:
        """Open the folder: go on with what is there, or start anew.

        Raises:
            RequestError: the folder belongs to somebody else, or to another piece of work that is to be resumed,
                or holds work of this kind that nobody asked to go on with.
            StorageError: the disk refuses, or the journal is damaged.
        """
        self.folder = folder
        self._stores: dict[str, LatentStore | PixelStore] = {}
        # The files that the next entry counts on, those of the last one and what was made since, each with the
        # flushes of a canvas of latents when the entry was noted.
        self._files = dict[str, int]()
        self._is_removed = False
        try:
            if folder.exists():
                read_identity(folder)
            remove_leftovers(folder)
            self._lock = lock_folder(folder)
            try:
                self._start(dict(identity), resume=resume)
            except BaseException:
                self._lock.release()
                raise
        except OSError as error:
            raise make_storage_error(folder, error) from error

    def _start(self, identity: dict[str, Json], *, resume: bool) -> None:
        found = read_identity(self.folder)
        if find_resumable(self.folder):
            check_asked(self.folder, resume=resume)
            _check_identity(self.folder, found, identity)
            last = self._read_last()
            self._files = {} if last is None else dict(cast("dict[str, int]", last.words[_FILES]))
            return
        _empty(self.folder)
        newborn = self.folder / _NEWBORN
        newborn.write_text(json.dumps(identity, sort_keys=True), encoding="utf-8")
        newborn.replace(self.folder / _OWNER)

    def open_latents(self, name: str, size: LatentSize, channels: int) -> LatentStore:
        """Return a canvas by name.

        Raises:
            StorageError: the disk has no room for it.
            LostWorkError: the journal counts on it, and it is not there as it was left.
        """
        if name not in self._stores:
            path = self.folder / f"{name}{_LATENTS}"
            self._stores[name] = self._open(
                path,
                lambda: create_file(path, size, channels),
                lambda: _open_latents(path, size, channels),
                lambda store: store.check_bands(least_flushes=self._files[path.name]),
            )
        store = self._stores[name]
        assert isinstance(store, MappedLatents), "a name belongs to one kind of canvas"
        return store

    def open_pixels(self, name: str, size: PixelSize) -> PixelStore:
        """Return pixels by name.

        Raises: as `open_latents`.
        """
        if name not in self._stores:
            path = self.folder / f"{name}{_PIXELS}"
            self._stores[name] = self._open(
                path, lambda: create_pixels(path, size), lambda: FilePixels(path, size), FilePixels.check_bands
            )
        store = self._stores[name]
        assert isinstance(store, FilePixels), "a name belongs to one kind of canvas"
        return store

    def _open(
        self, path: Path, make: Callable[[], None], open_left: Callable[[], Store], check: Callable[[Store], None]
    ) -> Store:
        """Open a canvas: as it was where the journal counts on it, else made anew, whatever a dead process left there."""
        if path.name in self._files:
            try:
                store = open_left()
                try:
                    check(store)
                except StorageError:
                    store.close()
                    raise
                return store
            except StorageError as error:
                raise _say_lost(path, f"{error.what}: {error.got}") from error
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise make_storage_error(path, error) from error
        make()
        self._files[path.name] = 0
        return open_left()

    def drop(self, name: str) -> None:
        """Close and remove a canvas."""
        store = self._stores.pop(name, None)
        if store is not None:
            store.close()
        for path in (self.folder / f"{name}{_LATENTS}", self.folder / f"{name}{_PIXELS}"):
            self._files.pop(path.name, None)
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def save_part(self, name: str, arrays: Arrays) -> None:
        """Keep small arrays under a name."""
        path = self.folder / f"{name}{_PART}"
        self._write(path, arrays, durable=True)
        self._files[path.name] = 0

    def load_part(self, name: str) -> dict[str, NDArray[np.generic]] | None:
        """Return what was kept, or None.

        Raises:
            LostWorkError: it is damaged, or the journal counts on it and it is not there.
        """
        path = self.folder / f"{name}{_PART}"
        found = _read(path)
        if found is None and path.name in self._files:
            raise _say_lost(path, "there is no such file")
        return found

    def note(self, entry: Entry, *, durable: bool = False) -> None:
        """Replace the entry of the journal, and where it is `durable` also the one that a power cut leaves."""
        for name, store in self._stores.items():
            if isinstance(store, MappedLatents):
                self._files[f"{name}{_LATENTS}"] = store.flushes
        said = {**entry.words, _BOOT: find_boot(), _FILES: self._files}
        words = np.frombuffer(json.dumps(said).encode(), np.uint8)
        arrays = {**entry.arrays, _WORDS: words}
        if durable:
            self._write(self.folder / _DURABLE, arrays, durable=True)
        self._write(self.folder / _JOURNAL, arrays)

    def find_entry(self) -> Entry | None:
        """Return the entry, or None where nothing was noted; the last durable one where the newer cannot be relied on.

        That is after a restart of the system, which may have lost what was not flushed, and where it is damaged.

        Raises:
            StorageError: what there is is damaged.
        """
        entry = self._read_last()
        if entry is not None:
            for name in (_BOOT, _FILES):
                entry.words.pop(name, None)
        return entry

    def _read_last(self) -> Entry | None:
        damage: StorageError | None = None
        for name in (_JOURNAL, _DURABLE):
            try:
                entry = _read_entry(self.folder / name)
            except StorageError as error:
                damage = damage or error
                continue
            if entry is not None and (entry.words.get(_BOOT, "") == find_boot() or name == _DURABLE):
                return entry
        if damage is not None:
            raise damage
        return None

    def close(self) -> None:
        """Flush and close every canvas and let go of the folder, which stays where something was noted; `remove` did all that."""
        if self._is_removed:
            return
        self._close_stores()
        if not find_resumable(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def remove(self) -> None:
        """Close every canvas, remove the folder and let go of it: the work is done."""
        self._close_stores()
        # A journal that outlives its canvases would have somebody go on with nothing.
        clear_away(self.folder, first=(_JOURNAL, _DURABLE))
        self._is_removed = True
        self._lock.release()

    def _close_stores(self) -> None:
        while self._stores:
            self._stores.popitem()[1].close()

    def _write(self, path: Path, arrays: Arrays, *, durable: bool = False) -> None:
        # Mostly not flushed to the disk itself: a process that is killed leaves its pages to the system, and a
        # journal that is flushed at every band would cost more than the bands.
        beside = path.with_name(f".{path.name}.part")
        try:
            with beside.open("wb") as stream:
                np.savez(stream, **{name: np.asarray(values) for name, values in arrays.items()})  # pyright: ignore[reportArgumentType]
                if durable:
                    stream.flush()
                    os.fsync(stream.fileno())
            beside.replace(path)
            if durable:
                sync_folder(self.folder)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise make_storage_error(path, error) from error


def name_work(path: Path) -> Path:
    """Return the folder of the work on a picture, beside it."""
    return path.with_name(f"{shorten_name(path, len(_WORK))}{_WORK}")


def find_boot() -> str:
    """Return what names this run of the system; empty where that cannot be told."""
    try:
        return _BOOT_FILE.read_text().strip()
    except OSError:
        return ""


def find_resumable(folder: Path) -> bool:
    """Tell whether a folder holds work that was noted and can be gone on with."""
    return (folder / _OWNER).is_file() and any((folder / name).is_file() for name in (_JOURNAL, _DURABLE))


def read_identity(folder: Path) -> dict[str, Json]:
    """Return whose a folder is; nothing where its process was killed at its birth.

    Raises:
        RequestError: it is no folder of ours.
    """
    try:
        if {path.name for path in folder.iterdir()} <= {_NEWBORN}:
            return {}
        found = json.loads((folder / _OWNER).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return cast("dict[str, Json]", found)
    except (OSError, ValueError):
        # A folder that is not ours stays as it is.
        pass
    raise RequestError(
        "the place for work in progress is taken", got=str(folder), do="Move it away, or give another --out."
    )


def check_asked(folder: Path, *, resume: bool) -> None:
    """Check that work which can be gone on with is gone on with.

    Raises:
        RequestError: nobody asked to.
    """
    if find_resumable(folder) and not resume:
        raise RequestError(
            "an earlier render of this picture was stopped and can be resumed",
            got=str(folder),
            do=f"Add --resume to go on with it, or remove {folder} to start anew.",
        )


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_identity(folder: Path, found: Mapping[str, Json], wanted: Mapping[str, Json]) -> None:
    differences = list_differences(found, wanted)
    if differences:
        raise RequestError(
            "the render that was stopped is not the one that is to be resumed",
            got=join_differences(differences),
            do=f"Ask for what the work was begun with, or remove {folder} to start anew.",
        )


def _open_latents(path: Path, size: LatentSize, channels: int) -> MappedLatents:
    store = MappedLatents(path)
    if (store.size, store.channels) != (size, channels):
        store.close()
        raise StorageError("the latents are those of another canvas", got=str(path))
    return store


def _say_lost(path: Path, why: str) -> LostWorkError:
    do = f"Remove the whole folder {path.parent} and start without --resume."
    return LostWorkError("a file that the stopped render needs is lost", got=f"{path}: {why}", do=do)


def _read_entry(path: Path) -> Entry | None:
    arrays = _read(path)
    if arrays is None:
        return None
    try:
        words = json.loads(arrays.pop(_WORDS).tobytes())
        return Entry({_FILES: words.pop(_FILES), **words}, arrays)
    except (KeyError, ValueError) as error:
        raise _say_damaged(path) from error


def _read(path: Path) -> dict[str, NDArray[np.generic]] | None:
    if not path.exists():
        return None
    try:
        # Opened here: where it is no archive, numpy would leave the file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name], stored[name].dtype) for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, AttributeError) as error:
        raise _say_damaged(path) from error


def _say_damaged(path: Path) -> LostWorkError:
    do = f"Remove the whole folder {path.parent} and start without --resume."
    return LostWorkError("the journal of a render is damaged", got=str(path), do=do)
