"""UniPC: a predictor and, for free, a corrector from the prediction of the next step.

Works in lam = -log sigma on x0. Knows no name and no schedule. Start reading at `make_unipc`.

Source: Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework", algorithms 5 to 8, with
B(h) = exp(h) - 1 ("bh2").
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sfumato.nn.samplers.state import Advance, Denoise, Noise, SamplerState


def make_unipc(order: int) -> Advance:
    """Return UniPC of the given order (2 is the authors' advice with guidance, 3 without).

    The history holds the corrected x of the previous step, then the predictions, newest first.
    Towards sigma 0 the order falls to 1, as the last intervals are too long for a polynomial.
    """

    def unipc(state: SamplerState, denoise: Denoise, noise: Noise) -> SamplerState:
        del noise
        x0 = denoise(state.x, state.sigma)
        x = _correct(state, x0, order) if state.history else state.x
        predictions = (x0, *state.history[1:])[:order]
        x_next = _predict(state, x, predictions, _order_at(state, order))
        return state.advance(x_next, x0, (x, *predictions))

    return unipc


def _order_at(state: SamplerState, order: int, back: int = 0) -> int:
    """Return the order of the step `back` steps ago: it grows from 1, and shrinks to 1 before 0."""
    index = state.index - back
    left = state.steps - index if state.sigmas[-1] == 0 else order
    return min(order, index + 1, left)


def _predict(state: SamplerState, x: Tensor, predictions: tuple[Tensor, ...], order: int) -> Tensor:
    """UniP: extrapolate x0 over the step from the last `order` predictions."""
    newest = predictions[0]
    if state.sigma_next == 0:
        return newest
    length = math.log(state.sigma / state.sigma_next)
    places = [_place(state, back, length) for back in range(1, order)]
    # For order 2 every weight in the family is allowed; a half is the authors' choice.
    weights = [0.5] if order == 2 else _solve(places, length)
    return _land(x, newest, _bend(predictions, places, weights), length)


def _correct(state: SamplerState, x0: Tensor, order: int) -> Tensor:
    """UniC: redo the previous step, now that the prediction at its end is known."""
    x_before, *predictions = state.history
    newest = predictions[0]
    before = state.sigmas[state.index - 1]
    length = math.log(before / state.sigma)
    used = _order_at(state, order, back=1)
    places = [_place(state, back, length, start=1) for back in range(1, used)]
    weights = [0.5] if used == 1 else _solve([*places, 1.0], length)
    bend = _bend(predictions, places, weights[:-1]) + weights[-1] * (x0 - newest)
    return _land(x_before, newest, bend, length)


def _place(state: SamplerState, back: int, length: float, start: int = 0) -> float:
    """Return where an older prediction lies, in steps of `length` from the start of the step (negative)."""
    origin = state.index - start
    return math.log(state.sigmas[origin] / state.sigmas[origin - back]) / length


def _solve(places: list[float], length: float) -> list[float]:
    """Return weights that make the change of x0 exact for polynomials (eq. 8 and 9 of the paper)."""
    if not places:
        return []
    whole = math.expm1(-length)
    phi, factorial, rows, right = whole / -length - 1, 1, [], []
    for power in range(1, len(places) + 1):
        rows.append([place ** (power - 1) for place in places])
        right.append(phi * factorial / whole)
        factorial *= power + 1
        phi = phi / -length - 1 / factorial
    return [float(weight) for weight in np.linalg.solve(np.array(rows), np.array(right))]


def _bend(predictions: Sequence[Tensor], places: list[float], weights: list[float]) -> Tensor | float:
    """Sum the weighted divided differences of x0; 0.0 where there is no past."""
    bend: Tensor | float = 0.0
    for older, place, weight in zip(predictions[1:], places, weights, strict=False):
        bend = bend + (older - predictions[0]) * (weight / place)
    return bend


def _land(x: Tensor, newest: Tensor, bend: Tensor | float, length: float) -> Tensor:
    """Solve the linear part exactly and add the change of x0 over the step."""
    return newest + (x - newest) * math.exp(-length) - math.expm1(-length) * bend
