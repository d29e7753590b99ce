"""Amounts of sets that cover a demand at the least cost, as a function of the demand."""

import numpy as np
import torch
from scipy import sparse
from torch import nn

from ..solvers.parametric_program import ParametricProgram
from ..solvers.standard_form import StandardForm
from ._batch import check_batch


class CoverLayer(nn.Module):
    r"""The minimiser of a convex quadratic program with the demand on its right-hand side.

    .. math:: \min_{z, s} \; c^\top z + \pi^\top s + \gamma \|z\|^2 \quad \text{with} \quad
       A z + s \ge y_+, \quad 0 \le z \le u, \quad s \ge 0.

    It is computed on the CPU.

    Parameters
    ----------
    incidence : ndarray of shape (m, n)
    cost : ndarray of shape (n,)
    penalty : ndarray of shape (m,)
    upper : ndarray of shape (n,)
        Infinite where absent.
    gamma : float
        Positive.
    """

    def __init__(
        self,
        incidence: np.ndarray,
        cost: np.ndarray,
        penalty: np.ndarray,
        upper: np.ndarray,
        gamma: float,
    ) -> None:
        super().__init__()
        m, n = incidence.shape
        bounded = np.flatnonzero(np.isfinite(upper))
        everything = sparse.eye_array(n + m, format="csr")
        rows = [
            sparse.hstack([-sparse.csr_array(incidence), -sparse.eye_array(m)], format="csr"),
            -everything,
            everything[bounded],
        ]
        at_0 = np.concatenate([np.zeros(m + n + m), upper[bounded]])
        sides = np.zeros((m + 1, len(at_0)))
        sides[:m, :m] = -np.eye(m)
        sides[m] = at_0
        costs = np.zeros((m + 1, n + m))
        costs[m] = np.concatenate([cost, penalty])
        curved = np.concatenate([np.full(n, 2.0 * gamma), np.zeros(m)])
        form = StandardForm(
            sparse.csc_array(sparse.diags_array(curved)),
            sparse.csr_array(sparse.vstack(rows)),
            0,
            costs,
            sides,
            np.zeros(m + 1),
        )
        self.program, self.n_items, self.n_sets = ParametricProgram(form), m, n

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map demand (B, m) to amounts of sets (B, n); a row that is not finite gives NaN."""
        check_batch(y, self.n_items)
        if not len(y):
            return y.sum() + y.new_zeros((0, self.n_sets))
        demand = torch.clamp(y.to("cpu", torch.float64), min=0.0)
        answer = self.program.solve(demand)
        off = torch.isfinite(demand).all(dim=1) & ~answer.is_solved
        if off.any():
            row = int(torch.nonzero(off)[0, 0])
            raise RuntimeError(
                f"No amounts were proven best for row {row} of the batch, {y[row].tolist()}. Give "
                "costs and demand units in which their numbers are alike."
            )
        return answer.x[:, : self.n_sets].to(y)
