"""What is no number is refused by name, in every public method of every problem."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFFRegressor, DFLRegressor, TwoStageRegressor
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem

NO_NUMBERS = {
    "complex": (lambda y: y + 1j, "real numbers"),
    "dates": (lambda y: np.full(y.shape, "2020-01-01", dtype="datetime64[D]"), "dates and times"),
    "not a time": (lambda y: np.full(y.shape, "NaT", dtype="timedelta64[s]"), "dates and times"),
    "text": (lambda y: y.astype(str), "got text"),
    "bytes": (lambda y: y.astype("S9"), "got text"),
    "text among objects": (lambda y: y.astype(str).astype(object), r"got '.*' at \[0, 0\]"),
    "None": (lambda y: [[None, *row[1:]] for row in y.tolist()], r"got None at \[0, 0\]"),
    "masked": (lambda y: np.ma.array(y, mask=y == y[0, 0]), "is masked at row 0, column 0"),
    "complex tensor": (lambda y: torch.as_tensor(y + 1j), "real numbers"),
}


def rows_of(case, n=5):
    rng = np.random.default_rng(0)
    return case.make(), case.sample_y(rng, n), case.sample_decision(rng, n)


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_what_is_no_number_is_refused(case, kind):
    problem, y, z = rows_of(case)
    spoil, message = NO_NUMBERS[kind]
    bad = spoil(y)
    for use in (
        problem.solve,
        problem.optimum,
        problem.check_parameters,
        problem.project_parameters,
        lambda values: problem.cost(z if not torch.is_tensor(values) else torch.tensor(z), values),
        lambda values: problem.is_feasible(z, values),
    ):
        with pytest.raises(ValueError, match=r"^y .*|^y must"):
            use(bad)
    with pytest.raises(ValueError, match=f"^decisions .*{message}"):
        problem.is_feasible(spoil(z))
    with pytest.raises(ValueError, match=f"^decisions .*{message}"):
        problem.cost(spoil(z), torch.as_tensor(y) if kind == "complex tensor" else y)


def test_numbers_in_other_wrappings_are_numbers(case):
    problem, y, z = rows_of(case)
    expected, allowed = problem.solve(y), problem.is_feasible(z, y)
    assert allowed.dtype == bool
    for wrapped in (
        y.astype(object),
        np.ma.array(y),
        pd.DataFrame(y),
        torch.tensor(y),
        torch.tensor(y, requires_grad=True),
        y.tolist(),
    ):
        assert_array_equal(problem.solve(wrapped), expected)
        assert_array_equal(problem.is_feasible(z, wrapped), allowed)
        problem.check_parameters(wrapped)
        assert_array_equal(problem.project_parameters(wrapped)[0], problem.project_parameters(y)[0])
    for wrapped in (torch.tensor(z), z.astype(object), z.tolist()):
        found = problem.is_feasible(wrapped, y)
        assert isinstance(found, np.ndarray)
        assert found.dtype == bool
        assert_array_equal(found, allowed)
    found = problem.optimum(torch.tensor(y))
    assert isinstance(found.decisions, np.ndarray)
    assert_array_equal(found.cost, problem.optimal_cost(y))


def test_feasibility_asks_for_the_right_shape(case):
    problem, y, z = rows_of(case)
    wider = np.concatenate([z, z[:, :1]], axis=1)
    with pytest.raises(ValueError, match="column"):
        problem.is_feasible(wider, y)
    if problem._n_parameters() is not None:
        with pytest.raises(ValueError, match="column"):
            problem.is_feasible(wider)
        with pytest.raises(ValueError, match=r"parameters? per row"):
            problem.is_feasible(z, np.concatenate([y, y[:, :1]], axis=1))
    with pytest.raises(ValueError, match="decisions have 3 rows and y has 5"):
        problem.is_feasible(z[:3], y)
    assert_array_equal(
        problem.is_feasible(z[:1], y), problem.is_feasible(np.repeat(z[:1], 5, 0), y)
    )
    with pytest.raises(ValueError, match="y is not finite at row 1"):
        problem.is_feasible(z, np.where(np.arange(5)[:, None] == 1, np.nan, y))
    with pytest.raises(ValueError, match="tol must be"):
        problem.is_feasible(z, y, tol=-1.0)
    assert not problem.is_feasible(np.full_like(z, np.nan), y).any()


@pytest.mark.parametrize("size", [5e307, 1e200, 1e155, 1e-155, 1e-200, 1e-308])
def test_numbers_of_any_size_give_an_answer_or_an_error(case, size):
    """No infinities, no NaN; what is found is finite and allowed."""
    problem, y, z = rows_of(case)
    huge = size * (y / np.abs(y).max())
    is_own = not case.name.startswith("function")  # else the cost is the user's
    with warnings.catch_warnings():
        warnings.simplefilter("error" if is_own else "ignore", RuntimeWarning)
        for use in (
            lambda: problem.cost(problem.solve(huge), huge),
            lambda: problem.cost(z, huge),
        ):
            try:
                costs = use()
            except (ValueError, RuntimeError) as error:
                if is_own and "row" not in str(error):
                    raise
            else:
                assert np.isfinite(costs).all()


ESTIMATORS = {
    "two-stage": lambda: TwoStageRegressor(LinearRegression()),
    "net": lambda: DFLRegressor(max_iter=2, hidden_layer_sizes=(), random_state=0),
    "fine-tuning": lambda: DFFRegressor(LinearRegression(), max_iter=2, random_state=0),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_missing_targets_are_named_with_what_to_do_about_them(name):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    y[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"Input y contains NaN at row 7, column 1.*one regressor"):
        ESTIMATORS[name]().fit(X, y)
    with pytest.raises(ValueError, match=r"Input y contains NaN at row 7\. Leave such rows out"):
        ESTIMATORS[name]().fit(X, y[:, 1])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_tensors_that_scikit_learn_would_hand_on_are_refused(name):
    X = torch.as_tensor(np.random.default_rng(0).normal(size=(30, 2)))
    refused = pytest.raises(TypeError, match="is a torch tensor, and array_api_dispatch is on")
    with config_context(array_api_dispatch=True), refused:
        ESTIMATORS[name]().fit(X, X[:, 0])


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.coo_array, sparse.dok_array])
def test_two_stage_models_take_sparse_features_and_context(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    X[:, 1] = rng.choice([1.0, 5.0], 40)
    y = np.maximum(X[:, 0] + 3, 0)
    problem = MultiProductNewsvendorProblem(9, 1, capacity=FromContext(0))
    for is_feature in (True, False):
        model = TwoStageRegressor(
            LinearRegression(), problem, context=[1], context_is_feature=is_feature
        )
        expected = clone(model).fit(X, y).decide(X)
        np.testing.assert_allclose(model.fit(kind(X), y).decide(kind(X)), expected)
        assert (expected <= X[:, 1] + 1e-9).all()


@pytest.mark.parametrize("name", ["net", "fine-tuning"])
def test_nets_refuse_sparse_features(name):
    X = sparse.csr_array(np.eye(20))
    with pytest.raises(TypeError, match=r"[Ss]parse|dense"):
        ESTIMATORS[name]().fit(X, np.arange(20.0))
