"""Read the tensors of a LoRA-like file as changes at places; refuse what does not apply.

Knows key suffixes of kohya (OFT too), LyCORIS, diffusers and peft files; it opens no file and changes no
network. Start reading at `read_changes`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sfumato.core.errors import ModelError
from sfumato.models.adapters.alpha import LoraAlphas
from sfumato.models.adapters.layer_delta import LayerDelta, find_rank
from sfumato.models.adapters.layer_names import LayerNames
from sfumato.models.adapters.weight_backup import WeightBackup, WeightName

# How many keys an error names; the count says how many there are.
SHOWN_KEYS = 10

_PLAIN = r"\.(alpha|dora_scale|diff|diff_b|w_norm|b_norm|oft_blocks)"
_KOHYA = r"\.lora_(down|up|mid)(?:\.weight)?"
# Between the role and `weight` peft writes the adapter's name: default, default_0, or a user's word.
_PEFT = r"\.lora_(A|B|magnitude_vector)(?:\.(?!weight$)[\w-]+)?(?:\.weight)?"
_DIFFUSERS = r"(?:\.lora|_lora|\.lora_linear_layer)\.(down|up)\.weight"
_LYCORIS = r"\.(hada_[wt][12](?:_[ab])?|lokr_[wt][12](?:_[ab])?)"
_KEY = re.compile(f"(?P<layer>.+?)(?:{_PLAIN}|{_KOHYA}|{_PEFT}|{_DIFFUSERS}|{_LYCORIS})")

# Keys that mean nothing for a picture: embeddings that OneTrainer and kohya bundle with a LoRA, buffers of text
# encoders, and what training programs leave of their own state.
_LEFTOVER = re.compile(
    r"bundle_emb\..*|(?:.*[._])?(?:position_ids|logit_scale|num_batches_tracked|global_step|epoch|initial_step)"
    r"|(?:optimizers?|lr_schedulers?|ema|scaler|random_states?|train_state|loss)[._].*"
)

_ROLES = {"A": "down", "B": "up", "w_norm": "diff", "b_norm": "diff_b"}
# What each kind must have: one of these sets of roles, and may have besides.
_KINDS: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = (
    ("lora", frozenset({"down", "up"}), frozenset({"mid"})),
    ("loha", frozenset({"w1_a", "w1_b", "w2_a", "w2_b"}), frozenset({"t1", "t2"})),
    ("lokr", frozenset({"w1", "w2"}), frozenset()),
    ("lokr", frozenset({"w1_a", "w1_b", "w2"}), frozenset({"t1"})),
    ("lokr", frozenset({"w1", "w2_a", "w2_b"}), frozenset({"t2"})),
    ("lokr", frozenset({"w1_a", "w1_b", "w2_a", "w2_b"}), frozenset({"t1", "t2"})),
    ("full", frozenset({"diff"}), frozenset()),
    ("oft", frozenset({"oft_blocks"}), frozenset()),
)
_REFUSED = {"oft": "OFT", "boft": "BOFT", "a1.weight": "GLoRA", "on_input": "(IA)^3", "vera": "VeRA"}


def read_changes(
    tensors: Mapping[str, Tensor], backup: WeightBackup, *, alphas: LoraAlphas | None = None
) -> dict[WeightName, LayerDelta]:
    """Read every tensor as part of a change at a target of the networks.

    Raises: ModelError when a key is of no known form, names no layer of this model, has no
    counterpart or has a shape that does not fit, when nothing is left, or a number is not finite.
    """
    layers, strange = _group(tensors)
    _refuse_methods(strange)
    names = LayerNames(backup.components)
    changes: dict[WeightName, LayerDelta] = {}
    for layer, keys in layers.items():
        target = names.find(layer)
        roles = {role: tensors[key] for role, key in keys.items()}
        made = {} if target is None else _make(roles, target, alphas, layer)
        if not made:
            strange.extend(keys.values())
        for at, delta in made.items():
            _keep(changes, at, delta, layer)
    _check_keys(strange, len(tensors))
    _check_shapes(changes, backup)
    _check_finite(changes)
    return changes


def find_leftovers(keys: Iterable[str]) -> tuple[str, ...]:
    """Find the keys that hold no change of a weight: training leftovers and bundled embeddings."""
    return tuple(key for key in keys if _LEFTOVER.fullmatch(key))


def list_keys(keys: Iterable[str]) -> str:
    """List the first keys and say how many there are."""
    every = sorted(keys)
    more = f", … ({len(every)} in all)" if len(every) > SHOWN_KEYS else ""
    return ", ".join(every[:SHOWN_KEYS]) + more


def _group(keys: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Group keys by layer and role; return the rest as strange."""
    layers: dict[str, dict[str, str]] = defaultdict(dict)
    strange: list[str] = []
    for key in keys:
        match = _KEY.fullmatch(key)
        found = next((group for group in match.groups()[1:] if group), "") if match else ""
        role = _ROLES.get(found, found)
        if match is None or role in layers[match["layer"]]:
            strange.append(key)
        else:
            layers[match["layer"]][role] = key
    return layers, strange


def _make(
    roles: Mapping[str, Tensor], target: WeightName, alphas: LoraAlphas | None, layer: str
) -> dict[WeightName, LayerDelta]:
    """Make the changes of weight and bias from one layer's tensors; nothing when a part is missing."""
    rest = dict(roles)
    made: dict[WeightName, LayerDelta] = {}
    if (bias := rest.pop("diff_b", None)) is not None:
        made[replace(target, parameter="bias")] = LayerDelta("full", {"diff": bias})
    alpha = rest.pop("alpha", None)
    magnitude = rest.pop("dora_scale", None)
    if (vector := rest.pop("magnitude_vector", None)) is not None:
        magnitude = vector.flatten()  # peft keeps one norm per output, whatever dimensions it stores
    if not rest:
        return made if alpha is None and magnitude is None else {}
    kind, factors = _recognise(rest)
    if kind is None:
        return {}
    rank = find_rank(factors)
    scale = 1.0
    if rank and alpha is not None:
        scale = float(alpha) / rank
    elif rank and alphas is not None:
        scale = alphas.find_scale(layer, rank)
    return made | {target: LayerDelta(kind, factors, scale, magnitude)}


def _recognise(roles: Mapping[str, Tensor]) -> tuple[str | None, dict[str, Tensor]]:
    family = next((prefix for prefix in ("hada_", "lokr_") if any(r.startswith(prefix) for r in roles)), "")
    factors = {role.removeprefix(family): tensor for role, tensor in roles.items()}
    if family and not all(role.startswith(family) for role in roles):
        return None, factors
    for kind, needed, allowed in _KINDS:
        if needed <= factors.keys() <= needed | allowed and _family(kind) == family:
            return kind, factors
    return None, factors


def _family(kind: str) -> str:
    return {"loha": "hada_", "lokr": "lokr_"}.get(kind, "")


def _keep(changes: dict[WeightName, LayerDelta], target: WeightName, delta: LayerDelta, layer: str) -> None:
    if target in changes:
        raise ModelError("the adapter names one layer twice", got=layer, do="Keep one naming scheme in the file")
    changes[target] = delta


def _refuse_methods(strange: Iterable[str]) -> None:
    for key in strange:
        for mark, method in _REFUSED.items():
            if re.search(rf"(?:^|[._]){re.escape(mark)}(?:$|[._])", key):
                raise ModelError(
                    f"{method} adapters are not supported", got=key, do="Use LoRA, LoCon, LoHa, LoKr or DoRA"
                )


def _check_keys(strange: list[str], total: int) -> None:
    if not total:
        raise ModelError("the adapter file holds no tensor", do="Use a LoRA file")
    if strange:
        raise ModelError(
            f"{len(strange)} keys of the adapter do not apply to this model: {list_keys(strange)}",
            do="Use an adapter made for this model family, or remove those keys",
        )


def _check_shapes(changes: Mapping[WeightName, LayerDelta], backup: WeightBackup) -> None:
    wrong: list[str] = []
    for target, delta in changes.items():
        parameter = backup.find(target)
        if parameter is None or not delta.fits(parameter.shape):
            has = "no such weight" if parameter is None else f"weight {_show(parameter.shape)}"
            wrong.append(f"{target} (adapter {_show(delta.find_shape())}, {has})")
    if wrong:
        raise ModelError(
            f"{len(wrong)} shapes of the adapter do not fit this model: {list_keys(wrong)}",
            do="Use an adapter made for this model family",
        )


def _check_finite(changes: Mapping[WeightName, LayerDelta]) -> None:
    broken = [
        str(target)
        for target, delta in changes.items()
        if not all(torch.isfinite(factor).all() for factor in delta.factors.values())
    ]
    if broken:
        raise ModelError(f"the adapter holds NaN or infinite numbers: {list_keys(broken)}", do="Train it again")


def _show(shape: Iterable[int] | None) -> str:
    return "does not fit itself" if shape is None else "x".join(map(str, shape))
