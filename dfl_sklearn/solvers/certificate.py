"""Proofs that decisions are feasible and optimal, from dual values."""

from typing import NamedTuple

import numpy as np

from .polytope import Polytope

_FEASIBLE = 1e-9  # by how much a constraint may be missed, as a share of its terms
_SURELY = 1e-12  # by how much rounding errors may
_GAP = 1e-7  # between a cost and its lower bound, as a share of the absolute terms of the cost
_ZERO = 1e-9  # a reduced cost that counts as none, as a share of its terms
_SURELY_ZERO = 1e-13
# Dual values that may be errors of a solver, as a share of the largest of their row.
_NOISE = (1e-13, 1e-11, 1e-9)
_EPS = 2.0**-52


class Certificate(NamedTuple):
    """How far decisions (B, n) are from being proven optimal.

    Attributes
    ----------
    missed : ndarray of shape (B, m + n)
        Violation of each constraint, as a share of its terms.
    gap : ndarray of shape (B,)
        Cost less a lower bound of it, as a share of the absolute terms of the cost; infinite where
        the dual values prove nothing.
    doubt : ndarray of shape (B,)
        What rounding errors in the rows may add to the gap; infinite where it is not sure that a
        reduced cost is 0.
    """

    missed: np.ndarray
    gap: np.ndarray
    doubt: np.ndarray

    @classmethod
    def of(
        cls, polytope: Polytope, costs: np.ndarray, z: np.ndarray, dual: np.ndarray
    ) -> "Certificate":
        r"""Measure decisions z (B, n) with dual values (B, m) of the rows.

        With reduced costs :math:`d = c - A^\top y`, the cost is at least :math:`b^\top y` plus the
        cost d of each variable at its cheaper bound. The gap between cost and bound is computed as
        a sum of nonnegative terms, so that nothing cancels. Any dual values give a bound. Where
        those given prove nothing, those that may be rounding errors are set to 0 and the rest tried
        again.
        """
        found = cls._of(polytope, costs, z, dual)
        for share in _NOISE:
            if np.isfinite(found.gap).all():
                break
            size = np.abs(dual)
            noise = share * size.max(axis=1, keepdims=True, initial=0.0)
            again = cls._of(polytope, costs, z, np.where(size > noise, dual, 0.0))
            better = again.gap < found.gap
            found = cls(
                found.missed,
                np.where(better, again.gap, found.gap),
                np.where(better, again.doubt, found.doubt),
            )
        return found

    @classmethod
    def _of(
        cls, polytope: Polytope, costs: np.ndarray, z: np.ndarray, dual: np.ndarray
    ) -> "Certificate":
        A, end = polytope.matrix, polytope.row_upper
        n_rows, n_ub = end.shape[-1], polytope.A_ub.shape[0]
        dual = np.where(np.isfinite(end), dual, 0.0)
        dual[:, :n_ub] = np.minimum(dual[:, :n_ub], 0.0)
        # Numbers that overflow prove nothing.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            size = polytope.size(z)
            missed = polytope.violation_share(z, size)
            reduced = costs - dual @ A
            terms = np.abs(costs) + np.abs(dual) @ abs(A)
            bound = np.where(reduced > 0, polytope.lower, polytope.upper)
            is_open = np.isinf(bound) & (reduced != 0)
            is_zero = is_open & (np.abs(reduced) <= _ZERO * terms)
            unsure = (is_open & (np.abs(reduced) > _SURELY_ZERO * terms)).any(axis=1)
            apart = np.abs(z - np.where(is_zero, 0.0, bound))
            in_bounds = np.where(reduced == 0, 0.0, np.abs(reduced) * apart)
            in_rows = np.abs(dual * (z @ A.T - np.where(np.isfinite(end), end, 0.0)))
            total = in_bounds.sum(axis=1) + in_rows.sum(axis=1)
            noise = _EPS * (np.abs(dual) * size[:, :n_rows]).sum(axis=1)
            spent = np.abs(costs * z).sum(axis=1)
            beyond = np.maximum(total - 16.0 * noise, 0.0)  # of which nothing can be said
            gap, doubt = (np.where(each == 0, 0.0, each / spent) for each in (beyond, noise))
            doubt = np.where(unsure, np.inf, doubt)
        return cls(missed, *(np.where(np.isnan(each), np.inf, each) for each in (gap, doubt)))

    def holds(self) -> np.ndarray:
        """Return which decisions (B,) are feasible and best."""
        return (self.missed <= _FEASIBLE).all(axis=1) & (self.gap <= _GAP)

    def is_certain(self) -> np.ndarray:
        """Return which rows (B,) rounding errors leave no doubt about."""
        return (self.missed <= _SURELY).all(axis=1) & (self.doubt <= _GAP)
