"""The methods `decide` and `score` that all estimators of the package share."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.context_columns import ContextColumns, Selection
from .._utils.innermost import shaped_for
from .._utils.params import NestedParamsMixin
from .._utils.row_numbers import counted_among
from .._utils.rows import as_numpy_rows
from .._utils.scenario_models import scenario_parts
from .._utils.sklearn_private import InvalidParameterError
from .._utils.target_columns import check_target_columns
from ..metrics._decisions import check_observed, d2_of_decisions
from ..problems._average import averaged_decisions
from ..problems._over_scenarios import decide_over_scenarios
from ..problems.base import DecisionProblem
from ..problems.closed_form import SquaredErrorProblem
from ._choices import CHOICES, what_fits


class DecisionRegressorMixin(NestedParamsMixin, RegressorMixin):
    """Add `decide` and a score in terms of regret to a regressor with a `problem`."""

    problem: DecisionProblem | None
    context: Selection
    context_is_feature: bool
    _n_members: int = 1  # nets that predict and decide together
    predict_members: Callable[[ArrayLike], np.ndarray]

    def _validate_params(self) -> None:
        """Validate parameters as scikit-learn does; messages list the classes to choose from."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            for name in CHOICES:
                if f"The {name!r} parameter" in str(error):
                    value = self.get_params(deep=False)[name]
                    raise InvalidParameterError(f"{error} {what_fits(name, value)}") from None
            raise

    def _resolve_problem(self) -> DecisionProblem:
        return SquaredErrorProblem() if self.problem is None else self.problem

    def decide(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the decisions for the rows of X: ``problem.solve(predict(X))``.

        With several estimators it is the decision for the mean prediction, or the mean of their
        decisions; the problem's `decision_average` says which.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, to be used instead of the columns of X that are context.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row.
        """
        check_is_fitted(self)
        # First, because what is wrong with a limit is not to be imputed as a feature is.
        known, problem = self.context_of(X) if context is None else context, self._resolve_problem()
        prediction = self.predict(X) if self._n_members == 1 else self.predict_members(X)
        if self._n_members == 1:
            return problem.solve(prediction, context=known)
        return averaged_decisions(problem, prediction, known)

    def _decide_over(self, model: Any, X: Any, context: Any) -> np.ndarray:
        """Return the decisions over the scenarios that a fitted model predicts for X."""
        parts = scenario_parts(model, X)
        return shaped_for(model, decide_over_scenarios(self._resolve_problem(), parts, context))

    def context_of(self, X: ArrayLike) -> Any:
        """Return the context of the rows of X, as the methods of the problem take it.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n, c), DataFrame or None
            The context; None where the parameter `context` is None.
        """
        check_is_fitted(self)
        columns = self.__dict__.get("_context_columns")
        return None if columns is None else columns.table(X)

    def _find_context(self, X: Any) -> ContextColumns | None:
        """Return which columns of X, as the user gave it, are context, once the problem agrees."""
        problem = self._resolve_problem()
        columns = ContextColumns.of(
            self.context,
            X,
            problem.context_columns(),
            is_feature=self.context_is_feature,
            owner=type(self).__name__,
        )
        if columns is None:
            problem.context_rows(None, 0)  # raises an error if it needs a context
            return None
        if not problem.takes_context:
            raise ValueError(
                f"context={self.context!r} was given, but {type(problem).__name__} takes no "
                "context. Mark the numbers that it is to read by FromContext, or omit context=."
            )
        table = columns.table(X)
        problem.context_rows(table, len(table))
        return columns

    def _check_context(self, X: Any, name: str = "X") -> None:
        """Raise a ValueError that names the row if the context of X is not valid."""
        columns = self.__dict__.get("_context_columns")
        if columns is not None:
            table = columns.table(X, name)
            self._resolve_problem().context_rows(table, len(table))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the D2 regret score of the decisions, 1 for perfect ones.

        The best constant decision has the score 0, so that a model which ignores X gets at most 0.
        (With a context, 0 is the score of the best decision that knows the context alone.)
        With the default problem the score is R2; several outputs are weighted by their variance.
        See :func:`dfl_sklearn.metrics.d2_regret_score`.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Sample weights.

        Returns
        -------
        float
            The score, without a unit; at most 1 where the problem is solved exactly.
        """
        problem = self._resolve_problem()
        check_target_columns(self, y)
        with counted_among("the rows scored"):
            y, weight = check_observed(y, problem, sample_weight)
            decisions = as_numpy_rows(self.decide(X), "decisions")
            return d2_of_decisions(y, decisions, problem, weight, self.context_of(X))
