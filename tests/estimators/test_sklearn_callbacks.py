"""The callbacks of scikit-learn 1.9: epochs are tasks of a fit."""

import pickle

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, KLBall, TiltedSearch

pytest.importorskip("sklearn.callback")

pytestmark = pytest.mark.filterwarnings("ignore:Training stopped at max_iter")

X, Y = make_newsvendor(60, random_state=0)
NET = DFLRegressor(
    NewsvendorProblem(9, 1), hidden_layer_sizes=(), max_iter=3, tol=0, random_state=0
)


class Log:
    """Note what is heard, and stop a training after so many epochs."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.stop_after, self.heard, self.runs = stop_after, [], 0

    def setup(self, estimator, context):
        self.runs += 1

    def teardown(self, estimator, context):
        self.runs -= 1

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context):
        self.heard.append(("end", context.task_name, context.task_id))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after

    def __deepcopy__(self, memo):
        return self


def model(log=None, **params):
    found = NET.__class__(**{**NET.get_params(deep=False), **params})
    return found if log is None else found.set_callbacks(log)


def test_epochs_are_tasks_and_change_nothing():
    log = Log()
    heard = model(log, ambiguity_set=KLBall(0.1)).fit(X, Y)
    plain = model(ambiguity_set=KLBall(0.1)).fit(X, Y)
    np.testing.assert_array_equal(heard.predict(X), plain.predict(X))
    epochs = [("begin", "epoch"), ("end", "epoch")]
    training = [("begin", "training"), *(3 * epochs), ("end", "training")]
    assert [each[:2] for each in log.heard] == [("begin", "fit"), *(2 * training), ("end", "fit")]
    assert log.runs == 0
    assert not hasattr(heard, "_callback_fit_ctx")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(heard)).predict(X), plain.predict(X))


def test_a_callback_may_end_a_training():
    log = Log(stop_after=2)
    with pytest.warns(ConvergenceWarning, match="a callback that stops"):
        found = model(log).fit(X, Y)
    assert found.n_iter_ == 2
    short = model(max_iter=2).fit(X, Y)
    np.testing.assert_array_equal(found.predict(X), short.predict(X))
    assert log.heard[-1] == ("end", "fit", 0)


def test_callbacks_are_torn_down_where_a_fit_fails():
    log = Log()
    with pytest.raises(ValueError, match="NaN"):
        model(log).fit(X, np.full(len(Y), np.nan))
    assert log.runs == 0
    with pytest.raises(FloatingPointError):
        model(log, learning_rate_init=1e200, learning_rate="constant").fit(X, Y)
    assert log.runs == 0
    assert set(vars(model(log))) == {*vars(model()), "_skl_callbacks"}


def test_nothing_is_recalled_where_callbacks_listen(tmp_path):
    def fit(log):
        found = DiffusionDRODFLRegressor(
            NewsvendorProblem(9, 1),
            search=TiltedSearch(50),
            generator=DiffusionGenerator(hidden_layer_sizes=(2,), n_steps=4, max_iter=1),
            memory=str(tmp_path),
            hidden_layer_sizes=(),
            max_iter=2,
            random_state=0,
        )
        return found.set_callbacks(log).fit(X, Y)

    for _ in range(2):
        log = Log()
        fit(log)
        assert [each for each in log.heard if each[1] == "epoch"]
        assert log.heard.count(("begin", "training", 0)) == 1
        assert log.heard.count(("begin", "training", 1)) == 1


def test_a_search_hands_its_callbacks_on():
    log = Log()
    GridSearchCV(model(), {"alpha": [0.0, 1.0]}, cv=2).set_callbacks(log).fit(X, Y)
    assert sum(each[:2] == ("begin", "training") for each in log.heard) == 5
    assert log.runs == 0
