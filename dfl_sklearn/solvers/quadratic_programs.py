"""Many convex quadratic programs that share their matrices: exact minimisers, row by row."""

from typing import NamedTuple

import torch

from .._utils.threads import pinned_threads
from .active_set import ActiveSet, Factor, Matrices, Times, eights, widened
from .interior_point import Guess, InteriorPoint
from .multipliers import with_signs

_TOLERANCE = 1e-9  # by which optimality conditions may be missed, as a share of their terms
_ROUNDING = 2.0**-44  # of the largest decision or limit
_ACCURACY = 1e-10  # asked of the interior point method
_BEST_ACCURACY = 1e-16  # as near as rounding lets it get, where that was not enough
_MOST_COST = 1e8  # times what Q makes of the largest decision
_MOST_CHANGES = 12  # of an active set


class Sides(NamedTuple):
    """Right-hand sides and bounds of each program of a batch, or of all with B = 1.

    Attributes
    ----------
    b : torch.Tensor of shape (B, p)
    h : torch.Tensor of shape (B, m)
    lower, upper : torch.Tensor of shape (B, n)
        All but those of equations infinite where absent.
    """

    b: torch.Tensor
    h: torch.Tensor
    lower: torch.Tensor
    upper: torch.Tensor

    def take(self, index: torch.Tensor | slice) -> "Sides":
        """Return the sides of some programs; those of all stay as they are."""
        return Sides(*(each if len(each) == 1 else each[index] for each in self))


class Solution(NamedTuple):
    """Minimisers of a batch, and the multipliers that prove them optimal.

    Attributes
    ----------
    z : torch.Tensor of shape (B, n)
    multipliers : torch.Tensor of shape (B, p + m)
        Of equations and inequalities, with the right signs.
    is_solved : torch.Tensor of bool of shape (B,)
        Whether z is a minimiser.
    factor : Factor
        Of the active sets.
    """

    z: torch.Tensor
    multipliers: torch.Tensor
    is_solved: torch.Tensor
    factor: Factor


class UnsolvedError(RuntimeError):
    """No point of the program of row `row` could be proven optimal."""

    def __init__(self, row: int) -> None:
        super().__init__(
            f"The quadratic program of row {row} could not be solved. Scale variables and "
            "constraints to the order of 1, or look whether the constraints leave next to no room."
        )
        self.row = row


class QuadraticPrograms:
    r"""Minimise :math:`\frac12 z^\top Q z + c^\top z`, with A z = b, G z <= h and l <= z <= u.

    An interior point method finds which constraints hold with equality. The minimiser is then
    computed from only these and checked. If the check fails, their set is changed. The result does
    therefore not depend on where the method has stopped.

    Parameters
    ----------
    quadratic : torch.Tensor of shape (n,) or (n, n)
        Q, positive definite; its diagonal where it has nothing else.
    A, G : torch.Tensor of shape (p, n) and (m, n)
        Rows of length 1.
    max_iter : int, default=250
        Largest number of iterations of the interior point method. It usually takes about 10.
    is_definite : bool, default=True
        False where Q is only positive semidefinite, or 0. A program may then have several
        minimisers, of which one is returned; :meth:`is_unique` says where.

    References
    ----------
    The set is changed as by Hintermueller, Ito, Kunisch, "The primal-dual active set strategy
    as a semismooth Newton method", SIAM Journal on Optimization 13, 2002.
    """

    def __init__(
        self,
        quadratic: torch.Tensor,
        A: torch.Tensor,
        G: torch.Tensor,
        max_iter: int = 250,
        *,
        is_definite: bool = True,
    ) -> None:
        self.interior_point = InteriorPoint(
            quadratic.numpy(), A.numpy(), G.numpy(), max_iter, is_definite
        )
        self.n, self.m = len(quadratic), len(G)
        # Variables at 0 and rows without an end fill all sizes up to multiples of 8.
        n, m = eights(self.n), eights(len(A) + self.m) - len(A)
        most = float(quadratic.abs().max()) or 1.0
        if quadratic.ndim == 1:
            filled = widened(quadratic[None], n, most)[0]
        else:
            filled = torch.eye(n).to(quadratic) * most
            filled[: self.n, : self.n] = quadratic
        rows = widened(widened(G, n).T, m).T
        self.matrices = Matrices(filled, widened(A, n), rows, is_definite)
        across, triangle = torch.linalg.qr(A.T)  # (n, p), a basis of the directions that A fixes
        of_rows = torch.linalg.inv(triangle).T
        p = eights(len(A))
        across = widened(widened(across, p).T, n).T
        of_rows = widened(widened(of_rows, p).T, p).T
        self._across = Times(across), Times(across.T), Times(of_rows)

    def solve(self, c: torch.Tensor, sides: Sides) -> Solution:
        """Return the minimisers for linear terms c (B, n).

        Raises
        ------
        UnsolvedError
            If a point of a row is not shown to be best: the row may have none.
        """
        found = self.attempt(c, sides)
        if not found.is_solved.all():
            raise UnsolvedError(int(torch.nonzero(~found.is_solved)[0, 0]))
        return found

    def attempt(self, c: torch.Tensor, sides: Sides) -> Solution:
        """Return the same, with whatever was found where a point is not shown to be best."""
        n, m = len(self.matrices.quadratic), len(self.matrices.rows) - self.matrices.n_equations
        b, h, lower, upper = sides
        sides = Sides(b, widened(h, m, torch.inf), widened(lower, n), widened(upper, n))
        with pinned_threads(1):
            found = self._solve(widened(c, n), sides)
        m = self.matrices.n_equations + self.m
        return found._replace(z=found.z[:, : self.n], multipliers=found.multipliers[:, :m])

    def is_unique(self, factor: Factor, decided: torch.Tensor) -> torch.Tensor:
        """Return for which programs (B,) the decided of the variables (n,) have one value."""
        everyone = widened(decided[None].to(torch.float64), len(self.matrices.quadratic))[0]
        with pinned_threads(1):
            return factor.is_unique(everyone)

    def curved(self, z: torch.Tensor) -> torch.Tensor:
        """Return Q z (B, n)."""
        return self.matrices.times_quadratic(widened(z, len(self.matrices.quadratic)))[:, : self.n]

    def spread(self, multipliers: torch.Tensor) -> torch.Tensor:
        """Return the slopes (B, n) that multipliers (B, p + m) of rows add: M' v."""
        return self.matrices.spread(widened(multipliers, len(self.matrices.rows)))[:, : self.n]

    def slopes(self, factor: Factor, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the slopes in c and in the sides of a function whose gradient (B, n) is given."""
        with pinned_threads(1):
            c, b, h, lower, upper = factor.slopes(widened(gradient, len(self.matrices.quadratic)))
        n, m = self.n, self.m
        return c[:, :n], b, h[:, :m], lower[:, :n], upper[:, :n]

    def _solve(self, c: torch.Tensor, sides: Sides) -> Solution:
        # The minimiser does not depend on what A fixes; tolerances would.
        onto, back, of_rows = self._across
        across = onto(c)
        c = c - back(across)
        found = self._tried(c, sides, _ACCURACY)
        left = torch.nonzero(~found.is_best)[:, 0]
        for is_capped in (False, True) if self.matrices.is_definite else (False,):
            if not len(left):
                break
            again = self._tried(c[left], sides.take(left), _BEST_ACCURACY, is_capped)
            found = found.put(left, again)
            left = torch.nonzero(~found.is_best)[:, 0]
        factor = found.factor or Factor(self.matrices, found.active)
        p = self.matrices.n_equations
        of_equations = found.multipliers[:, :p] - of_rows(across)[:, :p]
        multipliers = torch.cat([of_equations, found.multipliers[:, p:]], dim=1)
        return Solution(found.z, multipliers, found.is_best, factor)

    def _tried(
        self, c: torch.Tensor, sides: Sides, accuracy: float, is_capped: bool = False
    ) -> "_Found":
        """Return points that active sets of the interior point method lead to."""
        active, multipliers, reach = self._guess(c, sides, accuracy)
        share = None
        if is_capped:
            # With costs so large that Q does not matter, z would have no exact digits.
            most = _MOST_COST * self.matrices.unit * torch.where(reach > 0, reach, torch.inf)
            share = (most / c.abs().amax(dim=1, keepdim=True)).clamp_max(1.0)
        sides = Sides(*(each.expand(len(c), -1) for each in sides))
        first = _Point.of(self.matrices, c, sides, active, multipliers, share)
        found = _Found(first.z, first.multipliers, active, first.is_best, first.factor)
        left, following = torch.nonzero(~first.is_best)[:, 0], first.next.take(~first.is_best)
        for _ in range(_MOST_CHANGES):
            if not len(left):
                return found
            rows = c[left], sides.take(left), following, multipliers[left]
            point = _Point.of(self.matrices, *rows, None if share is None else share[left])
            found = found.put(left, _Found(point.z, point.multipliers, following, point.is_best))
            left, following = left[~point.is_best], point.next.take(~point.is_best)
        for i in left.tolist():
            # The first set may have been right, at a vertex that has multipliers of many kinds.
            row = slice(i, i + 1)
            z = first.z[row]
            proof = _held_by(self.matrices, c[row], sides.take(row), z)
            if proof is not None:
                found = found.put(torch.tensor([i]), _Found(z, *proof, torch.tensor([True])))
        return found

    def _guess(self, c: torch.Tensor, sides: Sides, accuracy: float) -> Guess:
        """Return what the interior point method says, without what fills sizes up."""
        (b, h, lower, upper), n, m = sides, self.n, self.m
        plain = b, h[:, :m], lower[:, :n], upper[:, :n]
        active, multipliers, reach = self.interior_point.guess(
            c[:, :n].numpy(), [each.numpy() for each in plain], accuracy
        )
        n, r = len(self.matrices.quadratic), len(self.matrices.rows)
        active = ActiveSet(
            widened(active.lower, n, 1),
            widened(active.upper, n),
            widened(active.rows, r - self.matrices.n_equations),
        )
        return Guess(active, widened(multipliers, r), reach)


class _Found(NamedTuple):
    """Points, what may prove them, whether they are best, and the factors where there are such."""

    z: torch.Tensor
    multipliers: torch.Tensor
    active: ActiveSet
    is_best: torch.Tensor
    factor: Factor | None = None

    def put(self, index: torch.Tensor, other: "_Found") -> "_Found":
        """Return these points with some replaced by others."""

        def put(one: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
            return one.index_put((index,), to)

        return _Found(
            put(self.z, other.z),
            put(self.multipliers, other.multipliers),
            ActiveSet(*(put(*pair) for pair in zip(self.active, other.active, strict=True))),
            put(self.is_best, other.is_best),
        )


class _Point(NamedTuple):
    """Where an active set leads: the point, whether it is best, and the set to try next."""

    z: torch.Tensor
    multipliers: torch.Tensor
    is_best: torch.Tensor
    next: ActiveSet
    factor: Factor

    @classmethod
    def of(
        cls,
        matrices: Matrices,
        c: torch.Tensor,
        sides: Sides,
        active: ActiveSet,
        multipliers: torch.Tensor,
        share: torch.Tensor | None = None,
    ) -> "_Point":
        """Return the points of a batch; multipliers (B, p + m) are near the right ones.

        The points are those for a share (B, 1) of the costs, if given, and checked for all of them.
        """
        factor = Factor(matrices, active)
        held = torch.where(active.lower, sides.lower, torch.where(active.upper, sides.upper, 0.0))
        right = -c - matrices.times_quadratic(held)
        ends = torch.cat([sides.b, torch.where(active.rows, sides.h, 0.0)], dim=1)
        ends = ends - matrices.values(held)
        x, v = factor.solve(right, ends)
        if share is not None:
            x, _ = factor.solve(-c * share - matrices.times_quadratic(held), ends)
        z = held + x
        check = _Check.of(matrices, c, sides, active, z)
        wrong = check.signs(v)
        is_best = check.is_feasible & ~_any(wrong) & check.is_still(v)
        doubtful = check.is_feasible & ~is_best
        if doubtful.any():
            # Multipliers of rows that depend on one another are not unique: others may have the
            # right signs, and those near the given ones do where the set is right.
            near = multipliers * factor.active
            _, change = factor.solve(right - matrices.spread(near), ends)
            again = check.signs(near + change)
            proven = doubtful & ~_any(again) & check.is_still(near + change)
            is_best, v = is_best | proven, torch.where(proven[:, None], near + change, v)
        z = z.clamp(sides.lower, sides.upper)
        return cls(z, v, is_best, check.next(active, wrong), factor)


def _held_by(
    matrices: Matrices, c: torch.Tensor, sides: Sides, z: torch.Tensor
) -> tuple[torch.Tensor, ActiveSet] | None:
    """Return multipliers and constraints that prove the point (1, n) of a program best, if any."""
    p, left = matrices.n_equations, matrices.values(z)
    near = _allowed(matrices, c, sides, z)
    if ((left[:, :p] - sides.b).abs() > near.b).any():
        return None
    gaps = z - sides.lower, sides.upper - z, sides.h - left[:, p:]
    slacks = [
        (gap / allowed.clamp_min(1e-300))[0].numpy()
        for gap, allowed in zip(gaps, (near.lower, near.upper, near.h), strict=True)
    ]
    if any((each < -1.0).any() for each in slacks):
        return None
    curved, rows = matrices.times_quadratic(z), matrices.rows.numpy()
    size = (curved.abs() + c.abs())[0].numpy()
    proof = with_signs((curved + c)[0].numpy(), size, rows[:p], rows[p:], slacks)
    if proof is None:
        return None
    *of_limits, of_equations = (torch.as_tensor(each)[None] for each in proof)
    held = ActiveSet(*(each > 0 for each in of_limits))
    return torch.cat([of_equations, of_limits[-1]], dim=1), held


class _Check(NamedTuple):
    """What can be said of points (B, n) without multipliers, and the sizes to compare with."""

    matrices: Matrices
    active: ActiveSet
    is_fixed: torch.Tensor
    is_feasible: torch.Tensor
    misses: ActiveSet
    pull: torch.Tensor
    size: torch.Tensor

    @classmethod
    def of(
        cls,
        matrices: Matrices,
        c: torch.Tensor,
        sides: Sides,
        active: ActiveSet,
        z: torch.Tensor,
    ) -> "_Check":
        p, left = matrices.n_equations, matrices.values(z)
        off, over = (left[:, :p] - sides.b).abs(), left[:, p:] - sides.h
        near_b, near_h, near_l, near_u = _allowed(matrices, c, sides, z)
        misses = ActiveSet(sides.lower - z > near_l, z - sides.upper > near_u, over > near_h)
        holds = (off <= near_b).all(dim=1) & ((over.abs() <= near_h) | ~active.rows).all(dim=1)
        curved = matrices.times_quadratic(z)
        return cls(
            matrices,
            active,
            sides.upper - sides.lower <= near_l + near_u,
            holds & ~_any(misses),
            misses,
            curved + c,
            curved.abs() + c.abs(),
        )

    def _force(self, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the slope in each variable (B, n), and its rounding error."""
        size = self.size + self.matrices.spread_sizes(v.abs())
        return self.pull + self.matrices.spread(v), _TOLERANCE * size

    def is_still(self, v: torch.Tensor) -> torch.Tensor:
        """Return at which points (B,) the slopes of all variables that are not at a bound are 0."""
        force, near = self._force(v)
        still = ((force.abs() <= near) | self.active.held).all(dim=1)
        return still & torch.isfinite(v).all(dim=1)

    def signs(self, v: torch.Tensor) -> ActiveSet:
        """Return the active constraints whose multipliers have the wrong sign."""
        force, near = self._force(v)
        return ActiveSet(
            self.active.lower & ~self.is_fixed & (force < -near),
            self.active.upper & ~self.is_fixed & (force > near),
            self.active.rows
            & (v < -self.matrices.value_sizes(near))[:, self.matrices.n_equations :],
        )

    def next(self, active: ActiveSet, wrong: ActiveSet) -> ActiveSet:
        """Return the set without constraints of wrong sign, and with those that are violated."""
        lower, upper, rows = (
            (held & ~pulls) | missed
            for held, pulls, missed in zip(active, wrong, self.misses, strict=True)
        )
        return ActiveSet(lower & ~(upper & self.misses.upper), upper & ~self.misses.lower, rows)


def _any(constraints: ActiveSet) -> torch.Tensor:
    """Return in which programs (B,) there is one."""
    return torch.cat(constraints, dim=1).any(dim=1)


def _allowed(matrices: Matrices, c: torch.Tensor, sides: Sides, z: torch.Tensor) -> Sides:
    """Return by how much points (B, n) may miss each limit: a share of its terms, and rounding."""
    # Beside steps and limits that are larger by far, limits near 0 cannot be kept exactly.
    limits = _finite(torch.cat(sides, dim=1))
    if matrices.is_definite:
        step = c.abs().amax(dim=1, keepdim=True) / matrices.unit
        least = torch.minimum(step, limits.amax(dim=1, keepdim=True))
    else:  # costs do not tell how far decisions go
        least = torch.where(limits > 0, limits, torch.inf).amin(dim=1, keepdim=True)
        least = torch.where(torch.isfinite(least), least, 0.0)
    reach = torch.maximum(z.abs().amax(dim=1, keepdim=True), least)
    b, h = matrices.value_sizes(z.abs()).split([sides.b.shape[1], sides.h.shape[1]], dim=1)
    terms = Sides(b, h, z.abs(), z.abs())
    pairs = zip(terms, sides, strict=True)
    return Sides(*(_TOLERANCE * (one + _finite(limit)) + _ROUNDING * reach for one, limit in pairs))


def _finite(limit: torch.Tensor) -> torch.Tensor:
    """Return the sizes of limits, 0 for infinite ones."""
    return torch.where(torch.isfinite(limit), limit.abs(), 0.0)
