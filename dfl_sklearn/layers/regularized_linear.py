"""A linear program with a quadratic term that rounds its corners."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from .._utils.memory import check_size
from .._utils.torch_powers import power_of_two_factor
from ..solvers.polytope import Polytope
from ._batch import check_batch
from .quadratic_program import QuadraticProgramLayer

_RELATIVE = 1.0  # smoothing as a multiple of the size of a row


class RegularizedLinearLayer(nn.Module):
    r"""The minimiser of :math:`c^\top z + \gamma \|z\|^2` over a polytope.

    Parameters
    ----------
    polytope : callable
        From the number of decisions to the constraints on them; whole numbers are relaxed.
    smoothing : float or None
        :math:`\gamma`; None is the root mean square of each row of y.
    scale : float, default=1
        What y is multiplied by to give c.

    References
    ----------
    Wilder, Dilkina, Tambe, "Melding the data-decisions pipeline", AAAI 2019, section 4.
    """

    def __init__(
        self, polytope: Callable[[int], Polytope], smoothing: float | None, *, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.polytope, self.smoothing, self.scale = polytope, smoothing, scale
        self._programs: dict[int, QuadraticProgramLayer] = {}

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map parameters (B, n) to decisions (B, n)."""
        check_batch(y)
        program = self._program(y.shape[1])
        if self.smoothing is not None:
            return program(y)
        return program(over_their_size(y))

    def _program(self, n: int) -> QuadraticProgramLayer:
        if n not in self._programs:
            part = self.polytope(n)
            n_rows = len(part.b_ub) + len(part.b_eq)
            check_size(
                f"The layer's table of {n_rows} constraints on {n} decisions",
                2.0 * n_rows * n,
                advice="Train with a loss that needs no layer, such as SPOPlusLoss.",
            )
            smoothing = _RELATIVE if self.smoothing is None else self.smoothing
            self._programs[n] = QuadraticProgramLayer(
                np.full(n, 2.0 * smoothing),
                *(part.A_eq.toarray(), part.b_eq),
                *(part.A_ub.toarray(), part.b_ub),
                *(part.lower, part.upper),
                scale=self.scale,
            )
        return self._programs[n]


def over_their_size(y: torch.Tensor) -> torch.Tensor:
    """Divide each row of y (B, n) by its root mean square; rows of zeros stay."""
    # Scaled by a power of two, which cancels, so that squares neither overflow nor underflow.
    y = y * power_of_two_factor(y)
    size = y.square().mean(dim=1, keepdim=True)
    # Where all parameters are 0 any size gives the same decision.
    return y / torch.where(size > 0, size, 1.0).sqrt()
