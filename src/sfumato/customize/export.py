"""Write what a base learned of a concept as files for A1111 and kohya, for ComfyUI, and for diffusers.

A1111 and ComfyUI read an OFT as it is; diffusers reads none, so it gets the nearest LoRA. A whole model is one file for
the first two and a folder for diffusers.

Reads one build and writes copies; the concept stays as it is. Start reading at `export_build`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.core.errors import RequestError
from sfumato.core.files import check_path, expand_path, make_storage_error
from sfumato.core.validate import check_float
from sfumato.customize.build import find_build, note_build
from sfumato.customize.concept import find_concept
from sfumato.customize.file_forms import (
    TWO_VECTORS,
    Form,
    find_form,
    list_vectors,
    name_diffusers,
    name_kohya,
    name_oft,
    name_vectors_keys,
    read_kohya,
    read_oft,
    write_checkpoint_notes,
    write_diffusers_notes,
    write_digests,
    write_embedding_notes,
    write_lora_notes,
    write_oft_notes,
)
from sfumato.models.describe import MINI, load_contract

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.customize.build import ConceptBuild
    from sfumato.customize.concept import ConceptFolder
    from sfumato.customize.file_forms import FileForm, NotedBuild
    from sfumato.models.contract import ModelContract

DTYPES = ("fp16", "fp32")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Say what to write: the concept, the base, the form and the folder; `strength` is multiplied into alpha."""

    concept: str
    out: Path
    form: Form = "a1111"
    model: str = MINI
    dtype: str = "fp16"
    strength: float | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        find_form(self.form)
        if self.dtype not in DTYPES:
            raise RequestError("unknown number type of the files", got=self.dtype, do=f"Use {', '.join(DTYPES)}.")
        if self.strength is not None:
            check_float("`strength`", self.strength, low=0.05, high=4.0)


@dataclass(frozen=True, kw_only=True)
class ExportedConcept:
    """Name the files that were written, how a program calls them, and what the form could not hold.

    After full tuning there is a `model` alone.
    """

    concept: ConceptFolder
    form: Form
    embedding: Path | None
    lora: Path | None
    use: str
    model: Path | None = None
    lost: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what `concept export --json` prints."""
        paths = {"embedding": self.embedding, "lora": self.lora, "model": self.model}
        written = {name: None if path is None else str(path) for name, path in paths.items()}
        return {"name": self.concept.name, "form": self.form, **written, "use": self.use, "lost": self.lost}


def export_build(options: ExportOptions) -> ExportedConcept:
    """Write the files of a concept in one form, below `out` in the folders where that program looks.

    Raises:
        RequestError: there is no such concept, the base was not taught it, or a file is there already.
        StorageError: a file of the concept is damaged, or the disk refuses.
    """
    concept = find_concept(options.concept)
    build = find_build(concept, options.model)
    form = find_form(options.form)
    out = expand_path(options.out, what="the folder of the export")
    if options.strength is not None and not build.lora:
        raise RequestError("`strength` has no effect without a LoRA or an OFT", do="Leave it out.")
    if build.model_path is not None:
        return _export_model(concept, build, build.model_path, out, options)
    embedding = _place(out, form.embedding, concept.trigger, overwrite=options.overwrite)
    lora = _place(out, form.lora, concept.trigger, overwrite=options.overwrite) if build.lora else None
    contract = load_contract(options.model)
    _write_embedding(embedding, concept, build, contract, form, options)
    lost = "" if lora is None else _write_lora(lora, concept, build, contract, form, options)
    double = bool(contract.pooled_width)
    use = _describe_use(options.form, concept.trigger, embedding, lora, double=double)
    return ExportedConcept(concept=concept, form=options.form, embedding=embedding, lora=lora, use=use, lost=lost)


def _export_model(
    concept: ConceptFolder, build: ConceptBuild, source: Path, out: Path, options: ExportOptions
) -> ExportedConcept:
    """Write a whole model: for diffusers the folder of the build, else one file."""
    if options.dtype != "fp16":
        raise RequestError("a whole model is kept in fp16", got=options.dtype, do="Leave `dtype` out.")
    form = find_form(options.form)
    path = _place(out, form.model, concept.trigger, overwrite=options.overwrite)
    if form.diffusers_keys:
        try:
            shutil.copytree(source, path, dirs_exist_ok=options.overwrite)
        except OSError as error:
            raise make_storage_error(path, error) from error
        use = f'DiffusionPipeline.from_pretrained("{path}"), or sfumato render --model {path}'
    else:
        from sfumato.models.write_checkpoint import write_single_file

        notes = write_checkpoint_notes(note_build(concept, build), load_contract(options.model))
        write_single_file(source, path, {}, notes)
        use = f"choose the checkpoint {path.stem}, and say {concept.trigger}"
    return ExportedConcept(concept=concept, form=options.form, embedding=None, lora=None, model=path, use=use)


def _place(out: Path, name: str, trigger: str, *, overwrite: bool) -> Path:
    path = out / name.replace("{}", trigger)
    check_path(path, what="the exported file")
    if path.exists() and not overwrite:
        do = "Choose another folder, or say `overwrite`."
        raise RequestError("there is a file of this name", got=str(path), do=do)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise make_storage_error(path.parent, error) from error
    return path


def _write_embedding(
    path: Path,
    concept: ConceptFolder,
    build: ConceptBuild,
    contract: ModelContract,
    form: FileForm,
    options: ExportOptions,
) -> None:
    assert build.embedding_path is not None, "a whole model goes another way"
    vectors = list_vectors(_read(build.embedding_path))
    noted = note_build(concept, build)
    tensors = name_vectors_keys(vectors, form.vectors_key.replace("{}", concept.trigger))
    _write(path, tensors, write_embedding_notes(noted, contract), options.dtype)


def _write_lora(
    path: Path,
    concept: ConceptFolder,
    build: ConceptBuild,
    contract: ModelContract,
    form: FileForm,
    options: ExportOptions,
) -> str:
    """Write the LoRA or OFT; return in words what the form could not hold."""
    assert build.lora_path is not None, "it is only called for builds with a LoRA"
    if build.settings.get("rung") == "oft":
        strength = 1.0 if options.strength is None else options.strength
        blocks = {name: value * strength for name, value in read_oft(_read(build.lora_path)).items()}
        return _write_oft(path, blocks, note_build(concept, build), contract, options)
    factors, alpha = read_kohya(_read(build.lora_path))
    noted = note_build(concept, build, alpha=alpha * (1.0 if options.strength is None else options.strength))
    if form.diffusers_keys:
        layers = {name.rpartition(".")[0] for name in factors}
        _write(path, name_diffusers(factors), write_diffusers_notes(noted, contract, layers), options.dtype)
    else:
        _write(path, name_kohya(factors, noted.alpha), write_lora_notes(noted, contract), options.dtype)
    return ""


def _write_oft(
    path: Path, blocks: dict[str, Tensor], noted: NotedBuild, contract: ModelContract, options: ExportOptions
) -> str:
    """Write an OFT as it is, or for diffusers as the nearest LoRA of the rank in the settings."""
    if not find_form(options.form).diffusers_keys:
        _write(path, name_oft(blocks), write_oft_notes(noted, contract), options.dtype)
        return ""
    import torch

    from sfumato.customize.methods.oft import approximate
    from sfumato.models.describe import describe_checkpoint
    from sfumato.models.load import read_weights

    weights = read_weights(describe_checkpoint(options.model), "unet", torch.float32)
    layers = {name.rpartition(".")[0] for name in blocks}
    factors, kept = approximate(blocks, {name: weights[f"{name}.weight"] for name in layers}, noted.rank)
    notes = write_diffusers_notes(replace(noted, alpha=float(noted.rank)), contract, layers)
    _write(path, name_diffusers(factors), notes, options.dtype)
    return f"diffusers reads no OFT: a LoRA of rank {noted.rank} holds {100 * kept:.0f} % of the change"


def _read(path: Path) -> Mapping[str, Tensor]:
    from sfumato.models.adapters.tensor_file import open_tensors

    return open_tensors(path).tensors


def _write(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str], dtype: str) -> None:
    import torch

    from sfumato.models.files.write_weights import write_weights

    kind = {"fp16": torch.float16, "fp32": torch.float32}[dtype]
    write_weights(path, tensors, kind, {**notes, **write_digests(tensors, kind)})


def _describe_use(form: Form, trigger: str, embedding: Path, lora: Path | None, *, double: bool) -> str:
    if form == "a1111":
        return f"{trigger}" + (f" <lora:{lora.stem}:1>" if lora else "")
    if form == "comfyui":
        return f"embedding:{trigger}" + (f", and LoraLoader with {lora.name}" if lora else "")
    loads = [f'pipe.load_textual_inversion("{embedding}")']
    if double:
        # diffusers reads each encoder's vectors by a call of its own.
        loads = [f'vectors = safetensors.torch.load_file("{embedding}")']
        loads += [
            f'pipe.load_textual_inversion(vectors["{key}"], token="<{trigger}>", text_encoder=pipe.text_encoder{part}, '
            f"tokenizer=pipe.tokenizer{part})"
            for key, part in zip(TWO_VECTORS, ("", "_2"), strict=True)
        ]
    loads += [f'pipe.load_lora_weights("{lora.parent}")'] if lora else []
    return "; ".join([*loads, f"then <{trigger}> in the prompt"])
