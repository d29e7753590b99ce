"""Boxes and ellipsoids around a prediction."""

from typing import Any

import numpy as np

from ..scenarios._error_scale import ErrorScale

_FLOOR = 0.1  # share of the mean absolute prediction that is added, to take logarithms


class Widths:
    """The size of the errors of each output at x.

    Parameters
    ----------
    scale : {"planned", "ridge"}, regressor or None
        As in :class:`ConformalDecisions`, for each output separately; "planned" is a line in the
        logarithm of its prediction.
    """

    def __init__(self, scale: Any) -> None:
        self._scale = scale
        self._sizes: list[ErrorScale] = []

    def fit(
        self,
        X: Any,
        prediction: np.ndarray,
        errors: np.ndarray,
        weight: np.ndarray | None,
        fold: np.ndarray,
    ) -> np.ndarray:
        """Fit on errors (n, d); return the size of each (n, d) by models without its fold."""
        self._mean = np.average(np.abs(prediction), axis=0, weights=weight)
        if self._scale is None:
            unseen = np.ones(errors.shape)
        elif self._by_prediction:
            columns = []
            for j in range(errors.shape[1]):
                size = ErrorScale("ridge")
                inputs = self._inputs(prediction, j)
                columns.append(size.fit(inputs, errors[:, [j]], weight, fold)[:, 0])
                self._sizes.append(size)
            unseen = np.stack(columns, axis=1)
        else:
            self._sizes = [ErrorScale(self._scale)]
            unseen = self._sizes[0].fit(X, errors, weight, fold)
        unit = np.average(np.abs(errors) / unseen, axis=0, weights=weight)
        self._unit = np.where(unit > 0, unit, 1.0)
        return unseen * self._unit

    def __call__(self, X: Any, prediction: np.ndarray) -> np.ndarray:
        """Return the size (n, d) at the rows of X."""
        if self._scale is None:
            found = np.ones(prediction.shape)
        elif self._by_prediction:
            found = np.concatenate(
                [size(self._inputs(prediction, j), len(prediction))
                 for j, size in enumerate(self._sizes)], axis=1
            )  # fmt: skip
        else:
            found = self._sizes[0](X, len(prediction))
        return found * self._unit

    @property
    def _by_prediction(self) -> bool:
        return isinstance(self._scale, str) and self._scale == "planned"

    def _inputs(self, prediction: np.ndarray, j: int) -> np.ndarray:
        floor = _FLOOR * self._mean[j] if self._mean[j] > 0 else np.inf
        return np.log1p(np.abs(prediction[:, [j]]) / floor)


class Box:
    r"""All y with :math:`|y_j - \hat y_j| \le r\, s_j(x)`."""

    def fit(self, scaled: np.ndarray, weight: np.ndarray | None) -> "Box":
        """Return the box itself: there is nothing to learn from scaled errors (n, d)."""
        return self

    def radius(self, scaled: np.ndarray) -> np.ndarray:
        """Return the least radius (n,) at which the set contains scaled errors (n, d)."""
        return np.abs(scaled).max(axis=1)

    def farthest(self, slopes: np.ndarray) -> np.ndarray:
        """Return the scaled error (n, d) in the set of radius 1 that is largest along slopes."""
        return np.sign(slopes)

    def roots(self, reach: np.ndarray) -> np.ndarray:
        """Return the half widths (n, d) of boxes with these units of errors."""
        return reach


class Ellipsoid:
    r"""All y with :math:`\|L^{-1} (y - \hat y) / s(x)\|_2 \le r`.

    L L' is the second moment of the scaled errors, shrunk towards its diagonal by d / (n + d).
    """

    def fit(self, scaled: np.ndarray, weight: np.ndarray | None) -> "Ellipsoid":
        """Learn the second moment of scaled errors (n, d)."""
        n, d = scaled.shape
        share = np.full(n, 1 / n) if weight is None else weight / weight.sum()
        n_rows = n if weight is None else float(weight.sum())
        moment = (scaled * share[:, None]).T @ scaled
        diagonal = np.diag(np.where(np.diag(moment) > 0, np.diag(moment), 1.0))
        shrunk = d / (n_rows + d)
        self._root = np.linalg.cholesky((1 - shrunk) * moment + shrunk * diagonal)
        return self

    def radius(self, scaled: np.ndarray) -> np.ndarray:
        """Return the least radius (n,) at which the set contains scaled errors (n, d)."""
        return np.linalg.norm(np.linalg.solve(self._root, scaled.T).T, axis=1)

    def farthest(self, slopes: np.ndarray) -> np.ndarray:
        """Return the scaled error (n, d) in the set of radius 1 that is largest along slopes."""
        # Slopes are scaled, which changes nothing, so that squares neither overflow nor underflow.
        size = np.abs(slopes).max(axis=1, keepdims=True)
        along = (slopes / np.where(size > 0, size, 1.0)) @ self._root
        length = np.linalg.norm(along, axis=1, keepdims=True)
        return np.where(length > 0, along / np.where(length > 0, length, 1.0), 0.0) @ self._root.T

    def roots(self, reach: np.ndarray) -> np.ndarray:
        """Return the matrices (n, d, d) that map a ball to ellipsoids with these units."""
        return reach[:, :, None] * self._root


SETS: dict[str, type[Box] | type[Ellipsoid]] = {"box": Box, "ellipsoid": Ellipsoid}
