"""Two tables with the same columns, one below the other."""

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._utils.rows import column_names
from .._utils.tables import is_polars, refuse_lazy


def joined(X: Any, more: Any, name: str) -> Any:
    """Return the rows of two tables with the same columns, one after the other."""
    refuse_lazy(X, "X")
    refuse_lazy(more, name)
    names, others = column_names(X), column_names(more)
    if names is not None and others is not None and names != others:
        odd = next((each for each in others if each not in names), None)
        odd = odd or next((each for each in names if each not in others), "their order")
        raise ValueError(
            f"{name} must have the columns of the source, in the same order: they differ in "
            f"{odd!r}."
        )
    widths = [np.shape(each)[1] if len(np.shape(each)) == 2 else None for each in (X, more)]
    if widths[0] is None or widths[0] != widths[1]:
        raise ValueError(
            f"{name} must be a table with the columns of the source, got shapes {np.shape(X)} and "
            f"{np.shape(more)}."
        )
    if sparse.issparse(X) or sparse.issparse(more):
        raise ValueError("CovariateShiftWeight takes no sparse tables, as it searches equal rows.")
    if is_polars(X) and is_polars(more):
        return import_module("polars").concat([X, more], how="vertical_relaxed")
    if hasattr(X, "columns") and hasattr(more, "columns"):
        tables = _as_pandas(X), _as_pandas(more)
        labels = [list(each.columns) for each in tables]
        if labels[0] != labels[1] and set(labels[0]) == set(labels[1]):
            raise ValueError(
                f"{name} must have the columns of the source, in the same order: they differ in "
                "their order."
            )
        if names is None or others is None:  # labels that are no names: columns count by position
            tables = tables[0], tables[1].set_axis(tables[0].columns, axis=1)
        return pd.concat(_with_common_categories(*tables), ignore_index=True)
    return np.concatenate([np.asarray(X), np.asarray(more)])


def _as_pandas(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    return pd.DataFrame({name: np.asarray(X[name]) for name in X.columns})


def _with_common_categories(X: pd.DataFrame, more: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Return two tables whose categorical columns have the categories of both.

    With different categories, the joined column would not be categorical.
    """
    tables = X.copy(deep=False), more.copy(deep=False)
    for j in range(X.shape[1]):
        one, other = X.dtypes.iloc[j], more.dtypes.iloc[j]
        both = isinstance(one, pd.CategoricalDtype) and isinstance(other, pd.CategoricalDtype)
        if both and one != other:
            common = pd.CategoricalDtype(one.categories.append(other.categories).unique())
            for table in tables:
                table.isetitem(j, table.iloc[:, j].astype(common).array)
    return tables
