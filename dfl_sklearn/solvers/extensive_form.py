"""One decision for several scenarios of a program in standard form, as a single program."""

import numpy as np
from scipy import sparse

from .._utils.optional import import_optional
from .conic import ConicProgram
from .cvxpy_programs import solve_in_clarabel
from .linear import LinearSolver, NoDecisionError
from .polytope import Polytope
from .standard_form import StandardForm

_SAME = 1e-9  # by which right-hand sides of equations may differ, as a share of their size


class ExtensiveForm:
    r"""Minimise :math:`\sum_s w_s f(z, x_s; p_s)`: the decided variables z are shared.

    All others are repeated for each scenario, and so are their constraints; constraints on decided
    variables only hold in all scenarios (Birge and Louveaux, "Introduction to stochastic
    programming", section 2.4).

    Parameters
    ----------
    form : StandardForm
    decided : ndarray of int of shape (k,)
    name : str
        Of the problem, for errors.
    """

    def __init__(self, form: StandardForm, decided: np.ndarray, name: str) -> None:
        self.form, self.decided, self.name = form, decided, name
        self.other = np.setdiff1d(np.arange(form.A.shape[1]), decided)
        A = sparse.csr_array(form.A)
        is_shared = np.diff(sparse.csr_array(A[:, self.other]).indptr) > 0
        is_equation = np.arange(A.shape[0]) < form.n_equations
        # In the order of rows of the extensive form: equations first.
        self.rows = [
            np.flatnonzero(is_equation & ~is_shared),
            np.flatnonzero(is_equation & is_shared),
            np.flatnonzero(~is_equation & ~is_shared),
            np.flatnonzero(~is_equation & is_shared),
        ]
        self.of_decided = [A[rows][:, decided] for rows in self.rows]
        self.of_other = [A[rows][:, self.other] for rows in self.rows]
        self.P = [
            sparse.csr_array(form.P[one][:, two])
            for one, two in ((decided, decided), (decided, self.other), (self.other, self.other))
        ]

    def is_linear_in(self, parameters: slice) -> bool:
        """Return whether some parameters occur only in the costs of decided variables.

        The least cost is then that of their mean.
        """
        costs, sides = self.form.costs[:-1][parameters], self.form.sides[:-1][parameters]
        return not costs[:, self.other].any() and not sides.any()

    def decide(self, parameters: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the decided variables (k,) of least mean cost over parameters (S, q).

        Raises
        ------
        NoDecisionError, NoMinimumError, RuntimeError
        """
        A, b, n_equations = self._constraints(parameters)
        costs = self._affine(self.form.costs, parameters)
        k = len(self.decided)
        c = np.append(
            weight @ costs[:, self.decided], (weight[:, None] * costs[:, self.other]).ravel()
        )
        if not self.form.P.nnz:
            return self._linear(A, b, n_equations, c)[:k]
        of_both = sparse.kron(weight[None], self.P[1])
        P = sparse.block_array(
            [[self.P[0], of_both], [of_both.T, sparse.kron(sparse.diags_array(weight), self.P[2])]],
            format="csc",
        )
        clarabel = import_optional("clarabel", extra="cvxpy", needed_by=self.name)
        sizes = n_equations, len(b) - n_equations
        cones = [clarabel.ZeroConeT(sizes[0]), clarabel.NonnegativeConeT(sizes[1])]
        program = ConicProgram(sparse.csc_array(P), c, sparse.csc_array(A), b, *sizes, cones)
        return solve_in_clarabel(program).x[:k]

    def _affine(self, matrix: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        return parameters @ matrix[:-1] + matrix[-1]

    def _constraints(self, parameters: np.ndarray) -> tuple[sparse.csr_array, np.ndarray, int]:
        """Return matrix, right-hand sides, and how many rows are equations."""
        sides, S = self._affine(self.form.sides, parameters), len(parameters)
        parts, ends = [], []
        for i, rows in enumerate(self.rows):
            right, width = sides[:, rows], S * len(self.other)
            if i in (0, 2):
                first = self._shared_equations(right) if i == 0 else right.min(axis=0)
                parts.append(
                    sparse.hstack([self.of_decided[i], sparse.csr_array((len(rows), width))])
                )
                ends.append(first)
            else:
                own = sparse.kron(sparse.eye_array(S), self.of_other[i])
                shared = sparse.kron(np.ones((S, 1)), self.of_decided[i])
                parts.append(sparse.hstack([shared, own]))
                ends.append(right.ravel())
        A = sparse.csr_array(sparse.vstack(parts, format="csr"))
        return A, np.concatenate(ends), len(ends[0]) + len(ends[1])

    def _shared_equations(self, right: np.ndarray) -> np.ndarray:
        """Return the right-hand sides (m,) of all scenarios (S, m), which must be equal."""
        apart = right.max(axis=0) - right.min(axis=0)
        if (apart > _SAME * np.abs(right).max(axis=0)).any():
            raise NoDecisionError("An equation of decided variables differs between scenarios.")
        return right[0]

    def _linear(
        self, A: sparse.csr_array, b: np.ndarray, n_equations: int, c: np.ndarray
    ) -> np.ndarray:
        """Return a minimiser (n,); inequalities of a single variable are bounds."""
        is_bound = np.diff(A.indptr) == 1
        is_bound[:n_equations] = False
        lower, upper = np.full(len(c), -np.inf), np.full(len(c), np.inf)
        bounds = sparse.coo_array(A[is_bound])
        ends = b[is_bound][bounds.coords[0]] / bounds.data
        np.minimum.at(upper, bounds.coords[1][bounds.data > 0], ends[bounds.data > 0])
        np.maximum.at(lower, bounds.coords[1][bounds.data < 0], ends[bounds.data < 0])
        if (lower > upper).any():
            raise NoDecisionError("The bounds of a variable contradict one another.")
        rest = np.flatnonzero(~is_bound)[n_equations:]
        polytope = Polytope.of(
            len(c),
            ub=(A[rest], b[rest]),
            eq=(A[:n_equations], b[:n_equations]),
            lower=lower,
            upper=upper,
        )
        return LinearSolver(polytope, self.name, is_for_one=True).solve(c[None])[0]
