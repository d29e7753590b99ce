"""The coordinates of a diffusion model: columns made comparable and uncorrelated.

In these coordinates a Gaussian table is standard normal, and the denoiser of a standard
normal is known. The net of a diffusion model then learns only what is not Gaussian.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lapack

from .._utils.powers import size_exponent

# Excess kurtosis beyond which a column is compressed: that of the exponential distribution.
_HEAVY = 6.0
RANK_TOL = 1e-8  # share of a column's variance that the others must leave unexplained
_FEW_VALUES = 20  # integer columns with at most this many values generate only these


@dataclass
class ColumnCoordinates:
    """A map between tables (n, p) and coordinates (n, d), d <= p, fitted on weighted rows.

    In order: heavy-tailed columns are compressed by ``asinh((x - median) / spread)``; all are
    standardised; columns that are constant or affine functions of others are left out, and
    restored exactly by the inverse; the rest is whitened with the shrunk correlation matrix,
    by its symmetric root, which keeps each coordinate as close to its column as possible.
    """

    center: np.ndarray
    spread: np.ndarray
    compressed: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    kept: np.ndarray
    rebuild: np.ndarray
    whiten: np.ndarray
    unwhiten: np.ndarray
    integers: dict[int, np.ndarray | None]
    shrinkage: float

    @classmethod
    def fit(cls, Z: np.ndarray, weight: np.ndarray, what: str = "Column") -> "ColumnCoordinates":
        """Fit on rows of a table with positive weights; errors call a column `what`."""
        check_span(Z, what)
        share = weight / weight.sum()
        center, spread, compressed = _tails(Z, share)
        values = np.where(compressed, np.arcsinh((Z - center) / spread), Z)
        exponent = size_exponent(values)
        near_one = np.ldexp(values, -exponent)
        mean = share @ near_one
        scale = np.sqrt(share @ (near_one - mean) ** 2)
        # The mean of a constant column may differ from its value by a rounding error.
        constant = (values == values[0]).all(axis=0) | (scale <= 1e-14 * np.abs(mean))
        mean = np.where(constant, values[0], np.ldexp(mean, exponent))
        scale = np.ldexp(scale, exponent)
        standard = (values - mean) / np.where(constant, 1.0, scale)
        correlation = (standard * share[:, None]).T @ standard
        kept = independent(correlation, ~constant, len(Z))
        # Columns left out are computed by regression on those kept, exactly where the fit is exact.
        part = correlation[np.ix_(kept, kept)]
        rebuild = (
            np.linalg.lstsq(part, correlation[kept], rcond=None)[0]
            if len(kept)
            else (np.zeros((0, Z.shape[1])))
        )
        n_effective = 1.0 / float(share @ share)
        shrinkage = _oas(part, n_effective)
        shrunk = (1 - shrinkage) * part + shrinkage * np.eye(len(kept))
        sizes, vectors = np.linalg.eigh(shrunk) if len(kept) else (np.zeros(0), np.zeros((0, 0)))
        return cls(
            center=center,
            spread=spread,
            compressed=compressed,
            mean=mean,
            scale=np.where(constant, 0.0, scale),
            kept=kept,
            rebuild=rebuild,
            whiten=(vectors / np.sqrt(sizes)) @ vectors.T,
            unwhiten=(vectors * np.sqrt(sizes)) @ vectors.T,
            integers=_integer_columns(Z),
            shrinkage=shrinkage,
        )

    @property
    def n_coordinates(self) -> int:
        """Number of coordinates d."""
        return len(self.kept)

    def with_columns_kept(self) -> "ColumnCoordinates":
        """Return the map whose inverse leaves the kept columns as they are, even with few rows."""
        rebuild = self.rebuild.copy()
        rebuild[:, self.kept] = np.eye(self.n_coordinates)
        return replace(self, rebuild=rebuild)

    def forward(self, Z: np.ndarray) -> np.ndarray:
        """Map rows (n, p) to coordinates (n, d)."""
        return self.standard(Z) @ self.whiten

    def inverse(self, coordinates: np.ndarray) -> np.ndarray:
        """Map coordinates (n, d) to rows (n, p), integer columns rounded."""
        return self.of_standard(coordinates @ self.unwhiten)

    def standard(self, Z: np.ndarray) -> np.ndarray:
        """Return the columns kept (n, d), compressed and standardised, before the whitening."""
        values = np.where(self.compressed, np.arcsinh((Z - self.center) / self.spread), Z)
        return (values[:, self.kept] - self.mean[self.kept]) / self.scale[self.kept]

    def of_standard(self, standard: np.ndarray) -> np.ndarray:
        """Return rows (n, p) for the standardised columns kept (n, d)."""
        values = self.mean + (standard @ self.rebuild) * self.scale
        with np.errstate(over="ignore"):
            Z = np.where(self.compressed, self.center + self.spread * np.sinh(values), values)
        for column, seen in self.integers.items():
            Z[:, column] = np.round(Z[:, column]) if seen is None else nearest(seen, Z[:, column])
        return Z

    def log_det(self, Z: np.ndarray) -> np.ndarray:
        """Return log |d coordinates / d kept columns| of each row, shape (n,)."""
        constant = np.linalg.slogdet(self.whiten)[1] - np.log(self.scale[self.kept]).sum()
        return constant + self._log_compression(Z).sum(axis=1)

    def log_slopes(self, Z: np.ndarray) -> np.ndarray:
        """Return the logarithm (n, d) of the slope of each standardised column in its column."""
        return self._log_compression(Z) - np.log(self.scale[self.kept])

    def _log_compression(self, Z: np.ndarray) -> np.ndarray:
        u = ((Z - self.center) / self.spread)[:, self.kept]
        slope = -0.5 * np.log1p(u**2) - np.log(self.spread[self.kept])
        return np.where(self.compressed[self.kept], slope, 0.0)


def check_span(Z: np.ndarray, what: str) -> None:
    """Raise where the range of a column, called `what`, is more than a float holds."""
    with np.errstate(over="ignore"):
        too_wide = ~np.isfinite(Z.max(axis=0) - Z.min(axis=0))
    if too_wide.any():
        raise ValueError(
            f"{what} {int(too_wide.argmax())} spans more than a float holds: divide it by a "
            "number of its size."
        )


def nearest(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the entry of the sorted `values` nearest to each entry of `x`."""
    middle = (values[1:] + values[:-1]) / 2
    return values[np.searchsorted(middle, x)]


def _tails(Z: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the median and spread of each column, and which columns are heavy-tailed."""
    order = np.argsort(Z, axis=0, kind="stable")
    ranked = np.take_along_axis(Z, order, axis=0)
    mass = np.cumsum(share[order], axis=0)
    quartiles = [
        np.take_along_axis(ranked, (mass >= q * mass[-1]).argmax(axis=0)[None], axis=0)[0]
        for q in (0.25, 0.5, 0.75)
    ]
    spread = (quartiles[2] - quartiles[0]) / 1.349
    # The kurtosis has no unit, so numbers are scaled to near 1: fourth powers do not overflow.
    near_one = np.ldexp(Z, -size_exponent(Z))
    deviation = near_one - share @ near_one
    second = share @ deviation**2
    usable = (spread > 0) & (second > 0)
    kurtosis = (share @ deviation**4) / np.where(usable, second, 1.0) ** 2 - 3.0
    return quartiles[1], np.where(usable, spread, 1.0), usable & (kurtosis > _HEAVY)


def independent(correlation: np.ndarray, varying: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the columns that are not affine functions of others, in order.

    With no more rows than columns, any column is an affine function of the others. Then only
    copies of another column (up to scale and offset) are left out.
    """
    candidates = np.flatnonzero(varying)
    if not len(candidates):
        return candidates
    part = correlation[np.ix_(candidates, candidates)]
    _, pivots, rank, _ = lapack.dpstrf(part, tol=RANK_TOL)
    if rank < n_rows - 1:
        return np.sort(candidates[pivots[:rank] - 1])
    copies = np.triu(np.abs(part) > 1 - RANK_TOL, k=1).any(axis=0)
    return candidates[~copies]


def _oas(correlation: np.ndarray, n: float) -> float:
    """Return the oracle-approximating shrinkage of a correlation matrix to the identity.

    Chen, Wiesel, Eldar and Hero (2010), with the effective number of rows.
    """
    d = len(correlation)
    if d < 2:
        return 0.0
    trace_of_square, square_of_trace = float((correlation**2).sum()), float(d**2)
    above = (1 - 2 / d) * trace_of_square + square_of_trace
    below = (n + 1 - 2 / d) * (trace_of_square - square_of_trace / d)
    return 1.0 if below <= 0 else min(1.0, above / below)


def _integer_columns(Z: np.ndarray) -> dict[int, np.ndarray | None]:
    """Return the columns of integers, with their values where these are few."""
    found: dict[int, np.ndarray | None] = {}
    for column in np.flatnonzero((np.round(Z) == Z).all(axis=0)):
        values = np.unique(Z[:, column])
        if len(values) > 1:
            found[int(column)] = values if len(values) <= _FEW_VALUES else None
    return found
