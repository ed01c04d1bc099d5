"""What a client may name: models, LoRAs and other weights by short names, concepts by theirs; never a path.

Start reading at `check_names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sfumato import api
from sfumato.core.errors import ModelError, RequestError
from sfumato.models.upscaler.find_upscaler import list_networks
from sfumato.server.queue.records import NotFoundError

# setting -> kind of the file of weights that it names
_WEIGHTS: Mapping[str, api.WeightsKind] = {"model": "checkpoint", "vae": "vae", "upscaler": "upscaler"}
_LISTS: Mapping[str, api.WeightsKind] = {"loras": "lora", "embeddings": "embedding"}
# A file name says no more; what is longer is no name.
_LONGEST_NAME = 255


def check_names(values: api.RequestValues) -> None:
    """Check every name that settings hold.

    Raises:
        NotFoundError: one is no name of a model, file of weights or concept here.
    """
    named = list[tuple[api.WeightsKind, object]]()
    for setting, kind in _WEIGHTS.items():
        named.append((kind, getattr(values, setting)))
    for setting, kind in _LISTS.items():
        for one in getattr(values, setting) or ():
            named.append((kind, cut_weight(str(one)) if kind == "lora" else one))
    for kind, name in named:
        if name not in (None, api.DEFAULTS.model, api.DEFAULTS.upscaler):
            check_name(kind, name)
    for unit in values.controls or ():
        # A text would name a path of this machine.
        check_name("controlnet", unit.network if isinstance(unit, api.ControlUnit) else None)
    for concept in values.concepts or ():
        check_concept(cut_weight(str(concept)))


def check_name(kind: api.WeightsKind, name: object) -> None:
    """Check that the folder of models has a file of weights of this name; a path of this machine is no name.

    Raises:
        NotFoundError: it has none.
    """
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or "\0" in name:
        raise NotFoundError(f"there is no such {kind}", got=name)
    if kind == "upscaler" and (name in list_networks() or name.casefold() == api.DEFAULTS.upscaler):
        return
    try:
        api.find_model_file(kind, name, paths=False)
    except (ModelError, RequestError) as error:
        raise NotFoundError(f"there is no such {kind}", got=name, do="Ask for the list of models.") from error


def check_concept(name: str) -> None:
    """Check that a concept is named by its name alone.

    Raises:
        NotFoundError: it is a path, or no name.
    """
    if not name or len(name) > _LONGEST_NAME or set("/\\\0") & set(name) or name.startswith((".", "~")):
        raise NotFoundError("there is no such concept", got=name, do="Name a concept of the folder of concepts.")


def hide_concepts(request: api.RenderRequest) -> api.RenderRequest:
    """Return the request with concepts by their names: where they lie is none of a client's business."""
    shown = tuple(replace(one, path=Path(one.path).name) for one in request.concepts)
    return replace(request, concepts=shown)


def cut_weight(text: str) -> str:
    """Return the name of `NAME` or `NAME:WEIGHT`."""
    name, colon, weight = text.rpartition(":")
    if colon:
        with suppress(ValueError):
            float(weight)
            return name
    return text
