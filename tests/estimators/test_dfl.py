"""DFLRegressor: what training keeps, records and says."""

import copy
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from dfl_sklearn import DFLRegressor
from dfl_sklearn.losses import RegretLoss
from dfl_sklearn.metrics import d2_regret_score, regret
from dfl_sklearn.problems import FunctionProblem, NewsvendorProblem

PROBLEM = NewsvendorProblem(9, 1, nonnegative=False)
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@quiet
def test_decide_is_solve_of_predict_and_score_is_d2(model, data):
    X, y = data
    model.fit(X, y)
    assert_array_equal(model.decide(X), PROBLEM.solve(model.predict(X)))
    expected = d2_regret_score(y, model.predict(X), problem=PROBLEM)
    assert model.score(X, y) == expected
    weight = np.arange(120.0)
    assert model.score(X, y, sample_weight=weight) == d2_regret_score(
        y, model.predict(X), problem=PROBLEM, sample_weight=weight
    )


@quiet
def test_history(model, data):
    model.set_params(early_stopping=False).fit(*data)
    history = model.history_
    assert isinstance(history, pd.DataFrame)
    assert list(history.columns) == [
        "epoch", "train_loss", "train_regret", "learning_rate", "duration"
    ]  # fmt: skip
    assert_array_equal(history["epoch"], np.arange(1, model.n_iter_ + 1))
    assert (history["duration"] > 0).all()
    assert model.n_iter_ == len(history) == 15
    model.set_params(early_stopping=True).fit(*data)
    assert "valid_regret" in model.history_
    assert "train_regret" not in model.history_


@quiet
@pytest.mark.parametrize("weighted", [False, True])
def test_the_weights_of_the_best_epoch_are_kept(model, data, weighted):
    X, y = data
    weight = np.linspace(0, 2, 40) if weighted else None
    model.set_params(learning_rate_init=0.1)  # jumps about, so that the last is not the best
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:], sample_weight_val=weight)
    watched = model.history_["valid_regret"]
    assert model.best_epoch_ == model.history_["epoch"][watched.argmin()]
    assert watched.iloc[-1] > watched.min()
    found = regret(y[80:], model.predict(X[80:]), problem=PROBLEM, sample_weight=weight)
    assert found == pytest.approx(watched.min(), rel=1e-9)


@quiet
def test_the_watched_training_regret_is_exact(model, data):
    X, y = data
    weight = np.linspace(0, 2, 120)
    model.set_params(early_stopping=False).fit(X, y, sample_weight=weight)
    found = regret(y, model.predict(X), problem=PROBLEM, sample_weight=weight)
    assert found == pytest.approx(model.history_["train_regret"].min(), rel=1e-9)


@quiet
def test_auto_holds_out_for_nets_with_enough_rows(model, data):
    X, y = data
    assert "valid_regret" in clone(model).fit(X, y).history_
    assert "train_regret" in clone(model).fit(X[:49], y[:49]).history_
    linear = clone(model).set_params(hidden_layer_sizes=())
    assert "train_regret" in linear.fit(X, y).history_


@quiet
@pytest.mark.parametrize("early_stopping", [False, True])
def test_warm_start_goes_on(model, data, early_stopping):
    X, y = data
    model.set_params(warm_start=True, early_stopping=early_stopping).fit(X, y)
    column = "valid_regret" if early_stopping else "train_regret"
    before = model.history_.copy()
    model.set_params(max_iter=10).fit(X, y)
    assert model.n_iter_ == len(model.history_) == 25
    assert_array_equal(model.history_["epoch"], np.arange(1, 26))
    pd.testing.assert_frame_equal(model.history_.iloc[:15], before)
    assert model.history_[column].min() <= before[column].min()
    # It went on from the best weights: its first epoch is nearer to them than a fresh start.
    assert model.history_[column][15] < before[column][0]


@quiet
def test_warm_start_is_never_worse_than_what_it_started_from(model, data):
    X, y = data
    model.set_params(warm_start=True, early_stopping=False).fit(X, y)
    before = regret(y, model.predict(X), problem=PROBLEM)
    model.set_params(learning_rate_init=1.0, max_iter=2).fit(X, y)  # a step far too long
    assert regret(y, model.predict(X), problem=PROBLEM) <= before
    assert model.history_["train_regret"].min() == pytest.approx(before)
    assert model.best_epoch_ == model.history_["train_regret"].argmin() + 1


@quiet
def test_warm_start_refuses_other_widths(model, data):
    X, y = data
    model.set_params(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features, but DFLRegressor is expecting 3"):
        model.fit(X[:, :2], y)
    with pytest.raises(ValueError, match="y has 2 columns, but the model that warm_start goes on"):
        model.fit(X, np.column_stack([y, y]))


@quiet
def test_without_warm_start_a_second_fit_forgets_the_first(model, data):
    X, y = data
    once = clone(model).fit(X, y).predict(X)
    model.fit(X[:, :2], np.column_stack([y, y])).fit(X, y)
    assert_array_equal(model.predict(X), once)
    assert model.n_iter_ == 15


class Interrupts(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) >= self.epoch:
            raise KeyboardInterrupt


def test_an_interrupted_fit_is_a_usable_model(model, data):
    X, y = data
    model.set_params(callbacks=[Interrupts(3)], early_stopping=False)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X, y)
    assert len(model.history_) == 3
    found = regret(y, model.predict(X), problem=PROBLEM)
    assert found == pytest.approx(model.history_["train_regret"].min())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        short = clone(model).set_params(callbacks=None, max_iter=3).fit(X, y)
    assert_array_equal(short.predict(X), model.predict(X))


class InterruptsFirstBatch(Callback):
    def on_batch_begin(self, net, **kwargs):
        raise KeyboardInterrupt


def test_interrupted_before_the_first_epoch_ended(model, data):
    X, y = data
    with pytest.warns(ConvergenceWarning, match=r"interrupted .* in epoch 1;"):
        model.set_params(callbacks=[InterruptsFirstBatch()]).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert model.n_iter_ == 0


def test_max_iter_warns_and_convergence_does_not(model, data):
    X, y = data
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        clone(model).set_params(max_iter=2).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(max_iter=1_000, tol=0.01, n_iter_no_change=3).fit(X, y)
    assert model.n_iter_ < 1_000


@quiet
def test_the_rate_falls_when_progress_stops(model, data):
    model.set_params(max_iter=200, tol=0.05, n_iter_no_change=2).fit(*data)
    rates = model.history_["learning_rate"].unique()
    assert_allclose(rates, 0.01 / 5.0 ** np.arange(4))
    model.set_params(learning_rate="constant").fit(*data)
    assert (model.history_["learning_rate"] == 0.01).all()


@quiet
def test_verbose(model, data, capsys, monkeypatch):
    monkeypatch.setattr("dfl_sklearn._utils.progress._LONGEST_SILENCE", np.inf)  # on any machine
    model.set_params(max_iter=5, verbose=2).fit(*data)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1", "2", "4"]
    assert "valid_regret" in lines[0]
    model.set_params(verbose=False).fit(*data)
    assert capsys.readouterr().out == ""


class Counts(Callback):
    def __init__(self):
        self.events = []

    def on_train_begin(self, net, **kwargs):
        self.events.append("train")

    def on_batch_end(self, net, **kwargs):
        self.events.append("batch")

    def on_epoch_end(self, net, **kwargs):
        self.events.append("epoch")
        assert {"train_loss", "valid_regret", "learning_rate"} <= net.history[-1].keys()


@quiet
def test_callbacks_are_notified(model, data):
    counts = Counts()
    model.set_params(max_iter=3, callbacks=[counts]).fit(*data)
    assert counts.events == ["train", *(["batch"] * 6 + ["epoch"]) * 3]  # 96 rows in sixteens


def test_nested_parameters(model):
    model = clone(model).set_params(loss=RegretLoss())
    model.set_params(loss__smoothing=0.5, problem__underage_cost=4)
    assert clone(model).loss.smoothing == 0.5
    assert clone(model).problem.underage_cost == 4
    assert PROBLEM.underage_cost == 9


def two_sided(z, y):
    return (z - y) ** 2 + np.maximum(y - z, 0)


@quiet
def test_training_through_a_users_function(data):
    X, y = data
    model = DFLRegressor(
        FunctionProblem(two_sided, (-20, 20)),
        hidden_layer_sizes=(),
        max_iter=15,
        learning_rate_init=0.1,
        random_state=0,
    )
    assert model.fit(X[:40], y[:40]).score(X[:40], y[:40]) > 0.7


@quiet
def test_to_store_a_model_does_not_change_it(model, data, monkeypatch):
    """What is stored of a net on another device is a copy on the CPU."""
    net = model.fit(*data).predictor_
    monkeypatch.setattr("dfl_sklearn.estimators._net_regressor.on_cpu", copy.deepcopy)
    assert model.__getstate__()["predictor_"] is not net
    assert model.predictor_ is net


@quiet
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_fitted_on_cuda_loads_on_the_cpu(model, data):
    X, y = data
    model.set_params(device="cuda").fit(X, y)
    stored = pickle.dumps(model)
    loader = (
        "import pickle, sys; m = pickle.load(sys.stdin.buffer); print(m.predict([[1, 2, 3]])[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", loader],
        input=stored,
        capture_output=True,
        check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert float(run.stdout) == pytest.approx(model.predict([[1, 2, 3]])[0], rel=1e-6)
    assert next(model.predictor_.module_.parameters()).is_cuda
