"""Shared parts of generators for scenario decisions: how the distribution of y depends on x."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import check_count

SLOPE, BEND, SLOPE_OF_SPREAD = 8.0, 5.0, 0.5
SHARED = 0.5  # share of the noise variance that is common to all entries of a row


Draw = Callable[[np.ndarray, int, Mapping[str, float], np.random.RandomState], np.ndarray]
"""Draws y, (n, n_draws, width), for features (n, p), with the numbers of a shift."""


def features_and_draws(
    draw: Draw,
    width: int,
    knobs: Mapping[str, float],
    n_samples: Any,
    n_features: Any,
    n_scenarios: Any,
    random_state: Any,
) -> tuple[np.ndarray, ...]:
    """Return X, one draw of y for each row and, if requested, further draws."""
    n_samples, n_features, n_scenarios = _check_sizes(n_samples, n_features, n_scenarios, width)
    rng = check_random_state(random_state)
    X = rng.standard_normal((n_samples, n_features))
    y = draw(X, 1, knobs, rng)[:, 0]
    return (X, y, draw(X, n_scenarios, knobs, rng)) if n_scenarios else (X, y)


def _check_sizes(
    n_samples: Any, n_features: Any, n_scenarios: Any, width: int
) -> tuple[int, int, int]:
    """Return checked numbers of rows, features and scenarios, 0 for None."""
    n_samples = check_count("n_samples", n_samples, minimum=1)
    n_features = check_count("n_features", n_features, minimum=2)
    n_scenarios = 0 if n_scenarios is None else check_count("n_scenarios", n_scenarios, minimum=1)
    check_rows("n_samples", n_samples, n_features + 3 * width * (1 + n_scenarios))
    return n_samples, n_features, n_scenarios


def signal_and_spread(X: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the effect of x on the mean, and its factor on the noise, both (n, width).

    The slopes are the same at every call: columns of A have length 8 and those of B length 1/2.
    """
    n_features = X.shape[1]
    slopes = np.random.default_rng([n_features, width]).standard_normal((2, n_features, width))
    A, B = slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    bend = BEND * np.tanh(X[:, [0]] * X[:, [1]])
    spread = np.exp(np.clip(SLOPE_OF_SPREAD * X @ B, -1.0, 1.0))
    return SLOPE * X @ A + bend, spread


def equicorrelated(rng: np.random.RandomState, n: int, n_draws: int, width: int) -> np.ndarray:
    """Return noise (n, n_draws, width), standard normal, with a correlation of 1/2 in each draw."""
    shared = rng.standard_normal((n, n_draws, 1))
    own = rng.standard_normal((n, n_draws, width))
    return np.sqrt(SHARED) * shared + np.sqrt(1.0 - SHARED) * own
