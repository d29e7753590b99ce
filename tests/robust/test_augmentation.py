"""Noise and nominal samples: rows beside the rows."""

import numpy as np
import pytest

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, GaussianNoise, NominalSamples
from dfl_sklearn.rows import Rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = NewsvendorProblem(9, 1)
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(16,), n_steps=20, max_iter=5)


@pytest.fixture(scope="module")
def data():
    return make_newsvendor(300, random_state=0)


def started(noise, data):
    X, y = data
    rows = Rows(X, y[:, None], np.ones(len(y))).canonical()
    noise.set_nominal(rows, PROBLEM, 0)
    return noise, rows


def no_loss(rows):
    raise AssertionError("noise does not ask for losses")


def test_noise_has_the_scale_asked_for_and_is_drawn_anew(data):
    noise, rows = started(GaussianNoise(0.5), data)
    draws = [noise.worst_case(no_loss)[0] for _ in range(40)]
    moved = np.array([np.hstack([each.X - rows.X, each.y - rows.y]) for each in draws])
    spread = np.hstack([rows.X, rows.y]).std(axis=0)
    np.testing.assert_allclose(moved.std(axis=(0, 1)), 0.5 * spread, rtol=0.03)
    np.testing.assert_allclose(moved.mean(axis=(0, 1)), 0.0, atol=0.03)
    assert draws[0].weight.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("columns", "fixed"), [("features", "y"), ("target", "X")])
def test_columns_that_may_not_move_stay(data, columns, fixed):
    noise, rows = started(GaussianNoise(0.5, columns=columns), data)
    found = noise.worst_case(no_loss)[0]
    np.testing.assert_array_equal(getattr(found, fixed), getattr(rows, fixed))
    other = "X" if fixed == "y" else "y"
    assert (getattr(found, other) != getattr(rows, other)).all()
    both, _ = started(GaussianNoise(0.5), data)
    np.testing.assert_array_equal(
        getattr(both.worst_case(no_loss)[0], other), getattr(found, other)
    )


def test_noisy_demand_is_projected_and_the_share_reported(data):
    noise, _ = started(GaussianNoise(3.0), data)
    demand = noise.worst_case(no_loss)[0].y
    assert (demand >= 0).all()
    assert noise.projected_share_ == (demand == 0).mean() > 0.02


def test_no_noise_is_the_plain_fit(data):
    X, y = data
    plain, still = (
        DFLRegressor(PROBLEM, ambiguity_set=each, hidden_layer_sizes=(), random_state=0).fit(X, y)
        for each in (None, GaussianNoise(0.0))
    )
    np.testing.assert_array_equal(plain.predict(X), still.predict(X))


def test_noise_on_the_features_shrinks_a_linear_predictor(data):
    X, y = data
    # Least squares on features with noise of variance s^2 is ridge regression with penalty s^2.
    model = DFLRegressor(
        ambiguity_set=GaussianNoise(1.0, columns="features"),
        hidden_layer_sizes=(),
        max_iter=100,
        n_iter_no_change=100,
        learning_rate_init=0.01,
        random_state=0,
    ).fit(X, y)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    ridge = np.linalg.solve(Z.T @ Z + len(y) * np.eye(5), Z.T @ (y - y.mean()))
    slope = model.predict(X.mean(axis=0) + X.std(axis=0) * np.eye(5)) - model.predict(
        X.mean(axis=0, keepdims=True)
    )
    plain = np.linalg.solve(Z.T @ Z, Z.T @ (y - y.mean()))
    np.testing.assert_allclose(slope, ridge, atol=0.15 * np.abs(plain).max())
    assert np.abs(slope).max() < 0.75 * np.abs(plain).max()


def test_nominal_samples_train_on_generated_rows_alone(data):
    X, y = data
    model = DFLRegressor(
        PROBLEM,
        ambiguity_set=NominalSamples(2000, generator=GENERATOR),
        hidden_layer_sizes=(),
        random_state=0,
    ).fit(X, y)
    fitted = model.ambiguity_set_
    pool, weight = fitted.search_.nominal().X, fitted.search_.nominal().weight
    assert len(pool) == 2000
    np.testing.assert_allclose(weight, 1 / 2000)
    assert model.worst_case_.divergence == 0
    assert model.worst_case_.worst_regret == pytest.approx(model.worst_case_.nominal_regret)
    # The best linear order for the pool, found by training on the pool directly.
    direct = DFLRegressor(PROBLEM, hidden_layer_sizes=(), random_state=0).fit(
        pool[:, :-1], np.maximum(pool[:, -1], 0)
    )
    ours = PROBLEM.cost(model.decide(pool[:, :-1]), np.maximum(pool[:, -1], 0)).mean()
    best = PROBLEM.cost(direct.decide(pool[:, :-1]), np.maximum(pool[:, -1], 0)).mean()
    assert ours == pytest.approx(best, rel=0.01)
    params = NominalSamples(generator=GENERATOR).get_params(deep=False)
    assert sorted(params) == ["generator", "memory", "n_samples"]


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (GaussianNoise(-1.0), "scale must be at least 0, got -1.0"),
        (GaussianNoise(columns="X"), "columns must be one of .*'features'.* got 'X'"),
    ],
)
def test_parameters_out_of_range(data, noise, message):
    with pytest.raises(ValueError, match=message):
        DFLRegressor(ambiguity_set=noise, max_iter=2, random_state=0).fit(*data)
