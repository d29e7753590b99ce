"""The form in which a table was given: numbers out of it, and numbers back into it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from .._utils.rows import as_float, check_finite, column_names, refuse_unfit_table


@dataclass(frozen=True)
class TableForm:
    """Whether a table was an array or a DataFrame, with its columns and their types.

    Attributes
    ----------
    columns : list
        Labels of the columns; those of an array are ``x0, x1, ...``.
    dtypes : list or None
        Types of the columns of a DataFrame; None for an array.
    """

    columns: list[Any]
    dtypes: list[Any] | None

    @classmethod
    def of(cls, X: Any, name: str = "X") -> tuple["TableForm", np.ndarray]:
        """Return the form of a table of numbers, and its values (n, p) in float64.

        Raises
        ------
        ValueError
            If there is a column that does not hold numbers; the message names it.
        """
        if issparse(X):
            raise ValueError(f"{name} must be dense to be generated, got a sparse one.")
        refuse_unfit_table(X, name)
        if hasattr(X, "columns") and not isinstance(X, pd.DataFrame):
            raise ValueError(
                f"{name} must be an array or a pandas DataFrame, got {type(X).__name__}: convert "
                "it, as the model is asked about generated rows in the same form."
            )
        if isinstance(X, pd.DataFrame):
            return cls._of_frame(X, name)
        values = as_float(X, name)
        if values.ndim != 2:
            raise ValueError(f"{name} must have shape (n, p), got {values.shape}.")
        check_finite(values, name)
        names = [f"x{j}" for j in range(values.shape[1])]
        return cls(names, None), values.astype(np.float64)

    @classmethod
    def _of_frame(cls, X: pd.DataFrame, name: str) -> tuple["TableForm", np.ndarray]:
        if not X.columns.is_unique:
            raise ValueError(f"Columns of {name} have the same name: {list(X.columns)}.")
        for label, dtype in zip(X.columns, X.dtypes, strict=True):
            if getattr(dtype, "kind", None) not in tuple("biuf"):
                raise ValueError(
                    f"Column {label!r} of {name} is {dtype}, and rows are generated in columns of "
                    "numbers. Encode it before, and give the model as it is after the encoder: of "
                    "a Pipeline, pipe[1:] and pipe[:1].transform(X)."
                )
        if X.isna().to_numpy().any():
            label = X.columns[X.isna().any().to_numpy()][0]
            raise ValueError(
                f"Column {label!r} of {name} has missing values. Remove or impute such rows first."
            )
        values = X.astype(np.float64).to_numpy()
        check_finite(values, name)
        return cls(list(X.columns), list(X.dtypes)), values

    @property
    def has_names(self) -> bool:
        """Whether the columns have names, by which they can be found."""
        return self.dtypes is not None and column_names(pd.DataFrame(columns=self.columns)) is not (
            None
        )

    def back(self, values: np.ndarray) -> Any:
        """Return values (n, p) as the table was given; whole numbers and truth values as such."""
        if self.dtypes is None:
            return values
        columns = [_as_type(values[:, j], dtype) for j, dtype in enumerate(self.dtypes)]
        frame = pd.DataFrame(dict(enumerate(columns)))
        frame.columns = pd.Index(self.columns)
        return frame

    def possible(self, values: np.ndarray) -> np.ndarray:
        """Return values (n, p) as :meth:`back` gives them to a model, as numbers."""
        if self.dtypes is None:
            return values
        return self.back(values).astype(np.float64).to_numpy()


def _as_type(values: np.ndarray, dtype: Any) -> pd.Series:
    plain = getattr(dtype, "numpy_dtype", dtype)
    if plain.kind == "b":
        values = values > 0.5
    elif plain.kind in "iu":
        limits = np.iinfo(plain)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return pd.Series(values).astype(plain).astype(dtype)
