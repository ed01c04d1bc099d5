"""Which files a request stands on: their digests for the metadata, and adapters found by name.

Knows files, no tensors. Start reading at `digest_weights`.
"""

from __future__ import annotations

from pathlib import Path

from sfumato.canvas.formats.images import file_sha256
from sfumato.core.errors import RequestError
from sfumato.core.metadata.write import WeightDigests
from sfumato.core.prompt.grammar import parse_prompt
from sfumato.core.request import RenderRequest
from sfumato.core.settings import load_settings
from sfumato.models.describe import find_checkpoint
from sfumato.models.files.gate import check_checkpoint, check_weights_file
from sfumato.models.files.library import find_model_file
from sfumato.workflows.personalize.resolve import list_used

SUFFIX = ".safetensors"
# Changes of full rank to every weight of SDXL in float32 take 10.3 GB.
LARGEST_ADAPTER_BYTES = 12 * 10**9


def digest_weights(request: RenderRequest) -> WeightDigests:
    """Return the SHA-256 of every file of weights a request uses; of a folder, that of its denoiser."""
    loras, embeddings = list_adapters(request)
    active = list_used(request)
    # The gate reads headers; a digest reads all of a file, however large it claims to be.
    model = check_checkpoint(find_checkpoint(request.model)).path
    # A concept of full tuning is a folder that is put in force as a LoRA is.
    wholes = [(one.trigger, one.build.model_path) for one in active if one.build.model_path]
    files = [(path.stem, path) for path in (*loras, *(path for one in active for path in one.loras))]
    vectors = [one.embedding for one in active if one.embedding]
    return WeightDigests(
        model=_digest(model),
        vae=_digest(find_model_file("vae", request.vae)) if request.vae else "",
        loras=tuple((name, _digest(path)) for name, path in (*files, *wholes)),
        embeddings=tuple((path.stem, _digest(path)) for path in (*embeddings, *vectors)),
    )


def list_adapters(request: RenderRequest) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the files of the LoRAs, those named in the prompt last, and of the embeddings of a request.

    Raises:
        RequestError: one of them is not there, or is named where it would have no effect.
        UnsafeFileError: the gate refuses one.
    """
    if parse_prompt(request.negative).loras:
        do = "Name it in the prompt; a weight below 0 turns it around."
        raise RequestError("a LoRA in the negative prompt has no effect", got=request.negative, do=do)
    _check_boxes(request)
    tags = [find_lora(tag.name) for tag in parse_prompt(request.prompt).loras]
    loras = (*(find_model_file("lora", lora.path) for lora in request.loras), *tags)
    embeddings = tuple(find_model_file("embedding", path) for path in request.embeddings)
    for path in (*loras, *embeddings):
        if check_weights_file(path).tensor_bytes > LARGEST_ADAPTER_BYTES:
            do = "Is it a checkpoint? Use it as the model."
            raise RequestError("a LoRA or embedding is smaller", got=f"{path.stat().st_size} bytes", do=do)
    return loras, embeddings


def _check_boxes(request: RenderRequest) -> None:
    """Check the prompts of focus boxes before anything is drawn.

    Raises:
        RequestError: one cannot be read, or names a LoRA, which would change no box.
    """
    for box in () if request.focus is None else request.focus.boxes:
        if parse_prompt(box.prompt).loras:
            do = "Name it in the prompt of the picture, or as `loras`: it holds for the boxes too."
            raise RequestError("a LoRA in the prompt of a `focus_box` has no effect", got=box.prompt, do=do)


def find_lora(name: str) -> Path:
    """Return the file that `<lora:name:...>` means, in the folder of models or that of LoRAs.

    Raises:
        RequestError: no folder is set, or it holds no such file, or several, or the name is a path.
    """
    if Path(name).name != name or name.startswith("."):
        raise RequestError("a LoRA in the prompt is a name, not a path", got=name, do="Use `loras` FILE:WEIGHT.")
    settings = load_settings()
    if not settings.models and not settings.lora_folder:
        do = "Set SFUMATO_MODELS to your folder of models, or use `loras` FILE:WEIGHT."
        raise RequestError("a LoRA in the prompt is looked up in a folder, and none is set", got=name, do=do)
    return find_model_file("lora", name, paths=False)


def _digest(path: Path) -> str:
    if path.is_dir():
        files = sorted((path / "unet").glob(f"*{SUFFIX}")) or sorted(path.glob(f"*{SUFFIX}"))
        return file_sha256(files[0]) if files else ""
    return file_sha256(path, what="the file of weights")
