"""A convex quadratic program as a layer: the minimiser as a function of its linear term."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.memory import check_size
from .._utils.row_numbers import renumbered
from ..solvers.active_set import Times, eights, widened
from ..solvers.empty_sets import check_not_empty
from ..solvers.quadratic_programs import QuadraticPrograms, Sides
from ..solvers.unit_rows import independent, unit_rows
from ._batch import check_batch


class QuadraticProgramLayer(nn.Module):
    r"""The minimiser of :math:`\frac12 z^\top Q z + c^\top z` under linear constraints.

    The constraints :math:`A z = b`, :math:`G z \le h` and :math:`l \le z \le u` are the same for
    all rows; c is the output of a predictor. An interior point method (PIQP) finds which
    constraints hold with equality. The minimiser and its derivatives are then computed from these,
    exactly up to rounding errors, and the optimality conditions are checked. All computations are
    done on the CPU, whatever the device of the input.

    Parameters
    ----------
    quadratic : array-like of shape (n,) or (n, n)
        Q, positive definite: its diagonal, or the whole matrix.
    A_eq, b_eq : array-like of shape (p, n) and (p,), default=None
        Equations. Redundant ones are dropped.
    A_ub, b_ub : array-like of shape (m, n) and (m,), default=None
        Inequalities, G and h.
    lower, upper : float or array-like of shape (n,), default=-inf and inf
        Bounds; where they are equal, the variable has that value.
    scale : float, default=1
        Factor by which the parameters are multiplied to give c; -1 where the parameters are values
        to maximise.
    max_iter : int, default=250
        Largest number of iterations of the interior point method. It usually takes about 10.

    See Also
    --------
    SimplexQPLayer : The same for a few shares that sum to 1, faster.
    AffineBoxLayer : A decision that is an affine function of the prediction, within bounds.

    Notes
    -----
    Without inequalities and bounds, the minimiser is an affine function of c, which is computed
    once. The sparsity of constraints is exploited. Where c lies on the boundary between two sets of
    active constraints, the minimiser has no derivative, and the derivative of one side is returned.

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
        max_iter: int = 250,
    ) -> None:
        super().__init__()
        Q = _positive_definite(quadratic)
        n = len(Q)
        A, b = _rows(A_eq, b_eq, n, "eq")
        G, h = _rows(A_ub, b_ub, n, "ub")
        low, high = _bounds(lower, upper, n)
        G, h = G[h < np.inf], h[h < np.inf]  # an infinite right-hand side means no constraint
        A, b = _independent(A, b)
        check_not_empty(A, b, G, h, low, high)
        kept = G.any(axis=1)
        self.scale, self.n = float(scale), n
        self.affine: tuple[Times, torch.Tensor] | None = None
        if not kept.any() and not np.isfinite([low, high]).any():
            slope, offset = _affine(Q, A, b)
            self.affine = Times(widened(tensor(slope).T, eights(n)).T), tensor(offset)
        self.program = QuadraticPrograms(tensor(Q), tensor(A), tensor(G[kept]), max_iter)
        self.sides = Sides(*(tensor(each[None]) for each in (b, h[kept], low, high)))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map parameters (B, n) to decisions (B, n); a row that is not finite gives NaN.

        Parameters
        ----------
        y : torch.Tensor of shape (B, n)
            Predicted parameters.

        Returns
        -------
        torch.Tensor of shape (B, n)
            Decisions.

        Raises
        ------
        RuntimeError
            If no decision of a row could be proven optimal. This happens where the feasible set is
            almost empty.
        """
        check_batch(y, self.n)
        return of_finite_rows(y, self.scale, self._minimisers)

    def _minimisers(self, c: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
        if self.affine is not None:
            times, offset = self.affine
            return times(widened(c, eights(self.n))) + offset
        check_batch_size(self.program, len(c))
        return Minimiser.apply(c, *self.sides, self.program)


def of_finite_rows(
    y: torch.Tensor, scale: float, minimisers: Callable[[torch.Tensor, np.ndarray], torch.Tensor]
) -> torch.Tensor:
    """Return decisions (B, n) like y (B, n), computed on the CPU; NaN for rows that are not finite.

    Parameters
    ----------
    y : torch.Tensor of shape (B, n)
    scale : float
    minimisers : callable
        From linear terms, `scale` times the finite rows of y, and the numbers of these rows to
        decisions; it may name them by their place among these.
    """
    c = scale * y.to("cpu", torch.float64)
    rows = torch.nonzero(torch.isfinite(c).all(dim=1))[:, 0]
    z = torch.full_like(c, torch.nan)
    if not len(rows):
        return (z + 0.0 * c).to(y)  # with a slope of 0
    with renumbered(rows.numpy()):
        found = minimisers(c[rows], rows.numpy())
    return z.index_put((rows,), found).to(y)


class Minimiser(torch.autograd.Function):
    """The minimiser, with its derivatives by the optimality conditions on its active set."""

    @staticmethod
    def forward(
        ctx: Any,
        c: torch.Tensor,
        b: torch.Tensor,
        h: torch.Tensor,
        lower: torch.Tensor,
        upper: torch.Tensor,
        program: QuadraticPrograms,
    ) -> torch.Tensor:
        """Return the minimisers (B, n) for c (B, n); other sides may have a single row."""
        sides = Sides(b, h, lower, upper)
        ctx.program = program
        z, _, _, ctx.factor = program.solve(c, sides)
        ctx.sizes = [len(each) for each in sides]
        return z

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the slopes in c and in the sides."""
        slopes = ctx.program.slopes(ctx.factor, gradient)
        of_sides = (
            each.sum(dim=0, keepdim=True) if size == 1 and len(each) > 1 else each
            for each, size in zip(slopes[1:], ctx.sizes, strict=True)
        )
        return slopes[0], *of_sides, None


def tensor(values: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor in float64."""
    return torch.as_tensor(np.array(values, dtype=np.float64, order="C"))


def check_batch_size(program: QuadraticPrograms, n_programs: int) -> None:
    """Raise a ValueError where the linear systems of a batch cannot be held."""
    m, n, matrices = program.matrices.n_equations + program.m, program.n, program.matrices
    size = m**2 + (n**2 if matrices.quadratic.ndim == 2 else 0)
    check_size(
        f"A batch of {n_programs} quadratic programs with {m} constraints on {n} decisions",
        3.0 * n_programs * size,
        advice="Lower batch_size, or train with a loss that needs no layer.",
    )


def _affine(Q: np.ndarray, A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the symmetric S and the z_0 of the minimiser S c + z_0 under A z = b."""
    inverse = np.diag(1.0 / Q) if Q.ndim == 1 else np.linalg.inv(Q)
    if not len(A):
        return -inverse, np.zeros(len(inverse))
    pulled = inverse @ A.T
    multiplier = np.linalg.solve(A @ pulled, np.column_stack([b, pulled.T]))
    return pulled @ multiplier[:, 1:] - inverse, pulled @ multiplier[:, 0]


def _positive_definite(quadratic: Any) -> np.ndarray:
    """Return Q, (n,) or (n, n), or say what is wrong with it."""
    Q = np.asarray(quadratic, dtype=np.float64)
    if Q.ndim not in (1, 2) or not len(Q) or (Q.ndim == 2 and Q.shape[0] != Q.shape[1]):
        raise ValueError(f"quadratic must have shape (n,) or (n, n), got {Q.shape}.")
    if not np.isfinite(Q).all():
        raise ValueError("quadratic must be finite.")
    if Q.ndim == 2 and not np.allclose(Q, Q.T, rtol=1e-8, atol=1e-12 * np.abs(Q).max()):
        raise ValueError("quadratic must be symmetric.")
    least = Q.min() if Q.ndim == 1 else np.linalg.eigvalsh(Q)[0]
    if not least > 0:
        raise ValueError(f"quadratic must be positive definite; its least eigenvalue is {least}.")
    return Q


def _bounds(lower: Any, upper: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds (n,), or say which of them make no sense."""
    low, high = (np.broadcast_to(np.asarray(each, float), n) for each in (lower, upper))
    for name, values, never in (("lower", low, np.inf), ("upper", high, -np.inf)):
        bad = np.flatnonzero(np.isnan(values) | (values == never))
        if len(bad):
            raise ValueError(f"{name}[{bad[0]}] is {values[bad[0]]}, which is no bound.")
    if (low > high).any():
        i = int(np.flatnonzero(low > high)[0])
        raise ValueError(f"lower[{i}] = {low[i]} is above upper[{i}] = {high[i]}.")
    return low, high


def _rows(A: Any, b: Any, n: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return constraints as arrays (m, n) and (m,), rows of length 1; none where none are given."""
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
    bad = ~np.isfinite(matrix).all(axis=1) | np.isnan(right) | (right == -np.inf)
    if name == "eq":
        bad |= np.isinf(right)
    if bad.any():
        raise ValueError(f"Row {int(bad.argmax())} of A_{name} and b_{name} is not finite.")
    matrix, size = unit_rows(matrix)
    return matrix, np.ldexp(right, -size.exponent) / size.length


def _independent(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the equations, rows of length at most 1, without those that follow from others."""
    if not len(A):
        return A, b
    kept = independent(A)
    z = np.linalg.lstsq(A[kept], b[kept], rcond=None)[0] if len(kept) else np.zeros(A.shape[1])
    off = np.abs(A @ z - b) / (1.0 + np.abs(b))
    if off.max() > 1e-8:
        raise ValueError(
            f"The equations contradict one another: row {int(off.argmax())} does not hold where "
            "the others do."
        )
    return A[kept], b[kept]
