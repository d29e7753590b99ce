"""The families of the suite: a problem, a distribution of the data, and knobs that shift it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dfl_sklearn.datasets import (
    make_lagged,
    make_llm_trace,
    make_newsvendor,
    make_portfolio,
    portfolio_covariance,
)
from dfl_sklearn.problems import (
    DecisionProblem,
    NewsvendorProblem,
    PortfolioProblem,
    ProvisioningProblem,
)

N_TRAIN, N_TEST = 300, 10_000
TUNING_SEED, TEST_SEED = 10_000, 10_001  # no training set has them


class Rows(NamedTuple):
    """Rows to test on, and what their best decisions cost."""

    X: np.ndarray
    y: np.ndarray
    best_cost: np.ndarray


@dataclass(frozen=True)
class Family:
    """A decision, data for it, and the knobs of the conservative baselines.

    Attributes
    ----------
    sample : callable
        ``(n, shift, seed) -> (X, y)``.
    shifts : dict
        From the name of a shift to what `sample` takes.
    careful : callable
        From a knob to the same decision with that much caution built into its cost.
    careful_knobs : tuple of float
        Upwards; the first is no caution.
    pad_sign : int
        Whether caution means to predict more (1) or less (-1).
    pad_knobs : tuple of float
        Standard deviations of the residuals to add on the careful side.
    quantiles : callable
        From a careful knob to the quantile to predict.
    """

    name: str
    problem: DecisionProblem
    sample: Callable
    shifts: dict
    careful: Callable
    careful_knobs: tuple
    pad_sign: int
    pad_knobs: tuple
    quantile_of: Callable
    quantile_knobs: tuple

    def train(self, seed):
        """Return the nominal rows of a seed."""
        return self.sample(N_TRAIN, None, seed)

    @lru_cache(maxsize=16)  # noqa: B019 - the families live as long as the program
    def test(self, name):
        """Return rows for "tuning", "nominal" or a shift, the same for all methods and seeds."""
        seed = TUNING_SEED if name == "tuning" else TEST_SEED
        X, y = self.sample(N_TEST, self.shifts.get(name), seed)
        return Rows(X, y, self.problem.optimal_cost(y))

    __hash__ = object.__hash__


def _provisioning(n, shift, seed):
    """Return n windows of seven 5-second sums of a trace in which bursts are rare."""
    knobs = {"burst": 0.02} | (shift or {})
    trace = make_llm_trace(n + 7, shift=knobs, random_state=seed)
    X, y = make_lagged(trace["context_tokens"], 7)
    return np.asarray(X), np.asarray(y)


def _newsvendor(n, shift, seed):
    return make_newsvendor(n, shift=shift, random_state=seed)


def _portfolio(n, shift, seed):
    return make_portfolio(n, shift=shift, random_state=seed)


_DEMAND = {
    "regime": "regime",
    "noise": "noise",
    "level up": "level_up",
    "level down": "level_down",
    "rotation": "rotation",
}
_COVARIANCE = portfolio_covariance(5)

FAMILIES = {
    family.name: family
    for family in (
        Family(
            "newsvendor 9:1",
            NewsvendorProblem(9, 1),
            _newsvendor,
            _DEMAND,
            lambda knob: NewsvendorProblem(knob, 1),
            (9.0, 10.0, 11.0, 12.0, 13.5, 15.0, 17.0, 20.0, 25.0),
            1,
            (0.8, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.1, 2.5),
            lambda knob: knob / (knob + 1),
            (9.0, 10.0, 11.0, 12.0, 13.5, 15.0, 17.0, 20.0, 25.0),
        ),
        Family(
            "newsvendor 1:1",
            NewsvendorProblem(1, 1),
            _newsvendor,
            _DEMAND,
            lambda knob: NewsvendorProblem(knob, 1),
            (1.0, 1.1, 1.2, 1.3, 1.45, 1.6, 1.8, 2.1, 2.5),
            1,
            (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
            lambda knob: knob / (knob + 1),
            (1.0, 1.1, 1.2, 1.3, 1.45, 1.6, 1.8, 2.1, 2.5),
        ),
        Family(
            "provisioning",
            ProvisioningProblem(),
            _provisioning,
            {
                "burst": {"burst": 0.12},
                "noise": {"noise": 1.5},
                "level up": {"level": 1.5},
                "level down": {"level": 0.6},
            },
            lambda knob: ProvisioningProblem(eta=knob),
            (0.7, 0.705, 0.71, 0.715, 0.72, 0.73, 0.74, 0.76),
            1,
            (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6),
            lambda knob: knob,
            (0.5, 0.53, 0.56, 0.59, 0.62, 0.66, 0.7, 0.75),
        ),
        Family(
            "portfolio",
            PortfolioProblem(_COVARIANCE, 0.25),
            _portfolio,
            {name: name.replace(" ", "_") for name in ("crisis", "level up", "level down")},
            lambda knob: PortfolioProblem(_COVARIANCE, knob),
            (0.25, 0.28, 0.32, 0.36, 0.4, 0.45, 0.5, 0.6, 0.8),
            -1,
            (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
            lambda knob: 0.5 - knob,
            (0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3),
        ),
    )
}
