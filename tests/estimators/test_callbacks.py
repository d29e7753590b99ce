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
