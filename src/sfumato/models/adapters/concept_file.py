"""Read a textual-inversion file as one set of vectors per text encoder.

Knows the layouts in use; it touches no tokenizer or encoder. Start reading at `read_vectors`.

Layouts: A1111 (`emb_params`), diffusers (one tensor under the token itself), SDXL (`clip_l` and
`clip_g`). Source: Textual Inversion, Gal et al. 2022, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sfumato.core.errors import ModelError
from sfumato.models.adapters.lora_file import list_keys

A1111_KEY = "emb_params"
# Converted `.pt` files keep the old table's name in front of its only entry.
A1111_OLD_PREFIX = "string_to_param."
# The keys of two-encoder files, first encoder first.
SDXL_KEYS = (("clip_l", "text_encoders_0"), ("clip_g", "text_encoders_1"))


@dataclass(frozen=True, eq=False)
class ConceptVectors:
    """One tensor [vectors, width] per text encoder, and the token the file itself names, if any."""

    vectors: tuple[Tensor, ...]
    token: str | None = None


def read_vectors(tensors: Mapping[str, Tensor], *, widths: Sequence[int], vectors_limit: int) -> ConceptVectors:
    """Read the vectors for encoders of these widths.

    Raises: ModelError when the layout is unknown, belongs to another number of encoders, a width
    differs, the encoders get different numbers of vectors, there are more than fit one chunk of
    `vectors_limit` tokens, or a number is not finite.
    """
    found = _find_two(tensors) or _find_one(tensors)
    if len(found.vectors) != len(widths):
        raise ModelError(
            "the embedding was made for another model family",
            got=f"{len(found.vectors)} sets of vectors ({list_keys(tensors)}), the model has {len(widths)} encoders",
            do="Use one made for this family",
        )
    shaped = tuple(_as_rows(rows) for rows in found.vectors)
    for rows, width in zip(shaped, widths, strict=True):
        _check_rows(rows, width, vectors_limit)
    if len({len(rows) for rows in shaped}) > 1:
        raise ModelError(
            "the encoders get different numbers of vectors", got=[len(rows) for rows in shaped], do="Train it again"
        )
    return ConceptVectors(shaped, found.token)


def _find_two(tensors: Mapping[str, Tensor]) -> ConceptVectors | None:
    named = [next((key for key in keys if key in tensors), None) for keys in SDXL_KEYS]
    keys = [key for key in named if key is not None]
    if not keys or len(keys) != len(tensors):
        return None
    if named[0] is None:
        raise ModelError("the embedding holds vectors for the second encoder only", got=keys[0], do="Train it for both")
    return ConceptVectors(tuple(tensors[key] for key in keys))


def _find_one(tensors: Mapping[str, Tensor]) -> ConceptVectors:
    if len(tensors) != 1:
        raise ModelError(
            f"these keys are no known embedding layout: {list_keys(tensors)}",
            do="Use A1111's emb_params, one <token> tensor, or clip_l with clip_g",
        )
    ((key, rows),) = tensors.items()
    unnamed = key == A1111_KEY or key.startswith(A1111_OLD_PREFIX)
    return ConceptVectors((rows,), None if unnamed else key)


def _as_rows(vectors: Tensor) -> Tensor:
    if vectors.dim() > 2 or not vectors.dim() or not vectors.numel() or not vectors.is_floating_point():
        raise ModelError(
            "an embedding is a table of vectors",
            got=f"{vectors.dtype} {list(vectors.shape)}",
            do="Use a textual-inversion file",
        )
    return vectors.reshape(-1, vectors.shape[-1])


def _check_rows(rows: Tensor, width: int, vectors_limit: int) -> None:
    if rows.shape[1] != width:
        raise ModelError(
            f"the embedding is {rows.shape[1]} wide, this text encoder {width}",
            do="Use an embedding made for this model family",
        )
    if len(rows) > vectors_limit:
        raise ModelError(
            "the embedding has more vectors than fit a prompt chunk", got=len(rows), do=f"At most {vectors_limit}"
        )
    if not torch.isfinite(rows).all():
        raise ModelError("the embedding holds NaN or infinite numbers", do="Train it again")
