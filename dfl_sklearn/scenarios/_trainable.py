"""What scenario models have in common that can be trained for decisions."""

from abc import abstractmethod

import numpy as np
import torch

from ..rows import Rows
from ._scenario_net import ScenarioNet
from .base import ScenarioModel


class TrainableScenarios(ScenarioModel):
    """Base class of scenario models that :class:`~dfl_sklearn.DFLRegressor` trains on.

    They are fitted to rows first. Their net, which sees features standardised by those rows, is
    then trained for the cost of the decisions over its scenarios.
    """

    _was_interrupted: bool = False
    """Whether the last fit has ended early, by Ctrl-C."""

    def _check_target(self, y: np.ndarray) -> None:
        """Raise a ValueError that names a number (n, d) that cannot be observed."""

    @abstractmethod
    def _holds_out(self, n_distinct: int) -> bool:
        """Return whether the fit watches rows that are held out from so many distinct ones."""

    @abstractmethod
    def fit_rows(self, train: Rows, valid: Rows | None) -> None:
        """Fit to canonical rows, checked, and watch it on others where there are any."""

    @abstractmethod
    def net_to_train(self) -> ScenarioNet:
        """Return the fitted net, of which a copy is trained."""

    @abstractmethod
    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        """Take up weights of the net, on the CPU."""
