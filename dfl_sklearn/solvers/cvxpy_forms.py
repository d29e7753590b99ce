"""Linear and quadratic programs among cvxpy's, with their costs and right-hand sides."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .._utils.optional import import_optional
from .standard_form import StandardForm

_MOST_NUMBERS = 2_000  # of variables or constraints: matrices are dense
_SAME = 1e-12  # by which two ways to the same number may differ, as a share of its terms


class CvxpyForm(NamedTuple):
    """A standard form, and the places (k,) of the decisions among its variables."""

    form: StandardForm
    decided: np.ndarray


def standard_form(
    problem: Any, parameters: Sequence[Any], decision: Callable[[], np.ndarray], **options: Any
) -> CvxpyForm | None:
    """Return a cvxpy problem in standard form, None where it is no such program.

    It has one where cvxpy makes no cones but equations and inequalities of it, and neither its
    matrix nor its quadratic term depends on a parameter. The values of its parameters and variables
    are changed.

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
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    values = [np.random.default_rng(0).uniform(0.5, 2.0, each.shape) for each in parameters]
    for leaf, value in zip(parameters, values, strict=True):
        leaf.save_value(value)  # without a check of what it is declared to be
    data, chain, inverse = problem.get_problem_data(cp.CLARABEL, solver_opts={}, **options)
    dims, (m, n) = data["dims"], data["A"].shape
    n_zero = int(dims.zero)
    if n_zero + int(dims.nonneg) != m or max(m, n) > _MOST_NUMBERS:
        return None
    tensors = data["param_prob"]
    columns = _columns(tensors, parameters)
    costs, sides = sparse.csr_array(tensors.q), sparse.csr_array(tensors.A)
    if columns is None or _depends(sides[: m * n]) or _depends(tensors.P):
        return None
    form = StandardForm(
        sparse.csc_array(data["P"], copy=True) if "P" in data else sparse.csc_array((n, n)),
        sparse.csr_array(data["A"], copy=True),
        n_zero,
        costs[:n][:, columns].T.toarray(),
        sides[m * n :][:, columns].T.toarray(),
        costs[n:][:, columns].T.toarray()[:, 0],
    )
    form.A.eliminate_zeros()
    form.P.eliminate_zeros()
    point = np.concatenate([*map(np.ravel, values), [1.0]])
    for name, affine in (("c", form.costs), ("b", form.sides)):
        if (np.abs(point @ affine - data[name]) > _SAME * (point @ np.abs(affine))).any():
            return None  # of a version of cvxpy that keeps its numbers in another way

    def set_variables(x: np.ndarray) -> None:
        found = SimpleNamespace(
            status="Solved", x=x, z=np.zeros(m), obj_val=0.0, solve_time=0.0, iterations=0
        )
        problem.unpack_results(found, chain, inverse)

    decided = _places(n, set_variables, decision)
    return None if decided is None else CvxpyForm(form, decided)


def _columns(tensors: Any, parameters: Sequence[Any]) -> np.ndarray | None:
    """Return where cvxpy's tensors have the entries of parameters, C order, and the constant.

    None where cvxpy has made other parameters of them.
    """
    from cvxpy.lin_ops.lin_op import CONSTANT_ID

    found = []
    for leaf in parameters:
        if tensors.param_id_to_size.get(leaf.id) != leaf.size:
            return None
        place = tensors.param_id_to_col[leaf.id] + np.arange(leaf.size)
        found.append(place.reshape(leaf.shape, order="F").ravel())  # it counts columns first
    return np.concatenate([*found, [tensors.param_id_to_col[CONSTANT_ID]]])


def _depends(tensor: Any) -> bool:
    """Return whether the numbers of a tensor depend on a parameter; the constant comes last."""
    return tensor is not None and bool(abs(sparse.csc_array(tensor)[:, :-1]).sum() > 0)


def _places(
    n: int, set_variables: Callable[[np.ndarray], None], decision: Callable[[], np.ndarray]
) -> np.ndarray | None:
    """Return which variables of the standard form are the decisions, None if these are others."""
    x = np.random.default_rng(0).uniform(1.0, 2.0, n)
    set_variables(x)
    order = np.argsort(x)
    place = np.minimum(np.searchsorted(x[order], values := decision()), n - 1)
    decided = order[place]
    return decided if np.array_equal(x[decided], values) else None
