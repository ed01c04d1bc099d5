"""Run the steps of a converted tflite file in plain torch, for a batch of pictures at once.

Knows steps and weights, not what the numbers mean. Pictures go in as [n, height, width, 3] floats, and outputs come
out in the order and the layout of the original file, [n, …]. Start reading at `PartGraph.run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sfumato.core.errors import ModelError
from sfumato.models.parts.catalogue import advise_fetch
from sfumato.models.parts.load import load_part
from sfumato.models.parts.tflite import FORMAT


@dataclass(frozen=True, slots=True)
class _Use:
    """Hold a step, and the values that nothing needs after it."""

    step: dict[str, Any]
    gone: tuple[int, ...]


class PartGraph:
    """Hold the steps and the weights of a part. A leaf."""

    def __init__(self, notes: dict[str, Any], weights: dict[str, Tensor]) -> None:
        """Take what `load_part` gave; use `load_graph`."""
        self._inputs: list[int] = notes["inputs"]
        self._outputs: list[int] = notes["outputs"]
        self._steps: list[dict[str, Any]] = notes["steps"]
        # Channels lie next to each other, as in the file; convolutions here are faster so, and reshapes are free.
        self._weights = {
            name: weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight
            for name, weight in weights.items()
        }
        _, self.height_px, self.width_px, _ = notes["input_shape"]
        self._known: dict[tuple[int, ...], list[_Use]] = {}

    @torch.inference_mode()
    def run(self, pictures: Tensor, wanted: Sequence[int] | None = None) -> list[Tensor]:
        """Run the network on pictures [n, height, width, 3] in the range that the part expects.

        Returns the outputs of the file, each [n, …], in float32: all, or those of the `wanted` places alone, the same
        numbers at the cost of the steps that lead to them.
        """
        places = tuple(range(len(self._outputs)) if wanted is None else wanted)
        outputs = [self._outputs[place] for place in places]
        if places not in self._known:
            self._known[places] = self._find_uses(outputs)
        values = {self._inputs[0]: pictures.permute(0, 3, 1, 2)}
        for use in self._known[places]:
            sources = [values[source] for source in use.step["in"]]
            values[use.step["out"]] = _RUN[use.step["op"]](use.step, sources, self._weights)
            for source in use.gone:
                del values[source]
        return [to_rows(values[output]) for output in outputs]

    def _find_uses(self, outputs: Sequence[int]) -> list[_Use]:
        """Return the steps that lead to some outputs, and for each the values that nothing needs after it."""
        seen, uses = set(outputs), list[_Use]()
        for step in reversed(self._steps):
            if step["out"] not in seen:
                continue
            gone = [source for source in dict.fromkeys(step["in"]) if source not in seen]
            seen.update(gone)
            uses.append(_Use(step, tuple(gone)))
        return uses[::-1]


def load_graph(name: str) -> PartGraph:
    """Load the network of a part that was converted from tflite.

    Raises:
        RequestError: no part has this name.
        ModelError: it was not fetched yet, or is no such network.
        UnsafeFileError: its file breaks the rules of the gate.
    """
    part = load_part(name)
    if part.notes.get("format") != FORMAT:
        raise ModelError("this part is no network of steps", got=name, do=advise_fetch([name]))
    return PartGraph(part.notes, part.tensors)


def to_rows(value: Tensor) -> Tensor:
    """Return a value in the layout of the file: channels last."""
    return value.permute(0, 2, 3, 1) if value.ndim == 4 else value


def _from_rows(value: Tensor) -> Tensor:
    return value.permute(0, 3, 1, 2) if value.ndim == 4 else value


def _activate(value: Tensor, step: dict[str, Any]) -> Tensor:
    kind = step.get("act", "none")
    if kind == "relu":
        return value.relu_()
    return value.clamp_(0.0, 6.0) if kind == "relu6" else value


def _convolve(step: dict[str, Any], sources: Sequence[Tensor], weights: dict[str, Tensor]) -> Tensor:
    value, weight = sources[0], weights[step["weight"]]
    bias = weights[step["bias"]] if "bias" in step else None
    if weight.shape[1:] == (value.shape[1], 1, 1) and step["stride"] == [1, 1]:
        # A product of matrices; torch takes a slower way for small ones of these.
        return _activate(_from_rows(F.linear(to_rows(value), weight.flatten(1), bias)), step)
    left, right, top, bottom = step["pads"]
    if left != right or top != bottom:
        value, left, top = F.pad(value, step["pads"]), 0, 0
    found = F.conv2d(value, weight, bias, step["stride"], (top, left), step["dilation"], step["groups"])
    return _activate(found, step)


def _connect(step: dict[str, Any], sources: Sequence[Tensor], weights: dict[str, Tensor]) -> Tensor:
    weight = weights[step["weight"]]
    bias = weights[step["bias"]] if "bias" in step else None
    rows = to_rows(sources[0]).reshape(len(sources[0]), -1, weight.shape[1])
    found = F.linear(rows, weight, bias).reshape(len(sources[0]), *step["shape"][1:])
    return _activate(_from_rows(found), step)


def _add(step: dict[str, Any], sources: Sequence[Tensor], weights: dict[str, Tensor]) -> Tensor:
    other = weights[step["weight"]] if "weight" in step else sources[-1]
    return _activate(sources[0] + other, step)


def _join(step: dict[str, Any], sources: Sequence[Tensor], _: dict[str, Tensor]) -> Tensor:
    axis = (0, 2, 3, 1)[step["axis"]] if sources[0].ndim == 4 else step["axis"]
    return _activate(torch.cat(list(sources), dim=axis), step)


def _pad(step: dict[str, Any], sources: Sequence[Tensor], _: dict[str, Tensor]) -> Tensor:
    return F.pad(sources[0], step["pads"])


def _pool_most(step: dict[str, Any], sources: Sequence[Tensor], _: dict[str, Tensor]) -> Tensor:
    value = sources[0]
    if any(step["pads"]):
        value = F.pad(value, step["pads"], value=float("-inf"))
    return _activate(F.max_pool2d(value, step["kernel"], step["stride"]), step)


def _mean(step: dict[str, Any], sources: Sequence[Tensor], _: dict[str, Tensor]) -> Tensor:
    return sources[0].mean((2, 3), keepdim=step["keep"])


def _reshape(step: dict[str, Any], sources: Sequence[Tensor], _: dict[str, Tensor]) -> Tensor:
    return _from_rows(to_rows(sources[0]).reshape(len(sources[0]), *step["shape"][1:]))


def _resize(step: dict[str, Any], sources: Sequence[Tensor], _: dict[str, Tensor]) -> Tensor:
    if step["half_pixel"]:
        return F.interpolate(sources[0], size=step["size"], mode="bilinear", align_corners=False)
    value = _resample(sources[0], step["size"][0], 2)
    return _resample(value, step["size"][1], 3)


def _resample(value: Tensor, size: int, axis: int) -> Tensor:
    """Resample one axis; pixel i comes from i times the ratio, between its two neighbours."""
    length = value.shape[axis]
    at = torch.arange(size, dtype=torch.float32, device=value.device) * (length / size)
    low = at.floor().long()
    high = (low + 1).clamp(max=length - 1)
    share = (at - low).reshape([-1 if number == axis else 1 for number in range(4)])
    return torch.lerp(value.index_select(axis, low), value.index_select(axis, high), share.to(value.dtype))


def _rectify(_: dict[str, Any], sources: Sequence[Tensor], __: dict[str, Tensor]) -> Tensor:
    return sources[0].relu()


def _sigmoid(_: dict[str, Any], sources: Sequence[Tensor], __: dict[str, Tensor]) -> Tensor:
    return sources[0].sigmoid()


def _rectify_partly(step: dict[str, Any], sources: Sequence[Tensor], weights: dict[str, Tensor]) -> Tensor:
    return F.prelu(sources[0], weights[step["weight"]])


_RUN = {
    "conv": _convolve,
    "linear": _connect,
    "add": _add,
    "join": _join,
    "pad": _pad,
    "max": _pool_most,
    "mean": _mean,
    "reshape": _reshape,
    "resize": _resize,
    "relu": _rectify,
    "sigmoid": _sigmoid,
    "prelu": _rectify_partly,
}
