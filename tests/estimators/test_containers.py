"""DFLRegressor: shapes, dtypes and containers of what it is given."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge

from dfl_sklearn import ConformalDecisions, DFFRegressor, DFLRegressor
from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem
from dfl_sklearn.robust import CovariateShiftWeight, KLBall, SinkhornBall
from dfl_sklearn.scenarios import GaussianScenarios

PROBLEM = NewsvendorProblem(9, 1, nonnegative=False)
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@quiet
@pytest.mark.parametrize("problem", [PROBLEM, None, ProvisioningProblem(0.0, 9.0)])
def test_shapes_of_y(problem, data):
    X, y = data
    model = DFLRegressor(problem, max_iter=3, random_state=0)
    y = np.abs(y)
    flat, column = clone(model).fit(X, y), clone(model).fit(X, y[:, None])
    assert flat.predict(X).shape == flat.decide(X).shape == (120,)
    assert column.predict(X).shape == column.decide(X).shape == (120, 1)
    assert_array_equal(column.predict(X)[:, 0], flat.predict(X))
    several = model.fit(X, np.column_stack([y, 2 * y]))
    assert several.predict(X).shape == several.decide(X).shape == (120, 2)


@quiet
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_net_has_the_dtype_of_the_features(model, data, dtype):
    X, y = data
    model.fit(X.astype(dtype), y)
    assert all(p.numpy().dtype == dtype for p in model.predictor_.module_.state_dict().values())
    assert model.predict(X.astype(dtype)).dtype == dtype
    other = np.float32 if dtype == np.float64 else np.float64
    assert_allclose(model.predict(X.astype(other)), model.predict(X), rtol=1e-4, atol=1e-4)


@quiet
def test_pandas(model, data):
    X, y = data
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=np.arange(120)[::-1])
    model.fit(frame, pd.Series(y, name="demand"))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert_array_equal(model.predict(frame), clone(model).fit(X, y).predict(X))


@quiet
@pytest.mark.parametrize(
    "model",
    [
        DFLRegressor(PROBLEM, max_iter=2, random_state=0),
        GaussianScenarios(max_iter=2, random_state=0),
    ],
)
def test_the_memory_layout_of_features_does_not_matter(model):
    X = np.random.default_rng(0).normal(size=(60, 7))
    y = X[:, 0] + X[:, 6]
    columns = np.asfortranarray(X)
    model.fit(X, y)
    assert_array_equal(model.predict(columns), model.predict(X))
    assert_array_equal(clone(model).fit(columns, y).predict(X), model.predict(X))


@quiet
@pytest.mark.parametrize(
    "model",
    [
        DFFRegressor(Ridge(), PROBLEM, max_iter=1, random_state=0),
        ConformalDecisions(Ridge(), PROBLEM, scale="ridge"),
    ],
)
def test_the_byte_order_does_not_matter(model, data):
    X, y = data
    expected = model.fit(X, y).decide(X)
    swapped = X.astype(">f8"), y.astype(">f8")
    assert_array_equal(model.fit(*swapped).decide(swapped[0]), expected)


def test_the_byte_order_of_labels_and_features_does_not_matter(data):
    X, y = data
    label = np.arange(120) // 10
    costs = [
        compare_decisions({"a": Ridge()}, X, y, problem=PROBLEM, blocks=each).block
        for each in (label, label.astype(">i4"))
    ]
    assert_array_equal(*costs)
    plain = CovariateShiftWeight(cv=2).fit(X[:60], X[60:]).weight_
    swapped = X.astype(">f8")
    assert_array_equal(CovariateShiftWeight(cv=2).fit(swapped[:60], swapped[60:]).weight_, plain)


@pytest.mark.parametrize("ball", [KLBall(0.3), SinkhornBall(0.2, n_draws=4)])
@quiet
def test_a_stricter_error_state_of_numpy_does_not_matter(ball, data):
    X, y = data
    model = DFLRegressor(PROBLEM, ambiguity_set=ball, max_iter=2, random_state=0)
    expected = clone(model).fit(X, y).predict(X)
    with np.errstate(all="raise"):
        assert_array_equal(model.fit(X, y).predict(X), expected)
