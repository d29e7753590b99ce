"""The null model that knows the context, where 200 scenarios stand for more rows."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.metrics import d2_regret_score
from dfl_sklearn.problems import DecisionProblem, FromContext, MultiProductNewsvendorProblem
from dfl_sklearn.problems.constant import best_constant

CAPPED = MultiProductNewsvendorProblem([4, 9], 1, capacity=FromContext("room"))


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    y = np.abs(rng.normal(30, 10, (n, 2)))
    guess = np.abs(y + rng.normal(0, 5, y.shape))
    return y, guess, pd.DataFrame({"room": rng.choice([40.0, 55.0, 100.0], n)})


def by_all_rows(y, guess, context, weight):
    """The score with all rows as scenarios, one solve for each capacity."""
    fixed = np.empty_like(y)
    for room in context["room"].unique():
        here = (context["room"] == room).to_numpy()
        fixed[here] = CAPPED.solve(
            y[None], scenario_weight=weight, context=context[here][:1].reset_index(drop=True)
        )
    best = CAPPED.optimal_cost(y, context=context)
    paid = CAPPED.cost(CAPPED.solve(guess, context=context), y, context=context)
    constant = CAPPED.cost(fixed, y, context=context)
    return 1 - weight @ (paid - best) / (weight @ (constant - best))


@pytest.mark.parametrize("n", [150, 400, 3000])
@pytest.mark.parametrize("heavy", [False, True])
def test_the_score_is_that_of_all_rows_as_scenarios(n, heavy):
    y, guess, context = rows(n)
    weight = np.random.default_rng(1).uniform(0.5, 1.5, n)
    if heavy:  # a row with most of the weight
        y[4], guess[4], weight[4] = [60, 55], [58, 56], 10.0 * n
    found = d2_regret_score(y, guess, problem=CAPPED, context=context, sample_weight=weight)
    exact = by_all_rows(y, guess, context, weight)
    assert found == pytest.approx(exact, abs=1e-9 if n < 200 else 0.01)


def test_neither_order_nor_copies_matter():
    y, guess, context = rows(400)
    weight = np.random.default_rng(0).integers(0, 4, 400)

    def score(index, weight=None):
        return d2_regret_score(
            *(y[index], guess[index]),
            problem=CAPPED,
            context=context.iloc[index].reset_index(drop=True),
            sample_weight=weight,
        )

    everything = np.arange(400)
    expected = score(np.repeat(everything, weight))
    assert_allclose(score(everything, weight), expected, rtol=1e-12)
    turned = np.random.default_rng(1).permutation(400)
    assert_allclose(score(turned, weight[turned]), expected, rtol=1e-12)
    assert_allclose(score(everything, 1e6 * weight), expected, rtol=1e-12)


class Quadrupled(DecisionProblem):
    """The mean of a fourth power is least elsewhere than at the mean."""

    def solve_rows(self, y, context=None):
        return y

    def cost_rows(self, decisions, y, context=None):
        return ((decisions - y) ** 4).sum(axis=1)


def test_the_mean_of_scenarios_is_solved_for_with_one_warning():
    y = np.array([[[0.0], [1.0], [5.0]], [[2.0], [2.0], [8.0]]])
    with pytest.warns(UserWarning, match="Quadrupled solved 2 of 2 rows for the mean") as seen:
        z = Quadrupled().solve(y)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert_allclose(z, y.mean(axis=1))


def test_a_single_scenario_and_the_best_constant_need_no_warning():
    y, weight = np.array([[0.0], [1.0], [5.0]]), np.array([1.0, 2.0, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = Quadrupled().solve(y[None], scenario_weight=[0.0, 1.0, 0.0])
        constant = best_constant(Quadrupled(), y, weight)
    assert_array_equal(alone, [[1.0]])
    assert_allclose(constant, [[7 / 4]])
