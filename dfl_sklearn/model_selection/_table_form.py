"""The form of a table: conversion to numbers, and back to the same form."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from .._utils.rows import as_float, check_finite
from .._utils.tables import refuse_unfit_table, twice

_MOST_LEVELS = 50  # distinct words of a column of words


@dataclass(frozen=True)
class TableForm:
    """Whether a table was an array or a DataFrame, with its columns and their types.

    Attributes
    ----------
    columns : list
        Labels of the columns; those of an array are ``x0, x1, ...``.
    dtypes : list or None
        Types of the columns of a DataFrame; None for an array.
    words : dict of int to Index
        The words that occur in each column of words, by its position. Values of the column are
        positions in this index.
    """

    columns: list[Any]
    dtypes: list[Any] | None
    words: dict[int, pd.Index] = field(default_factory=dict)

    @classmethod
    def of(cls, X: Any, name: str = "X") -> tuple["TableForm", np.ndarray]:
        """Return the form of a table, and its values (n, p) in float64.

        Raises
        ------
        ValueError
            If a column holds neither numbers nor words; the message names it.
        """
        if issparse(X):
            raise ValueError(f"{name} must be dense to be generated, got a sparse matrix.")
        refuse_unfit_table(X, name, takes_text=True)
        if hasattr(X, "columns") and not isinstance(X, pd.DataFrame):
            raise ValueError(
                f"{name} must be an array or a pandas DataFrame, got one of "
                f"{type(X).__module__.split('.')[0]}. Convert it, and fit the models on the "
                "converted table, because they get generated rows in the same form."
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
            raise ValueError(f"Columns of {name} have the same name: {twice(X.columns)}.")
        if X.isna().to_numpy().any():
            label = X.columns[X.isna().any().to_numpy()][0]
            raise ValueError(
                f"Column {label!r} of {name} has missing values. Remove or impute such rows first: "
                "rows are generated from these, before a model's own imputer sees them."
            )
        values, words = np.empty(X.shape), {}
        for j, (label, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
            column = X.iloc[:, j]
            if getattr(dtype, "kind", None) in tuple("biuf"):
                values[:, j] = column.astype(np.float64)
                continue
            is_words = isinstance(dtype, pd.CategoricalDtype)
            if not is_words and not all(isinstance(each, str) for each in column):
                raise ValueError(
                    f"Column {label!r} of {name} is {dtype}, and holds neither only numbers nor "
                    "only words: convert it, by astype(float) or astype(str)."
                )
            codes, words[j] = pd.factorize(column, sort=True)
            if len(words[j]) > _MOST_LEVELS:
                raise ValueError(
                    f"Column {label!r} of {name} has {len(words[j])} different words, more than "
                    f"{_MOST_LEVELS}. Merge rare ones, or encode the column before: instead of a "
                    "Pipeline give pipe[1:] and pipe[:1].transform(X)."
                )
            values[:, j] = codes
        check_finite(values, name)
        return cls(list(X.columns), list(X.dtypes), words), values

    def back(self, values: np.ndarray) -> Any:
        """Return values (n, p) in the form of the table, with integers and booleans as such."""
        if self.dtypes is None:
            return values
        columns = [
            pd.Series(self.words[j].take(values[:, j].astype(int))).astype(dtype)
            if j in self.words
            else _as_type(values[:, j], dtype)
            for j, dtype in enumerate(self.dtypes)
        ]
        frame = pd.DataFrame(dict(enumerate(columns)))
        frame.columns = pd.Index(self.columns)
        return frame

    def possible(self, values: np.ndarray) -> np.ndarray:
        """Return values (n, p) as numbers, after the rounding that :meth:`back` makes."""
        if self.dtypes is None:
            return values
        found = values.copy()
        for j, dtype in enumerate(self.dtypes):
            if j not in self.words:
                found[:, j] = _as_type(values[:, j], dtype).astype(np.float64)
        return found

    def indicators(self, values: np.ndarray, position: int) -> np.ndarray:
        """Return indicators (n, levels) of the words in a column of words."""
        levels = np.arange(len(self.words[position]))
        return (values[:, [position]] == levels).astype(np.float64)

    def measured(self, values: np.ndarray) -> tuple[list[Any], np.ndarray]:
        """Return labels and numeric columns; a column of words becomes one indicator per word."""
        labels: list[Any] = []
        parts = []
        for j, label in enumerate(self.columns):
            if j in self.words:
                labels += [f"{label}={word}" for word in self.words[j]]
                parts.append(self.indicators(values, j))
            else:
                labels.append(label)
                parts.append(values[:, [j]])
        return labels, np.concatenate(parts, axis=1)


def _as_type(values: np.ndarray, dtype: Any) -> pd.Series:
    plain = getattr(dtype, "numpy_dtype", dtype)
    if plain.kind == "b":
        values = values > 0.5
    elif plain.kind in "iu":
        limits = np.iinfo(plain)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return pd.Series(values).astype(plain).astype(dtype)
