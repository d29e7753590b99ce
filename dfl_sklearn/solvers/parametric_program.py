"""Programs in standard form for many parameters: minimisers, values and their slopes."""

from typing import Any, NamedTuple

import numpy as np
import torch

from .active_set import Factor, Times, eights, widened
from .quadratic_programs import QuadraticPrograms, Sides
from .scaling import balanced
from .standard_form import StandardForm
from .unit_rows import independent, unit_rows

_MOST_AT_A_TIME = 10_000_000  # entries of the linear systems of a batch
_DEFINITE = 1e-8  # of the largest eigenvalue of a matrix: its least one
_WIDE = 1e12  # between right-hand sides, above which minimisers are not to be trusted
_CANCELLED = 1e-14  # of the terms of a sum, below which it is an error of rounding
_HOLDS = 1e-9  # what is left of an equation that follows from others, as a share of its terms


class Answer(NamedTuple):
    """The results for each row of parameters.

    Attributes
    ----------
    x : torch.Tensor of shape (B, n)
        The minimiser; NaN where no point was proven optimal.
    value : torch.Tensor of shape (B,)
        The least value, without the offset.
    is_solved, is_unique : torch.Tensor of bool of shape (B,)
        Whether x is a minimiser, and whether all have the same decided variables. The slopes of
        these are right there.
    """

    x: torch.Tensor
    value: torch.Tensor
    is_solved: torch.Tensor
    is_unique: torch.Tensor


class ParametricProgram:
    """A standard form, its matrices scaled and its factors prepared once.

    Constraints on a single variable become bounds, and equations that follow from others are only
    checked. The result for one row of parameters does not depend on the others.

    Parameters
    ----------
    form : StandardForm
    decided : ndarray of int of shape (k,), default=None
        The variables that have to be the same in all minimisers; None is all of them.
    """

    def __init__(self, form: StandardForm, decided: np.ndarray | None = None) -> None:
        self.decided = torch.zeros(form.A.shape[1], dtype=torch.bool)
        self.decided[slice(None) if decided is None else torch.as_tensor(decided)] = True
        _, self.columns = balanced(form.A)
        A = form.A.toarray() * self.columns
        quadratic = _quadratic(form, self.columns)
        self.costs = Affine(form.costs * self.columns)
        p = form.n_equations
        equations, size = unit_rows(A[:p])
        kept = independent(equations)
        follow = np.setdiff1d(np.arange(p), kept)
        self.follow = equations[follow] @ np.linalg.pinv(equations[kept]) if len(follow) else None
        self.equations = Affine(_divided(form.sides[:, kept], size, kept))
        self.followers = Affine(_divided(form.sides[:, follow], size, follow))
        rows, right = A[p:], form.sides[:, p:]
        filled = (rows != 0).sum(axis=1)
        self.empty = Affine(right[:, filled == 0])
        single, others = np.flatnonzero(filled == 1), np.flatnonzero(filled > 1)
        at = np.abs(rows[single]).argmax(axis=1)
        entry = rows[single, at]
        ends, n = right[:, single] / entry, len(self.columns)
        self.lower = _Bounds.of(ends[:, entry < 0], at[entry < 0], n, -np.inf)
        self.upper = _Bounds.of(ends[:, entry > 0], at[entry > 0], n, np.inf)
        inequalities, size = unit_rows(rows[others])
        self.inequalities = Affine(_divided(right[:, others], size, np.arange(len(others))))
        least = np.linalg.eigvalsh(quadratic)[0] if quadratic.ndim == 2 else quadratic.min()
        self.program = QuadraticPrograms(
            torch.as_tensor(quadratic),
            torch.as_tensor(equations[kept]),
            torch.as_tensor(inequalities),
            is_definite=bool(least > _DEFINITE * np.abs(quadratic).max()),
        )
        n_entries = (len(kept) + len(others)) ** 2
        n_entries += len(self.columns) ** 2 if quadratic.ndim == 2 else 0
        self._at_a_time = max(1, _MOST_AT_A_TIME // max(1, n_entries))

    def solve(self, parameters: torch.Tensor) -> Answer:
        """Return minimisers and least values for parameters (B, q) in float64, differentiably."""
        known = torch.nonzero(torch.isfinite(parameters).all(dim=1))[:, 0]
        parts = [self._solve(parameters[i]) for i in known.split(self._at_a_time) if len(i)]
        empty = Answer(
            parameters.new_full((len(parameters), len(self.columns)), torch.nan),
            parameters.new_full((len(parameters),), torch.nan),
            *torch.zeros((2, len(parameters)), dtype=torch.bool),
        )
        if not parts:
            return empty
        found = (torch.cat(each) for each in zip(*parts, strict=True))
        put = (one.index_put((known,), to) for one, to in zip(empty, found, strict=True))
        return Answer(*put)

    def _solve(self, parameters: torch.Tensor) -> Answer:
        sides = Sides(
            self.equations(parameters),
            self.inequalities(parameters),
            self.lower(parameters),
            self.upper(parameters),
        )
        x, value, is_solved, is_unique = _Minimum.apply(
            self.costs(parameters), *sides, self.program, self.decided
        )
        is_solved = is_solved & self._is_possible(parameters.detach(), sides.b.detach())
        x = x * torch.as_tensor(self.columns)
        nowhere = torch.nonzero(~is_solved)[:, 0]
        if len(nowhere):
            nan = x.new_tensor(torch.nan)
            x, value = x.index_put((nowhere,), nan), value.index_put((nowhere,), nan)
        is_unique = is_unique & ~self._is_too_wide(parameters.detach())
        return Answer(x, value, is_solved, is_unique & is_solved)

    def _is_too_wide(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return in which rows (B,) right-hand sides lie too far apart to trust the minimiser.

        Costs are compared in floats: beside a need of 1e15 that cannot be met they do not show
        whether a need of 4 is. What remains where terms cancel counts as 0.
        """
        largest = parameters.new_zeros(len(parameters))
        least = torch.full_like(largest, torch.inf)
        ends = self.equations, self.inequalities, self.lower.values, self.upper.values
        for each in ends:
            if each.k:
                size = each(parameters).abs()
                size = torch.where(size > _CANCELLED * each.sizes(parameters), size, 0.0)
                largest = torch.maximum(largest, size.amax(dim=1))
                size = torch.where(size > 0, size, torch.inf)
                least = torch.minimum(least, size.amin(dim=1))
        return largest > _WIDE * least

    def _is_possible(self, parameters: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return whether rows (B,) satisfy the constraints that are not passed to the solver."""
        right, allowed = self.empty(parameters), _HOLDS * self.empty.sizes(parameters)
        possible = (right >= -allowed).all(dim=1)
        if self.follow is not None:
            follow = torch.as_tensor(self.follow)
            asked = self.followers(parameters)
            off = (b @ follow.T - asked).abs()
            size = b.abs() @ follow.abs().T + self.followers.sizes(parameters)
            possible &= (off <= _HOLDS * size).all(dim=1)
        return possible


class Affine:
    """An affine function of parameters (B, q), bit-equal for a row alone or in a batch."""

    def __init__(self, matrix: np.ndarray) -> None:
        slope, start = torch.as_tensor(matrix[:-1]), torch.as_tensor(matrix[-1])
        self.q, self.k = eights(len(slope)), matrix.shape[1]
        slope = widened(slope.T, self.q).T
        self.times, self.start = Times(widened(slope, eights(self.k))), start
        self.times_sizes = Times(self.times.matrix.abs())

    def __call__(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return its values (B, k)."""
        return self.times(widened(parameters, self.q))[:, : self.k] + self.start

    def sizes(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return the sums of the absolute terms of its values (B, k)."""
        sizes = self.times_sizes(widened(parameters.abs(), self.q))[:, : self.k]
        return sizes + self.start.abs()


class _Bounds(NamedTuple):
    """The lower or upper ends of variables, of several the tightest; infinite where there is none.

    Attributes
    ----------
    values : Affine
        All ends.
    places : torch.Tensor of shape (n, r)
        Which of them each variable has; one more than there are stands for none.
    nothing : float
        The end where there is none.
    """

    values: Affine
    places: torch.Tensor
    nothing: float

    @classmethod
    def of(cls, ends: np.ndarray, at: np.ndarray, n: int, nothing: float) -> "_Bounds":
        counts = np.bincount(at, minlength=n)
        places = np.full((n, max(1, counts.max())), len(at))
        order = np.argsort(at, kind="stable")
        nth = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
        places[at[order], nth] = order
        return cls(Affine(ends), torch.as_tensor(places), nothing)

    def __call__(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return the ends (B, n)."""
        values = widened(self.values(parameters), self.values.k + 1, self.nothing)
        ends = values[:, self.places]
        if self.places.shape[1] == 1:
            return ends[..., 0]
        return ends.amax(dim=2) if self.nothing < 0 else ends.amin(dim=2)


class _Minimum(torch.autograd.Function):
    """Minimisers and least values, with their slopes where the minimiser is unique."""

    @staticmethod
    def forward(
        ctx: Any,
        c: torch.Tensor,
        b: torch.Tensor,
        h: torch.Tensor,
        lower: torch.Tensor,
        upper: torch.Tensor,
        program: QuadraticPrograms,
        decided: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        is_open = (lower <= upper).all(dim=1)
        # A row with a lower bound above the upper one is not solved.
        low = torch.where(is_open[:, None], lower, upper)
        x, multipliers, is_solved, factor = program.attempt(c, Sides(b, h, low, upper))
        curved = program.curved(x)
        value = ((0.5 * curved + c) * x).sum(dim=1)
        is_solved = is_solved & is_open
        ctx.program, ctx.factor = program, factor
        ctx.save_for_backward(x, curved + c, multipliers, is_solved)
        is_unique = program.is_unique(factor, decided)
        ctx.mark_non_differentiable(is_solved, is_unique)
        return x, value, is_solved, is_unique

    @staticmethod
    def backward(ctx: Any, of_x: Any, of_value: Any, *_: Any) -> tuple[torch.Tensor | None, ...]:
        x, pull, multipliers, is_solved = ctx.saved_tensors
        envelope = _of_value(ctx.program, ctx.factor, x, pull, multipliers)
        slopes = [of_value[:, None] * each for each in envelope]
        if of_x.any():
            of_minimiser = ctx.program.slopes(ctx.factor, of_x)
            slopes = [one + other for one, other in zip(slopes, of_minimiser, strict=True)]
        # Rows that were not solved may hold NaN or infinity, which times 0 is not 0.
        return *(torch.where(is_solved[:, None], each, 0.0) for each in slopes), None, None


def _of_value(
    program: QuadraticPrograms,
    factor: Factor,
    x: torch.Tensor,
    pull: torch.Tensor,
    multipliers: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Return the slopes of the least values in c, b, h, lower and upper ends: the multipliers."""
    p = program.matrices.n_equations
    force = pull + program.spread(multipliers)
    lower, upper = (torch.where(each[:, : x.shape[1]], force, 0.0) for each in factor.at)
    return x, -multipliers[:, :p], -multipliers[:, p:], lower, upper


def _quadratic(form: StandardForm, columns: np.ndarray) -> np.ndarray:
    """Return P in scaled variables, its diagonal (n,) where it has nothing else."""
    P = form.P.toarray() * columns * columns[:, None]
    diagonal = np.diag(P).copy()
    return diagonal if np.count_nonzero(P) == np.count_nonzero(diagonal) else (P + P.T) / 2


def _divided(sides: np.ndarray, size: Any, index: np.ndarray) -> np.ndarray:
    """Return right-hand sides of rows that have been given the length 1."""
    return np.ldexp(sides, -size.exponent[index]) / size.length[index]
