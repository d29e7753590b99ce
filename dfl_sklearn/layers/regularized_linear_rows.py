"""Linear programs with a quadratic term, whose constraints or costs are known row by row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.memory import check_size
from ..solvers.polytope import Polytope
from ._batch import check_batch
from .quadratic_program_rows import QuadraticProgramRowsLayer
from .regularized_linear import over_their_size


class RegularizedLinearRowsLayer(nn.Module):
    r"""The minimiser of :math:`c^\top z + \gamma \|z\|^2`, each row in a polytope of its own.

    Parameters
    ----------
    polytope : callable
        From the number of decisions and the context (B, c) to one set for each row, which share
        their matrices. Integral variables are relaxed.
    smoothing : float or None
        :math:`\gamma`; None is the root mean square of each row of y.
    scale : float, default=1
        What y is multiplied by to give c.
    """

    def __init__(
        self,
        polytope: Callable[[int, np.ndarray], Polytope],
        smoothing: float | None,
        *,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.polytope, self.smoothing, self.scale = polytope, smoothing, scale
        self._programs: dict[int, QuadraticProgramRowsLayer] = {}

    def forward(self, y: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Map parameters (B, n) and their context (B, c) to decisions (B, n)."""
        check_batch(y)
        if len(context) != len(y):
            raise ValueError(f"The layer takes {len(y)} rows of context, got {len(context)}.")
        if not len(y):
            return y
        rows = context.detach().cpu().numpy().astype(np.float64, copy=False)
        sets = self.polytope(y.shape[1], rows)
        program = self._program(sets)
        return program(y if self.smoothing is not None else over_their_size(y), sets)

    def _program(self, sets: Polytope) -> QuadraticProgramRowsLayer:
        n_rows, n = sets.matrix.shape
        if n not in self._programs:
            check_size(
                f"The layer's table of {n_rows} constraints on {n} decisions",
                2.0 * n_rows * n,
                advice="Train with a loss that needs no layer, such as SPOPlusLoss.",
            )
            smoothing = 1.0 if self.smoothing is None else self.smoothing
            quadratic = np.full(n, 2.0 * smoothing)
            self._programs[n] = QuadraticProgramRowsLayer(quadratic, sets, scale=self.scale)
        return self._programs[n]


class PlusKnownLayer(nn.Module):
    """Decisions of a layer for parameters to which known numbers are added.

    Parameters
    ----------
    layer : torch.nn.Module
        Maps (B, n), or (B, n) and a context (B, c), to decisions.
    plus_known : callable
        From parameters and the context to parameters.
    takes_context : bool
        Whether the layer takes the context.
    """

    def __init__(
        self,
        layer: nn.Module,
        plus_known: Callable[[torch.Tensor, torch.Tensor | None], Any],
        *,
        takes_context: bool,
    ) -> None:
        super().__init__()
        self.layer, self.plus_known, self.takes_context = layer, plus_known, takes_context

    def forward(self, y: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Map parameters (B, n) to decisions; the context (B, c) is needed where it is read."""
        check_batch(y)
        if context is not None and len(context) != len(y):
            raise ValueError(f"The layer takes {len(y)} rows of context, got {len(context)}.")
        total = self.plus_known(y, context)
        return self.layer(total, context) if self.takes_context else self.layer(total)
