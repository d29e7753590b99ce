"""Calibration of promises: by the cost itself, or by the radius of a set to decide for."""

from typing import Any

import numpy as np

from .cost_units import CostUnits
from .groups import lowest_of, quantiles_of
from .outcomes import Outcomes
from .plans import Plans
from .quantile import conformal_quantile
from .sets import SETS, Box, Ellipsoid, Widths
from .worst_of_set import decide_for_worst_of

_STEPS = 16  # steps of the radius, up to the one at which the set contains y often enough
_BEYOND = (1.125, 1.25, 1.5, 2.0, 4.0, 8.0)  # multiples of that radius


class CostCertificate:
    """Plain decisions; the promise is the planned cost plus a quantile of the excess over it."""

    def __init__(self, scale: Any, tail: float) -> None:
        self._units = CostUnits(scale, tail)
        self.needs_training = scale is not None

    def fit(self, training: Outcomes) -> None:
        """Learn the size of errors from training rows."""
        self._unseen = self._units.fit(
            training.X, training.planned, training.errors, training.given_weight, training.fold
        )

    def calibrate(
        self,
        rows: Outcomes,
        labels: list[Any] | None,
        level: float,
        shift: np.ndarray | None = None,
        *,
        are_training: bool = False,
    ) -> Any:
        """Return the quantile of scores, or that of each group; see :func:`quantiles_of`."""
        size = self._units.size(rows.X, rows.planned)
        if are_training and self.needs_training:
            size = self._unseen
        scores = self._units.scores(rows.errors, size)
        return quantiles_of(scores, rows.weight, labels, level, shift)

    def forget(self) -> None:
        """Drop what only calibration needs."""
        self.__dict__.pop("_unseen", None)

    def decisions_and_promises(
        self, X: Any, plans: Plans, quantile: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return decisions (n, k) and their promised costs (n,)."""
        size = self._units.size(X, plans.planned)
        return plans.decisions, self._units.promises(plans.planned, size, quantile)


class SetCertificate:
    """Decisions for the worst y of a set, whose cost is promised."""

    def __init__(self, kind: str, scale: Any) -> None:
        self._kind = kind
        self._widths = Widths(scale)
        self.needs_training = True

    def fit(self, training: Outcomes) -> None:
        """Learn the shape of the set, and radii to choose from, from training rows."""
        self._refuse(training)
        prediction: Any = training.prediction
        errors = training.y - prediction
        weight = training.given_weight
        self._unseen = self._widths.fit(training.X, prediction, errors, weight, training.fold)
        scaled = errors / self._unseen
        self._shape: Box | Ellipsoid = SETS[self._kind]()
        self._shape.fit(scaled, weight)
        self._training_radii = self._shape.radius(scaled), training.weight

    def _refuse(self, rows: Outcomes) -> None:
        name = type(rows.problem).__name__
        instead = 'Use method="cost", which takes any decision.'
        if rows.prediction is None:
            raise ValueError(
                f"method={self._kind!r} is a set around a prediction of y, but the estimator "
                f"predicts only decisions. {instead}"
            )
        at = slice(0, 1)
        known = None if rows.context is None else rows.context[at]
        z = rows.problem.solve_rows(rows.prediction[at], known)
        if rows.problem.cost_slopes(z, rows.prediction.shape[1], known) is None:
            raise ValueError(
                f"method={self._kind!r} decides for the worst y of a set, which needs a cost that "
                f"is affine in y, and that of {name} is not. {instead}"
            )

    def radii(self, level: float) -> np.ndarray:
        """Return the radii to choose from, 0 among them, in ascending order.

        They are computed from training rows, so that calibration rows and new ones are
        exchangeable.
        """
        radius, weight = self._training_radii
        top = conformal_quantile(radius, weight, level)
        if not np.isfinite(top):
            top = float(radius.max())
        return top * np.append(np.arange(_STEPS + 1) / _STEPS, _BEYOND)

    def calibrate(
        self,
        rows: Outcomes,
        labels: list[Any] | None,
        level: float,
        shift: np.ndarray | None = None,
        *,
        are_training: bool = False,
    ) -> Any:
        """Return the radius, or that of each group; see :func:`quantiles_of`.

        A row's score is the least radius such that the promise holds at it and at every larger one.
        It holds for all rows whose y is in the set. Radii are tried in descending order until the
        quantile is known.
        """
        prediction: Any = rows.prediction
        width = self._unseen if are_training else self._widths(rows.X, prediction)
        own = self._shape.radius((rows.y - prediction) / width)
        radii = self.radii(level)
        scores = np.zeros(len(own))
        is_open = np.ones(len(own), dtype=bool)  # the promise has held at all radii so far
        found: Any = None
        for k in range(len(radii) - 1, -1, -1):
            at = np.flatnonzero(is_open & (own > radii[k]))
            broken = at[~self._holds(rows, prediction, width, at, radii[k])]
            scores[broken] = radii[k + 1] if k + 1 < len(radii) else np.inf
            is_open[broken] = False
            known = np.where(is_open, radii[k], scores)
            found = quantiles_of(known, rows.weight, labels, level, shift)
            if min(lowest_of(found)) > radii[k]:
                break
        else:
            found = quantiles_of(scores, rows.weight, labels, level, shift)
        if not np.isfinite(lowest_of(found)).all():
            raise ValueError(
                f"No radius of method={self._kind!r} up to {radii[-1]:.3g} times the size of an "
                'error keeps its promise often enough on the calibration rows. Use method="cost".'
            )
        return found

    def forget(self) -> None:
        """Drop what only calibration needs."""
        self.__dict__.pop("_unseen", None)
        self.__dict__.pop("_training_radii", None)

    def _holds(
        self,
        rows: Outcomes,
        prediction: np.ndarray,
        width: np.ndarray,
        at: np.ndarray,
        radius: float,
    ) -> np.ndarray:
        """Return, for some rows, whether decisions for a radius cost at most the promised cost."""
        if not len(at):
            return np.zeros(0, dtype=bool)
        known = None if rows.context is None else rows.context[at]
        found = decide_for_worst_of(
            rows.problem,
            prediction[at],
            width[at],
            self._shape,
            np.full(len(at), radius),
            known,
        )
        return rows.problem.cost_rows(found.decisions, rows.y[at], known) <= found.worst_cost

    def decisions_and_promises(
        self, X: Any, plans: Plans, quantile: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return decisions (n, k) and their promised costs (n,)."""
        prediction: Any = plans.prediction
        found = decide_for_worst_of(
            plans.problem,
            prediction,
            self._widths(X, prediction),
            self._shape,
            np.broadcast_to(np.asarray(quantile, dtype=np.float64), len(prediction)),
            plans.context_rows,
        )
        return found.decisions, found.worst_cost
