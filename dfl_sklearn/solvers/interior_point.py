"""Active sets of quadratic programs, as an interior point method sees them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import piqp
import torch
from scipy import sparse

from .active_set import ActiveSet

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
    quadratic : ndarray of shape (n,) or (n, n)
    A, G : ndarray of shape (p, n) and (m, n)
    max_iter : int
    is_definite : bool
        Whether the quadratic term is positive definite, so that costs tell the size of decisions.

    References
    ----------
    Schwan, Jiang, Kuhn, Jones, "PIQP: a proximal interior-point quadratic programming solver", CDC
    2023.
    """

    def __init__(
        self,
        quadratic: np.ndarray,
        A: np.ndarray,
        G: np.ndarray,
        max_iter: int,
        is_definite: bool,
    ) -> None:
        self.is_definite, self.is_linear = is_definite, not quadratic.any()
        n, self.max_iter, self.unit = (
            len(quadratic),
            max_iter,
            float(np.abs(quadratic).max()) or 1.0,
        )
        quadratic = quadratic / self.unit
        n_filled = np.count_nonzero(A) + np.count_nonzero(G)
        n_filled += n if quadratic.ndim == 1 else n * n
        self.is_sparse = n_filled <= _SPARSE * n * (n + len(A) + len(G))
        as_matrix = sparse.csc_matrix if self.is_sparse else np.asfortranarray
        if quadratic.ndim == 1:
            diagonal = sparse.diags_array(quadratic, format="csc")
            self.P = as_matrix(diagonal if self.is_sparse else diagonal.toarray())
        else:
            self.P = as_matrix(quadratic)
        rows = {"A": A, "G": G}
        self.rows = {name: as_matrix(each) for name, each in rows.items() if len(each)}

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
        program = _Scaled.of(
            *(c / self.unit, b, h, lower, upper),
            is_definite=self.is_definite,
            is_linear=self.is_linear,
        )
        at_lower, at_upper, in_rows = (np.zeros((n_rows, k), dtype=bool) for k in (n, n, m))
        multipliers, reach = np.zeros((n_rows, p + m)), np.zeros((n_rows, 1))
        ordinary: dict[bytes, Any] = {}
        for i in range(n_rows):
            cost, limits, there = program.row(i)
            key = b"" if there is None else there.tobytes()
            if program.curved[i] != 1.0:
                solver = self._solver(program.curved[i], cost, limits, there, accuracy)
            elif key not in ordinary:
                solver = self._solver(1.0, cost, limits, there, accuracy)
                ordinary[key] = solver
            else:
                solver = ordinary[key]
                new = {name: limits[name] for name in program.differ if len(limits[name])}
                solver.update(c=cost, **new)
            solver.solve()
            found = solver.result
            reach[i] = np.abs(found.x).max()
            np.greater(found.z_bl, found.s_bl, out=at_lower[i])
            np.greater(found.z_bu, found.s_bu, out=at_upper[i])
            if p:
                multipliers[i, :p] = found.y
            if m:
                some = slice(None) if there is None else there
                multipliers[i, p:][some], in_rows[i, some] = found.z_u, found.z_u > found.s_u
        at_lower = (at_lower & np.isfinite(lower)) | (lower == upper)
        at_upper &= np.isfinite(upper) & ~at_lower
        in_rows &= np.isfinite(h)
        return Guess(
            ActiveSet(*(torch.as_tensor(each) for each in (at_lower, at_upper, in_rows))),
            torch.as_tensor(multipliers * program.of_c * self.unit),
            torch.as_tensor(reach * program.of_z),
        )

    def _solver(
        self,
        curved: float,
        c: np.ndarray,
        limits: dict[str, np.ndarray],
        there: np.ndarray | None,
        accuracy: float,
    ) -> Any:
        """Return PIQP with the matrices, Q times a number, of G some rows, and a program."""
        solver = piqp.SparseSolver() if self.is_sparse else piqp.DenseSolver()
        solver.settings.verbose = False
        solver.settings.num_threads = 1
        solver.settings.max_iter = self.max_iter
        solver.settings.eps_abs = solver.settings.eps_rel = accuracy
        solver.settings.eps_duality_gap_abs = accuracy
        solver.settings.eps_duality_gap_rel = accuracy
        rows = dict(self.rows)
        if there is not None:
            rows["G"] = rows["G"][there]
        if there is not None and not there.any():
            del rows["G"], limits["h_u"]
        solver.setup(P=self.P * curved, c=c, **rows, **limits)
        return solver


class _Scaled(NamedTuple):
    """Programs in units in which PIQP's tolerances make sense.

    Attributes
    ----------
    costs : ndarray of shape (B, n)
    limits : dict of str to ndarray of shape (B, ...) or (1, ...)
        Under PIQP's names.
    of_c, of_z : ndarray of shape (B, 1) or (1, 1)
        The units of costs and of decisions; 1 where sizes are ordinary.
    curved : ndarray of shape (B,)
        What Q is multiplied by in these units.
    differ : list of str
        The limits that differ by row.
    is_there : ndarray of bool of shape (B, m) or (1, m), or None
        Which inequalities have an end; PIQP takes no others. None: all.
    """

    costs: np.ndarray
    limits: dict[str, np.ndarray]
    of_c: np.ndarray
    of_z: np.ndarray
    curved: np.ndarray
    differ: list[str]
    is_there: np.ndarray | None

    @classmethod
    def of(
        cls,
        costs: np.ndarray,
        b: np.ndarray,
        h: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        *,
        is_definite: bool,
        is_linear: bool,
    ) -> "_Scaled":
        limits: dict[str, np.ndarray] = {"b": b, "h_u": h, "x_l": lower, "x_u": upper}
        limits = {name: values for name, values in limits.items() if values.shape[1]}
        # Decisions are of the size of the limits, or of that of costs where these are smaller and
        # equations let them.
        size = _largest(costs)
        limit = np.max([np.broadcast_to(_largest(x), size.shape) for x in limits.values()], axis=0)
        reach = np.minimum(limit, np.maximum(size, _largest(b))) if is_definite else limit
        # Without a quadratic term the size of decisions says nothing about that of costs.
        of_c, of_z = _unit(size if is_linear else np.maximum(size, reach)), _unit(reach)
        if (of_c != 1.0).any() or (of_z != 1.0).any():
            costs = costs / of_c
            limits = {name: values / of_z for name, values in limits.items()}
        far = _FAR * (1.0 + _largest(costs))
        for name in limits.keys() - {"b"}:
            sign = -1.0 if name == "x_l" else 1.0
            limits[name] = _without_far(limits[name], far, sign)
        is_there = np.isfinite(limits["h_u"]) if "h_u" in limits else None
        return cls(
            costs,
            limits,
            of_c,
            of_z,
            np.ones(len(costs)) if is_linear else (of_z / of_c)[:, 0],
            [name for name, values in limits.items() if len(values) > 1],
            None if is_there is None or is_there.all() else is_there,
        )

    def row(self, i: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray | None]:
        """Return the cost and the limits of a program, and which inequalities it has."""
        limits = {name: each[i if len(each) > 1 else 0] for name, each in self.limits.items()}
        if self.is_there is None:
            return self.costs[i], limits, None
        there = self.is_there[i if len(self.is_there) > 1 else 0]
        limits["h_u"] = limits["h_u"][there]
        return self.costs[i], limits, there


def _largest(values: np.ndarray) -> np.ndarray:
    """Return the largest finite size (B, 1) in each row, 0 where there is none."""
    finite = np.where(np.isfinite(values), np.abs(values), 0.0)
    return finite.max(axis=1, initial=0.0, keepdims=True)


def _unit(size: np.ndarray) -> np.ndarray:
    """Return sizes (B, 1) where they are not ordinary, else 1."""
    is_ordinary = (size == 0) | ((size <= _ORDINARY) & (size >= 1 / _ORDINARY))
    return np.where(is_ordinary, 1.0, size)


def _without_far(limit: np.ndarray, far: np.ndarray, sign: float) -> np.ndarray:
    """Return limits (B, k), infinite where they are further away on their side than `far` (B, 1).

    A limit far on the other side is one that binds.
    """
    is_far = np.isfinite(limit) & (sign * limit > far)
    return np.where(is_far, sign * np.inf, limit) if is_far.any() else limit
