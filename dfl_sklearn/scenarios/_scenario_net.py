"""What a net has to offer so that its scenarios can be trained, for likelihood or for decisions."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn


class ScenarioNet(nn.Module, ABC):
    """A net that, with noise, becomes scenarios of y.

    `forward` maps standardised features (B, p) to conditions (B, n_conditions), in the type of its
    weights. All other methods take the conditions in float64, and y is in its own units. They may
    use weights of the net as well.

    Attributes
    ----------
    n_conditions : int
    n_outputs : int
        d, the columns of y.
    n_scenarios : int
        S, of a row.
    """

    n_conditions: int
    n_outputs: int
    n_scenarios: int

    @abstractmethod
    def draws(self, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scenarios (B, S, d) and their weights (B, S), which sum to 1.

        With the same noise in every call and for every row, and differentiable.
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
        """Return what has the slopes (B, M) of the log density of rows of y (B, M, d).

        Or an estimate of it, up to one number for all rows of y of a condition.
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
        """Return what a fit without decisions pushes down, (B,), for observed y (B, d)."""
        return -self.log_density(conditions, y[:, None])[:, 0]


def stratified(n: int, n_columns: int, rng: np.random.Generator) -> np.ndarray:
    """Return numbers (n, n_columns) in (0, 1) of which each column has one in every n-th part.

    A Latin hypercube (McKay, Beckman and Conover, 1979): means of what depends on one column alone
    have next to no error.
    """
    strata = np.argsort(rng.random((n, n_columns)), axis=0)
    return np.clip((strata + rng.random((n, n_columns))) / n, 1e-12, 1 - 1e-12)
