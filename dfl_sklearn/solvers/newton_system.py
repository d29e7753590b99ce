"""The linear systems of an interior point method, one per row of a batch."""

from typing import Any, NamedTuple

import torch

N_REFINEMENTS = 3


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

    def __init__(self, qp: Any, weights: Weights) -> None:
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
        n_refinements: int = N_REFINEMENTS,
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


def _factored(
    matrices: torch.Tensor, size: torch.Tensor, trace: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Cholesky factors with a trace of `size` (B, n) on the diagonal, and what failed."""
    return torch.linalg.cholesky_ex(_with_diagonal(matrices.clone(), trace * size + 1e-300))


def _with_diagonal(matrices: torch.Tensor, diagonal: torch.Tensor) -> torch.Tensor:
    """Add to the diagonals (B, n) of matrices (B, n, n), in place."""
    matrices.diagonal(dim1=1, dim2=2).add_(diagonal)
    return matrices
