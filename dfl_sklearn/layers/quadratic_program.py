"""A convex quadratic program as a layer: the minimiser as a function of its linear term."""

from typing import Any

import numpy as np
import torch
from scipy.linalg import qr
from torch import nn

from .._utils.interior_point import QuadraticPrograms, Weights


class QuadraticProgramLayer(nn.Module):
    r"""The minimiser of :math:`\frac12 z^\top Q z + c^\top z` under linear constraints.

    With :math:`A z = b`, :math:`G z \le h` and :math:`l \le z \le u` the same for all rows, and c
    the output of a predictor. All rows of a batch are solved together by an interior point method,
    to an accuracy of about 1e-8, and differentiated by the optimality conditions at the solution.

    Parameters
    ----------
    quadratic : array-like of shape (n,) or (n, n)
        Q, positive definite: its diagonal, or all of it.
    A_eq, b_eq : array-like of shape (p, n) and (p,), default=None
        Equations. Redundant ones are dropped.
    A_ub, b_ub : array-like of shape (m, n) and (m,), default=None
        Inequalities, G and h.
    lower, upper : float or array-like of shape (n,), default=-inf and inf
        Bounds. A variable whose bounds are equal is taken out.
    scale : float, default=1
        What the parameters are multiplied by to give c; -1 where they are to be maximised.
    max_iter : int, default=100
        Of the interior point method, which takes 10 to 30.

    Notes
    -----
    With a diagonal Q a step costs one factor per row of the size of the constraints, without the
    bounds; sparse constraints are made use of. Where c lies between two sets of active constraints
    the minimiser has no derivative, and what is returned lies between those of both sides.

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.layers import QuadraticProgramLayer
    >>> layer = QuadraticProgramLayer([1.0, 1.0], [[1.0, 1.0]], [1.0], lower=0.0)
    >>> layer(torch.tensor([[0.0, 0.0], [0.0, -0.5], [0.0, -9.0]])).round(decimals=6)
    tensor([[0.5000, 0.5000],
            [0.2500, 0.7500],
            [0.0000, 1.0000]])
    """

    def __init__(
        self,
        quadratic: Any,
        A_eq: Any = None,
        b_eq: Any = None,
        A_ub: Any = None,
        b_ub: Any = None,
        lower: Any = -np.inf,
        upper: Any = np.inf,
        *,
        scale: float = 1.0,
        max_iter: int = 100,
    ) -> None:
        super().__init__()
        Q = np.asarray(quadratic, dtype=np.float64)
        n = len(Q)
        if Q.shape not in ((n,), (n, n)):
            raise ValueError(f"quadratic must have shape (n,) or (n, n), got {Q.shape}.")
        eigenvalues = Q if Q.ndim == 1 else np.linalg.eigvalsh(Q)
        if not eigenvalues.min() > 0:
            raise ValueError(
                f"quadratic must be positive definite; its least eigenvalue is {eigenvalues.min()}."
            )
        A, b = _rows(A_eq, b_eq, n, "eq")
        G, h = _rows(A_ub, b_ub, n, "ub")
        low, high = (np.broadcast_to(np.asarray(each, float), n) for each in (lower, upper))
        if (low > high).any():
            i = int(np.flatnonzero(low > high)[0])
            raise ValueError(f"lower[{i}] = {low[i]} is above upper[{i}] = {high[i]}.")
        self.scale = float(scale)
        fixed = low == high
        self.free, self.value = torch.as_tensor(~fixed), torch.as_tensor(np.where(fixed, low, 0.0))
        at = np.where(fixed, low, 0.0)
        A, b = _independent(A[:, ~fixed], b - A @ at)
        G, h = G[:, ~fixed], h - G @ at
        kept = (G != 0).any(axis=1)
        if (h[~kept] < -1e-9).any():
            raise ValueError(
                "An inequality without a free variable is violated: no z satisfies it."
            )
        pull = np.zeros(n) if Q.ndim == 1 else Q @ at
        self.pull = torch.as_tensor(pull[~fixed])
        left = Q[~fixed] if Q.ndim == 1 else Q[np.ix_(~fixed, ~fixed)]

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(values))

        self.program = QuadraticPrograms(
            *(tensor(left), tensor(A), tensor(b), tensor(G[kept]), tensor(h[kept])),
            *(tensor(low[~fixed]), tensor(high[~fixed])),
            max_iter=max_iter,
        )

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map parameters (B, n) to decisions (B, n).

        Raises
        ------
        RuntimeError
            If a row has not converged: the constraints admit no z, or nearly none.
        """
        if y.shape[1] != len(self.free):
            raise ValueError(f"The layer takes {len(self.free)} parameters, got {y.shape[1]}.")
        c = self.scale * y.to(torch.float64)
        if bool(self.free.all()):
            z = _Minimiser.apply(c, self.program)
        else:
            z = self.value.expand(len(c), -1).clone()
            z[:, self.free] = _Minimiser.apply(c[:, self.free] + self.pull, self.program)
        return z.to(y.dtype)


class _Minimiser(torch.autograd.Function):
    """The minimiser with its derivative by the optimality conditions."""

    @staticmethod
    def forward(ctx: Any, c: torch.Tensor, program: QuadraticPrograms) -> torch.Tensor:
        z, weights, converged = program.solve(c)
        if not converged.all():
            row = int(torch.nonzero(~converged)[0])
            raise RuntimeError(
                f"The quadratic program of row {row} has no solution, or none that could be "
                "found: look whether the constraints contradict one another, or scale variables "
                "to the order of 1."
            )
        ctx.program = program
        ctx.save_for_backward(*weights)
        return z

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.program.derivative(Weights(*ctx.saved_tensors), gradient), None


def _rows(A: Any, b: Any, n: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return constraints as arrays (m, n) and (m,), none where none are given."""
    if A is None and b is None:
        return np.zeros((0, n)), np.zeros(0)
    if A is None or b is None:
        raise ValueError(f"A_{name} and b_{name} must be given together.")
    matrix, right = np.asarray(A, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != n or right.shape != matrix.shape[:1]:
        raise ValueError(
            f"A_{name} and b_{name} must have shapes (m, {n}) and (m,), got {matrix.shape} and "
            f"{right.shape}."
        )
    return matrix, right


def _independent(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the equations without those that follow from others."""
    if not len(A):
        return A, b
    _, triangle, order = qr(A.T, mode="economic", pivoting=True)
    size = np.abs(np.diag(triangle))
    rank = int((size > 1e-10 * max(size.max(initial=0.0), 1e-300)).sum())
    kept = np.sort(order[:rank])
    z = np.linalg.lstsq(A[kept], b[kept], rcond=None)[0] if rank else np.zeros(A.shape[1])
    off = np.abs(A @ z - b)
    if off.max() > 1e-8 * (1.0 + np.abs(b).max()):
        raise ValueError(
            f"The equations contradict one another: row {int(off.argmax())} is off by "
            f"{off.max():.3g}."
        )
    return A[kept], b[kept]
