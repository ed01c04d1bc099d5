"""Find checkpoints, autoencoders, LoRAs, embeddings, upscalers and control networks by a short name in the folder of models.

Knows names and folders: the layout of A1111 (its own folder or its `models`), that of ComfyUI, and files that lie
in the folder itself. It reads headers only where a name leaves a question. Start reading at `find_model_file`.
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sfumato.core.errors import ModelError, RequestError, SfumatoError
from sfumato.core.files import expand_path
from sfumato.core.settings import load_settings
from sfumato.models.files.gate import WEIGHTS
from sfumato.models.files.header import read_header
from sfumato.models.files.kinds import find_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal["checkpoint", "vae", "lora", "embedding", "upscaler", "controlnet"]
# The folders of each kind, in lower case: A1111's first, ComfyUI's second.
FOLDERS: dict[Kind, frozenset[str]] = {
    "checkpoint": frozenset({"stable-diffusion", "checkpoints", "diffusers"}),
    "vae": frozenset({"vae"}),
    "lora": frozenset({"lora", "loras", "lycoris"}),
    "embedding": frozenset({"embeddings"}),
    "upscaler": frozenset({"esrgan", "realesrgan", "upscale_models", "upscalers"}),
    "controlnet": frozenset({"controlnet"}),
}
NAMES: dict[Kind, str] = {
    "checkpoint": "model",
    "vae": "autoencoder",
    "lora": "LoRA",
    "embedding": "embedding",
    "upscaler": "upscaler",
    "controlnet": "control network",
}
# What `find_kind` calls the file of each kind; only files outside the folders above are asked.
HEADER_KINDS = {
    "autoencoder": "vae",
    "lora": "lora",
    "embedding": "embedding",
    "upscaler": "upscaler",
    "control network": "controlnet",
}
DEEPEST, MOST_FILES = 6, 50_000
MOST_SHOWN = 8
# What makes a folder a checkpoint, and what makes it a control network in the folder of these.
INDEX, CONFIG = "model_index.json", "config.json"
# kohya's note of the name under which a LoRA was trained: the name that shared prompts use.
ALIAS_NOTE = "ss_output_name"


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """One file, or diffusers folder, of the folder of models; `name` is relative to the folder of its kind."""

    kind: Kind
    name: str
    path: Path


def find_model_file(kind: Kind, ref: str | Path, *, paths: bool = True) -> Path:
    """Return the file or diffusers folder that a path or a short name means.

    A path that exists wins over a name. A name is a file's name with or without its suffix or its folder, whatever
    its case and Unicode form; a LoRA also answers to the name under which it was trained. A link is followed.
    Without `paths` only names count.

    Raises:
        RequestError: no LoRA or embedding has this name, or several files have it.
        ModelError: no checkpoint, autoencoder, upscaler or control network has this name.
    """
    path = expand_path(ref, what=f"the {NAMES[kind]}")
    if paths and _exists(path):
        # A link to a folder is the user's own way to name it; links inside a folder stay refused.
        return path.resolve() if path.is_symlink() and path.is_dir() else path
    root = models_folder()
    extra = load_settings().lora_folder if kind == "lora" else ""
    places = [
        *(list_entries(root) if root else ()),
        *(_list_kind(expand_path(extra, what="the folder of LoRAs"), "lora") if extra else ()),
    ]
    entries = [entry for entry in places if entry.kind == kind]
    matches = _match(entries, str(ref)) or (_match_alias(entries, str(ref)) if kind == "lora" else [])
    found = sorted({entry.path for entry in matches})
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(map(str, found[:MOST_SHOWN]))
        raise RequestError(f"several files have the name of this {NAMES[kind]}", got=str(ref), do=f"One of: {shown}.")
    raise _absent(kind, str(ref), entries, known=bool(root or extra))


def models_folder() -> Path | None:
    """Return the folder of the setting `models`, None where it is not set.

    Raises:
        RequestError: it is set and is no folder.
    """
    text = load_settings().models
    if not text:
        return None
    folder = expand_path(text, what="the folder of models")
    if not folder.is_dir():
        raise RequestError("SFUMATO_MODELS names no folder", got=text, do="Set it to your folder of models.")
    return folder


def list_entries(root: Path) -> list[LibraryEntry]:
    """List what a folder of models holds, kind by kind and by name; a linked file under each of its names."""
    found: set[LibraryEntry] = set()
    kinds: dict[str, Kind] = {name: kind for kind, names in FOLDERS.items() for name in names}
    # A1111 keeps its embeddings beside `models`; either of the two folders may be the one that is named.
    places = [(root, True), (root / "models", False)]
    places += [(root.parent, False)] if root.name.lower() == "models" else []
    for place, whole in places:
        for child in sorted(place.iterdir()) if place.is_dir() else ():
            kind = kinds.get(child.name.lower())
            if kind and child.is_dir() and (place != root.parent or kind == "embedding"):
                found.update(_list_kind(child, kind))
            elif whole and _is_model(child):
                found.add(LibraryEntry(_ask_kind(child), child.name, _follow(child)))
    return sorted(found, key=lambda entry: (list(FOLDERS).index(entry.kind), entry.name))


def _exists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:
        return False


def _list_kind(folder: Path, kind: Kind) -> Iterator[LibraryEntry]:
    for path in _walk(folder, CONFIG if kind == "controlnet" else INDEX):
        yield LibraryEntry(kind, path.relative_to(folder).as_posix(), _follow(path))


def _walk(folder: Path, index: str) -> Iterator[Path]:
    """Yield the weight files and diffusers folders, which hold an `index`, below a folder; linked folders count, loops do not."""
    seen: set[str] = set()
    count = 0
    for here, names, files in os.walk(folder, followlinks=True):
        at = Path(here)
        real = os.path.realpath(here)
        if real in seen or len(at.relative_to(folder).parts) > DEEPEST:
            names.clear()
            continue
        seen.add(real)
        count += len(files) + len(names)
        if count > MOST_FILES:
            do = "Point SFUMATO_MODELS at the models alone."
            raise RequestError("the folder of models holds too many files", got=f"more than {MOST_FILES}", do=do)
        whole = [name for name in names if (at / name / index).is_file()]
        names[:] = sorted(name for name in names if name not in whole and not name.startswith("."))
        yield from (at / name for name in sorted((*whole, *files)) if _is_model(at / name, index))


def _is_model(path: Path, index: str = INDEX) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return (path / index).is_file()
    return path.suffix.lower() in WEIGHTS and path.is_file()


def _follow(path: Path) -> Path:
    # The gate opens no links; the owner of this folder may keep the files elsewhere.
    return path.resolve() if path.is_symlink() else path


def _ask_kind(path: Path) -> Kind:
    if path.is_dir():
        return "checkpoint"
    try:
        return HEADER_KINDS.get(find_kind(read_header(_follow(path))), "checkpoint")  # pyright: ignore[reportReturnType]
    except SfumatoError:
        return "checkpoint"


def _match(entries: Iterable[LibraryEntry], name: str) -> list[LibraryEntry]:
    """Return the entries of a name: those that spell it exactly, else those that do but for case."""
    entries = list(entries)
    for fold in (_plain, lambda text: _plain(text).casefold()):
        wanted = fold(name)
        found = [entry for entry in entries if wanted in map(fold, _spellings(entry.name))]
        if found:
            return found
    return []


def _match_alias(entries: Iterable[LibraryEntry], name: str) -> list[LibraryEntry]:
    found: list[LibraryEntry] = []
    for entry in entries:
        try:
            alias = read_header(entry.path).metadata.get(ALIAS_NOTE, "")
        except SfumatoError:
            continue
        if alias and _plain(alias) == _plain(name):
            found.append(entry)
    return found


def _spellings(name: str) -> Iterator[str]:
    """Yield the names of an entry: with and without its folder, with and without its suffix."""
    for text in (name, name.rpartition("/")[2]):
        yield text
        suffix = next((suffix for suffix in WEIGHTS if text.lower().endswith(suffix)), "")
        if suffix:
            yield text[: -len(suffix)]


def _plain(name: str) -> str:
    # File systems and prompts differ in how they compose accents, and prompts lose blanks at the ends.
    return unicodedata.normalize("NFC", name).strip()


def _absent(kind: Kind, name: str, entries: list[LibraryEntry], *, known: bool) -> SfumatoError:
    names = [Path(entry.name).stem if entry.path.is_file() else entry.name for entry in entries]
    near = difflib.get_close_matches(name, names, n=3) or sorted(names)[:MOST_SHOWN]
    holds = f"The folder of models holds {', '.join(near)}." if near else "The folder of models holds none."
    do = holds if known else "Check the path, or set SFUMATO_MODELS to your folder of models."
    error = RequestError if kind in ("lora", "embedding") else ModelError
    if kind == "checkpoint" and is_hub_name(name):
        do = f"Fetch it once: sfumato models get {name}"
    return error(f"there is no such {NAMES[kind]}", got=name, do=do)


def is_hub_name(name: str) -> bool:
    """Tell whether a text has the form OWNER/NAME of a repository on a hub."""
    owner, slash, rest = name.partition("/")
    plain = all(part and all(sign.isalnum() or sign in "-_." for sign in part) for part in (owner, rest))
    return bool(slash) and plain and not name.startswith(".") and ".." not in name and not rest.endswith(tuple(WEIGHTS))
