"""A fit that fails anywhere leaves the last model as it was, or none; Ctrl-C likewise."""

import copy
import inspect
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression

import dfl_sklearn
from dfl_sklearn import (
    ConformalDecisions,
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    PolicyRegressor,
    TwoStageRegressor,
)
from dfl_sklearn.compose import DecisionTransformer, PredictionTransformer
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import (
    DiffusionGenerator,
    KLBall,
    PolicyGradientSearch,
    TiltedSearch,
    WassersteinBall,
)
from dfl_sklearn.training.objective import Objective

from .estimators import net_position
from .test_estimators import outcome

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
PACKAGE = str(Path(dfl_sklearn.__file__).parent)
QUICK = {"max_iter": 2, "hidden_layer_sizes": (3,), "random_state": 0}
GENERATOR = DiffusionGenerator(n_steps=4, **QUICK)
POLICY_GRADIENT = PolicyGradientSearch(
    n_steps=4, n_tail=2, n_trajectories=16, n_warm_up=1, n_rounds=1, n_epochs=1
)
CASES = {
    "net": DFLRegressor(net_position(), early_stopping=True, **QUICK),
    "warm net": DFLRegressor(net_position(), warm_start=True, **QUICK),
    "policy": PolicyRegressor(net_position(), early_stopping=True, **QUICK),
    "KL ball": DFLRegressor(net_position(), ambiguity_set=KLBall(0.1), **QUICK),
    "Wasserstein ball": DFLRegressor(net_position(), ambiguity_set=WassersteinBall(), **QUICK),
    "tilted": DiffusionDRODFLRegressor(
        net_position(), search=TiltedSearch(50), generator=GENERATOR, **QUICK
    ),
    "policy gradient": DiffusionDRODFLRegressor(
        net_position(), search=POLICY_GRADIENT, generator=GENERATOR, **QUICK
    ),
    "fine-tuned": DFFRegressor(LinearRegression(), net_position(), cv=2, **QUICK),
    "two stages": TwoStageRegressor(LinearRegression(), net_position()),
    "conformal": ConformalDecisions(LinearRegression(), net_position()),
    "generator": GENERATOR,
    "predictions": PredictionTransformer(LinearRegression()),
    "decisions": DecisionTransformer(net_position()),
}


def rows(seed, names):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 3, (40, 2))
    return pd.DataFrame(X, columns=names), X @ [1.0, 2.0] + rng.uniform(0, 1, 40)


class Calls:
    """Count the calls of the package's functions, and raise in the one that is asked for."""

    def __init__(self, fail_at=None, error=None):
        self.fail_at, self.error, self.count = fail_at, error, 0

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.seen)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def seen(self, frame, event, arg):
        code = frame.f_code
        # What is raised while an iterator is thrown away is lost, and would fail nothing; in the
        # check of available_if, a lambda, it says that there is no such method.
        if (
            event == "call"
            and code.co_filename.startswith(PACKAGE)
            and not code.co_flags & inspect.CO_GENERATOR
            and code.co_name != "<lambda>"
        ):
            self.count += 1
            if self.count == self.fail_at:
                raise self.error
        return None


class FailureError(Exception):
    pass


@contextmanager
def interrupts(monkeypatch):
    """Let the user press Ctrl-C whenever the loss of a batch is asked for."""

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "mean_loss", interrupt)
        yield


@pytest.mark.parametrize("error", [FailureError, KeyboardInterrupt], ids=["exception", "Ctrl-C"])
@pytest.mark.parametrize("refit", [False, True], ids=["first fit", "refit"])
@pytest.mark.parametrize("name", CASES)
def test_a_fit_that_fails_leaves_the_last_model_or_none(name, refit, error):
    estimator = clone(CASES[name])
    X, y = rows(0, ["a", "b"])
    other, target = rows(1, ["a", "b"] if estimator.get_params().get("warm_start") else ["c", "d"])
    if refit:
        estimator.fit(X, y)
        before, kept = outcome(estimator, X), dict(vars(estimator))
    with Calls() as calls:
        clone(estimator).fit(other, target)
    points = np.unique(np.geomspace(1, calls.count, 7).astype(int))
    failed = 0
    for point in points[:-1]:
        model = clone(estimator) if not refit else estimator
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with Calls(point, error("on purpose")):
                    model.fit(other, target)
            except error:
                failed += 1
            else:  # interrupted with something to keep: a whole model, and the user is told
                assert error is KeyboardInterrupt
                messages = [str(w.message) for w in caught if w.category is ConvergenceWarning]
                assert any("interrupted" in each for each in messages)
                assert np.isfinite(outcome(model, other)).all()
                assert list(model.feature_names_in_) == list(other.columns)
                if refit:
                    estimator = clone(CASES[name]).fit(X, y)
                    kept = dict(vars(estimator))
                continue
        if refit:
            assert vars(model).keys() == kept.keys()
            assert all(value is kept[key] for key, value in vars(model).items())
            assert_array_equal(outcome(model, X), before)
        else:
            with pytest.raises(NotFittedError):
                outcome(model, X)
            assert vars(model).keys() == vars(clone(model)).keys()
    assert failed >= (len(points) - 1 if error is FailureError else 3)


def test_a_failing_partial_fit_leaves_the_last_model():
    X, y = rows(0, ["a", "b"])
    model = clone(CASES["net"]).partial_fit(X, y)
    before, history = model.predict(X), model.history_.copy()
    again = copy.deepcopy(model)
    with Calls() as calls:
        again.partial_fit(X, y)
    for point in np.linspace(4, calls.count - 1, 10).astype(int):
        with pytest.raises(FailureError), Calls(point, FailureError()):
            model.partial_fit(X, y)
    assert_array_equal(model.predict(X), before)
    pd.testing.assert_frame_equal(model.history_, history)


def test_ctrl_c_before_there_is_a_net_is_an_exception(monkeypatch):
    """Nothing has been learnt in the first epoch: its weights are random."""
    X, y = rows(0, ["a", "b"])
    model = DFLRegressor(net_position(), **QUICK)
    with interrupts(monkeypatch), pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.set_params(warm_start=True).fit(X, y)
    before = model.predict(X)
    with (
        interrupts(monkeypatch),
        pytest.warns(ConvergenceWarning, match=r"interrupted \(Ctrl-C\)"),
    ):
        model.fit(X, y)  # which has the last net to keep
    assert_array_equal(model.predict(X), before)


def test_ctrl_c_in_robust_training_leaves_a_whole_model(monkeypatch):
    X, y = rows(0, ["a", "b"])
    X, problem = X.to_numpy(), NewsvendorProblem(9, 1)
    quick = {**QUICK, "max_iter": 6, "ambiguity_set": KLBall(0.1), "early_stopping": True}
    whole = DFLRegressor(problem, **quick).fit(X, y)
    seen = []

    def report(record):
        seen.append(record)
        if len(seen) == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr("dfl_sklearn.learners.trainer.say_epoch", report)
    with pytest.warns(ConvergenceWarning, match=r"interrupted \(Ctrl-C\) in epoch 10"):
        model = DFLRegressor(problem, **quick).fit(X, y)
    assert vars(model).keys() == vars(whole).keys()
    assert model.worst_case_.keys() == whole.worst_case_.keys()
    assert model.n_iter_ == len(model.history_) == 9
    # The numbers are those of the weights kept, the best of the epochs until then.
    ball = model.ambiguity_set_
    costs = problem.cost(model.decide(ball.rows_.X), ball.rows_.y)
    assert model.worst_case_.worst_regret == pytest.approx(ball.weight_ @ costs)
    robust = model.history_.dropna(subset="objective")
    assert model.worst_case_.objective <= robust["objective"].min() + 1e-9
