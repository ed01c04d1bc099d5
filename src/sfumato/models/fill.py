"""Give an empty network its weights, after a look at whether they belong together.

Knows torch and no library of networks. Networks are built empty and take the tensors over as they are, so memory
holds the weights once. Start reading at `fill_network`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from sfumato.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    State = dict[str, Tensor]

MOST_NAMES_SHOWN = 5


class _Unwritten(TorchFunctionMode):
    """Skip the first random values of layers: they are replaced, and on "meta" they load torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def fill_network(build: Callable[[], Any], state: State, what: str) -> Any:
    """Build a network on torch's "meta" device and give it its weights, in evaluation mode.

    Raises:
        ModelError: it cannot be built, or the weights do not belong to it.
    """
    network = build_unfilled(build, what)
    _check_fit(network, state, what)
    network.load_state_dict(state, strict=True, assign=True)
    for name, buffer in list(network.named_buffers()):
        if buffer.is_meta:
            _restore_buffer(network, name, buffer)
    return network


def build_unfilled(build: Callable[[], Any], what: str) -> Any:
    """Build a network on torch's "meta" device, in evaluation mode and without gradients.

    Raises:
        ModelError: it cannot be built.
    """
    try:
        with torch.device("meta"), _Unwritten():
            network = build()
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise ModelError(f"the {what} cannot be built as its configuration says", got=str(error)[:300]) from error
    return network.requires_grad_(requires_grad=False).eval()


def _check_fit(network: nn.Module, state: State, what: str) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    problems = (
        ("lacks", sorted(wanted.keys() - found.keys())),
        ("has unexpected", sorted(found.keys() - wanted.keys())),
        ("has misshapen", sorted(name for name in wanted.keys() & found.keys() if wanted[name] != found[name])),
    )
    for problem, names in problems:
        if names:
            shown = ", ".join(names[:MOST_NAMES_SHOWN])
            raise ModelError(
                f"the {what} {problem} {len(names)} tensors", got=shown, do="The file is damaged or of another family."
            )


def _restore_buffer(network: nn.Module, name: str, buffer: Tensor) -> None:
    # The only thing CLIP keeps outside its weights: the positions 0, 1, 2, ...
    assert name.endswith("position_ids"), f"a buffer nobody fills: {name}"
    owner, _, leaf = name.rpartition(".")
    positions = torch.arange(buffer.shape[-1]).expand(buffer.shape)
    network.get_submodule(owner).register_buffer(leaf, positions, persistent=False)
