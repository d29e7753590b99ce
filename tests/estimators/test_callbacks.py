"""skorch's own callbacks in the training loop."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNetRegressor
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    ProgressBar,
)
from torch import nn

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import KLBall


@pytest.fixture(scope="module")
def data():
    return make_newsvendor(120, random_state=0)


def regressor(callbacks, **params):
    return DFLRegressor(
        NewsvendorProblem(9, 1), callbacks=callbacks, max_iter=4, random_state=0, **params
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "callback",
    [EpochTimer(), GradientNormClipping(1.0), LRScheduler("StepLR", step_size=2), ProgressBar()],
    ids=lambda callback: type(callback).__name__,
)
def test_runs(callback, data):
    assert np.isfinite(regressor([callback]).fit(*data).predict(data[0])).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_checkpoint_follows_the_watched_regret(data, tmp_path):
    checkpoint = Checkpoint(monitor="valid_regret_best", dirname=tmp_path, f_history=None)
    regressor([checkpoint]).fit(*data)
    assert (tmp_path / "params.pt").exists()


def test_early_stopping_by_a_callback_keeps_what_was_learnt(data):
    stop = EarlyStopping(monitor="valid_regret", patience=1, threshold=1e9)
    with pytest.warns(ConvergenceWarning, match="a callback that stops"):
        model = regressor([stop]).fit(*data)
    assert model.n_iter_ < 4
    assert np.isfinite(model.predict(data[0])).all()


def test_callbacks_that_score_rows_are_refused(data):
    with pytest.raises(ValueError, match="EpochScoring"):
        regressor([EpochScoring("r2", on_train=True)]).fit(*data)


class Count(Callback):
    """Count epochs."""

    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_callbacks_join_those_of_a_skorch_net(data):
    net = NeuralNetRegressor(nn.Linear(5, 1), lr=0.01)
    count = Count()
    regressor([count], predictor=net).fit(*data)
    assert count.epochs == 4


@pytest.mark.parametrize("predictor", [None, "skorch"])
def test_a_callback_that_stops_the_first_stage_does_not_remove_the_second(data, predictor):
    if predictor is not None:
        predictor = NeuralNetRegressor(nn.Linear(5, 1), lr=0.01)
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=1e9)
    model = regressor([stop], ambiguity_set=KLBall(0.1), predictor=predictor)
    with pytest.warns(ConvergenceWarning, match=r"stops in epoch 4\. .*stops in epoch 7; the weig"):
        model.fit(*data)
    assert model.n_iter_ == 6
    assert model.history_["worst_regret"].isna().tolist() == [True] * 3 + [False] * 3
    assert model.worst_case_.worst_regret > 0
    assert model.ambiguity_set_.weight_.sum() == pytest.approx(1.0)


class StopsAtOnce(Callback):
    def on_batch_begin(self, net, **kwargs):
        raise KeyboardInterrupt


def test_a_callback_that_stops_at_once_leaves_a_usable_model(data):
    model = regressor([StopsAtOnce()], ambiguity_set=KLBall(0.1))
    with pytest.warns(ConvergenceWarning, match="a callback that stops in epoch 1"):
        model.fit(*data)
    assert np.isfinite(model.predict(data[0])).all()
    assert model.worst_case_.worst_regret > 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_callbacks_join_a_skorch_net_whose_own_are_disabled(data):
    count = Count()
    net = NeuralNetRegressor(nn.Linear(5, 1), lr=0.01, callbacks="disable")
    regressor([count], predictor=net).fit(*data)
    assert count.epochs == 4
