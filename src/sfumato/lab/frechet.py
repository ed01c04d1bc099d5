"""How far two sets of feature vectors lie apart, each seen as one Gaussian.

Small sets look further apart than they are: compare only distances of equal set sizes, with the
distance of two sets of real pictures beside. Start reading at `frechet_distance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.core.errors import RequestError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Hold the mean [C], the covariance [C, C] and its square root of a set of features."""

    mean: Array
    covariance: Array
    root: Array


def make_cloud(features: NDArray[np.floating]) -> Cloud:
    """Fit a Gaussian to features [N, C].

    Raises:
        RequestError: fewer than two vectors, or a number that is none.
    """
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise RequestError("a distance of features needs two finite vectors at least", got=values.shape)
    covariance = np.atleast_2d(np.cov(values, rowvar=False))
    sizes, axes = np.linalg.eigh(covariance)
    root = (axes * np.sqrt(sizes.clip(min=0.0))) @ axes.T
    return Cloud(values.mean(axis=0), covariance, root)


def frechet_distance(features: NDArray[np.floating], reference: Cloud) -> float:
    """Return the squared Fréchet distance of features [N, C] from a reference cloud.

    Source: Dowson and Landau 1982; Heusel et al. 2017, eq. 6 (FID), here on our own features.
    """
    ours = make_cloud(features)
    # trace(sqrt(A B)) = sum sqrt(eig(rootB A rootB)): symmetric, so the eigenvalues are real.
    shared = np.linalg.eigvalsh(reference.root @ ours.covariance @ reference.root).clip(min=0.0)
    shift = float(np.square(ours.mean - reference.mean).sum())
    spread = float(np.trace(ours.covariance) + np.trace(reference.covariance) - 2.0 * np.sqrt(shared).sum())
    return max(0.0, shift + spread)
