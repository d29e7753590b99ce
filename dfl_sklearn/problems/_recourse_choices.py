"""Whole numbers of a plan that are few enough for all of their values to be tried."""

import numpy as np
import torch
from scipy import sparse

from ..solvers.parametric_program import Affine, ParametricProgram
from ..solvers.standard_form import StandardForm

_NEAR = 1e-9  # by which a choice may miss a constraint, as a share of its terms
_MOST_CHOICES = 32  # combinations of whole numbers that are all tried


def few_choices(lower: np.ndarray, upper: np.ndarray) -> np.ndarray | None:
    """Return all combinations (C, j) of whole numbers within bounds (j,), or None if too many."""
    low, high = np.ceil(lower), np.floor(upper)
    n_choices = np.prod(np.maximum(high - low + 1.0, 0.0))
    if not np.isfinite([low, high]).all() or not 0 < n_choices <= _MOST_CHOICES:
        return None
    steps = [np.arange(one, two + 1) for one, two in zip(low, high, strict=True)]
    return np.array(np.meshgrid(*steps, indexing="ij")).reshape(len(steps), -1).T


class WholeChoices:
    """The best plans with some whole numbers, by trying all combinations of these.

    Parameters
    ----------
    choices : ndarray of shape (C, j)
        All values of the whole numbers.
    integral : ndarray of bool of shape (n,)
        Which parts of the plan are whole numbers.
    form : StandardForm
        The program of plan and recourse, whose whole numbers are taken as any others.
    costs : Affine
        The costs (B, n) of the plan.
    """

    def __init__(
        self, choices: np.ndarray, integral: np.ndarray, form: StandardForm, costs: Affine
    ) -> None:
        self.choices, self.integral, self.costs = choices, integral, costs
        whole = np.flatnonzero(integral)
        # The choice comes after the other parameters.
        rest = np.arange(int((~integral).sum()))
        self.program = ParametricProgram(form.held(whole), rest)
        # Constraints on whole numbers alone: sums, right-hand sides, and which are equations.
        others = np.setdiff1d(np.arange(form.A.shape[1]), whole)
        rows = np.flatnonzero(np.diff(sparse.csr_array(form.A[:, others]).indptr) == 0)
        self.sums = torch.as_tensor(choices @ form.A[rows][:, whole].toarray().T)
        self.ends = Affine(form.sides[:, rows])
        self.is_equation = torch.as_tensor(rows < form.n_equations)

    def best(self, parameters: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return the best plans (B, n) for parameters (B, q), and which rows (B,) count.

        A row does not count where a combination could not be solved, or the best has several plans.
        """
        B, n, (C, _) = len(parameters), len(self.integral), self.choices.shape
        whole = torch.as_tensor(self.choices)
        every = torch.cat([parameters.repeat_interleave(C, dim=0), whole.repeat(B, 1)], dim=1)
        found = self.program.solve(every)
        own = self.costs(parameters)[:, np.flatnonzero(self.integral)]
        value = (own[:, None] * whole).sum(dim=2) + found.value.reshape(B, C)
        allowed = self._allowed(parameters)
        is_known = (found.is_solved.reshape(B, C) | ~allowed).all(dim=1) & allowed.any(dim=1)
        best = torch.where(torch.isfinite(value) & allowed, value, torch.inf).argmin(dim=1)
        at = torch.arange(B) * C + best
        z = np.empty((B, n))
        z[:, self.integral] = self.choices[best.numpy()]
        z[:, ~self.integral] = found.x[at][:, : n - self.integral.sum()].numpy()
        return z, (is_known & found.is_unique[at]).numpy()

    def _allowed(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return which choices (B, C) keep the constraints on whole numbers alone."""
        over = self.sums - self.ends(parameters)[:, None]
        near = _NEAR * (self.sums.abs() + self.ends.sizes(parameters)[:, None])
        return (torch.where(self.is_equation, over.abs(), over) <= near).all(dim=2)
