"""Linear and quadratic programs among cvxpy's, with their costs and right-hand sides."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .._utils.optional import import_optional
from .standard_form import StandardForm

_MOST_NUMBERS = 2_000  # of variables, constraints or parameters: matrices are dense
_AFFINE = 1e-9  # by how much a number may differ from what slopes make of it, as a share of terms


class CvxpyForm(NamedTuple):
    """A standard form, and the places (k,) of the decisions among its variables."""

    form: StandardForm
    decided: np.ndarray


def standard_form(
    problem: Any, parameters: Sequence[Any], decision: Callable[[], np.ndarray], **options: Any
) -> CvxpyForm | None:
    """Return a cvxpy problem in standard form, None where it is no such program.

    It has one where cvxpy makes no cones but equations and inequalities of it, and neither its
    matrix nor its quadratic term depends on a parameter. cvxpy is asked for its numbers at several
    values of the parameters. Their values, and those of the variables, are changed.

    Parameters
    ----------
    problem : cvxpy.Problem
        In which a problem is parametrised by the rules of DPP.
    parameters : sequence of cvxpy.Parameter
        All of them; their entries are taken in C order.
    decision : callable
        Returns the decisions (k,) that the values of the variables now are.
    **options
        Of ``problem.get_problem_data``.
    """
    size = sum(each.size for each in parameters)
    if size > _MOST_NUMBERS:
        return None
    rng = np.random.default_rng(0)
    points = np.concatenate([np.zeros((1, size)), np.eye(size), rng.uniform(0.5, 2, (2, size))])
    found: list[_Numbers] = []
    for point in points:
        numbers = _numbers(problem, parameters, point, options)
        if numbers is None or (found and not numbers.has_matrices_of(found[0])):
            return None
        found.append(numbers)
    start, costs, sides, offset = (
        found[0],
        *(np.array([getattr(each, name) for each in found]) for name in ("c", "b", "d")),
    )
    decided = _places(start, decision)
    if decided is None or not all(_is_affine(points, each) for each in (costs, sides, offset)):
        return None
    of_parameters = (_slopes(size, each) for each in (costs, sides, offset))
    return CvxpyForm(StandardForm(start.P, start.A, start.n_equations, *of_parameters), decided)


class _Numbers(NamedTuple):
    """A program at one value of its parameters."""

    P: sparse.csc_array
    A: sparse.csr_array
    n_equations: int
    c: np.ndarray
    b: np.ndarray
    d: float
    set_variables: Callable[[np.ndarray], None]

    def has_matrices_of(self, other: "_Numbers") -> bool:
        pairs = (self.P, other.P), (self.A, other.A)
        return all(one.shape == to.shape and not (one != to).nnz for one, to in pairs)


def _numbers(
    problem: Any, parameters: Sequence[Any], point: np.ndarray, options: dict[str, Any]
) -> _Numbers | None:
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    ends = np.cumsum([each.size for each in parameters])[:-1]
    for leaf, value in zip(parameters, np.split(point, ends), strict=True):
        leaf.save_value(value.reshape(leaf.shape))  # without a check of what it is declared to be
    data, chain, inverse = problem.get_problem_data(cp.CLARABEL, solver_opts={}, **options)
    # Copies: cvxpy uses its matrices again for the next values.
    A, dims = sparse.csr_array(data["A"], copy=True), data["dims"]
    n_zero = int(dims.zero)
    if n_zero + int(dims.nonneg) != A.shape[0] or max(A.shape) > _MOST_NUMBERS:
        return None

    def set_variables(x: np.ndarray) -> None:
        found = SimpleNamespace(
            status="Solved", x=x, z=np.zeros(A.shape[0]), obj_val=0.0, solve_time=0.0, iterations=0
        )
        problem.unpack_results(found, chain, inverse)

    n = A.shape[1]
    set_variables(np.zeros(n))
    sign = -1.0 if isinstance(problem.objective, cp.Maximize) else 1.0
    P = sparse.csc_array(data["P"], copy=True) if "P" in data else sparse.csc_array((n, n))
    A.eliminate_zeros()
    P.eliminate_zeros()
    c, b = (np.array(data[name], dtype=np.float64) for name in ("c", "b"))
    return _Numbers(P, A, n_zero, c, b, sign * float(problem.value), set_variables)


def _slopes(size: int, values: np.ndarray) -> np.ndarray:
    """Return slopes, and the value at 0 behind them, of values at 0, unit vectors and others."""
    return np.concatenate([values[1 : 1 + size] - values[0], values[:1]])


def _is_affine(points: np.ndarray, values: np.ndarray) -> bool:
    """Return whether the values at all points are what slopes make of those at the first."""
    affine = _slopes(points.shape[1], values)
    points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    terms = np.abs(points) @ np.abs(affine)
    return bool((np.abs(points @ affine - values) <= _AFFINE * terms).all())


def _places(numbers: _Numbers, decision: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Return which variables of the standard form are the decisions, None if these are others."""
    x = np.random.default_rng(0).uniform(1.0, 2.0, numbers.A.shape[1])
    numbers.set_variables(x)
    order = np.argsort(x)
    place = np.minimum(np.searchsorted(x[order], values := decision()), len(x) - 1)
    decided = order[place]
    return decided if np.array_equal(x[decided], values) else None
