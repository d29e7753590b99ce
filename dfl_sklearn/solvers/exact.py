"""Linear programs in exact arithmetic, for programs that floating point cannot settle.

A solver in floating point has tolerances. Where the numbers of a program differ by many orders of
magnitude, what counts may lie below them. Exact arithmetic is slow, and starts best from the basis
that a solver in floating point ended with.
"""

import numpy as np

from .exact_simplex import ExactSimplex, Range
from .polytope import Polytope

Basis = tuple[tuple[int, ...], tuple[bool, ...]]
"""The basic variables, and for each variable whether it is at its upper bound; rows come last."""

_NEARLY = 2.0**-40  # by how much rows may contradict one another, as a share of their terms


class ContradictionError(ValueError):
    """No point satisfies all constraints; `culprits` are numbers of variables, then of rows."""

    def __init__(self, culprits: list[int]) -> None:
        super().__init__(f"Contradicting variables and rows: {culprits}.")
        self.culprits = culprits


class ExactProgram:
    """A small polytope over which costs are minimised in exact arithmetic.

    Right-hand sides are often sums of rounded numbers. Where rows contradict one another by no more
    than that, they are widened by about 1e-12 of their terms.

    Raises
    ------
    ContradictionError
        If they contradict one another by more.
    """

    def __init__(self, polytope: Polytope) -> None:
        self.matrix, self.n = polytope.matrix.toarray(), len(polytope.lower)
        ends = zip(polytope.lower, polytope.upper, strict=True)
        row_ends = zip(polytope.row_lower, polytope.row_upper, strict=True)
        self.ranges = [Range.of(*each) for each in [*ends, *row_ends]]
        self._feasible: dict[Basis | None, ExactSimplex] = {}
        first = self._from_basis(None)
        if first is None:
            at = np.array([float(each) for each in self._last.value[: self.n]])
            slack = _NEARLY * polytope.size(at[None])[0, : len(self.matrix)]
            self.ranges[self.n :] = [
                each.widened(by) for each, by in zip(self.ranges[self.n :], slack, strict=True)
            ]
            if self._from_basis(None) is None:
                raise ContradictionError(self._last.contradiction())

    def minimise(
        self, cost: np.ndarray, basis: Basis | None = None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a minimiser (n,) and dual values of the rows (m,), each entry rounded once.

        None where the cost falls without end. Of equally good minimisers it is that which is found
        first from the basis.
        """
        start = self._from_basis(basis)
        assert start is not None  # there is a feasible point, from wherever one starts
        simplex = start.copy()
        if not simplex.minimise(cost.tolist()):
            return None
        z = np.array([float(each) for each in simplex.value[: self.n]])
        return z + 0.0, np.array(simplex.dual_values(cost.tolist()))

    def _from_basis(self, basis: Basis | None) -> ExactSimplex | None:
        """Return a feasible tableau found from a basis, which is kept; None where there is none."""
        if basis not in self._feasible:
            simplex = self._last = ExactSimplex(self.matrix, self.ranges)
            if basis is not None:
                simplex.start_from(*basis)
            if not simplex.make_feasible():
                return None
            self._feasible[basis] = simplex
        return self._feasible[basis]
