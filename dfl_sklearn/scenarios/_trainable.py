"""The base class of scenario models that can be trained for decisions."""

from abc import abstractmethod

import numpy as np
import torch

from ..rows import Rows
from ._scenario_net import ScenarioNet
from .base import ScenarioModel


class TrainableScenarios(ScenarioModel):
    """Base class of scenario models that :class:`~dfl_sklearn.DFLRegressor` trains on.

    They are first fitted to rows. Their net, whose inputs are features standardised by those rows,
    is then trained on the cost of the decisions over its scenarios.
    """

    _was_interrupted: bool = False
    """Whether the last fit was ended by Ctrl-C."""

    def _check_target(self, y: np.ndarray) -> None:
        """Raise a ValueError that names a number (n, d) that cannot be observed."""

    @abstractmethod
    def _holds_out(self, n_distinct: int) -> bool:
        """Return whether the fit holds rows out, given the number of distinct ones."""

    @abstractmethod
    def fit_rows(self, train: Rows, valid: Rows | None) -> None:
        """Fit to checked canonical rows, and watch the fit on other rows if there are any."""

    @abstractmethod
    def net_to_train(self) -> ScenarioNet:
        """Return the fitted net, of which a copy is trained."""

    @abstractmethod
    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        """Set the weights of the net, on the CPU."""
