"""Pack what was trained into the folder that ships: a diffusers folder in float16 with checksums.

It knows the state folder's layout and the bundle's limit, no training. Start reading at
`pack_mini`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sfumato.core.errors import ModelError
from sfumato.lab.train_mini.pictures import list_filled, open_pictures
from sfumato.models.mini import (
    MiniParts,
    load_mini_autoencoder,
    load_mini_tokenizer,
    open_mini_part,
    save_mini,
)

if TYPE_CHECKING:
    from torch import nn

# Every committed version stays in every clone.
LARGEST_BUNDLE_BYTES = 64 * 2**20
# Ends in .txt: the gate opens no folder with files of unknown kinds.
SUMS = "SHA256SUMS.txt"
# Every word of the captions that the denoiser was trained on.
WORDS = "words.txt"
_WORD = re.compile(r"[^\W\d_]+")
# Where the stages of reader, detector and parser leave them in the state folder.
EYES = "eyes"


def pack_mini(state: Path, out: Path, init: Path | None = None) -> int:
    """Write the bundle to `out`, replacing what is there; return its size in bytes.

    What `state` has not trained comes from the bundle `init`, and eyes without either stay as `out` has them.

    Raises:
        ModelError: a part is missing, holds a number that is not finite, or the bundle is too large.

    """
    names = ("vae", "unet", "text_encoder", "tokenizer")
    homes = {name: next((one for one in (state, init) if one and (one / name).is_dir()), None) for name in names}
    missing = [name for name, home in homes.items() if home is None]
    if missing:
        do = "Run its stage first, or pass `init` to take it from a bundle."
        raise ModelError("A part of mini is not trained yet", got=missing, do=do)
    parts = MiniParts(
        load_mini_autoencoder((homes["vae"] or state) / "vae"),
        open_mini_part(homes["text_encoder"], "text_encoder"),
        load_mini_tokenizer((homes["tokenizer"] or state) / "tokenizer"),
        open_mini_part(homes["unet"], "unet"),
    )
    for name, network in (("vae", parts.vae), ("unet", parts.unet), ("text_encoder", parts.text)):
        _check_finite(name, network)
    fresh = out.with_name(out.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    save_mini(fresh, parts)
    _forget_origins(fresh)
    _write_words(state if homes["unet"] == state else init, fresh / WORDS)
    for source in (state / EYES, init, out):
        for eye in source.glob("*") if source and source.is_dir() else ():
            if eye.is_dir() and not (fresh / eye.name).exists():
                shutil.copytree(eye, fresh / eye.name)
    size = write_sums(fresh)
    if size > LARGEST_BUNDLE_BYTES:
        raise ModelError("The bundle is too large to ship", got=size, do=f"Keep it below {LARGEST_BUNDLE_BYTES} bytes.")
    shutil.rmtree(out, ignore_errors=True)
    fresh.replace(out)
    return size


def _check_finite(name: str, network: nn.Module) -> None:
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.half()).all():
            raise ModelError(
                "A trained weight does not fit float16", got=f"{name}: {key}", do="Train on from an earlier checkpoint."
            )


def _write_words(source: Path | None, path: Path) -> None:
    """List the words of the captions in a state folder, or copy the list of the bundle that the denoiser came from."""
    assert source is not None
    if (source / WORDS).is_file():
        shutil.copyfile(source / WORDS, path)
        return
    words: set[str] = set()
    for table in list_filled(source):
        for note in open_pictures(source, table).read_notes():
            words.update(_WORD.findall(" ".join(note["captions"]).lower()))
    path.write_text("".join(f"{word}\n" for word in sorted(words)), encoding="utf-8")


def _forget_origins(folder: Path) -> None:
    """Take the folders that networks were loaded from out of their configurations."""
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_sums(folder: Path) -> int:
    """List the digests of all files of a bundle in `SUMS`; return their size in bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    for path in files:
        # safetensors writes for its owner only; an installed package is read by others.
        path.chmod(0o644)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in files
    ]
    (folder / SUMS).write_text("".join(lines))
    return sum(path.stat().st_size for path in files)
