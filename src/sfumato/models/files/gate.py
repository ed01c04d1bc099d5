"""The safety gate: look at a checkpoint before anything in it is used.

Knows files, headers and allow-lists; builds no network and reads no weights. Everything that passes
is listed in the `CheckedCheckpoint`, and the loader opens nothing else.
Start reading at `check_checkpoint`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Never

from sfumato.core.errors import ModelError, UnsafeFileError
from sfumato.core.escape import write_command
from sfumato.models.files.gate_configs import (
    ALONE,
    COMPONENTS,
    CONFIG_NAMES,
    CONTROL,
    NEVER_LOADED,
    check_component,
    check_index,
)
from sfumato.models.files.gate_json import LARGEST_CONFIG_BYTES, read_config, read_json
from sfumato.models.files.header import Header, read_header, refuse

# `.sft` is the short name that some programs give safetensors files.
WEIGHTS = frozenset({".safetensors", ".sft"})
PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle"})
# What a diffusers folder legitimately holds; everything else is named and refused. The critics of `mini` are packed by xz.
SUFFIXES = frozenset({".json", ".safetensors", ".xz", ".txt", ".md", ".png", ".jpg", ".jpeg", ".webp", ".yaml", ".yml"})
PLAIN_NAMES = frozenset({"LICENSE", "NOTICE", ".gitattributes", ".gitignore"})
# Left by download tools beside the model; nothing below them is opened.
IGNORED_FOLDERS = frozenset({".cache", ".git"})
MOST_FILES = 500
DEEPEST_FOLDER = 3
MOST_SHARDS = 64

_WEIGHTS = dict.fromkeys(("unet", "vae", CONTROL), "diffusion_pytorch_model") | {"text": "model"}
_VARIANTS = ("", ".fp16", ".bf16", ".fp32")


@dataclass(frozen=True)
class CheckedCheckpoint:
    """List what passed the gate.

    `headers` maps a component to its weight files ("file" for a single file); `configs` maps a
    component to its configuration.
    """

    path: Path
    layout: Literal["folder", "file"]
    headers: dict[str, tuple[Header, ...]]
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    components: tuple[str, ...] = ()

    @property
    def weights_bytes(self) -> int:
        """Sum the bytes of all tensors that would be loaded."""
        return sum(header.tensor_bytes for headers in self.headers.values() for header in headers)


def check_checkpoint(path: Path | str) -> CheckedCheckpoint:
    """Check a diffusers folder or a single safetensors file.

    Raises:
        ModelError: nothing is there.
        UnsafeFileError: anything that is not plainly safe; names what, why and what to do.
    """
    path = Path(path)
    try:
        kind = os.lstat(path).st_mode
    except (OSError, ValueError) as error:
        raise ModelError("there is no checkpoint at this path", got=str(path), do="Check the path.") from error
    if stat.S_ISDIR(kind):
        return _check_folder(path)
    return CheckedCheckpoint(path, "file", {"file": (check_weights_file(path),)})


def check_weights_file(path: Path | str) -> Header:
    """Check one file of weights (checkpoint, autoencoder, LoRA, embedding) and return its header.

    Raises:
        ModelError: nothing is there.
        UnsafeFileError: it is not a sound safetensors file; pickles are told how to convert.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise ModelError("there is no file at this path", got=str(path), do="Check the path.")
    if path.suffix.lower() in PICKLES:
        _refuse_pickle(path)
    if path.suffix.lower() not in WEIGHTS:
        do = "If it is a safetensors file, rename it to end in .safetensors."
        refuse(path, "only .safetensors files are opened", got=path.suffix or "no suffix", do=do)
    return read_header(path)


def _refuse_pickle(path: Path) -> Never:
    refuse(
        path,
        "a pickle can run any program when it is opened",
        got=path.suffix,
        do=_convert_advice(path),
    )


def _convert_advice(path: Path) -> str:
    return f"Convert it once: {write_command('sfumato', 'models', 'convert', path)}"


def _check_folder(root: Path) -> CheckedCheckpoint:
    check_folder_files(root)
    index_path = root / "model_index.json"
    if not index_path.is_file():
        raise UnsafeFileError(
            f"{root} is refused: it has no model_index.json, so it is no diffusers folder",
            do="Give the folder that holds model_index.json, or a single .safetensors file.",
        )
    index = read_config(index_path)
    components = check_index(index_path, index)
    configs: dict[str, dict[str, Any]] = {"index": index}
    headers: dict[str, tuple[Header, ...]] = {}
    for component in components:
        if component in CONFIG_NAMES:
            configs[component] = _check_config(root, component)
        if component in ("unet", "vae", "text_encoder", "text_encoder_2"):
            headers[component] = find_weights(root / component, component)
    return CheckedCheckpoint(root, "folder", headers, configs, components)


def _check_config(root: Path, component: str) -> dict[str, Any]:
    path = root / component / CONFIG_NAMES[component]
    config = read_config(path)
    check_component(path, component, config)
    return config


def check_folder_files(root: Path) -> None:
    """Check that a folder holds only weights and texts, by name and kind.

    Raises:
        UnsafeFileError: a program, pickle, link, device or unknown file; too many or too deep.
    """
    seen = 0
    for folder, names, files in os.walk(root, followlinks=False):
        here = Path(folder)
        if len(here.relative_to(root).parts) > DEEPEST_FOLDER:
            refuse(here, f"the folder is deeper than {DEEPEST_FOLDER} levels", do="Give the model's own folder.")
        names[:] = [name for name in names if name not in IGNORED_FOLDERS or here != root]
        seen += len(names) + len(files)
        if seen > MOST_FILES:
            refuse(root, f"it holds more than {MOST_FILES} files", do="Give the model's own folder.")
        for name in (*names, *files):
            _check_entry(root, here / name)


def _check_entry(root: Path, path: Path) -> None:
    kind = os.lstat(path).st_mode
    if stat.S_ISLNK(kind):
        refuse(path, "a checkpoint folder may hold no symbolic links", do=f"Copy it with `cp -rL {root} NEW`.")
    if stat.S_ISDIR(kind):
        return
    if not stat.S_ISREG(kind):
        refuse(path, "it is not a regular file", do="Remove it from the folder.")
    suffix = path.suffix.lower()
    if suffix == ".py":
        refuse(path, "a checkpoint folder may hold no program", got=path.name, do="Remove it; no checkpoint needs it.")
    if suffix in PICKLES:
        refuse(
            path,
            "a pickle can run any program when it is opened",
            got=path.name,
            do=f"Remove it if there is a .safetensors beside it. {_convert_advice(path)}",
        )
    if suffix not in SUFFIXES and path.name not in PLAIN_NAMES:
        refuse(path, "a checkpoint folder holds only weights and texts", got=path.name, do="Remove it.")


def find_weights(folder: Path, component: str) -> tuple[Header, ...]:
    """Find and check the weight files of one component: plain, a variant such as fp16, or shards.

    Raises:
        ModelError: there are none.
        UnsafeFileError: a file or shard index is not sound.
    """
    assert component in COMPONENTS | ALONE, "the index was checked"
    assert component not in NEVER_LOADED, "the index leaves these out"
    stem = _WEIGHTS["text" if component.startswith("text") else component]
    for variant in _VARIANTS:
        # Some converters keep the name of the pickle that they converted.
        for name in (stem, f"pytorch_{stem}"):
            whole = folder / f"{name}{variant}.safetensors"
            if whole.is_file():
                return (read_header(whole),)
        # Shards of a variant are listed in `stem.safetensors.index.fp16.json`.
        index = folder / f"{stem}.safetensors.index{variant}.json"
        if index.is_file():
            return _check_shards(index)
    raise ModelError(
        f"the component {component!r} has no weights", got=str(folder), do=f"It needs {stem}.safetensors there."
    )


def _check_shards(index: Path) -> tuple[Header, ...]:
    content = read_json(index, 16 * LARGEST_CONFIG_BYTES)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        refuse(index, "the shard index has no proper weight_map")
    names = sorted(set(weight_map.values()))
    if len(names) > MOST_SHARDS:
        refuse(index, f"it lists more than {MOST_SHARDS} files", got=len(names))
    for name in names:
        _check_shard_name(index, name)
    headers = tuple(read_header(index.parent / name) for name in names)
    _check_weight_map(index, weight_map, headers)
    return headers


def _check_shard_name(index: Path, name: str) -> None:
    plain = name == Path(name).name and not any(sign in name for sign in "\\/:\0")
    if not plain or not name.endswith(".safetensors"):
        refuse(index, "a shard has to be a plain .safetensors name in the same folder", got=name)
    if not (index.parent / name).is_file():
        refuse(index, "a shard is missing", got=name, do="Get the missing file.")


def _check_weight_map(index: Path, weight_map: dict[str, str], headers: tuple[Header, ...]) -> None:
    found: dict[str, str] = {}
    for header in headers:
        for name in header.tensors:
            if name in found:
                refuse(index, "a tensor is in two shards", got=name)
            found[name] = header.path.name
    if found != weight_map:
        wrong = next(iter(set(found.items()) ^ set(weight_map.items())))
        refuse(index, "the shard index and the shards disagree", got=wrong[0])
