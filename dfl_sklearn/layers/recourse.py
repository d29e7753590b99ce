"""Plans with recourse as a layer: the first stage of a parametric program."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.row_numbers import renumbered
from ..solvers.parametric_program import ParametricProgram
from ..solvers.quadratic_programs import UnsolvedError
from ._batch import check_batch


class RecourseLayer(nn.Module):
    """The best plan under predicted and known numbers, by the optimality conditions of both stages.

    Where a row has several best plans, the one that `solve` finds is returned, with a slope of 0.
    With smoothing there is only one.

    Parameters
    ----------
    program : ParametricProgram
        Its first variables are the plan.
    n_decisions, n_parameters, n_context : int
    as_parameters : callable
        From rows (B, d) and context (B, c) or None to the parameters of the program.
    solve : callable
        From rows and context, arrays, to plans (B, k); it raises where there is none.
    is_smoothed : bool
    """

    def __init__(
        self,
        program: ParametricProgram,
        n_decisions: int,
        n_parameters: int,
        n_context: int,
        as_parameters: Callable[[torch.Tensor, Any], torch.Tensor],
        solve: Callable[[np.ndarray, Any], np.ndarray],
        *,
        is_smoothed: bool,
    ) -> None:
        super().__init__()
        self.program, self.n_decisions = program, n_decisions
        self.n_parameters, self.n_context = n_parameters, n_context
        self.as_parameters, self.solve, self.is_smoothed = as_parameters, solve, is_smoothed

    def forward(self, y: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Map rows (B, d), and their context (B, c), to plans (B, k); a row not finite gives NaN.

        Raises
        ------
        ValueError
            If no plan has a recourse, or the cost of a row has no minimum.
        RuntimeError
            If no plan of a row could be proven optimal.
        """
        check_batch(y, self.n_parameters)
        given = 0 if context is None else context.shape[-1]
        if given < self.n_context or (context is not None and len(context) != len(y)):
            raise ValueError(
                f"The layer takes a context of shape ({len(y)}, {self.n_context}), got "
                f"{'none' if context is None else tuple(context.shape)}."
            )
        found = self.program.solve(self.as_parameters(y, context))
        z = found.x[:, : self.n_decisions]
        known = torch.isfinite(y.detach()).all(dim=1).to(z.device)
        rest = torch.nonzero(known & ~found.is_unique)[:, 0]
        if len(rest):
            rows = y.detach().cpu().to(torch.float64)[rest].numpy()
            there = None if context is None else context.cpu().to(torch.float64)[rest].numpy()
            with renumbered(rest.numpy()):
                plans = self.solve(rows, there)
            if self.is_smoothed:
                raise UnsolvedError(int(rest[0]))
            z = z.index_put((rest,), z.new_tensor(plans))
        # With a slope, of 0, where no row has a plan.
        return z.to(y) if z.requires_grad else z.to(y) + 0.0 * torch.nan_to_num(y).sum()
