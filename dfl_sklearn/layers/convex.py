"""A user's cvxpy program as a layer, by cvxpylayers."""

from typing import TYPE_CHECKING, Any

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
        known = torch.isfinite(y).all(dim=1)
        if not known.all():
            found = y.new_full((len(y), self.problem._n_decisions(y.shape[1])), torch.nan)
            return found.index_put((torch.nonzero(known)[:, 0],), self.forward(y[known]))
        if not (torch.is_grad_enabled() and y.requires_grad) or len(y) == 0:
            return y.new_tensor(self.problem._solve(y.detach().cpu().numpy(), None))
        shape = self.problem._program().parameter.shape
        values = y.to("cpu", torch.float64).reshape(len(y), *shape)
        return self._differentiable()(values, solver_args=_EXACT)[0].reshape(len(y), -1).to(y)

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
