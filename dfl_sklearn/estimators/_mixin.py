"""What every estimator of the package does with its predictions."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.params import NestedParamsMixin
from .._utils.sklearn_private import InvalidParameterError
from ..metrics import d2_regret_score
from ..problems.base import DecisionProblem
from ..problems.closed_form import SquaredErrorProblem

# Parameters that take an object of the package, and where its classes are.
_CHOICES = {
    "problem": "dfl_sklearn.problems",
    "loss": "dfl_sklearn.losses",
    "ambiguity_set": "dfl_sklearn.robust",
}


class DecisionRegressorMixin(NestedParamsMixin, RegressorMixin):
    """Add `decide` and a score in terms of regret to a regressor with a `problem`."""

    problem: DecisionProblem | None

    def _validate_params(self) -> None:
        """Validate parameters as scikit-learn does, and say which objects there are."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            for name, module in _CHOICES.items():
                if f"The {name!r} parameter" in str(error):
                    names = import_module(module).__all__
                    raise InvalidParameterError(
                        f"{error} There are, in {module}: {', '.join(sorted(names))}."
                    ) from None
            raise

    def _resolve_problem(self) -> DecisionProblem:
        return SquaredErrorProblem() if self.problem is None else self.problem

    def decide(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the decisions for the rows of X: ``problem.solve(predict(X))``.

        Parameters
        ----------
        X : array-like of shape (n, p)
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, for problems that take it.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row.
        """
        check_is_fitted(self)
        return self._resolve_problem().solve(self.predict(X), context=context)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the D2 regret score of the decisions, 1 for perfect ones.

        0 is the best constant decision, so that a model which ignores X gets at most 0.
        With the default problem it is R2 (of several outputs, weighted by variance). See
        :func:`dfl_sklearn.metrics.d2_regret_score`.

        Parameters
        ----------
        X : array-like of shape (n, p)
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Sample weights.

        Returns
        -------
        float
        """
        prediction: Any = self.predict(X)
        return d2_regret_score(
            y, prediction, problem=self._resolve_problem(), sample_weight=sample_weight
        )
