"""Attach adapters to one model and detach them, in any order, down to the original bits.

Knows a model's networks and its prompt encoder. Which adapters a picture wants is the request's
business. Start reading at `AttachedAdapters.attach_lora` and `AttachedAdapters.attach_embedding`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType

import torch
from torch import nn

from sfumato.core.errors import ModelError, RequestError
from sfumato.models.adapters.concept_file import read_vectors
from sfumato.models.adapters.layer_delta import LayerDelta
from sfumato.models.adapters.lora_file import find_leftovers, read_changes
from sfumato.models.adapters.tensor_file import open_tensors, read_alphas
from sfumato.models.adapters.weight_backup import WeightBackup, WeightName
from sfumato.models.files.gate import find_weights
from sfumato.models.files.library import find_model_file
from sfumato.models.files.read_weights import read_tensors
from sfumato.models.text.clip import Concept
from sfumato.models.text.concepts import fold_name
from sfumato.models.text.encoder import PromptEncoder


class Attachment:
    """An adapter in force; leaving its `with` block, or `detach`, takes it out again.

    `touched` counts changed weights of a LoRA, or vectors of an embedding; `names` are the words an
    embedding answers to in prompts; `skipped` lists keys of the file that mean nothing for pictures.
    """

    def __init__(
        self, path: Path, kind: str, *, names: tuple[str, ...], touched: int, skipped: tuple[str, ...] = ()
    ) -> None:
        self.path = path
        self.kind = kind
        self.names = names
        self.touched = touched
        self.skipped = skipped
        self._undo: list[Callable[[], None]] = []

    @property
    def attached(self) -> bool:
        """Tell whether it is still in force."""
        return bool(self._undo)

    def on_detach(self, undo: Callable[[], None]) -> None:
        """Put it in force: `undo` is what detaching has to do."""
        self._undo.append(undo)

    def detach(self) -> None:
        """Restore what was there before; once done, doing it again changes nothing."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()


class AttachedAdapters:
    """All adapters of one model."""

    def __init__(
        self,
        components: Mapping[str, nn.Module],
        prompts: PromptEncoder,
        *,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve the networks named unet, text_encoder and text_encoder_2.

        `on_change` is called after each attach and detach, for what was computed from old weights.
        """
        self._backup = WeightBackup(components)
        self._prompts = prompts
        self._on_change = on_change
        self._owners = count()
        self._attached: list[Attachment] = []

    @property
    def attached(self) -> tuple[Attachment, ...]:
        """Adapters in force, in the order they came."""
        return tuple(self._attached)

    def attach_lora(self, path: Path, weight: float = 1.0, *, text_weight: float | None = None) -> Attachment:
        """Merge a LoRA-like file into the weights, times `weight` (text encoders: `text_weight`).

        Guarantees that nothing has changed when it raises. Cost: host memory for a copy of each
        touched weight.
        Raises: UnsafeFileError, ModelError (keys, shapes, numbers), RequestError (weights).
        """
        text_weight = weight if text_weight is None else text_weight
        _check_weights(weight, text_weight)
        path = find_model_file("lora", path)
        file = open_tensors(path)
        skipped = find_leftovers(file.tensors)
        tensors = {key: tensor for key, tensor in file.tensors.items() if key not in skipped}
        deltas = read_changes(tensors, self._backup, alphas=read_alphas(file))
        changes = {
            target: (weight if target.component == "unet" else text_weight, delta) for target, delta in deltas.items()
        }
        changes = {target: change for target, change in changes.items() if change[0]}
        owner = next(self._owners)
        self._backup.add(owner, changes)
        made = Attachment(path, "lora", names=(path.stem,), touched=len(changes), skipped=skipped)
        return self._keep(made, lambda: self._backup.remove(owner))

    def attach_networks(self, folder: Path, weight: float = 1.0) -> Attachment:
        """Put the UNet and text encoders of a diffusers folder in force: base + `weight` * (theirs - base).

        Cost: host memory for a copy of each weight that differs, and for the new ones in the number type of the file.
        Raises: UnsafeFileError, ModelError (not the shapes of this model), RequestError (the weight).
        """
        _check_weights(weight)
        changes: dict[WeightName, tuple[float, LayerDelta]] = {}
        for component in self._backup.components:
            for header in find_weights(folder / component, component):
                for name, tensor in read_tensors(header, torch.float16):
                    target, parameter = self._find_parameter(component, name)
                    if parameter is None and name.startswith("text_projection"):
                        continue  # some files carry it, and nothing here reads it
                    if parameter is None or parameter.shape != tensor.shape:
                        do = "Use a folder of the same base."
                        raise ModelError("the weights are not of this model", got=f"{component}.{name}", do=do)
                    if not torch.equal(parameter.detach().cpu().half(), tensor):
                        changes[target] = (weight, LayerDelta("whole", {"whole": tensor}))
        owner = next(self._owners)
        self._backup.add(owner, changes)
        made = Attachment(folder, "model", names=(folder.name,), touched=len(changes))
        return self._keep(made, lambda: self._backup.remove(owner))

    def _find_parameter(self, component: str, name: str) -> tuple[WeightName, nn.Parameter | None]:
        short = name.removeprefix("text_model.")
        targets = [WeightName(component, *one.rsplit(".", 1)) for one in (short, f"text_model.{short}")]
        found = {target: self._backup.find(target) for target in targets}
        return next(((one, parameter) for one, parameter in found.items() if parameter is not None), (targets[0], None))

    def attach_embedding(self, path: Path, token: str | None = None) -> Attachment:
        """Make a textual-inversion file usable in prompts by its file name and the token it names.

        `token` is used instead of both where given.
        Raises: UnsafeFileError, ModelError (layout, widths, numbers), RequestError (a name in use).
        """
        path = find_model_file("embedding", path)
        file = open_tensors(path)
        towers = self._prompts.towers
        limit = min(tower.length for tower in towers)
        found = read_vectors(file.tensors, widths=[tower.width for tower in towers], vectors_limit=limit)
        names = (token,) if token is not None else (path.stem, *((found.token,) if found.token else ()))
        self._check_names(names)
        concepts = [Concept(names, rows) for rows in found.vectors]
        try:
            for tower, concept in zip(towers, concepts, strict=True):
                tower.replace_concepts([*tower.concepts, concept])
        except BaseException:
            self._drop(concepts)
            raise
        made = Attachment(path, "embedding", names=names, touched=len(concepts[0].vectors))
        return self._keep(made, lambda: self._drop(concepts))

    def detach_all(self) -> None:
        """Detach everything."""
        for attachment in reversed(self._attached.copy()):
            attachment.detach()

    def _keep(self, attachment: Attachment, undo: Callable[[], None]) -> Attachment:
        def leave() -> None:
            undo()
            self._attached = [each for each in self._attached if each is not attachment]
            self._on_change()

        attachment.on_detach(leave)
        self._attached.append(attachment)
        self._on_change()
        return attachment

    def _drop(self, concepts: list[Concept]) -> None:
        for tower, concept in zip(self._prompts.towers, concepts, strict=True):
            tower.replace_concepts([each for each in tower.concepts if each is not concept])

    def _check_names(self, names: tuple[str, ...]) -> None:
        for name in names:
            if not fold_name(name):
                raise RequestError("an embedding needs a name", got=name, do="Pass a token")
            if self._prompts.towers[0].find_concept(name) is not None:
                raise RequestError("an embedding of this name is attached", got=name, do="Detach it or pass a token")


def _check_weights(*weights: float) -> None:
    for weight in weights:
        if not math.isfinite(weight):
            raise RequestError("an adapter's weight has to be a number", got=weight, do="Use about 0.5 to 1")
