"""What one base learned of a concept: the files in `builds/<base>/`, which base they belong to, and their digest.

Knows files; trains nothing. Start reading at `find_build`; `write_build` is the other way.

Files that other tools read: `TRIGGER.safetensors` is an embedding, one tensor under the trigger; `TRIGGER_lora.safetensors`
a LoRA with kohya's keys, `TRIGGER_oft.safetensors` an OFT. Full tuning writes a whole model instead, a diffusers folder
`model`. A1111 and ComfyUI call an embedding by its file, diffusers by its key: both are the trigger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.core.errors import ModelError, RequestError, SfumatoError, StorageError
from sfumato.core.escape import write_command
from sfumato.core.files import file_sha256
from sfumato.customize.concept import ConceptFolder, read_json_file, write_json
from sfumato.customize.file_forms import (
    NotedBuild,
    name_kohya,
    name_oft,
    name_vectors_keys,
    write_embedding_notes,
    write_lora_notes,
    write_oft_notes,
)
from sfumato.models.describe import MINI, find_checkpoint
from sfumato.models.files.gate import check_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.models.contract import ModelContract

BUILD = "build.json"
# The folder of a whole model.
MODEL = "model"
# Enough of a digest to tell bases apart in a folder's name.
BASE_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class ConceptBuild:
    """What a base learned: its files by name with their digests, the settings, and the checks on the way.

    `strength` is the one that a sweep found best; the LoRA's alpha holds it, so readers apply it by themselves. After
    full tuning `model` names the folder of a whole model, and there is neither embedding nor LoRA.
    """

    folder: Path
    base: str
    base_sha256: str
    embedding: str
    lora: str = ""
    model: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0
    best_step: int = 0
    strength: float = 1.0
    seconds: float = 0.0
    stopped: str = ""
    checks: tuple[Mapping[str, float], ...] = ()

    @property
    def embedding_path(self) -> Path | None:
        """Return the file of the vectors, None after full tuning."""
        return self.folder / self.embedding if self.embedding else None

    @property
    def model_path(self) -> Path | None:
        """Return the folder of the whole model, None but after full tuning."""
        return self.folder / self.model if self.model else None

    @property
    def lora_path(self) -> Path | None:
        """Return the file of the LoRA or OFT, None where only vectors were learned."""
        return self.folder / self.lora if self.lora else None

    @property
    def sha256(self) -> str:
        """Return the digest of what changes pixels: of the digests of the files, by name."""
        return hashlib.sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the build as JSON values."""
        names = (
            "base", "base_sha256", "embedding", "lora", "model", "steps", "best_step", "strength", "seconds", "stopped",
        )  # fmt: skip
        values = {name: getattr(self, name) for name in names}
        return values | {"files": dict(self.files), "settings": dict(self.settings), "checks": list(self.checks)}


def hash_base(ref: str | Path) -> str:
    """Return the digest of a base: of all its files of weights, by name.

    The files are opened for reading only. Cost: reading them once in a process, unless they change.

    Raises:
        ModelError, UnsafeFileError: it is no checkpoint that can be opened.
    """
    checked = check_checkpoint(find_checkpoint(ref))
    parts = {
        f"{part}/{header.path.name}": _hash_file(str(header.path), header.stamp)
        for part, headers in checked.headers.items()
        for header in headers
        if part == "file" or part in ("unet", "vae") or part.startswith("text_encoder")
    }
    if set(parts) == {f"file/{checked.path.name}"}:
        # The digest that other tools know a single file by.
        return next(iter(parts.values()))
    return hashlib.sha256(json.dumps(sorted(parts.items())).encode()).hexdigest()


@lru_cache(maxsize=64)
def _hash_file(path: str, stamp: tuple[int, ...]) -> str:
    del stamp
    return file_sha256(path, what="the file of weights")


def check_base(ref: str | Path, expected: str) -> None:
    """Check that a base is the one that it was.

    Raises:
        ModelError: its weights changed.
    """
    found = hash_base(ref)
    if found != expected:
        do = "Stop what writes to the base, and train again with `fresh`."
        got = f"{ref}: {found[:BASE_DIGITS]}, before {expected[:BASE_DIGITS]}"
        raise ModelError("the base changed while a concept was trained on it", got=got, do=do)


def find_build(concept: ConceptFolder, base: str | Path) -> ConceptBuild:
    """Return what a base learned of a concept, its files checked against their digests.

    Raises:
        RequestError: this base was not taught the concept; says which were.
        StorageError: a file is missing or was changed.
    """
    digest = hash_base(base)
    folder = concept.builds / digest[:BASE_DIGITS]
    if not (folder / BUILD).is_file():
        raise _untaught(concept, base)
    build = read_build(folder)
    for name, expected in build.files.items():
        path = folder / name
        if not path.is_file() or file_sha256(path, what="a file of the concept") != expected:
            do = "Train it again with `fresh`."
            raise StorageError("a file of the concept is gone or was changed", got=str(path), do=do)
    return build


def read_build(folder: Path) -> ConceptBuild:
    """Read `build.json`.

    Raises:
        StorageError: it is not there or broken.
    """
    values = read_json_file(folder / BUILD, what="the concept's build")
    try:
        checks = tuple(values.pop("checks"))
        build = ConceptBuild(folder=folder, checks=checks, **values)
        _check_names(build)
        return build
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise StorageError(
            "the concept's build cannot be read", got=f"{folder}: {error}", do="Train it again."
        ) from error


def _check_names(build: ConceptBuild) -> None:
    names = {name for name in (build.embedding, build.lora) if name}
    if build.model:
        names = {name for name in build.files if Path(name).parts[0] == MODEL and ".." not in Path(name).parts}
        names = names if build.model == MODEL else set()
    elif any(Path(name).name != name for name in names):
        names = set()
    if not names or names != set(build.files):
        raise ValueError("it names files outside its folder")


def list_builds(concept: ConceptFolder) -> list[ConceptBuild]:
    """Return what all bases learned, as far as it can be read."""
    found: list[ConceptBuild] = []
    for path in sorted(concept.builds.glob(f"*/{BUILD}")):
        try:
            found.append(read_build(path.parent))
        except SfumatoError:
            continue
    return found


def write_build(
    concept: ConceptFolder,
    tensors: Mapping[str, Tensor],
    build: ConceptBuild,
    contract: ModelContract,
) -> ConceptBuild:
    """Write the files of a build, `build.json` last; return it with their names and digests.

    `tensors` holds "vectors" [n, width], "vectors_2" for a second text encoder, and for a LoRA "unet.LAYER.down" and
    "unet.LAYER.up", or the same below "text_encoder" and "text_encoder_2"; for an OFT "unet.LAYER.oft_blocks".

    Raises:
        StorageError: the disk refuses.
    """
    import torch

    from sfumato.models.files.write_weights import write_weights

    name = concept.trigger
    embedding, lora = f"{name}.safetensors", ""
    alpha = build.strength * int(build.settings["rank"])
    noted = note_build(concept, build, alpha=alpha)
    notes = write_embedding_notes(noted, contract)
    vectors = [tensors[key] for key in ("vectors", "vectors_2") if key in tensors]
    write_weights(build.folder / embedding, name_vectors_keys(vectors, name), torch.float32, notes)
    factors = {key.removeprefix("unet."): t for key, t in tensors.items() if not key.startswith("vectors")}
    if build.settings.get("rung") == "oft":
        lora = f"{name}_oft.safetensors"
        turned = {key: value * build.strength for key, value in factors.items()}
        write_weights(build.folder / lora, name_oft(turned), torch.float32, write_oft_notes(noted, contract))
    elif factors:
        lora = f"{name}_lora.safetensors"
        notes = write_lora_notes(noted, contract)
        write_weights(build.folder / lora, name_kohya(factors, alpha), torch.float32, notes)
    files = {file: file_sha256(build.folder / file) for file in (embedding, lora) if file}
    written = replace(build, embedding=embedding, lora=lora, files=files)
    write_json(build.folder / BUILD, written.to_json())
    return written


def write_full_build(networks: Mapping[str, Mapping[str, Tensor]], build: ConceptBuild) -> ConceptBuild:
    """Write a build of full tuning: the base as a diffusers folder in fp16 with changed `networks`; `build.json` last.

    `networks` maps unet and text encoders to their weights.

    Raises:
        StorageError: the disk refuses.
        ModelError, UnsafeFileError: the base cannot be opened any more.
    """
    from sfumato.models.write_checkpoint import write_folder

    paths = write_folder(build.base, build.folder / MODEL, networks)
    names = {str(path.relative_to(build.folder)): path for path in paths}
    files = {name: file_sha256(path) for name, path in names.items()}
    written = replace(build, embedding="", lora="", model=MODEL, files=files)
    write_json(build.folder / BUILD, written.to_json())
    return written


def note_build(concept: ConceptFolder, build: ConceptBuild, *, alpha: float = 0.0) -> NotedBuild:
    """Return what headers of files tell of a build; `alpha` is the LoRA's."""
    settings = build.settings
    return NotedBuild(
        name=concept.name,
        trigger=concept.trigger,
        noun=concept.noun,
        description=concept.description,
        pictures=len(concept.pictures),
        base=build.base,
        base_sha256=build.base_sha256,
        rung=str(settings.get("rung", "")),
        rank=int(settings.get("rank", 0)),
        alpha=alpha,
        steps=build.best_step,
        seed=int(settings.get("seed", 0)),
    )


def _untaught(concept: ConceptFolder, base: str | Path) -> RequestError:
    others = [build.base for build in list_builds(concept)]
    words = ["sfumato", "concept", "train", concept.name, *([] if str(base) == MINI else ["--model", str(base)])]
    do = f"Teach it: {write_command(*words)}"
    taught = f"taught to {', '.join(others)}, whose weights differ" if others else "taught to no base yet"
    return RequestError("this base was not taught the concept", got=f"{concept.name}, {base}; {taught}", do=do)
