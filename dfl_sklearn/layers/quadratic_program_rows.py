"""Quadratic programs that share their matrices, as a layer: each row has its own sides."""

import numpy as np
import torch
from torch import nn

from ..solvers.empty_sets import check_not_empty
from ..solvers.polytope import Polytope
from ..solvers.quadratic_programs import QuadraticPrograms, Sides, UnsolvedError
from ..solvers.unit_rows import independent, unit_rows
from ._batch import check_batch
from .quadratic_program import (
    Minimiser,
    check_batch_size,
    of_finite_rows,
    tensor,
)


class QuadraticProgramRowsLayer(nn.Module):
    r"""The minimiser of :math:`\frac12 z^\top Q z + c^\top z`, each row in its own feasible set.

    The feasible sets share their matrices.

    Parameters
    ----------
    quadratic : ndarray of shape (n,)
        The diagonal of Q, positive.
    polytope : Polytope
        One set for each row, for its matrices.
    scale : float, default=1
        What the parameters are multiplied by to give c.
    """

    def __init__(self, quadratic: np.ndarray, polytope: Polytope, *, scale: float = 1.0) -> None:
        super().__init__()
        self.n, self.scale = len(quadratic), float(scale)
        given = polytope.A_eq.toarray(), polytope.A_ub.toarray()
        (self.A, self.size_eq), (self.G, self.size_ub) = (unit_rows(each) for each in given)
        self.kept = independent(self.A)
        self.follows = np.linalg.pinv(self.A[self.kept])
        self.program = QuadraticPrograms(
            tensor(quadratic), tensor(self.A[self.kept]), tensor(self.G)
        )

    def forward(self, y: torch.Tensor, polytope: Polytope) -> torch.Tensor:
        """Map parameters (B, n) to decisions (B, n) in the sets of a polytope with B of them.

        A row that is not finite gives NaN.

        Raises
        ------
        ValueError
            If nothing satisfies the constraints of a row.
        RuntimeError
            If no decision of a row could be proven optimal. This happens where the feasible set is
            almost empty.
        """
        check_batch(y, self.n)
        return of_finite_rows(
            y, self.scale, lambda c, numbers: self._minimisers(c, polytope.for_rows(numbers))
        )

    def _minimisers(self, c: torch.Tensor, polytope: Polytope) -> torch.Tensor:
        check_batch_size(self.program, len(c))
        b = np.ldexp(polytope.b_eq, -self.size_eq.exponent) / self.size_eq.length
        h = np.ldexp(polytope.b_ub, -self.size_ub.exponent) / self.size_ub.length
        limits = b, h, polytope.lower, polytope.upper
        off = np.abs(b[:, self.kept] @ self.follows.T @ self.A.T - b) > 1e-8 * (1.0 + np.abs(b))
        if off.any():
            i, j = (int(each) for each in np.argwhere(off)[0])
            raise ValueError(
                f"At row {i} of the context: The equations contradict one another: number {j} does "
                "not hold where the others do."
            )
        sides = Sides(*(tensor(each) for each in (b[:, self.kept], *limits[1:])))
        try:
            return Minimiser.apply(c, *sides, self.program)
        except UnsolvedError as error:
            i = error.row
            try:
                check_not_empty(self.A, b[i], self.G, *(each[i] for each in limits[1:]))
            except ValueError as empty:
                raise ValueError(f"At row {i} of the context: {empty}") from None
            raise
