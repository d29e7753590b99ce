"""The interface of scenario models: weighted values of y for every x."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.checks import number, whole_number
from .._utils.seeds import root_seed

_ROUNDING = 1e-9  # by how much the sum of weights may differ from 1
_NUMBERS_AT_ONCE = 2**22  # numbers of scenarios in memory at the same time: 32 MB


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Weighted scenarios of some rows.

    Attributes
    ----------
    values : ndarray of shape (n, S, d)
        Possible values of y for each row, in its units.
    weight : ndarray of shape (n, S)
        Probability of each scenario, non-negative. Rows are normalised to sum to 1. A row with
        fewer scenarios than others is filled up with weights of 0.

    Raises
    ------
    ValueError
        If the shapes do not match, or if the weights of a row are negative or have no positive,
        finite sum.

    See Also
    --------
    ScenarioModel : Regressors that predict scenarios.
    dfl_sklearn.metrics.crps : A score of scenarios.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.scenarios import Scenarios
    >>> scenarios = Scenarios(np.array([[[1.0], [3.0]]]), np.array([[0.75, 0.25]]))
    >>> scenarios.mean
    array([[1.5]])
    """

    values: np.ndarray
    weight: np.ndarray

    def __post_init__(self) -> None:
        values, weight = np.asarray(self.values), np.asarray(self.weight)
        if values.ndim != 3 or weight.shape != values.shape[:2]:
            raise ValueError(
                "Scenarios have values of shape (n_rows, n_scenarios, n_outputs) and weights of "
                f"shape (n_rows, n_scenarios), got {values.shape} and {weight.shape}."
            )
        total = weight.sum(axis=1)
        good = (weight >= 0).all(axis=1) & (total > 0) & np.isfinite(total)
        if not good.all():
            i = int(good.argmin())
            raise ValueError(
                "Weights of scenarios must be non-negative, with a positive, finite sum in every "
                f"row, but those of row {i} are {weight[i].tolist()}."
            )
        if (np.abs(total - 1.0) > _ROUNDING).any():
            weight = weight / total[:, None]
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "weight", weight)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> np.ndarray:
        """The mean of each row, of shape (n, d)."""
        return np.einsum("ns,nsd->nd", self.weight, self.values)

    def quantiles(self, levels: float | Iterable[float]) -> np.ndarray:
        """Return quantiles of each output separately.

        Parameters
        ----------
        levels : float or array-like of shape (q,)
            Levels between 0 and 1.

        Returns
        -------
        ndarray of shape (n, q, d)
            The smallest values at which the cumulative weight reaches the levels.
        """
        given = [levels] if isinstance(levels, (int, float)) else levels
        shares = np.array([number(each, "levels", at_least=0, at_most=1) for each in given])
        order = np.argsort(self.values, axis=1)
        values = np.take_along_axis(self.values, order, axis=1)
        weight = np.broadcast_to(self.weight[:, :, None], values.shape)
        reached = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
        # Values of weight 0 at either end do not count; weights may sum to slightly less than 1.
        # So may those up to a value whose share is the level.
        wanted = np.clip(shares * (1 - 1e-12), 1e-12, 1 - 1e-12)[:, None]
        place = (reached[:, None] < wanted[:, :, None]).sum(axis=2)
        return np.take_along_axis(values, place.clip(max=values.shape[1] - 1), axis=1)

    def draw(self, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Return independent draws, with replacement and by weight.

        Parameters
        ----------
        n_draws : int
            Number of draws for each row.
        rng : numpy.random.Generator
            Generator of the random numbers.

        Returns
        -------
        ndarray of shape (n, n_draws, d)
            Draws of the parameters, in their units.
        """
        reached = np.cumsum(self.weight, axis=1)
        drawn = rng.random((len(self), n_draws)) * reached[:, -1:]
        found = [np.searchsorted(a, b, side="right") for a, b in zip(reached, drawn, strict=True)]
        # A draw may be rounded up to the total, beyond the last positive weight.
        last = self.weight.shape[1] - 1 - (self.weight[:, ::-1] > 0).argmax(axis=1)
        chosen = np.minimum(found, last[:, None])
        return np.take_along_axis(self.values, chosen[:, :, None], axis=1)


class ScenarioModel(RegressorMixin, BaseEstimator, ABC):
    """Base class of scenario models: regressors that predict weighted scenarios of y.

    :meth:`predict_scenarios` returns weighted values of y, and `predict` their mean. Decisions over
    scenarios are taken by :class:`~dfl_sklearn.estimators.TwoStageRegressor` or
    :func:`dfl_sklearn.decide`.

    A subclass defines `fit`, which sets `n_outputs_`, `n_scenarios_` (the largest number of
    scenarios of a row) and `is_vector_` (whether y had one dimension), and two methods.
    `_conditions` computes everything that depends on x, for all rows at once; `_scenarios` turns
    the conditions of some rows into scenarios. Both must be deterministic.

    See Also
    --------
    ResidualScenarios : The prediction of any regressor plus its errors.
    LocalScenarios : The y of training rows near x.
    DiffusionScenarios : Draws of a diffusion model.

    Examples
    --------
    All observed y as scenarios, for every x:

    >>> import numpy as np
    >>> from dfl_sklearn import TwoStageRegressor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.scenarios import ScenarioModel, Scenarios
    >>> class AllSeen(ScenarioModel):
    ...     def fit(self, X, y):
    ...         self.seen_ = np.reshape(y, (len(y), -1))
    ...         self.n_scenarios_, self.n_outputs_ = self.seen_.shape
    ...         self.is_vector_ = np.ndim(y) == 1
    ...         return self
    ...
    ...     def _conditions(self, X):
    ...         return (np.asarray(X),)
    ...
    ...     def _scenarios(self, X):
    ...         values = np.tile(self.seen_, (len(X), 1, 1))
    ...         return Scenarios(values, np.ones(values.shape[:2]))
    >>> X, y = np.zeros((10, 1)), np.arange(1.0, 11.0)
    >>> model = TwoStageRegressor(AllSeen(), NewsvendorProblem(9, 1)).fit(X, y)
    >>> model.predict(X[:1]), model.decide(X[:1])  # the mean, and the 90 % quantile
    (array([5.5]), array([9.]))
    """

    n_outputs_: int
    n_scenarios_: int
    is_vector_: bool

    @abstractmethod
    def _conditions(self, X: Any) -> tuple[Any, ...]:
        """Return arrays with one row per row of X that hold everything that depends on X."""

    @abstractmethod
    def _scenarios(self, *conditions: Any) -> Scenarios:
        """Return the scenarios of some rows."""

    def predict_scenarios(self, X: Any) -> Scenarios:
        """Return the scenarios of each row with their weights.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        Scenarios
            ``values`` of shape (n, S, d) and ``weight`` of shape (n, S).
        """
        check_is_fitted(self)
        return self._scenarios(*self._conditions(X))

    def iter_scenarios(self, X: Any) -> Iterator[tuple[slice, Scenarios]]:
        """Yield the scenarios in batches of rows, which needs little memory.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Yields
        ------
        rows : slice
            The rows of the batch.
        scenarios : Scenarios
            Their scenarios, as :meth:`predict_scenarios` returns them.
        """
        check_is_fitted(self)
        conditions = self._conditions(X)
        n_rows = conditions[0].shape[0]
        step = max(1, _NUMBERS_AT_ONCE // max(1, self.n_scenarios_ * self.n_outputs_))
        for start in range(0, n_rows, step):
            rows = slice(start, min(start + step, n_rows))
            yield rows, self._scenarios(*(each[rows] for each in conditions))

    def predict(self, X: Any) -> np.ndarray:
        """Predict the mean of the scenarios.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Predicted parameters.
        """
        means = np.concatenate([some.mean for _, some in self.iter_scenarios(X)])
        return means[:, 0] if self.is_vector_ else means

    def sample(self, X: Any, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw y for each row, independently and with replacement.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        n_samples : int, default=1
            Number of draws for each row.
        random_state : int, RandomState or None, default=None
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n, n_samples, d)
            Draws of the parameters, in their units.
        """
        n_samples = whole_number(n_samples, "n_samples", at_least=1)
        rng = np.random.default_rng(root_seed(random_state))
        return np.concatenate([some.draw(n_samples, rng) for _, some in self.iter_scenarios(X)])
