"""Calibrate promised costs: on rows given, on rows held out, or across folds."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing, indexable

from .._conformal.calibration_rows import calibration_splits, warn_of_shared_rows
from .._conformal.certificates import CostCertificate, SetCertificate
from .._conformal.groups import group_labels, quantiles_of
from .._conformal.outcomes import Outcomes
from .._conformal.shift_weights import shift_weights, warn_of_few_rows
from .._utils.cross_fit import Splits, fold_of
from .._utils.progress import part
from .._utils.row_numbers import counted_among, renumbered
from .._utils.rows import check_total
from .._utils.sklearn_private import _check_sample_weight, _num_samples
from ._calibrated_fits import Fits

HELD_OUT = "those of X_cal and y_cal"


@dataclass(frozen=True)
class GivenRows:
    """Calibration rows, which the model does not see: X, y, and how often each counts."""

    X: Any
    y: np.ndarray
    weight: np.ndarray

    @classmethod
    def checked(
        cls, owner: Any, X: Any, y: np.ndarray, X_cal: Any, y_cal: Any, sample_weight_cal: Any
    ) -> "GivenRows | None":
        """Return the calibration rows given to `fit`, or None."""
        if (X_cal is None) != (y_cal is None):
            raise ValueError("Give both X_cal and y_cal, or neither.")
        if X_cal is None:
            if sample_weight_cal is not None:
                raise ValueError("sample_weight_cal was given without X_cal and y_cal.")
            return None
        if owner.cv is not None:
            raise ValueError("cv takes calibration rows from X, and X_cal was given: omit one.")
        y_cal = np.asarray(owner._validate_target(y_cal, "y_cal"))
        owner._resolve_problem().check_parameters(y_cal)
        shape = (len(y_cal), *y.shape[1:])
        if y_cal.shape != shape or _num_samples(X_cal) != len(y_cal):
            raise ValueError(
                f"y_cal must have shape {(_num_samples(X_cal), *y.shape[1:])}, one row for each of "
                f"X_cal and as many columns as y, got {y_cal.shape}."
            )
        weight = _check_sample_weight(
            sample_weight_cal, y_cal, dtype=np.float64, ensure_non_negative=True
        )
        X_cal, _ = indexable(X_cal, y_cal)
        if not isinstance(owner.estimator, FrozenEstimator):
            warn_of_shared_rows(X, y, X_cal, y_cal)
        return cls(X_cal, y_cal, weight)


@dataclass(frozen=True)
class Calibrated:
    """A model that decides, and what its promised costs are computed from.

    Attributes
    ----------
    decider : estimator
    certificate : CostCertificate or SetCertificate
    quantile : float, WeightedQuantile or dict
    n_rows : int
        Number of calibration rows of positive weight.
    level : float or None
        The probability that is guaranteed.
    """

    decider: Any
    certificate: CostCertificate | SetCertificate
    quantile: Any
    n_rows: int
    level: float | None


class Calibration:
    """One `fit` of promised costs.

    Parameters
    ----------
    owner : ConformalDecisions
    fits : Fits
        The rows of `fit`, and models fitted on them.
    """

    def __init__(self, owner: Any, fits: Fits) -> None:
        self._owner, self._fits = owner, fits

    def run(self, given: GivenRows | None) -> Calibrated:
        """Calibrate on the rows given, or where there are none on those that `cv` chooses."""
        owner, fits = self._owner, self._fits
        rows = np.arange(len(fits.y))
        if given is not None:
            return self._on(given, rows)
        frozen = isinstance(owner.estimator, FrozenEstimator)
        if frozen and owner.cv is None and not self._certificate().needs_training:
            return self._on(GivenRows(fits.X, fits.y, fits.weight_of(rows)), rows[:0], rows)
        splits = calibration_splits(owner.cv, fits.X, fits.y)
        if len(splits) > 1:
            return self._across(splits)
        rest, held = splits[0]
        held_out = _safe_indexing(fits.X, held), fits.y[held], fits.weight_of(held)
        return self._on(GivenRows(*held_out), rest, held)

    def _on(
        self, held_out: GivenRows, rows: np.ndarray, number: np.ndarray | None = None
    ) -> Calibrated:
        """Fit on some rows, and calibrate on others, with these numbers if they are among X."""
        self._check_enough(held_out.weight)
        kept = np.flatnonzero(held_out.weight > 0)
        is_given = number is None
        number = kept if number is None else number[kept]
        X = _safe_indexing(held_out.X, kept)
        with counted_among(HELD_OUT) if is_given else nullcontext(), renumbered(number):
            shift = self._shift(X)
        decider = self._fits.model(rows)
        certificate = self._certificate()
        if certificate.needs_training:
            certificate.fit(self._fits.outcomes_of_training(rows))
        with counted_among(HELD_OUT) if is_given else nullcontext(), renumbered(number):
            plans = self._owner._plans(decider, X)
            outcomes = Outcomes.of(plans, X, held_out.y[kept], held_out.weight[kept])
        return self._calibrated(decider, certificate, outcomes, shift)

    def _across(self, splits: Splits) -> Calibrated:
        """Fit on all rows, and calibrate with models fitted without the fold of a row."""
        fold = fold_of(splits, len(self._fits.y))
        rows = np.flatnonzero(fold >= 0)
        self._check_enough(self._fits.weight_of(rows))
        kept = rows[self._fits.weight_of(rows) > 0]
        with renumbered(kept):
            shift = self._shift(_safe_indexing(self._fits.X, kept))
        outcomes = self._fits.outcomes_across(splits)
        with part("all rows"):
            decider = self._fits.model(np.arange(len(fold)))
        certificate = self._certificate()
        if certificate.needs_training:
            certificate.fit(outcomes)
        return self._calibrated(decider, certificate, outcomes, shift, are_training=True)

    def _calibrated(
        self,
        decider: Any,
        certificate: CostCertificate | SetCertificate,
        outcomes: Outcomes,
        shift: np.ndarray | None,
        *,
        are_training: bool = False,
    ) -> Calibrated:
        level = self._owner.confidence_level
        labels = group_labels(self._owner.groups, outcomes.X)
        quantile = certificate.calibrate(outcomes, labels, level, shift, are_training=are_training)
        if shift is not None:
            warn_of_few_rows(outcomes.weight, shift, labels, level)
        certificate.forget()
        kept = None if are_training else level
        return Calibrated(decider, certificate, quantile, len(outcomes.planned), kept)

    def _certificate(self) -> CostCertificate | SetCertificate:
        owner = self._owner
        if owner.method == "cost":
            return CostCertificate(owner.scale, owner.tail)
        return SetCertificate(owner.method, owner.scale)

    def _shift(self, X: Any) -> np.ndarray | None:
        """Return the weights of calibration rows under a shift."""
        model = self._owner.shift_weight
        if model is None:
            return None
        weight = shift_weights(model, X)
        check_total(weight, "shift_weight of the calibration rows")
        return weight

    def _check_enough(self, weight: np.ndarray) -> None:
        """Raise an error where there are too few rows for a promise, before models are fitted."""
        weight = weight[weight > 0]
        try:
            quantiles_of(np.zeros(len(weight)), weight, None, self._owner.confidence_level)
        except ValueError as error:
            raise ValueError(f"{error} (n_samples={len(self._fits.y)})") from None
