"""Quadratic programs that share their matrices, as a layer: other right-hand sides in each row."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .._utils.memory import check_size
from .._utils.row_numbers import renumber
from ..solvers.interior_point import QuadraticPrograms, Sides, Weights
from ..solvers.no_choice import no_choice
from ..solvers.polytope import Polytope
from ._batch import check_batch
from .by_context import ByContextLayer
from .quadratic_program import QuadraticProgramLayer, independent, unit_rows

_MAX_ITER = 60  # of the batch; programs that need more are solved by themselves
# Beside slacks of 1e14 others lose their digits. Limits beyond _FAR are taken for _NEARER, which
# makes no difference to decisions far below.
_FAR, _NEARER = 1e12, 1e10


class QuadraticProgramRowsLayer(nn.Module):
    r"""The minimiser of :math:`\frac12 z^\top Q z + c^\top z`, each row in a set of its own.

    The sets share their matrices. Programs whose set has no interior are looked at more closely:
    variables that a bound or a single constraint holds are taken out of their row. What then does
    not converge is solved as :class:`QuadraticProgramLayer` does it, with that row's numbers alone.

    Parameters
    ----------
    quadratic : ndarray of shape (n,)
        The diagonal of Q, positive.
    polytope : Polytope
        One set for each row, for its matrices, and to tell which bounds are finite.
    scale : float, default=1
        What the parameters are multiplied by to give c.
    """

    def __init__(self, quadratic: np.ndarray, polytope: Polytope, *, scale: float = 1.0) -> None:
        super().__init__()
        self.quadratic, self.scale = quadratic, float(scale)
        given = polytope.A_eq.toarray(), polytope.A_ub.toarray()
        (A, self.size_eq), (G, self.size_ub) = (unit_rows(each) for each in given)
        self.lower_is_finite = np.isfinite(polytope.lower[0])
        self.upper_is_finite = np.isfinite(polytope.upper[0])
        self.counts = np.isfinite(polytope.b_ub).any(axis=0)  # else it is no constraint
        self.A_all, self.G = A, G[self.counts]
        self.kept = independent(A)
        self.A = A[self.kept]
        self.follows = np.linalg.pinv(self.A)
        self.alone = ByContextLayer(partial(_layer_of, quadratic, *given))
        self.program = self._on(torch.device("cpu"))

    def _on(self, device: torch.device) -> QuadraticPrograms:
        def tensor(values: Any) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(values, dtype=np.float64), device=device)

        return QuadraticPrograms(
            tensor(self.quadratic),
            *(tensor(self.A), tensor(np.zeros(len(self.A)))),
            *(tensor(self.G), tensor(np.zeros(len(self.G)))),
            tensor(np.where(self.lower_is_finite, 0.0, -np.inf)),
            tensor(np.where(self.upper_is_finite, 0.0, np.inf)),
            max_iter=_MAX_ITER,
        )

    def forward(self, y: torch.Tensor, polytope: Polytope) -> torch.Tensor:
        """Map parameters (B, n) to decisions (B, n) in the sets of a polytope with B of them.

        A row that is not finite gives NaN.

        Raises
        ------
        ValueError
            If nothing satisfies the constraints of a row.
        RuntimeError
            If a row has not converged: the constraints leave next to no room.
        """
        check_batch(y, len(self.quadratic))
        if self.program.A.device != y.device:
            self.program = self._on(y.device)
        c = self.scale * y.to(torch.float64)
        known = torch.isfinite(c).all(dim=1)
        z = torch.full_like(c, torch.nan)
        if known.any():
            rows = torch.nonzero(known)[:, 0]
            numbers = rows.cpu().numpy()
            polytope = polytope if len(numbers) == len(c) else polytope.for_rows(numbers)
            z = z.index_put((rows,), self._minimisers(c[known], polytope, numbers))
        return z.to(y)

    def _minimisers(self, c: torch.Tensor, polytope: Polytope, numbers: np.ndarray) -> torch.Tensor:
        """Return decisions (B, n) of finite rows, with their numbers among all rows."""
        m, n = self.program.rows.shape
        check_size(
            f"A batch of {len(c)} quadratic programs with {m} constraints on {n} decisions",
            2.0 * len(c) * m**2,
            advice="Lower batch_size, or train with a loss that needs no layer.",
        )
        batch = self._prepared(polytope)
        sides = Sides(*(torch.as_tensor(each, device=c.device) for each in batch.sides))
        value = torch.as_tensor(batch.value, device=c.device)
        is_clear = torch.as_tensor(batch.is_clear, device=c.device)
        found, converged = _Minimisers.apply(c, self.program, sides, is_clear)
        z = torch.where(sides.held, value, found)
        is_far = torch.as_tensor(batch.is_far, device=c.device)
        is_right = converged & ~(is_far & (z.abs().amax(dim=1) > 0.1 * _NEARER / n**0.5))
        left = torch.nonzero(~is_right)[:, 0]
        if not len(left):
            return z
        rows = left.cpu().numpy()
        sets = torch.as_tensor(_as_table(polytope.for_rows(rows)))
        try:
            return z.index_put((left,), self.alone(c[left], sets))
        except (ValueError, RuntimeError) as error:
            renumber(error, numbers[rows])
            raise

    def _prepared(self, polytope: Polytope) -> "_Batch":
        """Return what the interior point method is given."""
        b_all = np.ldexp(polytope.b_eq, -self.size_eq.exponent) / self.size_eq.length
        h = (np.ldexp(polytope.b_ub, -self.size_ub.exponent) / self.size_ub.length)[:, self.counts]
        low, high = polytope.lower, polytope.upper
        is_clear = (np.isfinite(low) == self.lower_is_finite).all(axis=1)
        is_clear &= (np.isfinite(high) == self.upper_is_finite).all(axis=1)
        is_clear &= np.isfinite(h).all(axis=1)
        b = b_all[:, self.kept]
        off = b @ self.follows.T @ self.A_all.T - b_all
        is_clear &= (np.abs(off) <= 1e-8 * (1.0 + np.abs(b_all))).all(axis=1)
        found = no_choice(self.A_all, b_all, self.G, h, low, high)
        held, value = found.held, found.value
        is_clear &= found.is_clear
        far = h > _FAR, low < -_FAR, high > _FAR
        is_far = np.asarray(np.concatenate(far, axis=1).any(axis=1))
        h, low, high = (
            np.where(each & np.isfinite(side), sign * _NEARER, side)
            for each, side, sign in zip(far, (h, low, high), (1, -1, 1), strict=True)
        )
        b, h = b - value @ self.A.T, h - value @ self.G.T
        # Where nothing is left to choose a constraint says nothing more.
        free = ~held
        b = np.where(free @ (self.A != 0).T, b, 0.0)
        h = np.where(free @ (np.abs(self.G) >= 1e-14).T, h, 1.0)
        low = np.where(held, np.where(self.lower_is_finite, -1.0, -np.inf), low)
        high = np.where(held, np.where(self.upper_is_finite, 1.0, np.inf), high)
        return _Batch((b, h, low, high, held), value, is_clear, is_far)


class _Batch(NamedTuple):
    """Arguments of the interior point method, and what is held.

    Also which rows (B,) it is fit for, and in which a limit was taken for a nearer one.
    """

    sides: tuple[np.ndarray, ...]
    value: np.ndarray
    is_clear: np.ndarray
    is_far: np.ndarray


class _Minimisers(torch.autograd.Function):
    """The minimisers, and which are right; the slope of the others is 0."""

    @staticmethod
    def forward(
        ctx: Any,
        c: torch.Tensor,
        program: QuadraticPrograms,
        sides: Sides,
        is_clear: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        z, weights, converged = program.solve(c, sides)
        converged &= is_clear
        weights = Weights(*(torch.where(converged[:, None], each, 1.0) for each in weights))
        ctx.program = program
        ctx.save_for_backward(*weights, converged)
        ctx.mark_non_differentiable(converged)
        return z, converged

    @staticmethod
    def backward(
        ctx: Any, gradient: torch.Tensor, _: torch.Tensor
    ) -> tuple[torch.Tensor, None, None, None]:
        *weights, converged = ctx.saved_tensors
        gradient = torch.where(converged[:, None], gradient, 0.0)
        return ctx.program.derivative(Weights(*weights), gradient), None, None, None


def _as_table(polytope: Polytope) -> np.ndarray:
    """Return right-hand sides and bounds as one row of numbers for each set."""
    parts = polytope.b_eq, polytope.b_ub, polytope.lower, polytope.upper
    return np.concatenate(parts, axis=1)


def _layer_of(
    quadratic: np.ndarray, A: np.ndarray, G: np.ndarray, row: np.ndarray
) -> QuadraticProgramLayer:
    """Return the layer of a single set, from its row of the table."""
    b, h, low, high = np.split(row, np.cumsum([len(A), len(G), len(quadratic)]))
    return QuadraticProgramLayer(quadratic, A, b, G, h, low, high)
