"""Linear and mixed-integer programs with predicted costs, exactly, through HiGHS."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from ..solvers.polytope import Polytope
from ..solvers.rows import solve_rows
from ._limits import check_limits, has_limits
from .linear_cost import LinearCostProblem


class LinearProgram(LinearCostProblem):
    r"""Minimise (or maximise) :math:`y^\top z` under linear constraints.

    .. math:: \min_z \; y^\top z \quad \text{with} \quad
       A_{ub} z \le b_{ub}, \quad A_{eq} z = b_{eq}, \quad l \le z \le u.

    The parameters are the costs of the decisions; the constraints are known. Arguments are those
    of :func:`scipy.optimize.linprog`.

    Parameters
    ----------
    A_ub : array-like or sparse of shape (m, n), default=None
    b_ub : array-like of shape (m,), default=None
        Inequality constraints.
    A_eq : array-like or sparse of shape (p, n), default=None
    b_eq : array-like of shape (p,), default=None
        Equality constraints.
    bounds : (lower, upper), sequence of n such pairs or scipy.optimize.Bounds, default=(0, None)
        None stands for no bound.
    integrality : int or array-like of shape (n,), default=None
        1 where a decision must be a whole number, 0 where not; None is 0 for all.
    sense : {"min", "max"}, default="min"
        With "max" the parameters are values, and the cost is the negated value.
    n_jobs : int, default=None
        Threads among which the rows are divided; None is 1, -1 all cores. Decisions do not
        depend on it.
    time_limit : float, default=None
        Seconds for each row, where there are whole numbers. Decisions may then differ from run to
        run.
    mip_gap : float, default=0
        By how much a decision may be dearer than the best one, as a share of its cost, where there
        are whole numbers.

    Attributes
    ----------
    exact : bool
        False where there are whole numbers and one of these limits. Rows that such a limit leaves
        short of the best decision are counted in a warning, with the largest gap.

    Notes
    -----
    Needs HiGHS: ``pip install "dfl-sklearn[highs]"``. Without any constraints and with one pair of
    bounds the number of decisions is that of the columns of `y`.

    Every decision is checked in the units given: constraints hold to 1e-9 of the absolute terms of
    their row, and the dual values prove that no other decision is cheaper by more than 1e-7 of the
    absolute terms of the cost (1e-6 with whole numbers). What fails is solved again in exact
    arithmetic or, if it is large, in other units; what still fails is an error.

    Predicted costs may be negative where observed ones are not, and training with
    :class:`~dfl_sklearn.losses.SPOPlusLoss` solves for such costs: give finite bounds.

    Examples
    --------
    Two products share ten hours of a machine; at most six of each can be sold.

    >>> from dfl_sklearn.problems import LinearProgram
    >>> problem = LinearProgram([[1, 2]], [10], bounds=(0, 6), sense="max")
    >>> problem.solve([[3.0, 1.0], [1.0, 4.0]])
    array([[6., 2.],
           [0., 5.]])
    >>> problem.optimal_cost([[3.0, 1.0], [1.0, 4.0]])
    array([-20., -20.])
    """

    def __init__(
        self,
        A_ub: Any = None,
        b_ub: ArrayLike | None = None,
        A_eq: Any = None,
        b_eq: ArrayLike | None = None,
        bounds: Any = (0, None),
        integrality: Any = None,
        sense: str = "min",
        n_jobs: int | None = None,
        time_limit: float | None = None,
        mip_gap: float = 0.0,
    ) -> None:
        self.A_ub = A_ub
        self.b_ub = b_ub
        self.A_eq = A_eq
        self.b_eq = b_eq
        self.bounds = bounds
        self.integrality = integrality
        self.sense = sense
        self.n_jobs = n_jobs
        self.time_limit = time_limit
        self.mip_gap = mip_gap

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether the best decision is found: not where a limit may end the search before."""
        return not (np.any(self.integrality) and has_limits(self.time_limit, self.mip_gap))

    def _check_constants(self) -> None:
        super()._check_constants()
        check_limits(self.time_limit, self.mip_gap)
        width = self._n_parameters()
        self._polytope(1 if width is None else width)

    def _n_parameters(self) -> int | None:
        for A in (self.A_ub, self.A_eq):
            if A is not None:
                return int(_matrix(A, "A_ub" if A is self.A_ub else "A_eq").shape[1])
        if len(_pairs(self.bounds)) > 1:
            return len(_pairs(self.bounds))
        return (
            None
            if self.integrality is None or np.ndim(self.integrality) == 0
            else len(self.integrality)
        )

    def _polytope(self, n: int) -> Polytope:
        low, high = _bounds(self.bounds, n)
        return Polytope.of(
            n,
            ub=_rows(self.A_ub, self.b_ub, n, "ub"),
            eq=_rows(self.A_eq, self.b_eq, n, "eq"),
            lower=low,
            upper=high,
            whole=_integrality(self.integrality, n),
        )

    def _solve(self, y: np.ndarray, context: Any) -> np.ndarray:
        polytope = self._polytope(y.shape[1])
        return solve_rows(
            polytope,
            self._sign * y,
            n_jobs=self.n_jobs,
            name=type(self).__name__,
            time_limit=self.time_limit,
            mip_gap=self.mip_gap,
        )


def _matrix(A: Any, name: str) -> Any:
    """Return a 2-d matrix of finite numbers, sparse if it was given so."""
    try:
        matrix = sparse.csr_array(A) if sparse.issparse(A) else np.asarray(A, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a matrix of numbers: {error}") from error
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, got shape {matrix.shape}.")
    values: Any = matrix.data if sparse.issparse(matrix) else matrix
    if not np.isfinite(values).all():
        dense = sparse.csr_array(matrix).toarray()
        i, j = np.argwhere(~np.isfinite(dense))[0]
        raise ValueError(f"{name} is not finite at row {i}, column {j}: {dense[i, j]}.")
    return matrix


def _rows(A: Any, b: Any, n: int, kind: str) -> tuple[Any, Any]:
    """Return checked constraints (m, n) and (m,), or (None, None)."""
    if (A is None) != (b is None):
        missing, given = ("A", "b") if A is None else ("b", "A")
        raise ValueError(f"{given}_{kind} was given without {missing}_{kind}.")
    if A is None:
        return None, None
    matrix, right = _matrix(A, f"A_{kind}"), np.asarray(b, dtype=np.float64)
    if matrix.shape[1] != n:
        raise ValueError(
            f"A_{kind} has {matrix.shape[1]} columns, but the problem has {n} decisions."
        )
    if right.shape != (matrix.shape[0],):
        raise ValueError(
            f"b_{kind} must have one entry per row of A_{kind}, shape ({matrix.shape[0]},), got "
            f"{right.shape}."
        )
    allowed = np.isfinite(right) | ((right == np.inf) & (kind == "ub"))
    if not allowed.all():
        i = int(np.flatnonzero(~allowed)[0])
        raise ValueError(f"b_{kind}[{i}] is {right[i]}, which is no right-hand side.")
    return matrix, right


def _pairs(bounds: Any) -> list[Any]:
    """Return a list of pairs, with one entry where one pair holds for all decisions."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):  # scipy.optimize.Bounds
        bounds = np.stack(np.broadcast_arrays(*np.atleast_1d(bounds.lb, bounds.ub)), axis=1)
    try:
        entries: list[Any] = [(0, None)] if bounds is None else list(bounds)
    except TypeError as error:
        raise ValueError(f"bounds must be a pair or a sequence of pairs, got {bounds!r}.") from (
            error
        )
    if len(entries) == 2 and all(each is None or np.ndim(each) == 0 for each in entries):
        return [tuple(entries)]
    return entries


def _bounds(bounds: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper bounds (n,), infinite where absent."""
    pairs = _pairs(bounds)
    if len(pairs) not in (1, n):
        raise ValueError(
            f"bounds must be one pair or {n} pairs, one per decision, got {len(pairs)}."
        )
    for i, pair in enumerate(pairs):
        if np.ndim(pair) == 0 or len(pair) != 2:
            raise ValueError(f"bounds[{i}] must be a pair (lower, upper), got {pair!r}.")
    try:
        low, high = (
            np.array([absent if each[i] is None else each[i] for each in pairs], dtype=np.float64)
            for i, absent in ((0, -np.inf), (1, np.inf))
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"bounds must hold numbers and None: {error}") from error
    bad = np.isnan(low) | np.isnan(high) | (low > high) | (low == np.inf) | (high == -np.inf)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(f"bounds[{i}] = ({low[i]}, {high[i]}) hold no number.")
    return np.broadcast_to(low, n), np.broadcast_to(high, n)


def _integrality(integrality: Any, n: int) -> np.ndarray:
    if integrality is None:
        return np.zeros(n, dtype=bool)
    kinds = np.asarray(integrality)
    if kinds.shape not in ((), (n,)):
        raise ValueError(
            f"integrality must be a number or have one entry per decision, shape ({n},), got "
            f"{kinds.shape}."
        )
    if not np.isin(kinds, (0, 1)).all():
        raise ValueError(
            "integrality must hold 0 (any number) and 1 (whole numbers); other kinds of variables "
            "are not supported."
        )
    return np.broadcast_to(kinds.astype(bool), n)
