"""A user's cvxpy program as a layer, by cvxpylayers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.optional import import_optional
from ._batch import check_batch

# The default adjoint (lsqr) is off by several percent where there are many variables.
_EXACT = {"mode": "dense", "n_jobs_forward": 1, "n_jobs_backward": 1}


class ConvexLayer(nn.Module):
    """The best decision of a program written in cvxpy.

    Where no gradient is asked for, `solve` decides.

    Parameters
    ----------
    builder : callable
        Returns ``(problem, parameter, variable)``.
    solve : callable
        Maps parameters (n, d), float64, to decisions (n, k), and says which row has none.
    shape : tuple of int
        Of the parameter.
    n_decisions : int
    """

    def __init__(
        self,
        builder: Callable[[], tuple[Any, Any, Any]],
        solve: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int, ...],
        n_decisions: int,
    ) -> None:
        super().__init__()
        self.builder, self.solve = builder, solve
        self.shape, self.n_decisions = shape, n_decisions
        self._layer: Any = None
        import_optional(
            "cvxpylayers.torch", extra="cvxpy", needed_by="Training through ConvexProgram"
        )

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map parameters (B, d) to decisions (B, k); a row that is not finite gives NaN."""
        check_batch(y, math.prod(self.shape))
        if not len(y):
            return y.sum() + y.new_zeros((0, self.n_decisions))
        known = torch.isfinite(y).all(dim=1)
        if not known.all():
            found = y.new_full((len(y), self.n_decisions), torch.nan)
            return found.index_put((torch.nonzero(known)[:, 0],), self.forward(y[known]))
        if not (torch.is_grad_enabled() and y.requires_grad):
            return y.new_tensor(self.solve(y.detach().cpu().numpy()))
        values = y.to("cpu", torch.float64).reshape(len(y), *self.shape)
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
            self.solve(row[None])
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
            problem, parameter, variable = self.builder()
            self._layer = module.CvxpyLayer(problem, parameters=[parameter], variables=[variable])
        return self._layer

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layer": None}  # built anew where it is needed
