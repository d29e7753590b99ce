"""Many convex quadratic programs that differ in their linear term alone, solved as one batch."""

from typing import NamedTuple

import torch

_FRACTION = 0.995  # of the way to the nearest bound
_TOLERANCE = 1e-9
_LOOSE_TOLERANCE = 1e-6  # still called converged where rounding does not let it get closer
_GAP = 1e-14
_LOOSE_GAP = 1e-10
_N_REFINEMENTS = 3
_EARLY = 1e-6  # a gap above which one refinement will do
_LEAST_PROGRESS = 0.9  # of the gap after a step, as a share of that before
_SAFE_CENTRING = 0.3
_LEAST_GAP = 1e-15  # beyond it rounding takes over


class Weights(NamedTuple):
    """What the bounds and rows weigh in the Newton system of a batch.

    Attributes
    ----------
    unit : torch.Tensor of shape (B, 1)
        Factor on the quadratic term.
    bounds : torch.Tensor of shape (B, n)
        Multiplier over slack of each variable's bounds, added up.
    rows : torch.Tensor of shape (B, m)
        Slack over multiplier of each inequality.
    """

    unit: torch.Tensor
    bounds: torch.Tensor
    rows: torch.Tensor


class Solution(NamedTuple):
    """Minimisers (B, n), the weights there, and which rows (B,) have converged."""

    z: torch.Tensor
    weights: Weights
    converged: torch.Tensor


class QuadraticPrograms:
    r"""Minimise :math:`\frac12 z^\top Q z + c^\top z`, with A z = b, G z <= h and l <= z <= u.

    A primal-dual interior point method with Mehrotra's correction. All rows of a batch take their
    steps together, and leave when they have converged. A step needs one Cholesky factor per row,
    of :math:`M H^{-1} M^\top + D`, with M the rows of A and G, and H the Hessian with the weights
    of the bounds on its diagonal.

    Parameters
    ----------
    quadratic : torch.Tensor of shape (n,) or (n, n)
        Q, positive definite; its diagonal where it has nothing else.
    A, b : torch.Tensor of shape (p, n) and (p,)
        Of full row rank.
    G, h : torch.Tensor of shape (m, n) and (m,)
    lower, upper : torch.Tensor of shape (n,)
        lower < upper; infinite where absent.
    max_iter : int, default=100

    References
    ----------
    Mehrotra, "On the implementation of a primal-dual interior point method", SIAM Journal on
    Optimization 2, 1992. The starting point is that of Vandenberghe, "The CVXOPT linear and
    quadratic cone program solvers", 2010.
    """

    def __init__(
        self,
        quadratic: torch.Tensor,
        A: torch.Tensor,
        b: torch.Tensor,
        G: torch.Tensor,
        h: torch.Tensor,
        lower: torch.Tensor,
        upper: torch.Tensor,
        max_iter: int = 100,
    ) -> None:
        self.quadratic, self.A, self.b, self.G, self.h = quadratic, A, b, G, h
        self.box = lower, upper
        self.max_iter = max_iter
        self.rows = torch.cat([A, G])
        self.across, _ = torch.linalg.qr(A.T)  # (n, p), a basis of the directions that A fixes
        # Bounds are kept as lists of variables, so that absent ones take no part.
        self.below = torch.nonzero(torch.isfinite(lower))[:, 0]
        self.above = torch.nonzero(torch.isfinite(upper))[:, 0]
        self.lower, self.upper = lower[self.below], upper[self.above]
        self.n_pairs = len(self.below) + len(self.above) + len(h)
        self.pairs = RowPairs.of(self.rows) if quadratic.ndim == 1 else None

    def on(self, device: torch.device) -> "QuadraticPrograms":
        """Return the same programs on a device."""
        names = ("quadratic", "A", "b", "G", "h")
        moved = {name: getattr(self, name).to(device) for name in names}
        lower, upper = (each.to(device) for each in self.box)
        return QuadraticPrograms(**moved, lower=lower, upper=upper, max_iter=self.max_iter)

    def solve(self, c: torch.Tensor) -> Solution:
        """Return the minimisers for the linear terms c (B, n)."""
        # The minimiser does not depend on what A fixes nor on the unit; the tolerances would.
        c = c - (c @ self.across) @ self.across.T
        unit = c.abs().amax(dim=1, keepdim=True).clamp_min(float(self.quadratic.abs().max()))
        state = _Iterate.start(self, c / unit, 1.0 / unit)
        z = torch.empty_like(c)
        weights = Weights(*(torch.empty_like(each) for each in state.weights()))
        converged = torch.zeros(len(c), dtype=torch.bool, device=c.device)
        at = torch.arange(len(c), device=c.device)

        def leave(state: _Iterate, leaving: torch.Tensor) -> None:
            rows = at[leaving]
            z[rows] = state.z[leaving]
            for kept, found in zip(weights, state.weights(is_final=True), strict=True):
                kept[rows] = found[leaving]
            converged[rows] = state.is_close()[leaving]

        for iteration in range(self.max_iter + 1):
            leaving = state.converged(_TOLERANCE, _GAP) | (iteration == self.max_iter)
            if leaving.any():
                leave(state, leaving)
                at, state = at[~leaving], state.subset(~leaving)
            if not len(at):
                break
            ahead = state.next()
            # At a degenerate vertex rounding may spoil the last step: then it is not taken.
            spoilt = state.is_close() & ~ahead.is_close()
            spoilt |= (state.gap() <= _LEAST_GAP) & ~(ahead.dual_error() < state.dual_error())
            if spoilt.any():
                leave(state, spoilt)
                at, ahead = at[~spoilt], ahead.subset(~spoilt)
            state = ahead
        return Solution(z.clamp(*self.box), weights, converged)  # rounding must not leave the box

    def derivative(self, weights: Weights, gradient: torch.Tensor) -> torch.Tensor:
        """Return the slope in c of a function whose gradient at the minimisers is given (B, n)."""
        x, _ = Factor(self, weights).solve(
            gradient, gradient.new_zeros((len(gradient), len(self.rows)))
        )
        singular = ~torch.isfinite(x).all(dim=1)
        if singular.any():
            row = int(torch.nonzero(singular)[0])
            raise RuntimeError(
                f"The optimality conditions of the quadratic program of row {row} are singular."
            )
        return -x * weights.unit

    def times_quadratic(self, z: torch.Tensor) -> torch.Tensor:
        """Return Q z."""
        return z * self.quadratic if self.quadratic.ndim == 1 else z @ self.quadratic


class RowPairs:
    """Products of the entries that two rows of a sparse M have in the same column.

    M diag(w) M' is linear in w. Where M is sparse, as with flows and matchings, few of its products
    are not zero, and a sparse matrix from w to the entries saves nearly all the work.
    """

    def __init__(self, table: torch.Tensor, n_rows: int) -> None:
        self.table, self.n_rows = table, n_rows

    @classmethod
    def of(cls, rows: torch.Tensor) -> "RowPairs | None":
        """Return the table of a matrix M (m, n), or None where M is too dense for it to help."""
        m, n = rows.shape
        filled = (rows != 0).sum(dim=0)
        n_products = int((filled**2).sum())
        if m == 0 or n_products > m * m * n / 20:
            return None
        places = []
        for column in range(n):
            filled_rows = torch.nonzero(rows[:, column])[:, 0]
            pairs = torch.cartesian_prod(filled_rows, filled_rows)
            places.append(torch.cat([pairs, torch.full_like(pairs[:, :1], column)], dim=1))
        i, k, j = torch.cat(places).T
        table = torch.sparse_coo_tensor(
            torch.stack([i * m + k, j]), rows[i, j] * rows[k, j], (m * m, n), check_invariants=True
        )
        return cls(table.coalesce(), m)

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        """Return M diag(w) M' (B, m, m) for weights (B, n)."""
        return (self.table @ weight.T).T.reshape(-1, self.n_rows, self.n_rows)


class Factor:
    """The factors of one Newton system per row, good for several right-hand sides."""

    def __init__(self, qp: QuadraticPrograms, weights: Weights) -> None:
        self.qp, self.weights, self.rows = qp, weights, qp.rows
        self.inverse: torch.Tensor | None = None
        if qp.quadratic.ndim == 1:
            self.inverse = 1.0 / (weights.unit * qp.quadratic + weights.bounds)
            schur = (
                qp.pairs(self.inverse)
                if qp.pairs is not None
                else (qp.rows * self.inverse[:, None]) @ qp.rows.T
            )
        else:
            hessian = _with_diagonal(weights.unit[:, :, None] * qp.quadratic, weights.bounds)
            self.hessian = torch.linalg.cholesky(hessian)
            columns = qp.rows.T.expand(len(hessian), -1, -1)
            schur = qp.rows @ torch.cholesky_solve(columns, self.hessian)
        self.slack = torch.cat([schur.new_zeros((len(schur), len(qp.b))), weights.rows], dim=1)
        schur = _with_diagonal(schur, self.slack)
        # At a vertex the rows that hold are near dependent; a trace on the diagonal helps out.
        size = schur.diagonal(dim1=1, dim2=2)
        self.schur, failed = _factored(schur, size, 1e-14)
        for trace in (1e-11, 1e-8):
            # A row gets by with the least trace that does for it, whatever the others need.
            again = torch.nonzero(failed)[:, 0]
            if not len(again):
                break
            self.schur[again], failed[again] = _factored(schur[again], size[again], trace)

    def _divide(self, right: torch.Tensor) -> torch.Tensor:
        """Return the solution of H x = right."""
        if self.inverse is not None:
            return right * self.inverse
        return torch.cholesky_solve(right[..., None], self.hessian)[..., 0]

    def solve(
        self,
        right: torch.Tensor,
        rows: torch.Tensor,
        n_refinements: int = _N_REFINEMENTS,
        once: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Solve H x + M' v = right, M x - D v = rows; rows `once` (B,) are refined once only."""
        x, v = self._solve(right, rows)
        if not len(self.rows):
            return x, v
        if once is not None and once.all():
            n_refinements, once = 1, None
        # Near a vertex the factor is ill-conditioned; refinements take the error away.
        for i in range(n_refinements):
            x_more, v_more = self._solve(
                right - self._times_hessian(x) - v @ self.rows,
                rows - x @ self.rows.T + self.slack * v,
            )
            if once is not None and i:
                x_more, v_more = (
                    torch.where(once[:, None], 0.0, each) for each in (x_more, v_more)
                )
            x, v = x + x_more, v + v_more
        return x, v

    def _times_hessian(self, x: torch.Tensor) -> torch.Tensor:
        quadratic = self.weights.unit * self.qp.times_quadratic(x)
        return quadratic + self.weights.bounds * x

    def _solve(self, right: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._divide(right)
        if not len(self.rows):
            return x, rows
        v = torch.cholesky_solve((x @ self.rows.T - rows)[..., None], self.schur)[..., 0]
        return self._divide(right - v @ self.rows), v


class _Iterate(NamedTuple):
    """A point of the method: variables, multipliers of equalities, slacks and multipliers.

    Slacks and multipliers (B, N) are those of the lower bounds, the upper bounds and the rows of G,
    one after the other. `residual` is by how much the slacks differ from what z leaves: carried
    along, as slacks near 0 cannot be recovered by subtraction. `force` (B, n) is the dual residual,
    kept because much is asked of it.
    """

    qp: QuadraticPrograms
    c: torch.Tensor
    unit: torch.Tensor
    z: torch.Tensor
    equal: torch.Tensor
    slack: torch.Tensor
    dual: torch.Tensor
    residual: torch.Tensor
    force: torch.Tensor

    @classmethod
    def start(cls, qp: QuadraticPrograms, c: torch.Tensor, unit: torch.Tensor) -> "_Iterate":
        """Solve for the least squares of the slacks, and move what is negative inside."""
        n_rows = len(c)
        ones = c.new_ones((n_rows, qp.n_pairs))
        blank = cls(qp, c, unit, c, c, ones, ones, ones, c)
        right = -c
        right = right.index_add(1, qp.below, qp.lower.expand(n_rows, -1))
        right = right.index_add(1, qp.above, qp.upper.expand(n_rows, -1))
        target = torch.cat([qp.b, qp.h]).expand(n_rows, -1)
        z, v = Factor(qp, blank.weights()).solve(right, target)
        distance = torch.cat([-qp.lower, qp.upper, qp.h]) + _distances(qp, z)
        shifted = []
        for values in (distance, -distance):
            if values.shape[1]:
                worst = -values.amin(dim=1, keepdim=True)
                values = torch.where(worst < -1e-8, values, values + 1.0 + worst)
            shifted.append(values)
        slack, dual = shifted
        first = cls(qp, c, unit, z, v[:, : len(qp.b)], slack, dual, slack - distance, c)
        return first.with_force()

    def subset(self, kept: torch.Tensor) -> "_Iterate":
        """Return the rows kept."""
        return _Iterate(self.qp, *(each[kept] for each in self[1:]))

    def weights(self, is_final: bool = False) -> Weights:
        """Return what bounds and rows weigh here.

        At the end a weight is infinite where the constraint holds, and 0 where it does not. A small
        multiplier leaves it merely large: squaring brings it nearer to what it tends to.
        """
        ratio = self.dual / self.slack
        if is_final:
            ratio = ratio * ratio.clamp(1e-6, 1e6)
        n_below, n_above = len(self.qp.below), len(self.qp.above)
        bounds = torch.zeros_like(self.z)
        bounds = bounds.index_add(1, self.qp.below, ratio[:, :n_below])
        bounds = bounds.index_add(1, self.qp.above, ratio[:, n_below : n_below + n_above])
        return Weights(self.unit, bounds, 1.0 / ratio[:, n_below + n_above :])

    def is_close(self) -> torch.Tensor:
        """Return which rows (B,) are good enough where rounding does not let them get closer."""
        return self.converged(_LOOSE_TOLERANCE, _LOOSE_GAP)

    def converged(self, tolerance: float, least_gap: float) -> torch.Tensor:
        """Return which rows (B,) satisfy the optimality conditions."""
        size = 1.0 + self.z.abs().amax(dim=1)
        good = self.dual_error() <= tolerance
        good &= _largest(self.z @ self.qp.A.T - self.qp.b) <= tolerance * size
        good &= _largest(self.residual) <= tolerance * size
        return good & (self.gap() <= least_gap * size)

    def next(self) -> "_Iterate":
        """Return the point after one step."""
        factor = Factor(self.qp, self.weights())
        gap = self.gap()[:, None]
        product = self.slack * self.dual
        ahead = self._direction(factor, -product, n_refinements=0)  # only looked along
        reached = self._moved(ahead, self._room(ahead, 1.0))
        centring = (reached.gap()[:, None] / gap.clamp_min(1e-300)) ** 3
        target = centring * gap - product - ahead.slack * ahead.dual
        # Near the end factors are ill-conditioned, and one refinement is not enough.
        step = self._direction(factor, target, once=gap[:, 0] > _EARLY)
        moved = self._moved(step, self._room(step, _FRACTION)).with_force()
        # Rarely the correction overshoots, and steps go round in circles. Without it they do not.
        astray = moved.gap() >= _LEAST_PROGRESS * gap[:, 0]
        if astray.any():
            step = self._direction(factor, _SAFE_CENTRING * gap - product)
            careful = self._moved(step, self._room(step, _FRACTION)).with_force()
            moved = careful.where(astray, moved)
        return moved

    def where(self, chosen: torch.Tensor, other: "_Iterate") -> "_Iterate":
        """Return these rows where `chosen` (B,), else those of another point."""
        pairs = zip(self[1:], other[1:], strict=True)
        return _Iterate(self.qp, *(torch.where(chosen[:, None], *each) for each in pairs))

    def _spread(self, pairs: torch.Tensor) -> torch.Tensor:
        """Return the effect on the dual residual (B, n) of multipliers (B, N)."""
        qp, n_below = self.qp, len(self.qp.below)
        below, above, rows = pairs.split([n_below, len(qp.above), len(qp.h)], dim=1)
        out = rows @ qp.G
        return out.index_add(1, qp.below, -below).index_add(1, qp.above, above)

    def dual_error(self) -> torch.Tensor:
        """Return the largest entry (B,) of the dual residual."""
        return _largest(self.force)

    def with_force(self) -> "_Iterate":
        """Return the same point with its dual residual."""
        force = self.unit * self.qp.times_quadratic(self.z) + self.c + self.equal @ self.qp.A
        return self._replace(force=force + self._spread(self.dual))

    def gap(self) -> torch.Tensor:
        """Return the mean complementarity (B,)."""
        if not self.qp.n_pairs:
            return torch.zeros_like(self.z[:, 0])
        return (self.slack * self.dual).mean(dim=1)

    def _direction(
        self,
        factor: Factor,
        target: torch.Tensor,
        n_refinements: int = _N_REFINEMENTS,
        once: torch.Tensor | None = None,
    ) -> "_Iterate":
        """Return the Newton step towards slack * dual changed by `target`."""
        qp = self.qp
        n_bounds = len(qp.below) + len(qp.above)
        pull = (target + self.dual * self.residual) / self.slack
        in_bounds = torch.cat([pull[:, :n_bounds], torch.zeros_like(pull[:, n_bounds:])], dim=1)
        right = -self.force - self._spread(in_bounds)
        rows = torch.cat(
            [
                qp.b - self.z @ qp.A.T,
                -(self.residual + target / self.dual)[:, n_bounds:],
            ],
            dim=1,
        )
        z, v = factor.solve(right, rows, n_refinements, once)
        slack = _distances(qp, z) - self.residual
        dual = (target - self.dual * slack) / self.slack
        return self._replace(z=z, equal=v[:, : len(qp.b)], slack=slack, dual=dual)

    def _moved(self, step: "_Iterate", length: torch.Tensor) -> "_Iterate":
        return self._replace(
            z=self.z + length * step.z,
            equal=self.equal + length * step.equal,
            slack=self.slack + length * step.slack,
            dual=self.dual + length * step.dual,
            residual=(1.0 - length) * self.residual,
        )

    def _room(self, step: "_Iterate", fraction: float) -> torch.Tensor:
        """Return how far (B, 1) one can go, at most 1, with slacks and multipliers positive."""
        length = torch.ones_like(self.unit)
        for values, change in ((self.slack, step.slack), (self.dual, step.dual)):
            if values.shape[1]:
                ratio = torch.where(change < 0, -values / change, torch.inf)
                length = torch.minimum(length, fraction * ratio.amin(dim=1, keepdim=True))
        return length


def _factored(
    matrices: torch.Tensor, size: torch.Tensor, trace: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Cholesky factors with a trace of `size` (B, n) on the diagonal, and what failed."""
    return torch.linalg.cholesky_ex(_with_diagonal(matrices.clone(), trace * size + 1e-300))


def _with_diagonal(matrices: torch.Tensor, diagonal: torch.Tensor) -> torch.Tensor:
    """Add to the diagonals (B, n) of matrices (B, n, n), in place."""
    matrices.diagonal(dim1=1, dim2=2).add_(diagonal)
    return matrices


def _distances(qp: QuadraticPrograms, z: torch.Tensor) -> torch.Tensor:
    """Return how slacks (B, N) change where z changes by `z`."""
    return torch.cat([z[:, qp.below], -z[:, qp.above], -z @ qp.G.T], dim=1)


def _largest(values: torch.Tensor) -> torch.Tensor:
    """Return the largest absolute value of each row; 0 where a row is empty."""
    return values.abs().amax(dim=1) if values.shape[1] else values.new_zeros(len(values))
