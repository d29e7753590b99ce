"""The interface of nets whose scenarios are trained, by likelihood or for decisions."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn


class ScenarioNet(nn.Module, ABC):
    """A net that turns features and noise into scenarios of y.

    `forward` maps standardised features (B, p) to conditions (B, n_conditions), in the dtype of its
    weights. All other methods take the conditions in float64, and y in its own units. They may
    also use weights of the net.

    Attributes
    ----------
    n_conditions : int
    n_outputs : int
        The number d of columns of y.
    n_scenarios : int
        The number S of scenarios of a row.
    """

    n_conditions: int
    n_outputs: int
    n_scenarios: int

    @abstractmethod
    def draws(self, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scenarios (B, S, d) and their weights (B, S), which sum to 1.

        They use the same noise in every call and for every row, and are differentiable.
        """

    @abstractmethod
    def sample(
        self, conditions: torch.Tensor, n_samples: int, rng: np.random.Generator
    ) -> torch.Tensor:
        """Return independent draws (B, n_samples, d); the numbers are drawn on the CPU."""

    @abstractmethod
    def score_of(
        self, conditions: torch.Tensor, y: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """Return numbers (B, M) with the gradient of the log density of rows of y (B, M, d).

        They may be estimates, and differ by a constant for all rows of y of a condition.
        """


class LikelihoodNet(ScenarioNet):
    """A net of scenarios whose density is known."""

    @abstractmethod
    def log_density(self, conditions: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the log density (B, M) of rows of y (B, M, d)."""

    def score_of(
        self, conditions: torch.Tensor, y: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """Return the log density."""
        return self.log_density(conditions, y)

    def fit_loss(self, conditions: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss (B,) of a fit without decisions, for observed y (B, d)."""
        return -self.log_density(conditions, y[:, None])[:, 0]


def stratified(n: int, n_columns: int, rng: np.random.Generator) -> np.ndarray:
    """Return a Latin hypercube (n, n_columns), with one number in every n-th part of (0, 1).

    This holds for each column, so that means of functions of a single column have almost no error
    (McKay, Beckman and Conover, 1979).
    """
    strata = np.argsort(rng.random((n, n_columns)), axis=0)
    return np.clip((strata + rng.random((n, n_columns))) / n, 1e-12, 1 - 1e-12)
