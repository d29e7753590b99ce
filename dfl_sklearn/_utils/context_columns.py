"""Select the columns of X that are context: known data of a row, such as a capacity."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from .rows import as_float, column_names, raise_at
from .sklearn_private import _get_column_indices
from .tables import refuse_series, twice

CONTEXT: list[Any] = [str, Integral, "array-like", slice, callable, None]
"""What a parameter `context` may be, for scikit-learn's validation."""

Selection = Any
"""Columns of X by name or position, a list or a slice of these, a mask, or a callable."""


@dataclass(frozen=True)
class ContextColumns:
    """The positions of the context among the columns of X.

    Attributes
    ----------
    positions : tuple of int
        Columns of the context. Those that the problem reads come first, in its order.
    names : tuple of str or None
        Their names, where the problem reads columns by name.
    labels : tuple of str or None
        Their names in X, where it has names.
    n_columns : int
        Number of columns of X.
    by_name : bool
        Whether a column was chosen by its name, so that X must have names.
    is_feature : bool
        Whether the predictor sees the context as well.
    owner : str
        Class of the estimator, for errors.
    """

    positions: tuple[int, ...]
    names: tuple[str, ...] | None
    labels: tuple[str, ...] | None
    n_columns: int
    by_name: bool = False
    is_feature: bool = True
    owner: str = "it"

    @classmethod
    def of(
        cls,
        selection: Selection,
        X: Any,
        wanted: Sequence[Any] = (),
        *,
        is_feature: bool = True,
        owner: str = "it",
        name: str = "X",
    ) -> "ContextColumns | None":
        """Return the columns that a user has selected, None for no selection.

        Parameters
        ----------
        selection : str, int, list, slice, mask, callable or None
            As in :class:`sklearn.compose.ColumnTransformer`; a callable is given X.
        X : array-like, DataFrame or sparse matrix of shape (n, p)
            As the user gave it.
        wanted : sequence of str or int
            The columns that the problem reads from its context.
        is_feature : bool, default=True
        owner : str
            Class of the estimator, for errors.
        name : str
            What to call X in an error.

        Raises
        ------
        ValueError
            If a column is missing, selected twice, or asked for by name of an X without names.
        """
        if selection is None:
            return None
        X = _with_columns(X, name)
        chosen = selection(X) if callable(selection) else selection
        positions = [int(each) for each in _positions(chosen, X, name)]
        if not positions:
            raise ValueError(f"context={selection!r} selects no column of {name}.")
        if len(set(positions)) < len(positions):
            raise ValueError(f"context={selection!r} selects a column of {name} twice.")
        names = None
        if any(isinstance(each, str) for each in wanted):
            positions, names = _in_order(positions, X, [*wanted], name)
        n_columns = int(X.shape[1])
        if not is_feature and len(positions) == n_columns:
            raise ValueError(
                f"All columns of {name} are context, and context_is_feature=False leaves the "
                "predictor none. Set context_is_feature=True."
            )
        labels = column_names(X)
        if labels is not None:
            labels = [labels[j] for j in positions]
        at = None if labels is None else tuple(labels)
        by_name = names is not None or _holds_names(chosen)
        return cls(tuple(positions), names, at, n_columns, by_name, is_feature, owner)

    @property
    def others(self) -> list[int]:
        """Positions of the columns of X that are not context."""
        return [j for j in range(self.n_columns) if j not in self.positions]

    @property
    def inputs(self) -> list[int]:
        """Positions of the columns of X that the predictor sees."""
        return list(range(self.n_columns)) if self.is_feature else self.others

    @property
    def features_among_inputs(self) -> list[int]:
        """Positions, among what the predictor sees, of the columns that are not context."""
        return [self.inputs.index(j) for j in self.others]

    def split(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of an array that are not context, and the context in float64."""
        return X[:, self.others], X[:, list(self.positions)].astype(np.float64)

    def joined(self, features: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Return all columns in the order of X."""
        X = np.empty((len(features), self.n_columns), dtype=features.dtype)
        X[:, self.others], X[:, list(self.positions)] = features, context
        return X

    def seen(self, features: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Return what the predictor sees, in the order of X."""
        return self.joined(features, context) if self.is_feature else features

    def table(self, X: Any, name: str = "X") -> Any:
        """Return the context of the rows of X as a problem's public methods take it.

        Raises
        ------
        ValueError
            If a column is missing or has an entry that is not a finite number. The message says
            where.
        """
        X, positions = self._found(X, name)
        values = np.empty((X.shape[0], len(positions)))
        for j, place in enumerate(positions):
            one = _safe_indexing(X, [place], axis=1)
            one = one.toarray() if issparse(one) else np.asarray(one)
            label = f"column {place}" if self.labels is None else repr(self.labels[j])
            what = f"The context, {label} of {name},"
            try:
                values[:, j] = as_float(one, what).reshape(-1)
            except ValueError as error:
                kind = TypeError if isinstance(error.__cause__, TypeError) else ValueError
                raise kind(str(error)) from error
            bad = ~np.isfinite(values[:, j])
            if bad.any():
                remedy = "Leave such rows out, or give the number that holds: decisions keep to it."
                raise_at(bad, values[:, j], what, "is NaN or infinite", remedy)
        return values if self.names is None else pd.DataFrame(values, columns=[*self.names])

    def features(self, X: Any, name: str = "X") -> Any:
        """Return the columns of X that the predictor sees, in the type of X."""
        if self.is_feature:
            return X
        X, positions = self._found(X, name)
        return _safe_indexing(X, [j for j in range(X.shape[1]) if j not in positions], axis=1)

    def _found(self, X: Any, name: str) -> tuple[Any, list[int]]:
        """Return X, a list as an array, and the positions of the context, by name if possible."""
        X = _with_columns(X, name)
        columns = column_names(X)
        if columns is not None and self.labels is not None:
            missing = [each for each in self.labels if each not in columns]
            if missing:
                raise ValueError(f"{name} lacks columns of the context: {missing}.")
            return X, [columns.index(each) for each in self.labels]
        if self.by_name:
            wanted = ", ".join(map(repr, self.labels or self.names or ()))
            raise ValueError(
                f"{self.owner} was fitted with the context {wanted}, found by name, and {name} has "
                "no column names: give a DataFrame."
            )
        if X.shape[1] != self.n_columns:
            raise ValueError(
                f"X has {X.shape[1]} features, but {self.owner} is expecting {self.n_columns} "
                "features as input."
            )
        return X, list(self.positions)


def _with_columns(X: Any, name: str) -> Any:
    """Return X with columns: a list is converted to an array."""
    if issparse(X):
        return X.tocsc()
    if not hasattr(X, "columns"):
        X = np.asarray(X)
    refuse_series(X, name)
    if len(X.shape) != 2:
        raise ValueError(
            f"Expected 2D array, got {len(X.shape)}D array instead. Reshape your data: {name} must "
            "have columns for some of them to be context."
        )
    if X.shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required."
        )
    return X


def _holds_names(chosen: Any) -> bool:
    if isinstance(chosen, slice):
        return isinstance(chosen.start, str) or isinstance(chosen.stop, str)
    return isinstance(chosen, str) or any(isinstance(each, str) for each in np.atleast_1d(chosen))


def _positions(chosen: Any, X: Any, name: str) -> Any:
    has_names = hasattr(X, "columns")
    as_list = [chosen] if isinstance(chosen, (str, int, np.integer)) else chosen
    if isinstance(as_list, slice):
        parts = [each for each in (as_list.start, as_list.stop) if each is not None]
    elif isinstance(as_list, Iterable):
        parts = list(as_list)
    else:
        raise TypeError(
            f"context must be a name, a position, a list or a slice of these, a mask, or a "
            f"callable that returns one of them, got {chosen!r}."
        )
    if not has_names and any(isinstance(each, str) for each in parts):
        raise ValueError(
            f"context={chosen!r} names columns, but {name} is an array without names. Give a "
            "DataFrame; in a Pipeline keep the names, and the numbers, through a step with\n"
            f"    keep_context(StandardScaler(), {parts!r})\n"
            "from dfl_sklearn.compose, in place of StandardScaler() or whatever comes before. "
            "Positions do as well if no step before changes or moves these columns."
        )
    if has_names and len(set(X.columns)) < len(X.columns):
        raise ValueError(f"Columns of {name} have the same name: {twice(X.columns)}.")
    try:
        return _get_column_indices(X, as_list)
    except (ValueError, IndexError, TypeError) as error:
        has = f"it has {list(X.columns)}" if has_names else f"it has {X.shape[1]} columns"
        if has_names and column_names(X) is None:
            has += ", which are no names (a step without get_feature_names_out loses them)"
        raise ValueError(
            f"context={chosen!r} is not among the columns of {name}: {has}."
            + _hint_of_renamed(parts, X)
        ) from error


def _hint_of_renamed(wanted: list[Any], X: Any) -> str:
    """Explain that a ColumnTransformer has put the name of a step before that of a column."""
    names = [each for each in wanted if isinstance(each, str)]
    ends = tuple(f"__{each}" for each in names)
    found = [each for each in getattr(X, "columns", ()) if str(each).endswith(ends)] if ends else []
    if not found:
        return ""
    return (
        f" A ColumnTransformer has made {', '.join(map(repr, found))} of it: put "
        f"keep_context(..., {names!r}), from dfl_sklearn.compose, around that step, which keeps "
        "the names and the numbers."
    )


def _in_order(
    positions: list[int], X: Any, wanted: list[str], name: str
) -> tuple[list[int], tuple[str, ...]]:
    """Return positions with those that the problem wants by name first, and all names."""
    if not hasattr(X, "columns"):
        raise ValueError(
            f"The problem reads {', '.join(map(repr, wanted))} from the context by name, but "
            f"{name} is an array without column names. Give a DataFrame, or mark positions in the "
            "problem: FromContext(0) is the first column that context= selects."
        )
    found = {str(X.columns[j]): j for j in positions}
    missing = [each for each in wanted if each not in found]
    if missing:
        raise ValueError(
            f"The problem reads {', '.join(map(repr, missing))} from the context, which "
            f"context= does not select: it selects {list(found)}."
        )
    order = [found[each] for each in wanted]
    order += [j for j in positions if j not in order]
    return order, tuple(str(X.columns[j]) for j in order)
