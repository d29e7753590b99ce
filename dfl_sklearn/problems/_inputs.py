"""The inputs of a problem, which are parameters, decisions and a context, and their checks."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array
from sklearn.base import BaseEstimator

from .._utils.checks import number
from .._utils.rows import (
    as_numpy_rows,
    as_rows,
    check_finite,
    column_names,
    raise_at,
    refuse_other_order,
)
from ._context import arranged, by_position, columns_of, filled, refuse_one_number


class ProblemInputs(BaseEstimator):
    """The hooks by which a problem describes its arrays, and the checks made from them."""

    # -- hooks -------------------------------------------------------------------------

    def _n_parameters(self) -> int | None:
        """Return the number of parameters per row if the problem fixes it, else None."""
        return None

    def _what_parameters_are(self) -> str:
        """Return, for errors, what y holds, or ""."""
        return ""

    def _n_decisions(self, n_parameters: int) -> int | None:
        """Return the number of decisions per row if it is known without solving, else None."""
        return None

    def _check_context_values(self, context: np.ndarray) -> None:
        """Raise a ValueError that names a row of the context (n, c) that is not valid."""

    def _known(self, value: Any, context: Any) -> Any:
        """Return a parameter as numbers; :class:`FromContext` is replaced by the context.

        Float64, of the shape of `value` where nothing in it is marked; else (n, *shape), or (n, 1)
        for a single number. It can be used with the NumPy arrays or torch tensors of the rows.
        """
        return filled(value, context, self.context_columns())

    def _by_position(self) -> Any:
        """Return this problem, reading the columns of an arranged context by position."""
        return by_position(self)

    def _check_constants(self) -> None:
        """Raise a ValueError that names a constructor argument that is not valid."""

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        """Raise a ValueError that names a decision that is not allowed, whatever y comes true.

        Decisions are (n, k), or (1, k) for all rows of a context (n, c).
        """

    # -- context -----------------------------------------------------------------------

    def context_columns(self) -> list[str | int]:
        """Return the columns that parameters are read from (:class:`FromContext`), in order.

        They are names or positions. Where they are names, :meth:`solve_rows` and the other
        ``_rows`` methods get a context with these columns in this order.

        Returns
        -------
        list of str or int
            Each column once, in the order in which the problem reads them.
        """
        return columns_of(self.get_params(deep=False))

    @property
    def takes_context(self) -> bool:
        """Whether the problem uses a context."""
        return bool(self.context_columns())

    def context_rows(self, context: Any, n_rows: int) -> np.ndarray | None:
        """Return the context as :meth:`solve_rows` takes it, checked and with its columns in order.

        Parameters
        ----------
        context : array-like of shape (n,) or (n, c), DataFrame or None
            Known data of each row, as :meth:`solve` takes it.
        n_rows : int
            Number of rows that it must have.

        Returns
        -------
        ndarray of shape (n, c) or None
            The context in float64; None where the problem takes no context.

        Raises
        ------
        ValueError
            If a context is missing, or given where none is taken; if a column is missing; if an
            entry is not finite or not valid. The message names the column and the row.
        """
        return self._check_context(context, n_rows)

    # -- checks ------------------------------------------------------------------------

    def _check_width(self, width: int) -> None:
        expected = self._n_parameters()
        if expected is not None and width != expected:
            what = self._what_parameters_are()
            raise ValueError(
                f"{type(self).__name__} has {expected} parameter{'s' if expected != 1 else ''} per "
                f"row, but y has {width} column{'s' if width != 1 else ''}."
                + (f" y holds {what}." if what else "")
            )

    def _decision_rows(self, decisions: Any, y: Any, context: Any, tol: float) -> np.ndarray:
        """Return decisions (n, k) in float64 for `is_feasible`, checked against y (n, d) if any."""
        self._check_constants()
        number(tol, "tol", at_least=0)
        z = as_numpy_rows(decisions, "decisions").astype(np.float64, copy=False)
        if y is not None:
            rows = as_numpy_rows(y, "y")
            self._check_parameter_array(rows)
            self._check_decision_width(z, rows.shape[1])
            _check_pairs(z, rows)
            z = np.broadcast_to(z, (len(rows), z.shape[1]))
        else:
            n = self._n_parameters()
            if n is not None:
                self._check_decision_width(z, n)
            elif self._n_decisions(1) == self._n_decisions(2):  # whatever y holds
                self._check_decision_width(z, 1)
        self._check_context(context, len(z), compared="decisions have" if y is None else "y has")
        return z

    def _cost_inputs(self, decisions: Any, y: Any, context: Any) -> tuple[Any, Any, Any]:
        """Return decisions (n, k) or (1, k), y (n, d) and the context for `cost`, checked.

        Arrays come back in float64. Of torch tensors the shapes alone are checked.
        """
        self._check_constants()
        refuse_other_order(decisions, "decisions", column_names(y), "in y")
        z, values = as_rows(decisions, "decisions"), as_rows(y, "y")
        _check_pairs(z, values)
        self._check_width(values.shape[1])
        self._check_decision_width(z, values.shape[1])
        if is_torch_array(z) != is_torch_array(values):
            raise TypeError("decisions and y must both be NumPy arrays or both torch tensors.")
        if isinstance(values, np.ndarray):
            z, values = (each.astype(np.float64, copy=False) for each in (z, values))
            check_finite(z, "decisions")
            check_finite(values, "y")
        known = self._check_context(context, values.shape[0], like=values)
        if isinstance(values, np.ndarray):
            self._check_decisions(z, known)
        return z, values, known

    def _check_decision_width(self, decisions: Any, n_parameters: int) -> None:
        expected = self._n_decisions(n_parameters)
        if expected is not None and decisions.shape[1] != expected:
            raise ValueError(
                f"decisions have {decisions.shape[1]} columns, but {type(self).__name__} decides "
                f"{expected} number{'s' if expected != 1 else ''} per row."
            )

    def _check_parameter_array(self, y: np.ndarray) -> None:
        check_finite(y, "y")
        self._check_width(y.shape[-1])
        most = np.finfo(np.float64).max / max(1, y.shape[-1])
        if y.size and (y.max() > most or y.min() < -most):
            with np.errstate(over="ignore"):
                too_large = ~np.isfinite(np.abs(y).sum(axis=-1, keepdims=True)) & (y != 0)
            if too_large.any():
                raise_at(too_large, y, "y", "is too large to be added up", "Divide y by its size.")

    def _check_context(
        self, context: Any, n_rows: int, like: Any = None, compared: str = "y has"
    ) -> Any:
        name, columns = type(self).__name__, self.context_columns()
        if context is None:
            if columns:
                raise ValueError(
                    f"{name} reads {', '.join(map(repr, columns))} from the context, but none was "
                    f"given: give context=, in an estimator context={columns}."
                )
            return None
        if not self.takes_context:
            raise ValueError(f"{name} takes no context, but context was given.")
        refuse_one_number(context, columns, n_rows)
        rows = arranged(context, columns, name)
        if is_torch_array(rows) and not is_torch_array(like):  # the rest is NumPy
            rows = as_numpy_rows(rows, "context").astype(np.float64, copy=False)
            check_finite(rows, "context")
        if rows.shape[0] != n_rows:
            hint = " Repeat the row, once for each." if rows.shape[0] == 1 else ""
            raise ValueError(f"context has {rows.shape[0]} rows, but {compared} {n_rows}.{hint}")
        if not is_torch_array(rows):
            self._check_context_values(rows)
            if like is not None and is_torch_array(like):
                rows = array_namespace(like).asarray(rows, dtype=like.dtype, device=like.device)
        return rows


def _check_pairs(decisions: Any, y: Any) -> None:
    """Raise a ValueError if there is neither one decision per row of y nor one for all."""
    if decisions.shape[0] not in (1, y.shape[0]):
        raise ValueError(
            f"decisions have {decisions.shape[0]} rows and y has {y.shape[0]}: "
            "give one decision per row of y, or a single one for all."
        )
