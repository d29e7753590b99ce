"""What a correction of predictions sees, and whether it is of use."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import Bunch
from sklearn.utils.validation import check_array

from .._utils.context_columns import ContextColumns
from .._utils.rows import column_names, refuse_unfit_table
from ..problems._average import averaged_decisions
from ..problems._context import by_position
from ..problems.base import DecisionProblem
from ..rows import Rows
from .dfl import DFLRegressor


@dataclass(frozen=True)
class CorrectionInputs:
    """Features, where they are an input, or the context, and the predictions side by side.

    Attributes
    ----------
    kind : {"both", "X", "predictions"}
    names : list of str or None
        Columns of X in fit, where it had names.
    columns : ContextColumns or None
    n_outputs : int
    """

    kind: str
    names: list[str] | None
    columns: ContextColumns | None
    n_outputs: int

    def stacked(self, X: Any, predictions: np.ndarray) -> np.ndarray:
        """Return the inputs for rows of X and the predictions (n, d) of the backbone."""
        if self.kind == "predictions":
            parts = [] if self.columns is None else [np.asarray(self.columns.table(X))]
            return np.concatenate([*parts, predictions.astype(np.float64)], axis=1)
        if self.names is not None and column_names(X) is not None:
            missing = [name for name in self.names if name not in X.columns]
            if missing:
                raise ValueError(f"X lacks columns that the model was fitted on: {missing}.")
            X = X[self.names]  # a backbone may find its columns by name, wherever they stand
        refuse_unfit_table(X, "X")
        try:
            features = check_array(X, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{error}\nThe correction depends on X (inputs={self.kind!r}), which must be "
                'finite numbers for it. Use inputs="predictions", or transform X first.'
            ) from error
        return np.concatenate([features, predictions], axis=1)

    def features(self, stacked: np.ndarray) -> np.ndarray:
        """Return the columns of X among the inputs, as they were given."""
        if self.kind == "predictions":
            raise ValueError(
                'inputs="predictions" keeps no columns of X, and the ambiguity set reads them to '
                'tell groups of rows: set inputs="both" or "X".'
            )
        return stacked[:, : -self.n_outputs]

    def predictions(self, stacked: np.ndarray) -> np.ndarray:
        """Return the predictions (n, d) among the inputs."""
        return stacked[:, -self.n_outputs :]

    @property
    def sees_context(self) -> bool:
        """Whether the correction sees the context, or its problem alone."""
        return self.columns is not None and self.columns.is_feature and self.kind != "predictions"

    @property
    def context(self) -> list[int] | None:
        """Positions of the context among the inputs."""
        if self.columns is None:
            return None
        positions = self.columns.positions
        return list(range(len(positions))) if self.kind == "predictions" else list(positions)

    def seen(self, stacked: np.ndarray) -> np.ndarray:
        """Return the inputs that the correction sees."""
        if self.context is None or self.sees_context:
            return stacked
        return np.delete(stacked, self.context, axis=1)

    def comparison(self, problem: DecisionProblem, rows: Rows, corrected: np.ndarray) -> Bunch:
        """Return the mean regret before and after, and the standard error of the gain.

        Parameters
        ----------
        problem : DecisionProblem
        rows : Rows
            Held out, with the inputs as X.
        corrected : ndarray of shape (K, n, d)
            By each of several corrections.
        """
        problem = by_position(problem)
        context = None if self.context is None else rows.X[:, self.context]
        before, after = (
            problem.cost(averaged_decisions(problem, each, context), rows.y, context=context)
            for each in (self.predictions(rows.X)[None], corrected)
        )
        regret = before - problem.optimal_cost(rows.y, context=context)
        gain = before - after
        share = rows.weight / rows.weight.sum()
        mean = float(share @ gain)
        # Of a weighted mean, for as many rows as the weights amount to (Kish).
        n_effective = 1.0 / float((share**2).sum())
        error = np.inf  # of a single row
        if n_effective > 1.0 + 1e-9:
            error = float(np.sqrt(share @ (gain - mean) ** 2 / (n_effective - 1.0)))
        return Bunch(
            backbone=float(share @ regret),
            corrected=float(share @ regret) - mean,
            standard_error=error,
            gain=mean,
        )


class Correction(DFLRegressor):
    """The net that corrects; its ambiguity set finds the columns of X as DFFRegressor got them."""

    _inputs: CorrectionInputs | None = None  # a clone corrects nothing

    def _names_as_given(self) -> Any:
        return super()._names_as_given() if self._inputs is None else self._inputs.names

    def _as_given(self, rows: Rows) -> np.ndarray:
        stacked = super()._as_given(rows)
        return stacked if self._inputs is None else self._inputs.features(stacked)


def dense(X: Any) -> Any:
    """Return X, or say that it is sparse."""
    if issparse(X):
        raise TypeError(
            "X is sparse, but DFFRegressor needs a dense array or a table. Where the features are "
            "made from a table, let the backbone be a Pipeline that makes them."
        )
    return X
