"""Which files a request stands on: their digests for the metadata, and adapters found by name.

Knows files, no tensors. Start reading at `digest_weights`.
"""

from __future__ import annotations

from pathlib import Path

from sfumato.canvas.formats.images import file_sha256
from sfumato.core.errors import RequestError
from sfumato.core.files import expand_path
from sfumato.core.metadata import WeightDigests
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import RenderRequest
from sfumato.core.settings import load_settings
from sfumato.models.describe import find_checkpoint

SUFFIX = ".safetensors"


def digest_weights(request: RenderRequest) -> WeightDigests:
    """Return the SHA-256 of every file of weights a request uses; of a folder, that of its denoiser."""
    loras, embeddings = list_adapters(request)
    return WeightDigests(
        model=_digest(find_checkpoint(request.model)),
        vae=_digest(expand_path(request.vae, what="the VAE")) if request.vae else "",
        loras=tuple((path.stem, _digest(path)) for path in loras),
        embeddings=tuple((path.stem, _digest(path)) for path in embeddings),
    )


def list_adapters(request: RenderRequest) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the files of the LoRAs, those named in the prompt last, and of the embeddings of a request.

    Raises:
        RequestError: one of them is not there, or is named where it would have no effect.
    """
    if parse_prompt(request.negative).loras:
        do = "Name it in the prompt; a weight below 0 turns it around."
        raise RequestError("a LoRA in the negative prompt has no effect", got=request.negative, do=do)
    tags = [find_lora(tag.name) for tag in parse_prompt(request.prompt).loras]
    loras = (*(expand_path(lora.path, what="a LoRA") for lora in request.loras), *tags)
    embeddings = tuple(expand_path(path, what="an embedding") for path in request.embeddings)
    for path in (*loras, *embeddings):
        if not path.is_file():
            raise RequestError("there is no such LoRA or embedding", got=str(path), do="Check the path.")
    return loras, embeddings


def find_lora(name: str) -> Path:
    """Return the file that `<lora:name:...>` means: a file of that name in the folder of the settings.

    Raises:
        RequestError: no folder is set, or it holds no such file, or the name is a path.
    """
    folder = load_settings().lora_folder
    if not folder:
        do = "Set SFUMATO_LORA_FOLDER to your folder of LoRAs, or use --lora FILE:WEIGHT."
        raise RequestError("a LoRA in the prompt is looked up in a folder, and none is set", got=name, do=do)
    if Path(name).name != name or name.startswith("."):
        raise RequestError("a LoRA in the prompt is a name, not a path", got=name, do="Use --lora FILE:WEIGHT.")
    path = expand_path(Path(folder) / f"{name.removesuffix(SUFFIX)}{SUFFIX}", what="the LoRA")
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob(f"*{SUFFIX}"))[:8]) or "nothing"
        raise RequestError("no such LoRA", got=name, do=f"{path.parent} holds {known}.")
    return path


def _digest(path: Path) -> str:
    if path.is_dir():
        files = sorted((path / "unet").glob(f"*{SUFFIX}")) or sorted(path.glob(f"*{SUFFIX}"))
        return file_sha256(files[0]) if files else ""
    return file_sha256(path, what="the file of weights")
