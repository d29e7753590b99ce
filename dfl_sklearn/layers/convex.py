"""A user's cvxpy program as a layer, by cvxpylayers."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .._utils.optional import import_optional
from ._batch import check_batch

if TYPE_CHECKING:
    from ..problems.convex import ConvexProgram

# The default adjoint (lsqr) is off by several percent where there are many variables.
_EXACT = {"mode": "dense", "n_jobs_forward": 1, "n_jobs_backward": 1}


class ConvexLayer(nn.Module):
    """The best decision of a :class:`~dfl_sklearn.problems.ConvexProgram`.

    Where no gradient is asked for, the program's own `solve` decides.

    Parameters
    ----------
    problem : ConvexProgram
    """

    def __init__(self, problem: "ConvexProgram") -> None:
        super().__init__()
        self.problem = problem
        self._layer: Any = None
        import_optional(
            "cvxpylayers.torch", extra="cvxpy", needed_by="Training through ConvexProgram"
        )

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map parameters (B, d) to decisions (B, k); a row that is not finite gives NaN."""
        check_batch(y, int(self.problem._n_parameters() or 0))
        if not len(y):
            return y.sum() + y.new_zeros((0, self.problem._n_decisions(y.shape[1])))
        known = torch.isfinite(y).all(dim=1)
        if not known.all():
            found = y.new_full((len(y), self.problem._n_decisions(y.shape[1])), torch.nan)
            return found.index_put((torch.nonzero(known)[:, 0],), self.forward(y[known]))
        if not (torch.is_grad_enabled() and y.requires_grad):
            return y.new_tensor(self.problem._solve(y.detach().cpu().numpy(), None))
        shape = self.problem._program().parameter.shape
        values = y.to("cpu", torch.float64).reshape(len(y), *shape)
        try:
            found = self._differentiable()(values, solver_args=_EXACT)[0]
        except Exception as error:
            # The solver of a batch does not say which row; the program's own solve does.
            for i, row in enumerate(y.detach().cpu().numpy()):
                self._explain(i, row, error)
            raise RuntimeError(
                f"cvxpylayers could not solve a batch of {len(y)} rows, each of which has a "
                f"solution by itself: {type(error).__name__}: {error}"
            ) from error
        return found.reshape(len(y), -1).to(y)

    def _explain(self, number: int, row: np.ndarray, cause: Exception) -> None:
        """Raise an error about a row of a batch if the program has no solution for it."""
        try:
            self.problem._solve(row[None], None)
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"The program has no solution for row {number} of a batch of predictions, "
                f"{row.tolist()}: {error} Keep predictions in the domain of the parameter, by the "
                "last layer of the net or by constraints that can always be satisfied."
            ) from cause

    def _differentiable(self) -> Any:
        if self._layer is None:
            module = import_optional(
                "cvxpylayers.torch", extra="cvxpy", needed_by="Training through ConvexProgram"
            )
            # A program of its own: the one that solves must not be changed meanwhile.
            problem, parameter, variable = self.problem.builder()
            self._layer = module.CvxpyLayer(problem, parameters=[parameter], variables=[variable])
        return self._layer

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layer": None}  # built anew where it is needed
