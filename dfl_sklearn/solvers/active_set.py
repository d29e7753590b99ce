"""Quadratic programs whose active set is known: one linear system for minimiser and slopes."""

from typing import NamedTuple

import torch

_N_REFINEMENTS = 1
_SHIFT = 1e-6  # of Q where it is singular, as a share of its largest entry
_N_SHIFTED_REFINEMENTS = 4  # each takes away what the shift did, where the minimiser is unique
_UNIQUE = 1e-6  # of a slope: what may be left of it
_TRACES = (1e-14, 1e-11, 1e-8)  # on the diagonal where active rows depend on one another


class ActiveSet(NamedTuple):
    """Which constraints of each program hold with equality, beside its equations.

    Attributes
    ----------
    lower, upper : torch.Tensor of bool of shape (B, n)
        Active bounds; at most one of each variable.
    rows : torch.Tensor of bool of shape (B, m)
        Active inequalities.
    """

    lower: torch.Tensor
    upper: torch.Tensor
    rows: torch.Tensor

    @property
    def held(self) -> torch.Tensor:
        """Mask (B, n) of the variables that are at a bound."""
        return self.lower | self.upper

    def take(self, index: torch.Tensor) -> "ActiveSet":
        """Return the sets of some programs."""
        return ActiveSet(*(each[index] for each in self))


class Matrices:
    """Q, and the rows of equations and inequalities one below the other, M.

    Parameters
    ----------
    quadratic : torch.Tensor of shape (n,) or (n, n)
        Q, positive definite; its diagonal where it has nothing else.
    A, G : torch.Tensor of shape (p, n) and (m, n)
        Rows of equations and of inequalities; n and p + m are multiples of 8, see :class:`Times`.
    is_definite : bool, default=True
        False where Q is only positive semidefinite, or 0. It is then shifted to be factored, and
        the factor's solutions are refined: these are the steps of a proximal point method.
    """

    def __init__(
        self, quadratic: torch.Tensor, A: torch.Tensor, G: torch.Tensor, is_definite: bool = True
    ) -> None:
        self.quadratic, self.n_equations = quadratic, len(A)
        self.unit = float(quadratic.abs().max()) or 1.0
        self.is_definite, self.factored = is_definite, quadratic
        if not is_definite:
            shift = torch.full((len(quadratic),), _SHIFT * self.unit).to(quadratic)
            self.factored = quadratic + (torch.diag(shift) if quadratic.ndim == 2 else shift)
        self.rows = torch.cat([A, G])
        self.pairs = RowPairs.of(self.rows) if quadratic.ndim == 1 else None
        self.values, self.spread = Times(self.rows.T), Times(self.rows)  # M z and M' v
        sizes = self.rows.abs()
        self.value_sizes, self.spread_sizes = Times(sizes.T), Times(sizes)
        self._times_full = Times(quadratic) if quadratic.ndim == 2 else None

    def times_quadratic(self, z: torch.Tensor) -> torch.Tensor:
        """Return Q z."""
        return z * self.quadratic if self._times_full is None else self._times_full(z)


class Times:
    """Multiplication by a matrix (n, k) from the right, bit-equal for a row alone or in a batch.

    The order of summation in a product of matrices depends on the alignment of a row in memory.
    With n a multiple of 8, all rows are aligned alike, at multiples of 64 bytes.
    """

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix.contiguous()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product (B, k) for x (B, n)."""
        return torch.bmm(x[:, None], self.matrix.expand(len(x), -1, -1))[:, 0]


def eights(n: int) -> int:
    """Return the next multiple of 8."""
    return -(-n // 8) * 8


def widened(x: torch.Tensor, n: int, value: float = 0.0) -> torch.Tensor:
    """Return x (B, k) with more columns, n in all, of one value."""
    return torch.cat([x, x.new_full((len(x), n - x.shape[1]), value)], dim=1)


class RowPairs:
    """Products of the entries that two rows of a sparse M have in the same column.

    M diag(w) M' is linear in w. Where M is sparse, as with flows and matchings, few products are
    nonzero. Summing only these saves nearly all the work.

    Parameters
    ----------
    place, column : torch.Tensor of shape (k,)
        Place of each product in M diag(w) M', counted row by row, and its column of M.
    product : torch.Tensor of shape (k,)
    n_rows : int
    """

    def __init__(
        self, place: torch.Tensor, column: torch.Tensor, product: torch.Tensor, n_rows: int
    ) -> None:
        self.place, self.column, self.product = place, column, product[:, None]
        self.n_rows = n_rows

    @classmethod
    def of(cls, rows: torch.Tensor) -> "RowPairs | None":
        """Return the products of a matrix M (m, n), or None if it is too dense for this to pay."""
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
        return cls(i * m + k, j, rows[i, j] * rows[k, j], m)

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        """Return M diag(w) M' (B, m, m) for weights (B, n)."""
        m, B = self.n_rows, len(weight)
        found = weight.new_zeros((m * m, B))
        found.index_add_(0, self.place, self.product * weight.T[self.column])
        return found.T.reshape(B, m, m)


class Factor:
    r"""The factors of :math:`H x + M^\top v = r,\ M x = s` on the active set of each program.

    H is Q on the variables that no bound holds; x is 0 on the others, and v on rows that are not
    active. The factors can be used for several right-hand sides.
    """

    def __init__(self, matrices: Matrices, active: ActiveSet) -> None:
        self.matrices, self.free, self.at = matrices, ~active.held, (active.lower, active.upper)
        p, rows = matrices.n_equations, matrices.rows
        self.active = torch.cat([active.rows.new_ones((len(active.rows), p)), active.rows], dim=1)
        quadratic = matrices.factored
        self.inverse: torch.Tensor | None = None
        self.hessian: torch.Tensor | None = None
        if quadratic.ndim == 1:
            self.inverse = self.free / quadratic
            if matrices.pairs is not None:
                schur = matrices.pairs(self.inverse)
            else:
                schur = torch.bmm(
                    rows * self.inverse[:, None], rows.T.expand(len(self.free), -1, -1)
                )
        else:
            both = self.free[:, :, None] & self.free[:, None]
            hessian = torch.where(both, quadratic, 0.0)
            hessian.diagonal(dim1=1, dim2=2).add_((~self.free).to(hessian))
            self.hessian = torch.linalg.cholesky(hessian)
            columns = (rows * self.free[:, None]).transpose(1, 2)
            schur = columns.transpose(1, 2) @ torch.cholesky_solve(columns, self.hessian)
        both = self.active[:, :, None] & self.active[:, None]
        schur = torch.where(both, schur, 0.0)
        size = torch.where(self.active, schur.diagonal(dim1=1, dim2=2), 0.0)
        largest = size.amax(dim=1, keepdim=True) if size.shape[1] else size
        schur.diagonal(dim1=1, dim2=2).add_((~self.active).to(schur))
        self.schur, failed = _factored(schur, size, largest, _TRACES[0])
        for trace in _TRACES[1:]:
            # Each program gets the least trace that suffices for it, whatever the others need.
            again = torch.nonzero(failed)[:, 0]
            if not len(again):
                break
            parts = schur[again], size[again], largest[again]
            self.schur[again], failed[again] = _factored(*parts, trace)

    def solve(self, right: torch.Tensor, sides: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x (B, n) and v (B, p + m) for r (B, n) and s (B, p + m)."""
        right, sides = right * self.free, sides * self.active
        x, v = self._solve(right, sides)
        is_definite = self.matrices.is_definite
        if is_definite and not sides.shape[1]:
            return x, v
        # At a vertex the factor is ill-conditioned; refinements remove the error.
        for _ in range(_N_REFINEMENTS if is_definite else _N_SHIFTED_REFINEMENTS):
            left = self.matrices.times_quadratic(x) + self.matrices.spread(v)
            x_more, v_more = self._solve(
                right - left * self.free, sides - self.matrices.values(x) * self.active
            )
            x, v = x + x_more, v + v_more
        return x, v

    def is_unique(self, decided: torch.Tensor) -> torch.Tensor:
        """Return a mask (B,) of the programs whose active set determines the decided variables.

        If decisions can move in a direction at no cost, no x can balance a slope in that direction.
        `decided` (n,) is True for the variables that count.
        """
        if self.matrices.is_definite:
            return torch.ones(len(self.free), dtype=torch.bool)
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(self.free.shape[1], generator=generator, dtype=torch.float64) * decided
        x, v = self.solve(probe.expand(self.free.shape), probe.new_zeros(self.active.shape))
        left = probe - self.matrices.times_quadratic(x) - self.matrices.spread(v)
        return ((left.abs() <= _UNIQUE) | ~self.free).all(dim=1)

    def slopes(self, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the slopes in c, b, h, l and u of a function whose gradient (B, n) is given."""
        p, matrices = self.matrices.n_equations, self.matrices
        x, v = self.solve(gradient, gradient.new_zeros(self.active.shape))
        at_bounds = gradient - matrices.times_quadratic(x) - matrices.spread(v)
        lower, upper = (torch.where(each, at_bounds, 0.0) for each in self.at)
        return -x, v[:, :p], v[:, p:], lower, upper

    def _solve(self, right: torch.Tensor, sides: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._divide(right)
        if not sides.shape[1]:
            return x, sides
        target = (self.matrices.values(x) - sides) * self.active
        v = torch.cholesky_solve(target[..., None], self.schur)[..., 0]
        return self._divide(right - self.matrices.spread(v) * self.free), v

    def _divide(self, right: torch.Tensor) -> torch.Tensor:
        """Return the solution of H x = right."""
        if self.inverse is not None:
            return right * self.inverse
        assert self.hessian is not None
        return torch.cholesky_solve(right[..., None], self.hessian)[..., 0]


def _factored(
    matrices: torch.Tensor, size: torch.Tensor, largest: torch.Tensor, trace: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Cholesky factors with a trace on the diagonal, and which of them failed."""
    matrices = matrices.clone()
    matrices.diagonal(dim1=1, dim2=2).add_(trace * torch.maximum(size, largest) + 1e-300)
    return torch.linalg.cholesky_ex(matrices)
