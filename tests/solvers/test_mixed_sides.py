"""Mixed-integer programs that share a matrix: each row gets what it would get by itself."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.optimize import LinearConstraint, milp

from dfl_sklearn.solvers.linear_sides import solve_mixed_sides
from dfl_sklearn.solvers.polytope import Polytope


def draw(seed, n_rows=8):
    """Return sets that share a matrix and hold 0, and costs; every other variable is whole."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    integral = np.arange(n) % 2 == 0
    part = Polytope.of(n, ub=(rng.normal(size=(m, n)), np.zeros(m)), integral=integral)
    sets = part.replace(
        b_ub=rng.uniform(0.5, 6, (n_rows, m)),
        b_eq=np.zeros((n_rows, 0)),
        lower=np.zeros((n_rows, n)),
        upper=rng.uniform(0.5, 4, (n_rows, n)),
    )
    return sets, rng.normal(size=(n_rows, n))


@pytest.mark.parametrize("seed", range(6))
def test_rows_do_not_know_of_one_another(seed):
    sets, costs = draw(seed)
    z, gaps = solve_mixed_sides(sets, costs, "Problem", None, 0.0)
    assert not gaps
    for i, cost in enumerate(costs):
        own = slice(i, i + 1)
        alone, _ = solve_mixed_sides(sets.for_rows(own), costs[own], "Problem", None, 0.0)
        assert_array_equal(z[i], alone[0])
        found = milp(
            cost,
            constraints=LinearConstraint(sets.A_ub.toarray(), -np.inf, sets.b_ub[i]),
            bounds=(sets.lower[i], sets.upper[i]),
            integrality=sets.integral,
        )
        assert abs(cost @ z[i] - found.fun) < 1e-6 * (1 + abs(found.fun))


def test_a_row_without_a_decision_is_named_and_leaves_the_others_as_they_are():
    sets, costs = draw(0)
    ends = sets.b_ub.copy()
    ends[3] = -1e3
    with pytest.raises(ValueError, match=r"^At row 13: No decision satisfies"):
        solve_mixed_sides(sets.replace(b_ub=ends), costs, "Problem", None, 0.0, first_row=10)
