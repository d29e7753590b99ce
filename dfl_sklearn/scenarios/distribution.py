"""Scenarios from regressors of other libraries that predict distributions or quantiles."""

from inspect import signature
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.metadata_routing import UNUSED

from .._utils.all_or_nothing import all_or_nothing
from .._utils.convergence import collected_doubts
from .._utils.cross_fit import predicted
from .._utils.interrupts import passing_interrupts_on
from .._utils.progress import part, reporting, say
from .._utils.seeds import named_seed, root_seed
from .._utils.sklearn_private import (
    HasMethods,
    Interval,
    _check_sample_weight,
    _fit_context,
)
from .._utils.wrapping import WrappingMixin
from .base import ScenarioModel, Scenarios


class DistributionScenarios(WrappingMixin, ScenarioModel):
    r"""Scenarios from a regressor that predicts quantiles, a distribution or draws.

    S quantiles at the levels :math:`(s - 1/2) / S` become scenarios of equal weight. Then y must
    have a single output, because quantiles do not describe the dependence between outputs. The
    first of these methods that the regressor has is used:

    - ``sample(X, n_samples, random_state=...)`` returns draws, of shape (n, `n_samples`) or
      (n, `n_samples`, d);
    - ``predict_quantiles(X, levels)`` returns (n, S), as in skpro;
    - ``pred_dist(X).ppf(level)`` returns (n,), as in NGBoost;
    - ``predict(X, quantiles=levels)`` returns (n, S), as in quantile-forest;
    - a parameter `quantile`, as of
      :class:`~sklearn.linear_model.QuantileRegressor` and
      :class:`~sklearn.ensemble.HistGradientBoostingRegressor` with ``loss="quantile"``; the
      regressor is then fitted once for each level. Quantiles that cross are sorted.

    Parameters
    ----------
    estimator : regressor
        Any regressor with one of the methods above.
    n_scenarios : int, default=100
        Number of scenarios for each row.
    random_state : int, RandomState or None, default=None
        Seed of the draws, where the regressor makes draws; the same in all calls.
    verbose : bool, default=False
        Whether to print a line for each of several fits, and also after two seconds without a line.

    Attributes
    ----------
    estimator_ : regressor or list of regressor
        The fitted regressor, or one for each level.
    n_scenarios_ : int
        Number of scenarios for each row.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    LocalScenarios : Training rows in the leaves of a forest, also for several outputs.

    Examples
    --------
    >>> from sklearn.linear_model import QuantileRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.scenarios import DistributionScenarios
    >>> X, y = make_newsvendor(random_state=0)
    >>> model = DistributionScenarios(QuantileRegressor(alpha=0), n_scenarios=10).fit(X, y)
    >>> model.predict_scenarios(X[:3]).values.shape
    (3, 10, 1)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "n_scenarios": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
    }

    # Weights in `fit` are passed to the wrapped regressor.
    __metadata_request__fit = {"sample_weight": UNUSED}

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        n_scenarios: int = 100,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.estimator = estimator
        self.n_scenarios = n_scenarios
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, **fit_params: Any
    ) -> "DistributionScenarios":
        """Fit the regressor.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, in the form that the wrapped regressor takes.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows, passed to the `fit` of the wrapped regressor, which must take them.
        **fit_params : dict
            Passed to the wrapped regressor's `fit`, by metadata routing where enabled.

        Returns
        -------
        self : DistributionScenarios
            The fitted estimator.

        Raises
        ------
        ValueError
            If the regressor predicts neither draws nor quantiles, or quantiles of several outputs.
        """
        y = self._validate_target(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, y, dtype=np.float64, ensure_non_negative=True
            )
        self._way = _way_of(self.estimator)
        if self._way != "sample" and y.ndim == 2 and y.shape[1] > 1:
            raise ValueError(
                f"{type(self.estimator).__name__} predicts quantiles, and y has {y.shape[1]} "
                "columns: quantiles do not say how these depend on each other. Use "
                "ResidualScenarios, or LocalScenarios of a forest."
            )
        if self._way != "sample":
            y = column_or_1d(y, warn=True)
        self._seed = named_seed(root_seed(self.random_state), "scenarios")
        self.n_scenarios_, self.n_outputs_ = self.n_scenarios, y.reshape(len(y), -1).shape[1]
        self.is_vector_ = y.ndim == 1
        flat = y if self.n_outputs_ > 1 else y.reshape(-1)
        if self._way == "quantile":
            params = self._wrapped_params(sample_weight, fit_params)
            name = _level_parameter(self.estimator)
            self.estimator_ = []
            with reporting(self.verbose, by_time=True), collected_doubts(of_others=True) as doubts:
                for level in self._levels:
                    model = clone(self.estimator).set_params(**{str(name): level})
                    with part(f"quantile {level:.3g}"), passing_interrupts_on():
                        self.estimator_.append(model.fit(X, flat, **params))
                        say("fitted")
            doubts.warn(stacklevel=4)
            if hasattr(self.estimator_[0], "feature_names_in_"):
                self.feature_names_in_ = self.estimator_[0].feature_names_in_
        else:
            self._fit_wrapped(X, flat, sample_weight, fit_params)
        return self

    def _unfitted(self, y: Any) -> Any:
        return clone(self.estimator)

    @property
    def _levels(self) -> list[float]:
        return [float(each) for each in (np.arange(self.n_scenarios) + 0.5) / self.n_scenarios]

    def _conditions(self, X: Any) -> tuple[np.ndarray]:
        model, levels = self.estimator_, self._levels
        if self._way == "quantile":
            columns = [predicted(each, X, 1, "The regressor") for each in model]
            found = np.concatenate(columns, axis=1)
        elif self._way == "sample":
            found = model.sample(X, self.n_scenarios, random_state=self._seed % 2**32)
        elif self._way == "predict_quantiles":
            found = model.predict_quantiles(X, levels)
        elif self._way == "pred_dist":
            distribution = model.pred_dist(X)
            found = np.stack([np.asarray(distribution.ppf(each)) for each in levels], axis=1)
        else:
            found = model.predict(X, quantiles=levels)
        return (self._checked(np.asarray(found, dtype=np.float64)),)

    def _checked(self, found: np.ndarray) -> np.ndarray:
        shape = (len(found), self.n_scenarios, self.n_outputs_)
        if found.shape != shape and not (self.n_outputs_ == 1 and found.shape == shape[:2]):
            raise ValueError(
                f"{type(self.estimator).__name__} gives scenarios of shape {found.shape}, but "
                f"{shape} is expected: rows, scenarios, outputs."
            )
        values = found.reshape(shape)
        if not np.isfinite(values).all():
            i, s, _ = (int(each) for each in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(
                f"{type(self.estimator).__name__} gives {values[i, s].tolist()} as scenario {s} of "
                f"row {i} of X, which is not finite."
            )
        return values if self._way == "sample" else np.sort(values, axis=1)

    def _scenarios(self, values: np.ndarray) -> Scenarios:
        return Scenarios(values, np.full(values.shape[:2], 1.0 / values.shape[1]))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = _way_of(self.estimator) == "sample"
        return tags

    @property
    def n_features_in_(self) -> int:
        """Number of features seen during fit."""
        first = self.__dict__.get("estimator_")
        if isinstance(first, list):
            return first[0].n_features_in_
        return super().n_features_in_


def _way_of(estimator: Any) -> str:
    """Return the method by which a regressor gives scenarios."""
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    draws = getattr(inner, "sample", None)
    if draws is not None and "random_state" in signature(draws).parameters:
        return "sample"
    for name in ("predict_quantiles", "pred_dist"):
        if hasattr(inner, name):
            return name
    if "quantiles" in signature(inner.predict).parameters:
        return "predict"
    if _level_parameter(inner) is not None and inner is estimator:
        return "quantile"
    advice = "ResidualScenarios takes any regressor."
    if isinstance(inner, Pipeline):
        advice = "Put its steps around DistributionScenarios: make_pipeline(..., this class)."
    elif "loss" in inner.get_params(deep=False):
        advice = f'Did you mean loss="quantile"? {advice}'
    raise ValueError(
        f"{type(inner).__name__} predicts neither draws nor quantiles by one of the methods that "
        f"DistributionScenarios knows. {advice}"
    )


def _level_parameter(estimator: Any) -> str | None:
    """Return the parameter of a quantile regressor that holds its level."""
    params = estimator.get_params(deep=False)
    if params.get("loss", "quantile") != "quantile":
        return None
    # The level of GradientBoostingRegressor is called alpha; other alphas are penalties.
    names = ("quantile", "alpha") if "loss" in params else ("quantile",)
    return next((each for each in names if each in params), None)
