"""A rule for the `refit` of a search: the largest radius within a price."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._utils.checks import finite_number

_ROUNDING = 1e-9  # by which a price may exceed the limit


class WithinPrice:
    """Choose the largest value of a parameter whose cost is within a price, for ``refit=``.

    The price is the cost of robustness on data like the training data. The mean cost of each
    candidate in the folds is compared with that of the smallest value of the parameter, which
    stands for no robustness. In ascending order, the value before the first one whose cost exceeds
    the price is chosen. A larger value that is cheaper again is regarded as noise. Of several
    candidates with the same value, the cheapest one counts.

    Parameters
    ----------
    param : str
        Name of the parameter in the search, such as "radius" or "model__radius". Its values must be
        numbers, where larger is more cautious.
    price : float, default=0.05
        Largest allowed increase of the cost, as a share of the cost at the smallest value; at
        least 0.

    See Also
    --------
    CostTailSplit : Splits with more costly rows, another way to choose a radius.
    dfl_sklearn.inspection.RadiusCurveDisplay : Draw cost against radius.

    Notes
    -----
    The search must score by a negated cost or regret,
    :func:`~dfl_sklearn.metrics.make_decision_cost_scorer` or
    :func:`~dfl_sklearn.metrics.make_regret_scorer`. This is not checked: any score is taken as a
    negated cost. Where good decisions have a negative cost, the price is a share of its absolute
    value; score by the regret there. The mean of few folds is noisy: use many, or repeat them.

    Examples
    --------
    >>> from sklearn.linear_model import QuantileRegressor
    >>> from sklearn.model_selection import GridSearchCV
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.metrics import make_decision_cost_scorer
    >>> from dfl_sklearn.model_selection import WithinPrice
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(400, random_state=0)
    >>> problem = NewsvendorProblem(9, 1)
    >>> search = GridSearchCV(
    ...     QuantileRegressor(alpha=0.0),
    ...     {"quantile": [0.9, 0.92, 0.94, 0.96, 0.98]},
    ...     scoring=make_decision_cost_scorer(problem),
    ...     cv=3,
    ...     refit=WithinPrice("quantile", price=0.05),
    ... ).fit(X, y)
    >>> search.best_params_
    {'quantile': 0.94}
    """

    def __init__(self, param: str, price: float = 0.05) -> None:
        self.param = param
        self.price = price

    def __repr__(self) -> str:
        return f"WithinPrice({self.param!r}, price={self.price!r})"

    def __call__(self, cv_results: Mapping[str, Any]) -> int:
        """Return the index of the chosen candidate.

        Parameters
        ----------
        cv_results : mapping
            ``cv_results_`` of a search with a single scorer, a negated cost.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If a candidate has no number for the parameter, if a score is not finite, or if the
            cost at the smallest value is 0.
        """
        if finite_number(self.price, "price") < 0:
            raise ValueError(f"price must be at least 0, got {self.price}.")
        value, cost = self._values(cv_results), self._costs(cv_results)
        # The cheapest candidate of each value, in ascending order of the values.
        order = np.lexsort([cost, value])
        first = order[np.concatenate([[True], np.diff(value[order]) > 0])]
        reference = cost[first[0]]
        if reference == 0:
            raise ValueError(
                f"The cost at {self.param}={value.min():g} is 0, so no price can be a share of it."
            )
        too_dear = (cost[first] - reference) / abs(reference) > self.price + _ROUNDING
        return int(first[too_dear.argmax() - 1] if too_dear.any() else first[-1])

    def _values(self, cv_results: Mapping[str, Any]) -> np.ndarray:
        key = f"param_{self.param}"
        if key not in cv_results:
            searched = [name[len("param_") :] for name in cv_results if name.startswith("param_")]
            raise ValueError(f"{self.param!r} is not searched over; it has {searched}.")
        is_missing = np.ma.getmaskarray(cv_results[key])
        if is_missing.any():
            raise ValueError(
                f"Candidate {int(is_missing.argmax())} of the search has no {self.param}: every "
                "part of the grid must set it."
            )
        try:
            values = np.ma.getdata(cv_results[key]).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.param} must take numbers: {error}") from error
        if not np.isfinite(values).all():
            raise ValueError(f"{self.param} must take finite numbers, got {values}.")
        return values

    def _costs(self, cv_results: Mapping[str, Any]) -> np.ndarray:
        if "mean_test_score" not in cv_results:
            raise ValueError("WithinPrice needs a search with a single scorer, scoring=one scorer.")
        scores = np.asarray(cv_results["mean_test_score"], dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            raise ValueError(f"Candidate {bad[0]} has a mean score of {scores[bad[0]]}.")
        return -scores
