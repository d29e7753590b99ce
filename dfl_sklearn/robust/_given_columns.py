"""Rows of which some columns may be given: coordinates, and a net that knows which are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.rows import as_numpy_rows, check_finite, column_names
from .._utils.sklearn_private import _get_column_indices
from ._columns import ColumnCoordinates
from ._given_context import TableCoordinates, input_scale
from ._reverse import VelocityNet


@dataclass(frozen=True)
class GivenColumns:
    """The columns of a table that may be given, by position, and their names."""

    positions: tuple[int, ...]
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, selection: Any, Z: Any, n_columns: int) -> "GivenColumns":
        """Find the columns that a user has selected in Z."""
        table = Z if hasattr(Z, "columns") else np.empty((0, n_columns))
        try:
            positions = [int(each) for each in _get_column_indices(table, selection)]
        except (ValueError, IndexError, TypeError) as error:
            raise ValueError(f"given_columns={selection!r} are not columns of Z: {error}") from (
                error
            )
        if not 0 < len(positions) < n_columns or len(set(positions)) < len(positions):
            raise ValueError(
                f"given_columns={selection!r} must select some of the {n_columns} columns of Z, "
                f"not all, and none twice, but selects {positions}."
            )
        names = column_names(Z)
        return cls(tuple(positions), None if names is None else tuple(names[j] for j in positions))

    def values(self, given: Any, n_rows: int) -> np.ndarray:
        """Check the columns given to a method, and return their values (n, g)."""
        values, names = as_numpy_rows(given, "given"), column_names(given)
        shape = (n_rows, len(self.positions))
        if values.shape != shape:
            raise ValueError(
                f"given must have shape {shape}, one row for each row and the given_columns of the "
                f"fit, got {values.shape}."
            )
        check_finite(values, "given")
        if names is not None and self.names is not None and tuple(names) != self.names:
            raise ValueError(
                f"given must have the columns of the fit in their order, {list(self.names)}, got "
                f"{names}."
            )
        return values.astype(np.float64, copy=False)


@dataclass
class JointCoordinates:
    """A map between rows of a table and coordinates: those of the given columns, then the rest's.

    The given columns x (n, g) have coordinates u (n, k) of their own, the others those of
    :class:`TableCoordinates` with x as their context. Where rows are Gaussian, both are standard
    normal and independent, so that generating the rest given x is as easy as a whole row.
    """

    positions: tuple[int, ...]
    rest: TableCoordinates

    @classmethod
    def fit(cls, Z: np.ndarray, weight: np.ndarray, given: GivenColumns) -> "JointCoordinates":
        """Fit on rows of a table (n, p) with positive weights."""
        positions = list(given.positions)
        others = np.delete(Z, positions, axis=1)
        return cls(given.positions, TableCoordinates.fit(others, weight, Z[:, positions]))

    @property
    def of_given(self) -> ColumnCoordinates:
        """The coordinates of the given columns."""
        assert self.rest.context is not None
        return self.rest.context

    @property
    def n_given(self) -> int:
        """Number of coordinates k of the given columns."""
        return self.rest.n_known

    @property
    def n_coordinates(self) -> int:
        """Number of coordinates of a row."""
        return self.n_given + self.rest.n_coordinates

    @property
    def n_known(self) -> int:
        """Number of further inputs of a net: one, whether the first columns are given."""
        return 1

    @property
    def shrinkage(self) -> float:
        """Weight of the identity in the correlation matrix of what x leaves unexplained."""
        return self.rest.shrinkage

    def known(self, context: Any) -> None:
        """Return the coordinates of a context; there is none here."""
        return

    def forward(self, Z: np.ndarray, context: Any = None) -> np.ndarray:
        """Map rows (n, p) to coordinates (n, k + d)."""
        x, others = self._split(Z)
        return np.concatenate([self.of_given.forward(x), self.rest.forward(others, x)], axis=1)

    def inverse(self, z: np.ndarray, context: Any = None) -> np.ndarray:
        """Map coordinates (n, k + d) to rows (n, p)."""
        x = self.of_given.inverse(z[:, : self.n_given])
        return self.joined(x, z[:, self.n_given :])

    def joined(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return rows (n, p) of given columns x (n, g) and coordinates (n, d) of the rest."""
        others = self.rest.inverse(z, x)
        Z = np.empty((len(x), x.shape[1] + others.shape[1]))
        is_given = np.zeros(Z.shape[1], dtype=bool)
        is_given[list(self.positions)] = True
        Z[:, list(self.positions)], Z[:, ~is_given] = x, others
        return Z

    def log_det(self, Z: np.ndarray, context: Any = None) -> np.ndarray:
        """Return log |d coordinates / d columns| (n,)."""
        x, others = self._split(Z)
        return self.of_given.log_det(x) + self.rest.log_det(others, x)

    def conditional_log_det(self, Z: np.ndarray) -> np.ndarray:
        """Return the same (n,) of the coordinates of the rest alone."""
        x, others = self._split(Z)
        return self.rest.log_det(others, x)

    def _split(self, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        positions = list(self.positions)
        return Z[:, positions], np.delete(Z, positions, axis=1)


class MixedNet(VelocityNet):
    """A velocity net with an input, in the column before the time, that says whether x is given.

    If x is given, its coordinates have no noise. They are enlarged as those of a context are, with
    noise or without, so that their scale is the same.
    """

    def __init__(self, denoiser: nn.Module, n_given: int) -> None:
        super().__init__(denoiser)
        self.n_given = n_given

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """Map (B, k + d + 2) to (B, k + d + 1), of which the last column is not used."""
        k = self.n_given
        return super().forward(torch.cat([input_scale(k) * noisy[:, :k], noisy[:, k:]], dim=1))


class JointNet(MixedNet):
    """The velocities of whole rows: coordinates (B, k + d) and the time as the last column."""

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """Map (B, k + d + 1) to (B, k + d + 1), of which the last column is not used."""
        parts = [noisy[:, :-1], torch.zeros_like(noisy[:, -1:]), noisy[:, -1:]]
        return super().forward(torch.cat(parts, dim=1))


class ConditionalNet(MixedNet):
    """The velocities of the rest: its coordinates (B, d), those of x, and the time."""

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """Map (B, d + k + 1) to (B, d + 1), of which the last column is not used."""
        k = self.n_given
        d = noisy.shape[1] - k - 1
        parts = [noisy[:, d:-1], noisy[:, :d], torch.ones_like(noisy[:, -1:]), noisy[:, -1:]]
        return super().forward(torch.cat(parts, dim=1))[:, k:]


def velocity_net(
    denoiser: nn.Module, n_given: int | None, *, conditional: bool = False
) -> VelocityNet:
    """Return the net of whole rows, or conditionally of the rest given the columns that may be."""
    if n_given is None:
        return VelocityNet(denoiser)
    return (ConditionalNet if conditional else JointNet)(denoiser, n_given)
