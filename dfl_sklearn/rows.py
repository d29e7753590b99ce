"""Rows of training data and best decisions for them: the records that all packages exchange."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Optimum", "Rows"]

_ALWAYS = ("X", "y", "weight")  # what all rows have


class Optimum(NamedTuple):
    """Best decisions and their costs, solved for once and reused.

    Attributes
    ----------
    decisions : ndarray or torch.Tensor of shape (n, k)
        Best decision of each row.
    cost : ndarray or torch.Tensor of shape (n,)
        Its cost, in the unit of the problem.

    See Also
    --------
    Rows : Rows that carry an optimum.
    dfl_sklearn.problems.DecisionProblem.optimum : Solve for the best decisions.

    Examples
    --------
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> NewsvendorProblem(9, 1).optimum([[3.0], [5.0]])
    Optimum(decisions=array([[3.],
           [5.]]), cost=array([0., 0.]))
    """

    decisions: Any
    cost: Any


@dataclass(frozen=True, eq=False)
class Rows:
    """Features, parameters and weights of rows, with their context and best decisions if known.

    Attributes
    ----------
    X : ndarray or torch.Tensor of shape (n, p)
        Features, without those that are context.
    y : ndarray or torch.Tensor of shape (n, d)
        Parameters of the problem.
    weight : ndarray or torch.Tensor of shape (n,)
        Weights of the rows.
    context : ndarray or torch.Tensor of shape (n, c), or None
        Known data of each row, which no ambiguity set changes.
    optimum : Optimum or None
        The best decisions of the rows; None where they have not been solved for.
    number : ndarray of shape (n,) or None
        Numbers of the rows as the caller of `fit` counts them, for errors. None if unknown.

    See Also
    --------
    Optimum : The best decisions of the rows.
    dfl_sklearn.robust.AmbiguitySet : Compute the worst case around given rows.

    Examples
    --------
    Equal rows are merged, and their weights added:

    >>> import numpy as np
    >>> from dfl_sklearn.rows import Rows
    >>> rows = Rows(np.array([[2.0], [1.0], [2.0]]), np.array([[5.0], [4.0], [5.0]]), np.ones(3))
    >>> merged = rows.canonical()
    >>> merged.X.ravel(), merged.weight
    (array([1., 2.]), array([1., 2.]))
    """

    X: Any
    y: Any
    weight: Any
    context: Any = None
    optimum: Any = None
    number: Any = None

    @classmethod
    def of_table(cls, table: np.ndarray, weight: np.ndarray, context: Any = None) -> "Rows":
        """Return the rows of a table all of whose columns are features, without parameters.

        Parameters
        ----------
        table : ndarray of shape (n, p)
            The rows.
        weight : ndarray of shape (n,)
            Their weights.
        context : ndarray of shape (n, c), default=None
            Known data of each row.

        Returns
        -------
        Rows
            The rows, with parameters of shape (n, 0).
        """
        return cls(table, np.empty((len(table), 0)), weight, context)

    def __len__(self) -> int:
        return len(self.X)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """All parts that determine the regrets of a predictor: not the weights and the optimum."""
        return (self.X, self.y) if self.context is None else (self.X, self.y, self.context)

    def replace(self, **changes: Any) -> "Rows":
        """Return the rows with some of their parts replaced.

        Parameters
        ----------
        **changes : dict
            New parts, by the names of the attributes.

        Returns
        -------
        Rows
            New rows, which share the other parts.
        """
        return replace(self, **changes)

    def as_shares(self) -> "Rows":
        """Return the rows with weights that sum to 1.

        Returns
        -------
        Rows
            New rows, which share all but the weights.
        """
        return self.replace(weight=self.weight / self.weight.sum())

    def take(self, index: Any) -> "Rows":
        """Return the rows at an index, a slice or a mask.

        Parameters
        ----------
        index : ndarray of int, ndarray of bool or slice
            Which rows.

        Returns
        -------
        Rows
            The chosen rows, with their optimum where there is one.
        """
        return Rows(
            self.X[index],
            self.y[index],
            self.weight[index],
            None if self.context is None else self.context[index],
            None if self.optimum is None else Optimum(*(each[index] for each in self.optimum)),
            None if self.number is None else self.number[index],
        )

    def canonical(self) -> "Rows":
        """Drop rows of weight 0, sort by value, and merge equal rows by adding their weights.

        Estimators bring their training data into this form before they draw random numbers. From
        then on they work with unique rows and their weights: hold-outs and mini-batches are drawn
        from unique rows, and weights enter every mean. Therefore a row of weight 2 gives exactly
        the same result as the row given twice, for any seed.

        Returns
        -------
        Rows
            Copies, without an optimum, under the number of the first of equal rows.

        Notes
        -----
        Rows are compared by numeric value, so that -0.0 and 0.0 are equal; hashing the bytes,
        or the order in which rows were given, would make the result depend on how the same
        data were written down.
        """
        kept = self.weight > 0
        parts, weight = [each[kept] + 0.0 for each in self.arrays], self.weight[kept]
        columns = np.concatenate(parts, axis=1)
        order = np.lexsort(columns.T[::-1])
        columns = columns[order]
        is_first = np.ones(len(columns), dtype=bool)
        is_first[1:] = (columns[1:] != columns[:-1]).any(axis=1)
        starts = np.flatnonzero(is_first)
        # Copies are added up in ascending order of weight, so that the sum does not depend on
        # the order in which the rows came, even in its last bit.
        group = np.cumsum(is_first) - 1
        by_weight = np.lexsort((weight[order], group))
        merged = np.add.reduceat(weight[order][by_weight], starts) if len(starts) else weight[:0]
        X, y, *rest = (each[order[starts]] for each in parts)
        context = rest[0] if rest else None
        number = None  # of copies, the first one
        if self.number is not None and len(starts):
            number = np.minimum.reduceat(self.number[kept][order], starts)
        return Rows(X, y, merged, context, number=number)

    def split(self, fraction: float, rng: np.random.Generator) -> tuple["Rows", "Rows"]:
        """Split canonical rows at random into training and held-out rows, at least one of each.

        Parameters
        ----------
        fraction : float
            Share of the rows to hold out.
        rng : numpy.random.Generator
            Source of the random numbers.

        Returns
        -------
        train, held_out : Rows
            Both in the order of the rows.

        Raises
        ------
        ValueError
            If there is only one distinct row.
        """
        n = len(self)
        if n < 2:
            raise ValueError(
                "early_stopping holds out rows and needs at least 2 distinct ones, got "
                f"n_samples={n}."
            )
        n_held = min(max(round(fraction * n), 1), n - 1)
        held = np.zeros(n, dtype=bool)
        held[rng.permutation(n)[:n_held]] = True
        return self.take(~held), self.take(held)

    def to(self, device: Any, dtype: Any) -> "Rows":
        """Return the rows as tensors on a device, features in `dtype`, all else in float64.

        Parameters
        ----------
        device : torch.device or str
            Device of the tensors.
        dtype : torch.dtype
            Type of the features.

        Returns
        -------
        Rows
            The same rows, as tensors.
        """
        import torch

        def exactly(values: Any) -> Any:
            return torch.as_tensor(values, dtype=torch.float64, device=device)

        return Rows(
            torch.as_tensor(self.X, dtype=dtype, device=device),
            exactly(self.y),
            exactly(self.weight),
            None if self.context is None else exactly(self.context),
            None if self.optimum is None else Optimum(*map(exactly, self.optimum)),
        )

    @staticmethod
    def concatenated(parts: Sequence["Rows"]) -> "Rows":
        """Return rows of several parts, all tensors and with an optimum, one after the other.

        Parameters
        ----------
        parts : sequence of Rows
            The parts, all with a context or all without.

        Returns
        -------
        Rows
            The rows of all parts.
        """
        import torch

        X, y, weight = (torch.cat([getattr(p, name) for p in parts]) for name in _ALWAYS)
        contexts = [each.context for each in parts if each.context is not None]
        optima = [each.optimum for each in parts]
        return Rows(
            X,
            y,
            weight,
            torch.cat(contexts) if contexts else None,
            Optimum(*(torch.cat(each) for each in zip(*optima, strict=True))),
        )
