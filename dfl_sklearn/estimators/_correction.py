"""What a correction of predictions sees."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array

from .._utils.context_columns import ContextColumns
from .._utils.rows import column_names
from .._utils.tables import refuse_unfit_table


@dataclass(frozen=True)
class CorrectionInputs:
    """The predictions, beside the features where these are an input, or else the context.

    Attributes
    ----------
    kind : {"both", "X", "predictions"}
    names : list of str or None
        Names of the columns of X in `fit`, where it had names.
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
            X = X[self.names]  # a backbone may select columns by name, in any order
        with saying_what_is_read(self.kind):
            refuse_unfit_table(X, "X")
            features = check_array(X, dtype=np.float64)
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
        """Whether the correction sees the context, and not the problem alone."""
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


@contextmanager
def saying_what_is_read(kind: str) -> Iterator[None]:
    """Add to errors about X that the correction reads it, and what to do."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{error}\nThe correction reads X (inputs={kind!r}), which must therefore be finite "
            'numbers. Use inputs="predictions", or transform X first.'
        ) from error


def dense(X: Any) -> Any:
    """Return X, or raise an error where it is sparse."""
    if issparse(X):
        raise TypeError(
            "X is sparse, but DFFRegressor needs a dense array or a table. Where the features are "
            "made from a table, use a Pipeline that makes them as the backbone."
        )
    return X
