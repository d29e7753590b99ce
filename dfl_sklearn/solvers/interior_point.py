"""Many convex quadratic programs that share their matrices, solved as one batch."""

from typing import NamedTuple

import torch

from .newton_system import N_REFINEMENTS, Factor, RowPairs, Weights

_FRACTION = 0.995  # of the way to the nearest bound
_TOLERANCE = 1e-9
_LOOSE_TOLERANCE = 1e-6  # still called converged where rounding does not let it get closer
_GAP = 1e-14
_LOOSE_GAP = 1e-10
_EARLY = 1e-6  # a gap above which one refinement will do
_LEAST_PROGRESS = 0.9  # of the gap after a step, as a share of that before
_SAFE_CENTRING = 0.3
_LEAST_GAP = 1e-15  # beyond it rounding takes over
_HELD = 1e300  # weight of a bound that holds a variable


class Sides(NamedTuple):
    """Right-hand sides and bounds of each program of a batch.

    Attributes
    ----------
    b : torch.Tensor of shape (B, p)
    h : torch.Tensor of shape (B, m)
    lower, upper : torch.Tensor of shape (B, n)
        lower < upper; infinite where those of :class:`QuadraticPrograms` are.
    held : torch.Tensor of shape (B, n)
        Whether a variable is held at 0, strictly between its bounds.
    """

    b: torch.Tensor
    h: torch.Tensor
    lower: torch.Tensor
    upper: torch.Tensor
    held: torch.Tensor


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

    def solve(self, c: torch.Tensor, sides: Sides | None = None) -> Solution:
        """Return the minimisers for the linear terms c (B, n).

        With `sides`, each program has these in the place of b, h, lower and upper.
        """
        if sides is not None:
            c = torch.where(sides.held, 0.0, c)
        # The minimiser does not depend on what A fixes nor on the unit; the tolerances would.
        c = c - (c @ self.across) @ self.across.T
        unit = c.abs().amax(dim=1, keepdim=True).clamp_min(float(self.quadratic.abs().max()))
        state = _Iterate.start(self, c / unit, 1.0 / unit, self._ends(len(c), sides))
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
        box = self.box if sides is None else (sides.lower, sides.upper)
        return Solution(z.clamp(*box), weights, converged)  # rounding must not leave the box

    def _ends(self, n_rows: int, sides: Sides | None) -> "_Ends":
        """Return what the rows and bounds of a batch end at."""
        if sides is None:
            ends = torch.cat([-self.lower, self.upper, self.h]).expand(n_rows, -1)
            nothing = self.b.new_zeros((n_rows, 0))
            return _Ends(self.b.expand(n_rows, -1), ends, nothing)
        below, above = sides.lower[:, self.below], sides.upper[:, self.above]
        weight = torch.where(sides.held, _HELD, torch.zeros_like(sides.lower))
        return _Ends(sides.b, torch.cat([-below, above, sides.h], dim=1), weight)

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

    def split(self, pairs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the parts of (B, N) for lower bounds, upper bounds and rows of G."""
        return pairs.split([len(self.below), len(self.above), len(self.h)], dim=1)

    def times_quadratic(self, z: torch.Tensor) -> torch.Tensor:
        """Return Q z."""
        return z * self.quadratic if self.quadratic.ndim == 1 else z @ self.quadratic


class _Ends(NamedTuple):
    """What constraints end at, row by row.

    Attributes
    ----------
    b : torch.Tensor of shape (B, p)
    pairs : torch.Tensor of shape (B, N)
        Negated lower bounds, upper bounds and right-hand sides of inequalities.
    held : torch.Tensor of shape (B, n) or (B, 0)
        Weight of a bound at 0 that holds a variable; 0 where none does. No columns: nowhere.
    """

    b: torch.Tensor
    pairs: torch.Tensor
    held: torch.Tensor


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
    b: torch.Tensor
    held: torch.Tensor

    @classmethod
    def start(
        cls, qp: QuadraticPrograms, c: torch.Tensor, unit: torch.Tensor, ends: _Ends
    ) -> "_Iterate":
        """Solve for the least squares of the slacks, and move what is negative inside."""
        ones = c.new_ones((len(c), qp.n_pairs))
        blank = cls(qp, c, unit, c, c, ones, ones, ones, c, ends.b, ends.held)
        below, above, rows = qp.split(ends.pairs)
        right = (-c).index_add(1, qp.below, -below).index_add(1, qp.above, above)
        target = torch.cat([ends.b, rows], dim=1)
        z, v = Factor(qp, blank.weights()).solve(right, target)
        distance = ends.pairs + _distances(qp, z)
        shifted = []
        for values in (distance, -distance):
            if values.shape[1]:
                worst = -values.amin(dim=1, keepdim=True)
                values = torch.where(worst < -1e-8, values, values + 1.0 + worst)
            shifted.append(values)
        slack, dual = shifted
        equal = v[:, : len(qp.b)]
        first = cls(qp, c, unit, z, equal, slack, dual, slack - distance, c, ends.b, ends.held)
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
        below, above, rows = self.qp.split(ratio)
        bounds = torch.zeros_like(self.z)
        bounds = bounds.index_add(1, self.qp.below, below)
        bounds = bounds.index_add(1, self.qp.above, above)
        if self.held.shape[1]:
            bounds = bounds + self.held
        return Weights(self.unit, bounds, 1.0 / rows)

    def is_close(self) -> torch.Tensor:
        """Return which rows (B,) are good enough where rounding does not let them get closer."""
        return self.converged(_LOOSE_TOLERANCE, _LOOSE_GAP)

    def converged(self, tolerance: float, least_gap: float) -> torch.Tensor:
        """Return which rows (B,) satisfy the optimality conditions."""
        size = 1.0 + self.z.abs().amax(dim=1)
        good = self.dual_error() <= tolerance
        good &= _largest(self.z @ self.qp.A.T - self.b) <= tolerance * size
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
        qp = self.qp
        below, above, rows = qp.split(pairs)
        out = rows @ qp.G
        return out.index_add(1, qp.below, -below).index_add(1, qp.above, above)

    def dual_error(self) -> torch.Tensor:
        """Return the largest entry (B,) of the dual residual."""
        return _largest(self.force)

    def with_force(self) -> "_Iterate":
        """Return the same point with its dual residual."""
        force = self.unit * self.qp.times_quadratic(self.z) + self.c + self.equal @ self.qp.A
        force = force + self._spread(self.dual)
        if self.held.shape[1]:
            force = torch.where(self.held > 0, 0.0, force)  # what holds a variable takes it up
        return self._replace(force=force)

    def gap(self) -> torch.Tensor:
        """Return the mean complementarity (B,)."""
        if not self.qp.n_pairs:
            return torch.zeros_like(self.z[:, 0])
        return (self.slack * self.dual).mean(dim=1)

    def _direction(
        self,
        factor: Factor,
        target: torch.Tensor,
        n_refinements: int = N_REFINEMENTS,
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
                self.b - self.z @ qp.A.T,
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


def _distances(qp: QuadraticPrograms, z: torch.Tensor) -> torch.Tensor:
    """Return how slacks (B, N) change where z changes by `z`."""
    return torch.cat([z[:, qp.below], -z[:, qp.above], -z @ qp.G.T], dim=1)


def _largest(values: torch.Tensor) -> torch.Tensor:
    """Return the largest absolute value of each row; 0 where a row is empty."""
    return values.abs().amax(dim=1) if values.shape[1] else values.new_zeros(len(values))
