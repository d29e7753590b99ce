"""A linear program with recourse, as numbers, and the programs made from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import linprog

from ..solvers.bases_by_row import DensePrograms
from ..solvers.linear import NoDecisionError
from ..solvers.parametric_program import Affine, ParametricProgram
from ..solvers.polytope import Polytope
from ..solvers.standard_form import StandardForm
from ._constraints import as_bounds, as_integrality
from ._context import columns_of, position
from ._joint_polytope import JointPolytope
from ._predicted import affine
from ._recourse_choices import WholeChoices, few_choices
from ._recourse_numbers import (
    constraint_matrix,
    count_parameters,
    read_numbers,
    refuse_in_bounds,
)


@dataclass(frozen=True, eq=False)
class Recourse:
    r"""Minimise :math:`c^\top z + q^\top w` with :math:`W w \ge h - T z`, w >= 0, z in a polytope.

    Arrays with a first axis of length q + 1 are affine functions of the parameters (q,), which are
    y followed by the context: see :func:`~dfl_sklearn.problems._predicted.affine`.

    Attributes
    ----------
    n_parameters, n_context : int
        Numbers of columns of y and of the context that are read.
    c, q : ndarray of shape (q + 1, n) and (q + 1, k)
    T, W, h : ndarray of shape (q + 1, m, n), (q + 1, m, k) and (q + 1, m)
    A_ub, A_eq : csr_array of shape (m_ub, n) and (m_eq, n)
    b_ub, b_eq : ndarray of shape (q + 1, m_ub) and (q + 1, m_eq)
    lower, upper, integral : ndarray of shape (n,)
    """

    n_parameters: int
    n_context: int
    c: np.ndarray
    q: np.ndarray
    T: np.ndarray
    W: np.ndarray
    h: np.ndarray
    A_ub: sparse.csr_array
    b_ub: np.ndarray
    A_eq: sparse.csr_array
    b_eq: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    integral: np.ndarray

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Recourse":
        """Return the checked program of a problem's parameters.

        Raises
        ------
        ValueError
            If a shape or an entry is not valid; the message names the parameter.
        """
        columns = columns_of(given)
        every = read_numbers(given)
        n_parameters, n = count_parameters(every), len(every["c"])
        n_context = max(
            (each + 1 for each in columns if isinstance(each, int)), default=len(columns)
        )
        functions = {
            name: affine(value, n_parameters, n_context, lambda each: position(each, columns))
            for name, value in every.items()
        }
        A = {
            kind: constraint_matrix(given[f"A_{kind}"], functions[f"b_{kind}"], n, kind)
            for kind in ("ub", "eq")
        }
        refuse_in_bounds(given["bounds"])
        low, high = as_bounds(given["bounds"], n)
        return cls(
            n_parameters,
            n_context,
            A_ub=A["ub"],
            A_eq=A["eq"],
            lower=low,
            upper=high,
            integral=as_integrality(given["integrality"], n),
            **functions,
        )

    # -- numbers -------------------------------------------------------------------------

    @staticmethod
    def rows(values: Any) -> torch.Tensor:
        """Return an array or a tensor as a tensor in float64 on the CPU."""
        if not isinstance(values, torch.Tensor):
            values = torch.as_tensor(np.array(values, dtype=np.float64))
        return values.to("cpu", torch.float64)

    def parameters(self, y: Any, context: Any) -> torch.Tensor:
        """Return rows of y and the context as parameters (B, q)."""
        if not self.n_context:
            return self.rows(y)
        return torch.cat([self.rows(y), self.rows(context)[:, : self.n_context]], dim=1)

    def at(self, name: str, parameters: np.ndarray) -> np.ndarray:
        """Return the numbers (B, ...) of `name` for parameters (B, q)."""
        function = getattr(self, name)
        return np.tensordot(parameters, function[:-1], axes=1) + function[-1]

    def rows_of(self, name: str, parameters: torch.Tensor) -> torch.Tensor:
        """Return the same as a tensor, differentiably."""
        function = getattr(self, name)
        found = Affine(function.reshape(len(function), -1))(parameters)
        return found.reshape(len(parameters), *function.shape[1:])

    def is_fixed(self, *names: str) -> bool:
        """Return whether numbers are the same for all rows."""
        return not any(getattr(self, name)[:-1].any() for name in names)

    def is_predicted(self, *names: str) -> bool:
        """Return whether numbers depend on y."""
        return any(getattr(self, name)[: self.n_parameters].any() for name in names)

    # -- programs ------------------------------------------------------------------------

    def joint(self, smoothing: float = 0.0) -> StandardForm:
        """Return the program of plan and recourse, whose matrices must be fixed.

        Whole numbers are relaxed. The cost has `smoothing` times the sum of squares added to it.
        """
        n, k, p = len(self.lower), self.q.shape[1], len(self.c)
        low, high = np.isfinite(self.lower), np.isfinite(self.upper)
        unit = np.eye(n)
        parts = [
            (self.A_eq, None, self.b_eq),
            (self.A_ub, None, self.b_ub),
            (-self.T[-1], -self.W[-1], -self.h),
            (-unit[low], None, _constant(-self.lower[low], p)),
            (unit[high], None, _constant(self.upper[high], p)),
            (None, -np.eye(k), np.zeros((p, k))),
        ]
        return StandardForm(
            sparse.csc_array(sparse.diags_array(np.full(n + k, 2.0 * smoothing))),
            _beside([each[:2] for each in parts], n, k),
            self.A_eq.shape[0],
            np.concatenate([self.c, self.q], axis=1),
            np.concatenate([each[2] for each in parts], axis=1),
            np.zeros(p),
        )

    @cached_property
    def plan(self) -> ParametricProgram:
        """The joint program without smoothing, with whole numbers relaxed."""
        return ParametricProgram(self.joint(), np.arange(len(self.lower)))

    @cached_property
    def choices(self) -> WholeChoices | None:
        """Plans for all choices of whole numbers, None where these are too many to be tried."""
        found = few_choices(self.lower[self.integral], self.upper[self.integral])
        if found is None:
            return None
        return WholeChoices(found, self.integral, self.joint(), self.cost_of_plan)

    @cached_property
    def second(self) -> ParametricProgram:
        """The program of the recourse; h - T z comes after the parameters."""
        (m, k), p = self.W.shape[1:], len(self.c)
        sides = np.zeros((p + m, m + k))
        sides[p - 1 : -1, :m] = -np.eye(m)
        costs = np.concatenate([self.q[:-1], np.zeros((m, k)), self.q[-1:]])
        matrix = sparse.csr_array(np.concatenate([-self.W[-1], -np.eye(k)]))
        P = sparse.csc_array((k, k))
        return ParametricProgram(StandardForm(P, matrix, 0, costs, sides, np.zeros(p + m)))

    @cached_property
    def cost_of_plan(self) -> Affine:
        """The costs c of the first stage."""
        return Affine(self.c)

    def left_over(self, z: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """Return h - T z (B, m), what the recourse has to make up for."""
        T, h = self.rows_of("T", parameters), self.rows_of("h", parameters)
        return h - (T * z[:, None]).sum(dim=2)

    def left_over_size(self, z: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        """Return the sums (B, m) of the absolute terms of what is left over."""
        T, h = self.rows_of("T", parameters), self.rows_of("h", parameters)
        return h.abs() + (T * z[:, None]).abs().sum(dim=2)

    def polytope(self, parameters: np.ndarray) -> JointPolytope:
        """Return the joint sets of rows of parameters (B, q), whose matrices must be equal."""
        k = self.q.shape[1]
        T, W = (self.at(name, parameters[:1])[0] for name in ("T", "W"))
        low, high = (
            np.broadcast_to(np.append(ends, np.full(k, end)), (len(parameters), len(ends) + k))
            for ends, end in ((self.lower, 0.0), (self.upper, np.inf))
        )
        return JointPolytope(
            A_ub=_beside([(self.A_ub, None), (-T, -W)], len(self.lower), k),
            b_ub=np.concatenate([self.at("b_ub", parameters), -self.at("h", parameters)], axis=1),
            A_eq=_beside([(self.A_eq, None)], len(self.lower), k),
            b_eq=self.at("b_eq", parameters),
            lower=low,
            upper=high,
            integral=np.append(self.integral, np.zeros(k, dtype=bool)),
            n_first=self.A_ub.shape[0],
            n_plan=len(self.lower),
        )

    @property
    def n_cells(self) -> int:
        """The number of entries of the joint matrix."""
        m = self.A_ub.shape[0] + self.T.shape[1] + self.A_eq.shape[0]
        return m * (len(self.lower) + self.q.shape[1])

    def dense(self, parameters: np.ndarray) -> DensePrograms:
        """Return the joint programs of parameters (B, q), whose matrices may differ."""
        B, k = len(parameters), self.q.shape[1]
        T, W = (self.at(name, parameters) for name in ("T", "W"))
        ends = [self.at("b_ub", parameters), -self.at("h", parameters)]
        ends += [self.at("b_eq", parameters)]
        first, equations = (
            np.broadcast_to(np.hstack([A.toarray(), np.zeros((A.shape[0], k))]), (B, A.shape[0], n))
            for A, n in ((each, len(self.lower) + k) for each in (self.A_ub, self.A_eq))
        )
        return DensePrograms(
            costs=self.costs(parameters),
            matrix=np.concatenate([first, -np.concatenate([T, W], axis=2), equations], axis=1),
            ends=np.concatenate(ends, axis=1),
            is_equation=np.repeat([False, True], [first.shape[1] + T.shape[1], len(equations[0])]),
            lower=np.append(self.lower, np.zeros(k)),
            upper=np.append(self.upper, np.full(k, np.inf)),
        )

    def costs(self, parameters: np.ndarray) -> np.ndarray:
        """Return the joint costs (B, n + k)."""
        return np.concatenate([self.at("c", parameters), self.at("q", parameters)], axis=1)

    def extensive(
        self, parameters: np.ndarray, share: np.ndarray, numbers: np.ndarray
    ) -> tuple[Polytope, np.ndarray]:
        """Return the program of one plan for scenarios (S, q), and its costs (n + S k,).

        Each scenario has its own recourse, and its cost counts by its share (S,). Constraints on
        plans hold in all scenarios. Errors name scenarios by their numbers (S,).
        """
        S, n, k = len(parameters), len(self.lower), self.q.shape[1]
        T, W = (self.at(name, parameters) for name in ("T", "W"))
        if self.is_fixed("W"):
            later = sparse.kron(sparse.eye_array(S), -W[0], format="csr")
        else:
            later = sparse.block_diag(list(-W), format="csr")
        rows = sparse.hstack([sparse.csr_array(np.concatenate(-T)), later])
        equations = self.at("b_eq", parameters)
        off = equations.max(axis=0, initial=-np.inf) > equations.min(axis=0, initial=np.inf)
        if off.any():
            raise NoDecisionError(
                f"No plan keeps row {int(off.argmax())} of A_eq in all scenarios: b_eq differs."
            )
        polytope = JointPolytope(
            A_ub=sparse.csr_array(
                sparse.vstack([_beside([(self.A_ub, None)], n, S * k), rows], format="csr")
            ),
            b_ub=np.concatenate(
                [self.at("b_ub", parameters).min(axis=0), -self.at("h", parameters).ravel()]
            ),
            A_eq=_beside([(self.A_eq, None)], n, S * k),
            b_eq=equations[0],
            lower=np.append(self.lower, np.zeros(S * k)),
            upper=np.append(self.upper, np.full(S * k, np.inf)),
            integral=np.append(self.integral, np.zeros(S * k, dtype=bool)),
            n_first=self.A_ub.shape[0],
            n_plan=n,
            scenarios=numbers,
        )
        mean = share @ self.at("c", parameters)
        of_recourse = (share[:, None] * self.at("q", parameters)).ravel()
        return polytope, np.append(mean, of_recourse)

    def first_stage(self, parameters: np.ndarray, *, with_predicted: bool = True) -> Polytope:
        """Return the set of plans of each row of parameters (B, q).

        With or without the constraints whose right-hand sides are predicted.
        """
        parts: dict[str, Any] = {}
        for kind in ("ub", "eq"):
            A, b = getattr(self, f"A_{kind}"), self.at(f"b_{kind}", parameters)
            there = np.ones(b.shape[1], dtype=bool)
            if not with_predicted:
                there = ~getattr(self, f"b_{kind}")[: self.n_parameters].any(axis=0)
            parts |= {f"A_{kind}": A[there], f"b_{kind}": b[:, there]}
        shape = len(parameters), len(self.lower)
        low, high = (np.broadcast_to(each, shape) for each in (self.lower, self.upper))
        return Polytope(**parts, lower=low, upper=high, integral=self.integral)

    def predicted_limits(self) -> np.ndarray:
        """Return whether right-hand sides are predicted: those of A_ub, A_eq and bounds (never)."""
        sides = [
            getattr(self, f"b_{kind}")[: self.n_parameters].any(axis=0) for kind in ("ub", "eq")
        ]
        return np.concatenate([*sides, np.zeros(len(self.lower), dtype=bool)])

    def excess(
        self, z: torch.Tensor, parameters: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return by how much plans (B, n) exceed predicted right-hand sides, and their sizes.

        An equation is two inequalities; the second ones come after all others.
        """
        over, sizes = [], []
        for kind, signs in (("ub", (1,)), ("eq", (1, -1))):
            b = getattr(self, f"b_{kind}")
            there = np.flatnonzero(b[: self.n_parameters].any(axis=0))
            A = torch.as_tensor(getattr(self, f"A_{kind}")[there].toarray())
            right = Affine(b[:, there])(parameters)
            over += [sign * ((A * z[:, None]).sum(dim=2) - right) for sign in signs]
            sizes += [right.abs() for _ in signs]
        return torch.cat(over, dim=1), torch.cat(sizes, dim=1)

    @cached_property
    def is_complete(self) -> bool:
        """Whether a fixed recourse can make up for anything: W w >= 1 has a solution w >= 0."""
        m, k = self.W.shape[1:]
        found = linprog(np.zeros(k), A_ub=-self.W[-1], b_ub=-np.ones(m), bounds=(0, None))
        return found.status == 0


def _beside(blocks: list[tuple[Any, Any]], n: int, k: int) -> sparse.csr_array:
    """Return blocks of rows over plans (n) and recourse (k), with 0 where a block is None."""
    rows = []
    for of_plan, of_recourse in blocks:
        m = (of_recourse if of_plan is None else of_plan).shape[0]
        parts = ((of_plan, n), (of_recourse, k))
        rows.append(
            sparse.hstack(
                [
                    sparse.csr_array((m, size)) if A is None else sparse.csr_array(A)
                    for A, size in parts
                ]
            )
        )
    return sparse.csr_array(sparse.vstack(rows, format="csr"))


def _constant(values: np.ndarray, n_rows: int) -> np.ndarray:
    """Return values (m,) as a constant affine function (n_rows, m)."""
    return np.concatenate([np.zeros((n_rows - 1, len(values))), values[None]])
