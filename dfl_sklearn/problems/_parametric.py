"""Decisions and costs of a program in standard form, for many rows of parameters at once."""

from typing import NamedTuple

import numpy as np
import torch

from ..solvers.active_set import Times, eights, widened
from ..solvers.cvxpy_forms import CvxpyForm
from ..solvers.parametric_program import Affine, ParametricProgram

_NEAR = 1e-6  # by which a decision may miss a constraint, as a share of its terms


class Found(NamedTuple):
    """Values for each row, and for which rows (B,) they and their slopes are right."""

    values: torch.Tensor
    is_right: torch.Tensor


class ParametricDecision:
    """The best decisions for parameters, and the costs of decisions under parameters.

    The cost is taken at the best values of the other variables. Decisions for which there are no
    such values, or that miss constraints on decisions alone, have no cost.
    """

    def __init__(self, form: CvxpyForm) -> None:
        program, decided = form
        self.decided = torch.as_tensor(decided)
        self.program = ParametricProgram(program, decided)
        rest = program.held(decided)
        self.others = ParametricProgram(rest) if rest.A.shape[1] else None
        linear = np.concatenate([program.costs[:, decided], program.offset[:, None]], axis=1)
        self.linear = Affine(linear)
        curved = program.P[decided][:, decided].toarray()
        k = eights(len(decided))
        self.curved = Times(widened(widened(torch.as_tensor(curved), k).T, k))
        self.alone = OnDecisions(form)

    def decide(self, parameters: torch.Tensor) -> Found:
        """Return the best decisions (B, k) for parameters (B, q), right where these are unique."""
        answer = self.program.solve(parameters)
        return Found(answer.x[:, self.decided], answer.is_unique)

    def cost(self, decisions: torch.Tensor, parameters: torch.Tensor) -> Found:
        """Return the costs (B,) of decisions (B, k) under parameters (B, q)."""
        k = decisions.shape[1]
        linear = self.linear(parameters)
        curved = self.curved(widened(decisions, len(self.curved.matrix)))[:, :k]
        cost = ((linear[:, :k] + 0.5 * curved) * decisions).sum(dim=1) + linear[:, k]
        is_right = torch.isfinite(decisions).all(dim=1)
        is_right = is_right & self.alone.hold(decisions.detach(), parameters.detach())
        if self.others is not None:
            answer = self.others.solve(torch.cat([parameters, decisions], dim=1))
            cost, is_right = cost + answer.value, is_right & answer.is_solved
        return Found(cost, is_right)


class OnDecisions:
    """The constraints on decisions alone, which the program of the other variables lacks.

    Parameters
    ----------
    form : CvxpyForm
    depends_on : slice, default=None
        Only constraints with at least one of these parameters are kept; None keeps all.
    """

    def __init__(self, form: CvxpyForm, depends_on: slice | None = None) -> None:
        program, decided = form
        other = np.setdiff1d(np.arange(program.A.shape[1]), decided)
        is_alone = np.diff(program.A[:, other].tocsr().indptr) == 0
        if depends_on is not None:
            is_alone &= program.sides[:-1][depends_on].any(axis=0)
        rows = np.flatnonzero(is_alone)
        of_decided = program.A[rows][:, decided].toarray()
        self.left = Affine(np.concatenate([of_decided.T, np.zeros((1, len(rows)))]))
        self.right = Affine(program.sides[:, rows])
        self.is_equation = torch.as_tensor(rows < program.n_equations)

    def excess(
        self, decisions: torch.Tensor, parameters: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return by how much decisions (B, k) exceed right-hand sides, and the sizes of these.

        An equation is two inequalities; the second ones come after all others.
        """
        right = self.right(parameters)
        over, equation = self.left(decisions) - right, self.is_equation
        return (
            torch.cat([over, -over[:, equation]], dim=1),
            torch.cat([right, right[:, equation]], dim=1).abs(),
        )

    def hold(self, decisions: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """Return for which rows (B,) the constraints hold."""
        over = self.left(decisions) - self.right(parameters)
        over = torch.where(self.is_equation, over.abs(), over)
        allowed = _NEAR * (self.left.sizes(decisions) + self.right.sizes(parameters))
        return (over <= allowed).all(dim=1)
