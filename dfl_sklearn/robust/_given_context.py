"""Coordinates of rows given their context: the residuals of a regression on it."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ._columns import RANK_TOL, ColumnCoordinates, check_span, independent

# Share of a column's largest deviation that rounding may add to a function of the context.
_EXACT = 1e-12
# Length of the context's coordinates as a net sees them, in standard deviations.
_INPUT_SIZE = 3.0
# Share of the degrees of freedom of the rows that the slopes of a column may use up.
_MOST_DEGREES = 1 / 3
_PENALTIES = 10.0 ** np.arange(4.0, -12.1, -0.25)


def input_scale(n_known: int) -> float:
    """Return the factor by which known coordinates are enlarged as inputs of a net."""
    return max(1.0, _INPUT_SIZE / float(np.sqrt(max(1, n_known))))


@dataclass
class TableCoordinates:
    """A map between rows of a table and the coordinates (n, d) in which a diffusion model works.

    Without a context they are those of :class:`ColumnCoordinates`. With one, the context has
    coordinates u (n, k) of its own, and those of a row are standard normal and independent of u
    where rows and contexts are jointly Gaussian.
    """

    table: ColumnCoordinates
    context: ColumnCoordinates | None = None
    given: "GivenContext | None" = None
    n_given: ClassVar[None] = None  # no columns of a row are given

    @classmethod
    def fit(
        cls, Z: np.ndarray, weight: np.ndarray, context: np.ndarray | None
    ) -> "TableCoordinates":
        """Fit on rows of a table (n, p) with positive weights, and their context (n, c) or None."""
        if context is None:
            return cls(ColumnCoordinates.fit(Z, weight))
        of_context = ColumnCoordinates.fit(context, weight, "Context column")
        if of_context.n_coordinates == 0:  # the context is the same in all rows
            return cls(ColumnCoordinates.fit(Z, weight), of_context)
        check_span(Z, "Column")
        share = weight / weight.sum()
        functions = AffineFunctions.fit(Z, context, share)
        table = ColumnCoordinates.fit(Z[:, ~functions.found], weight).with_columns_kept()
        u, standard = of_context.forward(context), table.standard(Z[:, ~functions.found])
        return cls(table, of_context, GivenContext.fit(standard, u, share, functions))

    @property
    def n_coordinates(self) -> int:
        """Number of coordinates d of a row."""
        return (self.given.residual if self.given else self.table).n_coordinates

    @property
    def n_known(self) -> int:
        """Number of coordinates k of the context."""
        return self.context.n_coordinates if self.context else 0

    @property
    def shrinkage(self) -> float:
        """Weight of the identity in the correlation matrix that whitens a row."""
        return (self.given.residual if self.given else self.table).shrinkage

    def known(self, context: Any) -> Any:
        """Return the coordinates (n, k) of a context (n, c) for a net, None without one.

        They are its columns, standardised but not whitened: a direction in which contexts hardly
        differ must stay small, or the net would learn from its noise. They are enlarged where k is
        small: an untrained net is nearly linear in inputs of size 1, and training could stop
        before the net has learnt how rows depend on a single context.
        """
        if self.context is None:
            return None
        return input_scale(self.n_known) * self.context.standard(context)

    def forward(self, Z: np.ndarray, context: Any = None) -> np.ndarray:
        """Map rows (n, p), with contexts (n, c), to coordinates (n, d)."""
        if self.context is None or self.given is None:
            return self.table.forward(Z)
        free = Z[:, ~self.given.functions.found]
        return self.given.forward(self.table.standard(free), self.context.forward(context))

    def inverse(self, z: np.ndarray, context: Any = None) -> np.ndarray:
        """Map coordinates (n, d), with contexts (n, c), to rows (n, p)."""
        if self.context is None or self.given is None:
            return self.table.inverse(z)
        functions, u = self.given.functions, self.context.forward(context)
        Z = np.empty((len(z), len(functions.found)))
        Z[:, ~functions.found] = self.table.of_standard(self.given.inverse(z, u))
        Z[:, functions.found] = functions(context)
        return Z

    def log_det(self, Z: np.ndarray, context: Any = None) -> np.ndarray:
        """Return log |d coordinates / d columns| (n,), over the columns that coordinates are of."""
        if self.context is None or self.given is None:
            return self.table.log_det(Z)
        free = Z[:, ~self.given.functions.found]
        slopes, standard = self.table.log_slopes(free), self.table.standard(free)
        return self.given.log_det(slopes, standard, self.context.forward(context))


@dataclass
class AffineFunctions:
    """The columns of a table that are affine functions of the context, to rounding errors.

    They are found before any column is compressed, and are generated exactly so.
    """

    found: np.ndarray
    integral: np.ndarray
    center: np.ndarray
    size: np.ndarray
    slope: np.ndarray

    @classmethod
    def fit(cls, Z: np.ndarray, context: np.ndarray, share: np.ndarray) -> "AffineFunctions":
        """Look for columns of Z (n, p) that the context (n, c) determines."""
        both = np.concatenate([context, Z], axis=1)
        center = both[int(share.argmax())]  # a row, whose values are exact even for huge columns
        deviation = both - center
        size = np.abs(deviation).max(axis=0)
        varies = size > 0
        deviation = deviation / np.where(varies, size, 1.0)
        c = context.shape[1]
        root = np.sqrt(share)[:, None]
        ones = np.ones((len(Z), 1))
        known = np.concatenate([ones, deviation[:, :c]], axis=1)
        slope, _, rank, _ = np.linalg.lstsq(root * known, root * deviation[:, c:], rcond=None)
        rounding = np.abs(both).max(axis=0) / np.where(varies, size, 1.0)
        rounding = rounding[c:] + np.concatenate([[1.0], rounding[:c]]) @ np.abs(slope)
        error = np.abs(deviation[:, c:] - known @ slope).max(axis=0)
        found = (error <= _EXACT + 16 * np.finfo(float).eps * rounding) & varies[c:]
        if rank >= len(Z) - 1:  # as many columns as rows: any column is such a function
            found[:] = False
        return cls(
            found=found,
            integral=(np.round(Z) == Z).all(axis=0)[found],
            center=np.concatenate([center[:c], center[c:][found]]),
            size=np.where(varies, size, 1.0)[np.concatenate([np.ones(c, dtype=bool), found])],
            slope=slope[:, found],
        )

    def __call__(self, context: np.ndarray) -> np.ndarray:
        """Return the columns (n, m) for a context (n, c)."""
        c = context.shape[1]
        known = (context - self.center[:c]) / self.size[:c]
        deviation = self.slope[0] + known @ self.slope[1:]
        columns = self.center[c:] + self.size[c:] * deviation
        return np.where(self.integral, np.round(columns), columns)


@dataclass
class GivenContext:
    """A map between the standardised columns (n, q) of a table and coordinates given a context.

    Columns that are affine functions of the context and of others are left out, and put back
    exactly on the way out. The others are regressed on the coordinates u of the context, and the
    residuals have :class:`ColumnCoordinates` of their own.
    """

    functions: AffineFunctions
    kept: np.ndarray
    rebuild: np.ndarray
    slope: np.ndarray
    residual: ColumnCoordinates

    @classmethod
    def fit(
        cls, standard: np.ndarray, u: np.ndarray, share: np.ndarray, functions: AffineFunctions
    ) -> "GivenContext":
        """Fit on standardised columns (n, q), contexts (n, k) and weights that sum to 1."""
        k, root = u.shape[1], np.sqrt(share)[:, None]
        kept = _unexplained(root * standard, root * u)
        known = root * np.concatenate([u, standard[:, kept]], axis=1)
        rebuild = np.linalg.lstsq(known, root * standard, rcond=None)[0]
        rebuild[:, kept] = np.eye(k + len(kept))[:, k:]
        slope, degrees = evidence_ridge(standard[:, kept], u, share)
        residual = ColumnCoordinates.fit(standard[:, kept] - u @ slope, share).with_columns_kept()
        # Residuals of the training rows are smaller than those of other rows.
        room = 1.0 / float(share @ share) - 1.0
        inflation = np.sqrt(room / (room - degrees)) if room > 0 else 1.0
        residual = replace(residual, scale=residual.scale * inflation, integers={})
        return cls(functions, kept, rebuild, slope, residual)

    def forward(self, standard: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Map standardised columns (n, q) to coordinates (n, d)."""
        return self.residual.forward(standard[:, self.kept] - u @ self.slope)

    def inverse(self, z: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Map coordinates (n, d) to standardised columns (n, q)."""
        kept = self.residual.inverse(z) + u @ self.slope
        return np.concatenate([u, kept], axis=1) @ self.rebuild

    def log_det(self, log_slopes: np.ndarray, standard: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return log |d coordinates / d columns| (n,), for the log slopes of `standard` (n, q)."""
        columns = self.kept[self.residual.kept]
        residual = standard[:, self.kept] - u @ self.slope
        return self.residual.log_det(residual) + log_slopes[:, columns].sum(axis=1)


def _unexplained(standard: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the columns that are not affine functions of the context and of other columns.

    Rows come multiplied by the roots of their weights.
    """
    left = standard - u @ np.linalg.lstsq(u, standard, rcond=None)[0]
    unexplained = left.T @ left
    # Where the rows are as few as all columns together, any column is such a function.
    if u.shape[1] + standard.shape[1] >= len(standard) - 1:
        return np.arange(standard.shape[1])
    varying = np.diag(unexplained) > RANK_TOL
    return independent(unexplained, varying, len(standard))


def evidence_ridge(
    columns: np.ndarray, u: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Regress each column (n, q) on u (n, k) with the ridge penalty of the largest evidence.

    The slopes of a column have a normal prior, whose width maximises the likelihood of the column
    with slopes integrated out and the noise profiled (MacKay, "Bayesian interpolation", 1992). A
    strong dependence is hardly shrunk; slopes that are only noise are shrunk to nearly nothing.

    Returns
    -------
    slope : ndarray of shape (k, q)
    degrees : ndarray of shape (q,)
        Degrees of freedom of the slopes, at most a third of those of the rows.
    """
    root = np.sqrt(share)[:, None]
    left, size, right = np.linalg.svd(root * u, full_matrices=False)
    part = left.T @ (root * columns)
    beyond = ((root * columns - left @ part) ** 2).sum(axis=0)
    room = 1.0 / float(share @ share) - 1.0
    best = np.full(columns.shape[1], np.inf)
    factor = np.zeros_like(part)
    for penalty in _PENALTIES:
        kept = size**2 / (size**2 + penalty)
        if kept.sum() > _MOST_DEGREES * room:
            break
        noise = beyond + (1 - kept) @ part**2
        cost = room * np.log(np.maximum(noise, 1e-300)) + np.log1p(size**2 / penalty).sum()
        better = cost < best
        best = np.where(better, cost, best)
        factor = np.where(better, kept[:, None], factor)
    ratio = np.divide(factor, size[:, None], out=np.zeros_like(factor), where=size[:, None] > 0)
    return right.T @ (ratio * part), factor.sum(axis=0)
