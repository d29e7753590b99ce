"""Standardisation of the inputs and outputs of a net, with sample weights."""

from typing import NamedTuple

import numpy as np

from .._utils.powers import size_exponent
from .._utils.rounding import mean_and_spread

FAR = 5.0  # standard deviations; training could take too long to move further


class Scale(NamedTuple):
    """Mean and scale of each column."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def identity(cls, n_columns: int) -> "Scale":
        """Return the scale that changes nothing."""
        return cls(np.zeros(n_columns), np.ones(n_columns))

    @classmethod
    def of(cls, values: np.ndarray, weight: np.ndarray, *, of_constant: float = 1.0) -> "Scale":
        """Return weighted means and standard deviations, `of_constant` for constant columns."""
        values = values.astype(np.float64, copy=False)
        mean, scale = mean_and_spread(values, weight)
        return cls(mean, np.where(scale > 0, scale, of_constant))

    @classmethod
    def about(cls, centre: np.ndarray, values: np.ndarray, weight: np.ndarray) -> "Scale":
        """Return a centre (k,), and the root mean square distance of values (n, k) from it.

        A column that equals the centre in all rows has no distance of its own, and takes that of
        the others. It is 0 only where this holds for all columns.
        """
        distance = values - centre
        exponent = size_exponent(distance)
        square = np.average(np.ldexp(distance, -exponent) ** 2, axis=0, weights=weight)
        scale = np.ldexp(np.sqrt(square), exponent)
        scale = np.where(scale > 1e-14 * np.abs(centre), scale, 0.0)
        some = scale > 0
        if some.any():
            most = scale.max()
            scale = np.where(some, scale, most * np.sqrt(((scale[some] / most) ** 2).mean()))
        return cls(centre, scale)

    def renewed(self, values: np.ndarray, weight: np.ndarray) -> "Scale":
        """Return the scale of new values, for a net that goes on from this scale.

        A column that is constant in them has no scale of its own. It keeps the last scale, or takes
        the distance from the last mean where that is larger. The scale is 0 only where nothing has
        varied so far.
        """
        new = Scale.of(values, weight, of_constant=0.0)
        reach = np.maximum(self.scale, np.abs(new.mean - self.mean))
        return Scale(new.mean, np.where(new.scale > 0, new.scale, reach))

    def stretched(self, values: np.ndarray) -> "Scale":
        """Return this scale, at most doubled where the few new values are far away.

        A column that has not varied takes their mean, and their largest distance from the last
        mean.
        """
        values = values.astype(np.float64, copy=False)
        distance = np.abs(values - self.mean).max(axis=0)
        wider = np.clip(distance / FAR, self.scale, 2.0 * self.scale)
        varied = self.scale > 0
        return Scale(
            np.where(varied, self.mean, values.mean(axis=0)), np.where(varied, wider, distance)
        )

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardise, in the dtype of `values`.

        Raises
        ------
        ValueError
            If a column spans more than the type holds; the message names it.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            found = ((values - self.mean) / self.scale).astype(values.dtype, copy=False)
        bad = ~np.isfinite(found)
        if bad.any():
            column = int(np.argwhere(bad)[0, 1])
            raise ValueError(
                f"X cannot be standardised in {values.dtype}: column {column} has a value of "
                f"{values[bad][0]}, with a mean of {self.mean[column]} and a standard deviation "
                f"of {self.scale[column]}. Divide the column by a number of about its size."
            )
        return found
