"""What the contract tests need to know of a problem."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfl_sklearn.problems import DecisionProblem

Sampler = Callable[[np.random.Generator, int], np.ndarray]
"""Draws n rows of parameters, (n, d)."""


@dataclass(frozen=True)
class ProblemCase:
    """What the contract tests need to know of a problem.

    Attributes
    ----------
    name : str
        The id of the tests.
    make : callable
        Returns a fresh instance.
    sample_y : callable
        ``(rng, n) -> (n, d)``: legal observed parameters.
    sample_decision : callable
        ``(rng, n) -> (n, k)``: feasible decisions, spread over the feasible set.
    other : dict
        Constructor parameters that differ from those of `make`, for set_params.
    tol : float
        How far (in cost, relative to 1 + |cost|) `solve` may be from the minimum.
    slopes : tuple of float or None
        Values of `smoothing` at which the layer's gradient is compared with finite
        differences; None if the problem has no layer.
    sample_prediction : callable or None
        Predicted parameters, away from corners of the layer; None takes `sample_y`.
    layer_tol : float
        Relative tolerance of that comparison.
    smooths : bool
        Whether the layer has something for `smoothing` to smooth.
    zero_is_legal : bool
        Whether y = 0 can be observed.
    is_linear : bool
        Whether the cost is linear in the decision: the layer is that of a linear program, whole
        numbers relaxed, with a quadratic term that moves its decisions.
    is_regularized : bool
        Whether the layer of another problem has such a term.
    is_slow : bool
        Whether a row takes milliseconds to solve, so that fewer of them have to do.
    """

    name: str
    make: Callable[[], DecisionProblem]
    sample_y: Sampler
    sample_decision: Sampler
    other: dict[str, Any]
    tol: float = 1e-12
    slopes: tuple[float | None, ...] | None = (None,)
    sample_prediction: Sampler | None = None
    layer_tol: float = 1e-6
    smooths: bool = True
    zero_is_legal: bool = True
    is_linear: bool = False
    is_regularized: bool = False
    is_slow: bool = False

    def rows(self, n: int) -> int:
        """Return of `n` rows how many a test solves for."""
        return max(1, n // 8) if self.is_slow else n

    def predictions(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return (self.sample_prediction or self.sample_y)(rng, n)

    @property
    def is_one_number(self) -> bool:
        """Whether one parameter leads to one decision, so that a fine grid is an oracle."""
        rng = np.random.default_rng(0)
        return self.sample_y(rng, 1).size == self.sample_decision(rng, 1).size == 1

    def __str__(self) -> str:
        return self.name
