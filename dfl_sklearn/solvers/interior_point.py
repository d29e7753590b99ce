"""Active sets of quadratic programs, as an interior point method sees them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import piqp
import torch
from scipy import sparse

from .active_set import ActiveSet, Matrices

_ORDINARY = 1e3  # sizes up to it, and down to its inverse, are taken as they are
_FAR = 1e10  # times the size of costs: a limit beyond it is left out
_SPARSE = 0.15  # share of entries up to which matrices are handed over as sparse ones


class Guess(NamedTuple):
    """What the method says of a batch of programs.

    Attributes
    ----------
    active : ActiveSet
    multipliers : torch.Tensor of shape (B, p + m)
        Of equations and inequalities.
    reach : torch.Tensor of shape (B, 1)
        The largest size of a decision.
    """

    active: ActiveSet
    multipliers: torch.Tensor
    reach: torch.Tensor


class InteriorPoint:
    """PIQP for programs that share their matrices, which are handed over once.

    Every program is solved from the start, whatever was solved before.

    Parameters
    ----------
    matrices : Matrices
    max_iter : int

    References
    ----------
    Schwan, Jiang, Kuhn, Jones, "PIQP: a proximal interior-point quadratic programming solver", CDC
    2023.
    """

    def __init__(self, matrices: Matrices, max_iter: int) -> None:
        rows, p = matrices.rows.numpy(), matrices.n_equations
        quadratic = matrices.quadratic.numpy() / matrices.unit
        P = np.diag(quadratic) if quadratic.ndim == 1 else quadratic
        n_filled = np.count_nonzero(P) + np.count_nonzero(rows)
        self.is_sparse = n_filled <= _SPARSE * (P.size + rows.size)
        as_matrix = sparse.csc_matrix if self.is_sparse else np.asfortranarray
        self.matrices, self.max_iter = matrices, max_iter
        self.P, self.rows = as_matrix(P), {}
        if p:
            self.rows["A"] = as_matrix(rows[:p])
        if len(rows) > p:
            self.rows["G"] = as_matrix(rows[p:])

    def guess(self, c: np.ndarray, sides: Sequence[np.ndarray], accuracy: float) -> "Guess":
        """Return active sets, and where the method has stopped.

        Parameters
        ----------
        c : ndarray of shape (B, n)
        sides : sequence of ndarray of shape (B, ...) or (1, ...)
            As in :class:`~dfl_sklearn.solvers.quadratic_programs.Sides`.
        accuracy : float
            To which the optimality conditions are to hold when the method stops.
        """
        b, h, lower, upper = sides
        (n_rows, n), p, m = c.shape, b.shape[1], h.shape[1]
        costs = c / self.matrices.unit
        limits: dict[str, np.ndarray] = {"b": b, "h_u": h, "x_l": lower, "x_u": upper}
        limits = {name: values for name, values in limits.items() if values.shape[1]}
        # Decisions are of the size of the limits, or of that of costs where these are smaller and
        # equations let them.
        size = _largest(costs)
        limit = np.max([np.broadcast_to(_largest(x), size.shape) for x in limits.values()], axis=0)
        reach = np.minimum(limit, np.maximum(size, _largest(b)))
        of_c, of_z = _unit(np.maximum(size, reach)), _unit(reach)
        if (of_c != 1.0).any() or (of_z != 1.0).any():
            costs = costs / of_c
            limits = {name: values / of_z for name, values in limits.items()}
        curved = np.broadcast_to(of_z / of_c, (n_rows, 1))[:, 0]
        far = _FAR * (1.0 + _largest(costs))
        limits = {
            name: values if name == "b" else _without_far(values, far)
            for name, values in limits.items()
        }
        is_there = np.isfinite(limits["h_u"]) if m else None
        if is_there is not None and is_there.all():
            is_there = None
        differ = {name: values for name, values in limits.items() if len(values) > 1}
        shared = {name: values[0] for name, values in limits.items() if len(values) == 1}
        at_lower, at_upper, in_rows = (np.zeros((n_rows, k), dtype=bool) for k in (n, n, m))
        multipliers, reached = np.zeros((n_rows, p + m)), np.zeros((n_rows, 1))
        ordinary: dict[bytes, Any] = {}
        for i in range(n_rows):
            own = {name: values[i] for name, values in differ.items()}
            there, key = slice(None), b""
            if is_there is not None:  # PIQP takes no row without an end
                there = is_there[min(i, len(is_there) - 1)]
                own["h_u"], key = limits["h_u"][min(i, len(is_there) - 1)][there], there.tobytes()
            if curved[i] != 1.0:
                solver = self._solver(curved[i], costs[i], shared | own, there, accuracy)
            elif key not in ordinary:
                solver = ordinary[key] = self._solver(1.0, costs[i], shared | own, there, accuracy)
            else:
                solver = ordinary[key]
                solver.update(c=costs[i], **own)
            solver.solve()
            found = solver.result
            reached[i] = np.abs(found.x).max()
            np.greater(found.z_bl, found.s_bl, out=at_lower[i])
            np.greater(found.z_bu, found.s_bu, out=at_upper[i])
            if p:
                multipliers[i, :p] = found.y
            if m:
                multipliers[i, p:][there] = found.z_u
                in_rows[i, there] = found.z_u > found.s_u
        at_lower = (at_lower & np.isfinite(lower)) | (lower == upper)
        at_upper &= np.isfinite(upper) & ~at_lower
        in_rows &= np.isfinite(h)
        return Guess(
            ActiveSet(*(torch.as_tensor(each) for each in (at_lower, at_upper, in_rows))),
            torch.as_tensor(multipliers * of_c * self.matrices.unit),
            torch.as_tensor(reached * of_z),
        )

    def _solver(
        self,
        curved: float,
        c: np.ndarray,
        limits: dict[str, np.ndarray],
        there: Any,
        accuracy: float,
    ) -> Any:
        """Return PIQP with the matrices, Q times a number, of G some rows, and a program."""
        solver = piqp.SparseSolver() if self.is_sparse else piqp.DenseSolver()
        solver.settings.verbose = False
        solver.settings.max_iter = self.max_iter
        solver.settings.eps_abs = solver.settings.eps_rel = accuracy
        solver.settings.eps_duality_gap_abs = accuracy
        solver.settings.eps_duality_gap_rel = accuracy
        rows, limits = dict(self.rows), dict(limits)
        if "G" in rows:
            rows["G"] = rows["G"][there]
            if not rows["G"].shape[0]:
                del rows["G"], limits["h_u"]
        solver.setup(P=self.P * curved, c=c, **rows, **limits)
        return solver


def _largest(values: np.ndarray) -> np.ndarray:
    """Return the largest finite size (B, 1) in each row, 0 where there is none."""
    finite = np.where(np.isfinite(values), np.abs(values), 0.0)
    return finite.max(axis=1, initial=0.0, keepdims=True)


def _unit(size: np.ndarray) -> np.ndarray:
    """Return sizes (B, 1) where they are not ordinary, else 1."""
    is_ordinary = (size == 0) | ((size <= _ORDINARY) & (size >= 1 / _ORDINARY))
    return np.where(is_ordinary, 1.0, size)


def _without_far(limit: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Return limits (B, k), infinite where they are further away than `far` (B, 1)."""
    is_far = np.isfinite(limit) & (np.abs(limit) > far.min())
    if not is_far.any():
        return limit
    return np.where(np.abs(limit) > far, np.copysign(np.inf, limit), limit)
