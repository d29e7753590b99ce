"""skorch nets whose settings count or are refused, and modules that are built only once."""

import functools
from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EpochTimer
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch import nn

from dfl_sklearn import DFLRegressor
from dfl_sklearn.learners import NetFactory
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, KLBall

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    return X, X @ [1.0, -1.0, 2.0] + rng.standard_normal(40)


def regressor(predictor, **params):
    problem = NewsvendorProblem(9, 1, nonnegative=False)
    return DFLRegressor(problem, predictor=predictor, max_iter=2, random_state=0, **params)


class Line(nn.Linear):
    def __init__(self, n_in=3, n_out=1, extra=0):
        super().__init__(n_in, n_out)


class OwnLoader(torch.utils.data.DataLoader):
    pass


REFUSED = [
    ("max_epochs", 50, "max_iter"),
    ("iterator_train", OwnLoader, "batch_size"),
    ("iterator_train__shuffle", True, "random order"),
    ("iterator_train__drop_last", True, "random order"),
    ("iterator_valid", OwnLoader, "at once"),
    ("iterator_valid__batch_size", 8, "at once"),
    ("train_split", ValidSplit(3), "early_stopping"),
    ("train_split", predefined_split(None), "X_val"),
    ("warm_start", True, "warm_start of the estimator"),
    ("verbose", 2, "verbose of the estimator"),
    ("device", "meta", "device of the estimator"),
    ("dataset", torch.utils.data.TensorDataset, "tensors"),
    ("dataset__length", 3, "tensors"),
    ("predict_nonlinearity", torch.sigmoid, "module end"),
]


@pytest.mark.parametrize(("name", "value", "instead"), REFUSED)
def test_settings_without_effect_are_refused(name, value, instead, data):
    net = NeuralNet(Line, nn.MSELoss, **{name: value})
    with pytest.raises(ValueError, match=f"{name}=.*would have no effect.*{instead}"):
        regressor(net).fit(*data)


@pytest.mark.parametrize(
    "net",
    [
        NeuralNet(Line, nn.MSELoss),
        NeuralNetRegressor(Line),
        NeuralNetClassifier(Line),
        NeuralNetRegressor(
            Line,
            module__extra=2,
            optimizer=torch.optim.Adam,
            optimizer__weight_decay=0.1,
            lr=0.1,
            batch_size=8,
            callbacks=[EpochTimer()],
            verbose=0,
            train_split=None,
            device="cpu",
            use_caching=False,
        ),
        NeuralNetRegressor(Line(), max_epochs=10, iterator_train=torch.utils.data.DataLoader),
    ],
)
def test_defaults_and_what_counts_pass(net, data):
    model = regressor(net).fit(*data)
    assert np.isfinite(model.predict(data[0])).all()
    assert_array_equal(clone(model).fit(*data).predict(data[0]), model.predict(data[0]))


SHARED = nn.Linear(3, 1)


class SharedFactory(NetFactory):
    def build(self, n_in, n_out, generator):
        return SHARED


class FreshFactory(NetFactory):
    def build(self, n_in, n_out, generator):
        layer = nn.Linear(n_in, n_out)
        with torch.no_grad():
            layer.weight.uniform_(generator=generator)
            layer.bias.zero_()
        return layer


def tied(n_in, n_out):
    layer = nn.Linear(n_in, n_out)
    layer.bias = SHARED.bias
    return layer


def wrapped(n_in, n_out):
    return nn.Sequential(nn.Identity(), SHARED)


class WithSharedBuffer(nn.Linear):
    table = torch.zeros(3)

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.register_buffer("seen", self.table)


@functools.lru_cache
def remembered(n_in, n_out):
    return nn.Linear(n_in, n_out)


LEAKS = {
    "lambda": lambda n_in, n_out: SHARED,
    "part": wrapped,
    "tied": tied,
    "cached": remembered,
    "factory": SharedFactory(),
    "buffer": WithSharedBuffer,
    "skorch": NeuralNetRegressor(lambda: SHARED),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_module_that_is_returned_twice_is_refused_before_it_is_trained(name, data):
    before = deepcopy(SHARED.state_dict())
    with pytest.raises(ValueError, match=r"same .* twice.*Build the module inside"):
        regressor(LEAKS[name]).fit(*data)
    search = GridSearchCV(regressor(LEAKS[name]), {"alpha": [0.0, 1.0]}, error_score="raise")
    with pytest.raises(ValueError, match="same"):
        search.fit(*data)
    assert all(torch.equal(value, before[key]) for key, value in SHARED.state_dict().items())


@pytest.mark.parametrize(
    "predictor",
    [
        lambda n_in, n_out: deepcopy(SHARED),
        nn.Linear,
        FreshFactory(),
        NeuralNetRegressor(lambda: nn.Linear(3, 1)),
        NeuralNetRegressor(SHARED),  # skorch's clone copies it
    ],
)
def test_modules_built_afresh_pass_and_carry_nothing_over(predictor, data):
    before = deepcopy(SHARED.state_dict())
    model = regressor(predictor, ambiguity_set=KLBall(0.1))
    first = model.fit(*data).predict(data[0])
    assert_array_equal(model.fit(*data).predict(data[0]), first)
    assert all(torch.equal(value, before[key]) for key, value in SHARED.state_dict().items())


class Denoiser(nn.Module):
    def __init__(self, n_columns):
        super().__init__()
        self.layer = nn.Linear(n_columns + 1, n_columns)

    def forward(self, z, time):
        return self.layer(torch.cat([z, time[:, None]], dim=1))


def test_a_shared_denoiser_is_refused_too(data):
    shared = Denoiser(3)
    with pytest.raises(ValueError, match="denoiser returned the same Denoiser twice"):
        DiffusionGenerator(denoiser=lambda n: shared, max_iter=1).fit(data[0])
    model = DiffusionGenerator(denoiser=Denoiser, max_iter=1, n_steps=5, random_state=0)
    assert_array_equal(
        model.fit(data[0]).sample(3, random_state=0),
        clone(model).fit(data[0]).sample(3, random_state=0),
    )
