"""Contexts of a conditional generator: checks, and draws from the contexts of real rows."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.rows import as_numpy_rows, check_finite, column_names
from .._utils.tables import refuse_unfit_table
from ..rows import Rows


@dataclass(frozen=True)
class ContextColumns:
    """The number and names of the context columns that a generator was fitted with."""

    count: int
    names: list[str] | None

    @classmethod
    def of(cls, context: Any, n_rows: int) -> tuple["ContextColumns", np.ndarray]:
        """Check the context of a fit, and return its columns and values (n, c)."""
        values = _values(context)
        if values.shape[1] == 0:
            raise ValueError("context has no columns: give at least one, or omit context=.")
        if len(values) != n_rows:
            raise ValueError(
                f"context has {len(values)} rows, but Z has {n_rows}: give one row of context "
                "for each row."
            )
        return cls(values.shape[1], column_names(context)), values

    def values(self, context: Any, n_rows: int, method: str) -> np.ndarray:
        """Check the context given to a method, and return its values (n, c)."""
        columns = f"{self.count} column{'s' if self.count != 1 else ''}"
        if context is None:
            raise ValueError(
                f"The generator was fitted given a context of {columns}: {method} needs context=, "
                f"of shape ({n_rows}, {self.count})."
            )
        values, names = _values(context), column_names(context)
        if values.shape != (n_rows, self.count):
            raise ValueError(
                f"context must have shape ({n_rows}, {self.count}), one row for each row and the "
                f"{columns} of the fit, got {values.shape}."
            )
        if names is not None and self.names is not None and names != self.names:
            raise ValueError(
                f"context must have the columns of the fit in their order, {self.names}, got "
                f"{names}."
            )
        return values


def checked_context(columns: ContextColumns | None, context: Any, n_rows: int, method: str) -> Any:
    """Return the context given to a method (n, c), None where the fit had none either."""
    if columns is not None:
        return columns.values(context, n_rows, method)
    if context is not None:
        raise ValueError(
            f"The generator was fitted without a context, but {method} was given one: fit with "
            "context= first, or leave context out."
        )
    return None


class ContextPool:
    """Contexts of real rows, from which those of generated rows are drawn by weight.

    Equal contexts are merged. More than `most` are represented by a draw by weight. The pool of
    rows without a context returns None.
    """

    def __init__(
        self, rows: Rows, most: float = math.inf, rng: np.random.Generator | None = None
    ) -> None:
        self.context = self.weight = None
        if rows.context is None:
            return
        pool = Rows.of_table(rows.context, rows.weight).canonical().as_shares()
        if rng is not None and len(pool) > most:
            drawn = rng.choice(len(pool), size=int(most), p=pool.weight)
            pool = pool.take(drawn).replace(weight=np.full(len(drawn), 1.0 / len(drawn)))
        self.context, self.weight = pool.X, pool.weight

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray | None:
        """Return `n` contexts (n, c), or None where there are none."""
        if self.context is None:
            return None
        return self.context[rng.choice(len(self.context), size=n, p=self.weight)]


def _values(context: Any) -> np.ndarray:
    refuse_unfit_table(context, "context")
    values = as_numpy_rows(context, "context").astype(np.float64, copy=False)
    check_finite(values, "context")
    return values
