"""Markers in the place of numbers: what can be calculated with them, and what is said if not."""

import operator
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dfl_sklearn.problems import FromContext, LinearProgram, Predicted, RecourseLinearProgram

P = Predicted(0)


@pytest.mark.parametrize(
    ("term", "factor", "offset"),
    [
        (P - 5, 1, -5),
        (5 - P, -1, 5),
        (P + 5, 1, 5),
        (5 + P, 1, 5),
        (P / 2, 0.5, 0),
        ((P - 3) / 2, 0.5, -1.5),
        (2 * (P + 1), 2, 2),
        (-(P + 1) * 3, -3, -3),
        (+P, 1, 0),
        (np.float32(0.5) * P, 0.5, 0),
        (np.int64(3) - 2 * P, -2, 3),
        ((np.array([1.0, 2.0]) * P)[1], 2, 0),
        ((P - np.array([1, 4]))[1], 1, -4),
        (sum([P]), 1, 0),
    ],
)
def test_affine_terms(term, factor, offset):
    assert term == Predicted(0, factor, offset)
    assert pickle.loads(pickle.dumps(term)) == term


def test_a_term_is_worth_what_it_says():
    """Short of half of what is predicted, less 1, at twice that price plus 3."""
    problem = RecourseLinearProgram(
        [1.0], [3 + 2 * Predicted(1)], [[1.0]], [[1.0]], [Predicted(0) / 2 - 1]
    )
    y = np.array([[10.0, 1.0], [6.0, 2.0], [1.0, 1.0]])
    assert_allclose(problem.cost([[0.0]], y), [4 * 5, 2 * 7, 0.0], atol=1e-12)
    assert_allclose(problem.solve(y), [[4.0], [2.0], [0.0]], atol=1e-12)


@pytest.mark.parametrize("marker", [P, FromContext("price"), FromContext(1)])
@pytest.mark.parametrize(
    "term",
    [
        lambda one: one + one,
        lambda one: one * one,
        lambda one: 1 / one,
        lambda one: one**2,
        lambda one: one % 2,
        lambda one: one * "a",
        lambda one: operator.matmul(one, np.ones(2).tolist()),
        lambda one: max(one, 3),
        lambda one: divmod(one, 2),
        lambda one: np.array([one, 1.0], dtype=float),
        abs,
        round,
        float,
    ],
)
def test_other_terms_are_columns_of_their_own(marker, term):
    with pytest.raises(TypeError, match="into a column of its own of"):
        term(marker)


@pytest.mark.parametrize("term", [lambda one: 2 * one, lambda one: one - 5, operator.neg])
def test_what_is_known_is_calculated_beforehand(term):
    with pytest.raises(TypeError, match="column of its own of the context"):
        term(FromContext("price"))


def test_numbers_of_a_marker():
    for bad in (np.nan, np.inf, "a", None):
        with pytest.raises(ValueError, match="factor of Predicted must be a finite number"):
            Predicted(0, bad)
        with pytest.raises(ValueError, match="offset of Predicted must be a finite number"):
            Predicted(0, 1.0, bad)
    with pytest.raises(ZeroDivisionError):
        P / 0


@pytest.mark.parametrize("bounds", [P, (0, P), [(0, P)], (FromContext(0), 5)])
def test_bounds_are_rows_of_constraints(bounds):
    problem = RecourseLinearProgram([1.0], [5.0], [[1.0]], [[1.0]], [P], bounds=bounds)
    with pytest.raises(ValueError, match=r"bounds must be numbers, got .* as a row of A_ub"):
        problem.solve([1.0])


@pytest.mark.parametrize(
    "arguments",
    [{"A_ub": [[P]], "b_ub": [1]}, {"A_ub": [[1]], "b_ub": [P]}, {"bounds": [(0, P)]}],
)
def test_programs_with_predicted_costs_have_no_other_predictions(arguments):
    with pytest.raises(ValueError, match="RecourseLinearProgram only"):
        LinearProgram(**arguments).solve([[1.0]])
