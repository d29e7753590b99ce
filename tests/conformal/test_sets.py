"""Decisions for the worst y of boxes and ellipsoids, against convex programs and brute force."""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge

from dfl_sklearn import ConformalDecisions, PolicyRegressor, TwoStageRegressor
from dfl_sklearn._conformal.certificates import SetCertificate
from dfl_sklearn._conformal.outcomes import Outcomes
from dfl_sklearn._conformal.plans import Plans
from dfl_sklearn._conformal.quantile import WeightedQuantile, conformal_quantile
from dfl_sklearn._conformal.sets import SETS, Ellipsoid
from dfl_sklearn._conformal.worst_of_set import decide_for_worst_of
from dfl_sklearn.problems import (
    FromContext,
    KnapsackProblem,
    LinearProgram,
    NewsvendorProblem,
    StorageProblem,
    TopKProblem,
)


def shape_of(kind, d, rng):
    return SETS[kind]().fit(rng.standard_normal((50, d)) @ rng.standard_normal((d, d)), None)


def worst(kind, shape, slopes, reach):
    """The largest rise of a cost with these slopes, in cvxpy, for radius 1."""
    scaled = cp.multiply(reach, slopes)
    return cp.norm1(scaled) if kind == "box" else cp.norm2(shape._root.T @ scaled)


@pytest.mark.parametrize("kind", SETS)
def test_schedules_are_those_of_a_convex_program(kind):
    rng = np.random.default_rng(0)
    shape = shape_of(kind, 6, rng)
    price, width = rng.uniform(5, 60, (3, 6)), rng.uniform(0.5, 4, (3, 6))
    price[2] -= 30  # negative prices, at which it pays to charge and discharge at once
    radius = np.array([0.5, 1.5, 2.0])
    problem = StorageProblem(initial_state=0.3)
    found = decide_for_worst_of(problem, price, width, shape, radius)
    assert problem.is_feasible(found.decisions).all()
    for i in range(3):
        charge, discharge = cp.Variable(6, nonneg=True), cp.Variable(6, nonneg=True)
        state = 0.3 + cp.cumsum(0.9 * charge - discharge)
        bought = charge - discharge
        cost = price[i] @ bought + 0.1 * cp.sum_squares(state - 0.5)
        cost += 0.05 * (cp.sum_squares(charge) + cp.sum_squares(discharge))
        cost += radius[i] * worst(kind, shape, bought, width[i])
        limits = [charge <= 0.5, discharge <= 0.2, state >= 0, state <= 1]
        best = cp.Problem(cp.Minimize(cost), limits).solve(solver="CLARABEL")
        assert found.worst_cost[i] == pytest.approx(best, abs=1e-5)
        assert found.worst_cost[i] >= best - 1e-6


@pytest.mark.parametrize("kind", SETS)
def test_linear_decisions_are_those_of_a_convex_program(kind):
    rng = np.random.default_rng(1)
    shape = shape_of(kind, 5, rng)
    A = rng.uniform(0.5, 1.5, (2, 5))
    problem = LinearProgram(A_ub=A, b_ub=[2.0, 3.0], bounds=(0, 1), sense="max")
    value, width = rng.uniform(1, 5, (3, 5)), rng.uniform(0.2, 2, (3, 5))
    found = decide_for_worst_of(problem, value, width, shape, np.full(3, 0.7))
    assert problem.is_feasible(found.decisions).all()
    for i in range(3):
        z = cp.Variable(5)
        cost = -value[i] @ z + 0.7 * worst(kind, shape, z, width[i])
        best = cp.Problem(cp.Minimize(cost), [A @ z <= [2, 3], z >= 0, z <= 1]).solve("CLARABEL")
        assert found.worst_cost[i] == pytest.approx(best, abs=2e-5)


@pytest.mark.parametrize("kind", SETS)
def test_the_worst_cost_is_the_largest_in_the_set(kind):
    rng = np.random.default_rng(2)
    shape = shape_of(kind, 4, rng)
    center, width = rng.uniform(1, 5, (1, 4)), rng.uniform(0.2, 1, (1, 4))
    problem = KnapsackProblem(weights=[2.0, 3.0, 4.0, 5.0], capacity=9.0)
    found = decide_for_worst_of(problem, center, width, shape, np.array([0.8]))
    u = rng.standard_normal((20000, 4))
    u = (
        np.sign(u)
        if kind == "box"
        else u / np.linalg.norm(u, axis=1, keepdims=True) @ shape._root.T
    )
    assert (shape.radius(u) <= 1 + 1e-9).all()
    costs = problem.cost(found.decisions, center + 0.8 * width * u)
    assert costs.max() <= found.worst_cost[0] + 1e-12
    assert costs.max() == pytest.approx(found.worst_cost[0], abs=0.02)
    # No whole decision has a lower worst cost.
    for z in np.ndindex(2, 2, 2, 2):
        if np.dot(z, [2, 3, 4, 5]) <= 9:
            assert problem.cost([z], center + 0.8 * width * u).max() >= found.worst_cost[0] - 0.02


@pytest.mark.parametrize("kind", SETS)
def test_a_set_of_radius_0_is_the_plain_decision(kind):
    rng = np.random.default_rng(3)
    price = rng.uniform(5, 60, (4, 6))
    found = decide_for_worst_of(
        StorageProblem(), price, np.ones((4, 6)), shape_of(kind, 6, rng), np.zeros(4)
    )
    assert_array_equal(found.decisions, StorageProblem().solve(price))
    assert_allclose(found.worst_cost, StorageProblem().optimal_cost(price))


def test_a_box_of_equal_widths_on_a_simplex_changes_nothing():
    rng = np.random.default_rng(4)
    value = rng.uniform(1, 5, (6, 4))
    found = decide_for_worst_of(TopKProblem(2), value, np.ones((6, 4)), SETS["box"](), np.ones(6))
    assert_array_equal(found.decisions, TopKProblem(2).solve(value))
    assert_allclose(found.worst_cost, TopKProblem(2).optimal_cost(value) + 2)


def test_an_ellipsoid_has_the_shape_of_the_errors():
    rng = np.random.default_rng(5)
    errors = rng.standard_normal((4000, 2)) @ np.array([[1.0, 0.9], [0.0, 0.3]])
    root = Ellipsoid().fit(errors, None)._root
    moment = errors.T @ errors / 4000
    assert_allclose(root @ root.T, moment, atol=2e-3)
    counts = rng.integers(1, 3, 4000)
    weighted = Ellipsoid().fit(errors, counts.astype(float))._root
    assert_allclose(Ellipsoid().fit(np.repeat(errors, counts, axis=0), None)._root, weighted)
    alone = Ellipsoid().fit(errors[:1], None)  # one row: still a set
    assert np.isfinite(alone.radius(errors)).all()


def prices(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    y = 30 + X @ rng.normal(size=(3, 4)) + np.array([0, 8, -3, 12.0])
    return X, y + 4 * rng.standard_normal((n, 4)) + 3 * rng.standard_normal((n, 1))


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("scale", [None, "planned", "ridge"])
def test_a_radius_is_that_of_brute_force(kind, scale):
    X, y = prices(70, 0)
    model = TwoStageRegressor(Ridge(), StorageProblem()).fit(X[:30], y[:30])
    rows = [
        Outcomes.of(Plans.of(model, X[at]), X[at], y[at], None)
        for at in (slice(30, 50), slice(50, 70))
    ]
    certificate = SetCertificate(kind, scale)
    certificate.fit(rows[0])
    radii, level = certificate.radii(0.7), 0.7
    holds = []
    plans = Plans.of(model, X[50:])
    for radius in radii:
        z, promise = certificate.decisions_and_promises(X[50:], plans, radius)
        holds.append(StorageProblem().cost(z, y[50:]) <= promise)
    holds = np.array(holds)
    scores = [
        min((r for k, r in enumerate(radii) if holds[k:, i].all()), default=np.inf)
        for i in range(20)
    ]
    expected = conformal_quantile(np.array(scores), np.ones(20), level)
    assert certificate.calibrate(rows[1], None, level) == expected
    assert 0 < expected < np.inf
    labels = ["a", "b"] * 10
    by_group = certificate.calibrate(rows[1], labels, level)
    for k, label in enumerate("ab"):
        assert by_group[label] == conformal_quantile(np.array(scores[k::2]), np.ones(10), level)
    shift, new = np.exp(X[50:, 0]), np.linspace(0, 8, 30)
    by_weight = WeightedQuantile(np.array(scores), np.ones(20), shift, level)(new)
    assert_array_equal(certificate.calibrate(rows[1], None, level, shift)(new), by_weight)
    assert len(np.unique(by_weight)) > 2


@pytest.mark.parametrize("kind", SETS)
def test_sets_in_the_estimator(kind):
    X, y = prices(120, 1)
    model = ConformalDecisions(LinearRegression(), StorageProblem(), method=kind).fit(X, y)
    assert model.score(X, y) < 1
    found = model.certificate(X[90:], y[90:])
    z = model.decide(X[90:])
    assert StorageProblem().is_feasible(z).all()
    assert_array_equal(found.realised, StorageProblem().cost(z, y[90:]))
    assert_array_equal(found.promised, model.promised_cost(X[90:]))
    assert found.coverage >= 0.9
    plain = TwoStageRegressor(LinearRegression(), StorageProblem()).fit(X[:90], y[:90])
    assert not np.array_equal(z, plain.decide(X[90:]))
    # One row at a time: the same.
    assert_array_equal(model.decide(X[95:96]), z[5:6])
    folds = ConformalDecisions(LinearRegression(), StorageProblem(), method=kind, cv=3).fit(X, y)
    assert folds.guaranteed_level_ is None


def test_sets_know_a_context():
    X, y = prices(100, 2)
    start = np.random.default_rng(0).choice([0.0, 0.5, 1.0], 100)
    table = np.column_stack([X, start])
    problem = StorageProblem(initial_state=FromContext(0))
    model = ConformalDecisions(LinearRegression(), problem, method="box", context=[3])
    z = model.fit(table, y).decide(table)
    assert problem.is_feasible(z, context=start).all()
    assert (z[start == 0.0][:, 4] == 0).all()  # nothing to sell at first


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sets_are_refused_where_the_cost_is_not_affine():
    X, y = prices(60, 3)
    model = ConformalDecisions(LinearRegression(), NewsvendorProblem(9, 1), method="box")
    with pytest.raises(ValueError, match=r"that of NewsvendorProblem is not\. Use method=.cost"):
        model.fit(X, y[:, 0])
    policy = PolicyRegressor(
        StorageProblem(), hidden_layer_sizes=(2,), max_iter=1, early_stopping=False
    )
    with pytest.raises(ValueError, match="the estimator predicts only decisions"):
        ConformalDecisions(policy, method="ellipsoid").fit(X, y)


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("unit", [1e-250, 1e250])
def test_promises_have_the_unit_of_y(kind, unit):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = np.exp(X @ [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]] + 0.3 * rng.standard_normal((60, 3)))
    model = ConformalDecisions(LinearRegression(), TopKProblem(1), method=kind)
    promised = model.fit(X, y).promised_cost(X)
    assert_allclose(model.fit(X, unit * y).promised_cost(X), unit * promised, rtol=1e-9)


@pytest.mark.parametrize("kind", SETS)
def test_a_frozen_model_leaves_the_first_rows_to_the_shape_of_the_set(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 2))
    y = X @ rng.standard_normal((2, 3)) + rng.standard_normal((80, 3))
    frozen = FrozenEstimator(LinearRegression().fit(X[:20], y[:20]))
    model = ConformalDecisions(frozen, TopKProblem(1), method=kind, scale=None)
    model.fit(X[20:], y[20:])
    assert model.n_calibration_ == 15
    assert model.certificate(X[20:], y[20:]).coverage > 0.8
