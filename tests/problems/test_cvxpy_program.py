"""What a builder of programs in cvxpy may declare and return."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import ConvexProgram, CvxpyProgram

from ..contracts.context_contract import table
from .test_context_convex import charging


def bounded_by_attributes():
    cap = cp.Parameter(2, name="cap", nonneg=True)
    z, price = cp.Variable(2, bounds=[0, cap]), cp.Parameter(2)
    cost = price @ z + 0.5 * cp.sum_squares(z)
    return CvxpyProgram(cp.Problem(cp.Minimize(cost)), price, z, cap)


def test_bounds_of_a_variable_may_be_known():
    problem = ConvexProgram(bounded_by_attributes)
    y, context = np.array([[-3.0, -1.0], [-3.0, 1.0]]), table(cap_0=[1.0, 5.0], cap_1=[2.0, 2.0])
    assert_allclose(problem.solve(y, context=context), [[1, 1], [3, 0]], atol=1e-8)
    assert problem.is_feasible([[2.0, 1.0]] * 2, context=context).tolist() == [False, True]
    assert problem.is_feasible([[2.0, -1.0]] * 2, context=context).tolist() == [False, False]
    with pytest.raises(ValueError, match="or a constraint instead of a variable's bound"):
        problem.decision_layer()


def whole_and_non_negative():
    z, price = cp.Variable(2, nonneg=True, integer=True), cp.Parameter(2, nonpos=True)
    most = cp.Parameter(2, integer=True, bounds=[0, 9], name="most")
    return CvxpyProgram(cp.Problem(cp.Minimize(price @ z), [z <= most]), price, z, most)


def test_several_attributes_all_count():
    problem = ConvexProgram(whole_and_non_negative)
    context = table(most_0=[2.0, 5.0], most_1=[3.0, 0.0])
    assert_array_equal(problem.solve([[-1.0, -2.0]] * 2, context=context), [[2, 3], [5, 0]])
    allowed = problem.is_feasible([[1.0, 0.5], [-1.0, 0.0]], context=context)
    assert allowed.tolist() == [False, False]
    with pytest.raises(ValueError, match=r"column 'most_1' is 3.5. .* integer and bounds"):
        problem.solve([[-1.0, -2.0]], context=table(most_0=[2.0], most_1=[3.5]))
    with pytest.raises(ValueError, match=r"column 'most_0' is 10.0. .* integer and bounds"):
        problem.solve([[-1.0, -2.0]], context=table(most_0=[10.0], most_1=[3.0]))


def test_a_row_and_a_column_outside_of_the_domain_are_named():
    problem, y = ConvexProgram(charging), np.zeros((3, 3))
    columns = {"limit_0": [1.0] * 3, "limit_1": [1.0, 1.0, -0.5], "limit_2": [1.0] * 3}
    context = table(**columns, need=[1.0] * 3)
    message = (
        r"^Row 2 of the context cannot be the program's parameter 'limit': column 'limit_1' is "
        r"-0.5. Parameter value must be nonnegative.$"
    )
    known = torch.tensor(context.to_numpy())
    tensor = torch.zeros((3, 3), dtype=torch.float64, requires_grad=True)
    for call in (
        lambda: problem.solve(y, context=context),
        lambda: problem.cost(y, y, context=context),
        lambda: problem.is_feasible(y, context=context),
        lambda: problem.cost_rows(tensor, tensor, known),
        lambda: problem.decision_layer()(tensor, known),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def limited_from_below():
    """A negative weight would make the limit one that anything keeps to."""
    z, weight = cp.Variable(2), cp.Parameter(nonneg=True)
    problem = cp.Problem(cp.Minimize(cp.sum(z)), [weight * cp.norm(z) <= 1, z >= -5])
    return problem, weight, z


def test_the_layer_moves_predictions_as_solve_does():
    problem = ConvexProgram(limited_from_below)
    y = torch.tensor([[1.0], [-1.0]], dtype=torch.float64, requires_grad=True)
    layer = problem.decision_layer()
    assert_allclose(layer(y[:1]).detach(), [[-np.sqrt(0.5)] * 2], atol=1e-3)
    for rows in (y, y.detach()):  # the second weight is taken to be 0: anything keeps the limit
        assert_allclose(layer(rows).detach()[1], [-5.0, -5.0], atol=1e-3)
    assert_allclose(problem.solve(y.detach().numpy())[1], [-5.0, -5.0], atol=1e-6)


def test_a_program_without_known_parameters_takes_no_context():
    assert not ConvexProgram(limited_from_below).takes_context
    with pytest.raises(ValueError, match="takes no context, but context was given"):
        ConvexProgram(limited_from_below).solve([1.0], context=[1.0])


# -- builders that build something else ------------------------------------------------------


def built(parameters=(), context=(), decisions=None, others=()):
    def build():
        z = cp.Variable(2) if decisions is None else decisions
        known = [*parameters, *context, *others]
        cost = cp.sum_squares(z) + sum(cp.sum(each) for each in known)
        return CvxpyProgram(cp.Problem(cp.Minimize(cost)), parameters, z, context)

    return build


SAME = cp.Parameter(name="same")


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (built(), r"builder must return \(problem, parameter, variable\).*or a CvxpyProgram"),
        (built([1.0]), "builder must return"),
        (built([SAME], [SAME]), "The parameter 'same' is returned twice"),
        (
            built([cp.Parameter()], [cp.Parameter(name="a"), cp.Parameter()]),
            "Give a name= to all 2 context parameters, or to none: 'a' would be read by name",
        ),
        (
            built([cp.Parameter()], [cp.Parameter(1, name="a"), cp.Parameter(name="a_0")]),
            "read from the column 'a_0': rename",
        ),
        (
            built([SAME], others=[cp.Parameter(name="third")]),
            r"the returned parameter and no other; it has \['same', 'third'\], and returned was",
        ),
        (
            built([cp.Parameter((2, 2), diag=True, name="d")]),
            "The parameter 'd' has diag=, but its columns must be real numbers",
        ),
        (
            built([SAME], decisions=cp.Variable((2, 2), sparsity=([0], [1]), name="s")),
            "The variable 's' has sparsity=",
        ),
    ],
)
def test_what_a_builder_must_not_return(builder, message):
    with pytest.raises(ValueError, match=message):
        ConvexProgram(builder).context_columns()
