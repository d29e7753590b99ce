"""Nets of every kind that DFLRegressor takes as `predictor`."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNet, NeuralNetRegressor
from skorch.callbacks import LRScheduler
from torch import nn

from dfl_sklearn import DFLRegressor
from dfl_sklearn.learners import LSTMPredictor, MLPPredictor, ScaleEquivariantPredictor
from dfl_sklearn.problems import NewsvendorProblem

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = NewsvendorProblem(9, 1, nonnegative=False)


class Deep(nn.Module):
    def __init__(self, n_in=3, n_out=1, width=8):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, width), nn.Tanh(), nn.Linear(width, n_out))

    def forward(self, x):
        return self.body(x)


def deep(n_in, n_out):
    return Deep(n_in, n_out, width=4)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 3))
    return X, X @ [1.0, -1.0, 2.0] + 0.5 * rng.standard_normal(100)


def regressor(predictor=None, **params):
    defaults = {"max_iter": 40, "batch_size": 16, "random_state": 0, "learning_rate_init": 0.05}
    return DFLRegressor(PROBLEM, predictor=predictor, **{**defaults, **params})


@pytest.mark.parametrize(
    "predictor",
    [nn.Linear, Deep, deep, MLPPredictor((8,)), LSTMPredictor(8)],
    ids=["linear", "class", "function", "mlp", "lstm"],
)
def test_every_kind_learns(predictor, data):
    X, y = data
    model = regressor(predictor).fit(X, y)
    assert model.score(X, y) > 0.5
    assert isinstance(model.predictor_, NeuralNet)
    both = regressor(predictor, max_iter=2).fit(X, np.column_stack([y, y]))
    assert both.predict(X).shape == (100, 2)


def test_none_is_the_perceptron(data):
    X, y = data
    expected = regressor(hidden_layer_sizes=(5,), activation="tanh", max_iter=5).fit(X, y)
    found = regressor(MLPPredictor((5,), "tanh"), max_iter=5).fit(X, y)
    assert_array_equal(found.predict(X), expected.predict(X))


@pytest.mark.parametrize("sizes", [8, (8,), [8], np.array([8])])
def test_ways_to_write_one_hidden_layer(sizes, data):
    X, y = data
    expected = regressor(hidden_layer_sizes=(8,), max_iter=2).fit(X, y).predict(X)
    assert_array_equal(
        regressor(hidden_layer_sizes=sizes, max_iter=2).fit(X, y).predict(X), expected
    )


@pytest.mark.parametrize("activation", ["identity", "logistic", "relu", "tanh"])
def test_activations_are_those_of_scikit_learn(activation):
    net = MLPPredictor((4,), activation).build(3, 2, torch.Generator().manual_seed(0))
    first, last = (m for m in net.modules() if isinstance(m, nn.Linear))
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    hidden = x @ first.weight.T + first.bias
    bend = {
        "identity": lambda v: v,
        "logistic": lambda v: 1 / (1 + torch.exp(-v)),
        "relu": lambda v: v.clamp(min=0),
        "tanh": torch.tanh,
    }[activation]
    expected = bend(hidden) @ last.weight.T + last.bias
    assert_allclose(net(x).detach(), expected.detach(), rtol=1e-5, atol=1e-6)


def test_own_nets_draw_from_their_generator_alone():
    for factory in (MLPPredictor((4,)), LSTMPredictor(4, num_layers=2, n_channels=2)):
        state = torch.get_rng_state()
        nets = [factory.build(6, 1, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
        assert torch.equal(torch.get_rng_state(), state)
        flat = [nn.utils.parameters_to_vector(net.parameters()) for net in nets]
        assert torch.equal(flat[0], flat[1])
        assert not torch.equal(flat[0], flat[2])
        assert torch.isfinite(flat[0]).all()


def test_lstm_reads_the_window_in_order():
    net = LSTMPredictor(5, n_channels=2).build(8, 3, torch.Generator().manual_seed(0))
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    states, _ = net.lstm(torch.stack([x[:, 2 * t : 2 * t + 2] for t in range(4)], dim=1))
    assert torch.allclose(net(x), net.readout(states[:, -1]))


def test_weights_do_not_depend_on_the_default_dtype_of_torch(data):
    X, y = data
    expected = regressor(max_iter=2).fit(X, y).predict(X)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        found = regressor(max_iter=2).fit(X, y).predict(X)
    finally:
        torch.set_default_dtype(before)
    assert_array_equal(found, expected)


def test_a_called_factory_gives_a_module_of_the_default_dtype():
    for factory in (MLPPredictor((4,)), LSTMPredictor(4)):
        assert factory(3, 2)(torch.zeros(5, 3)).shape == (5, 2)


def test_parameters_of_a_factory_are_searchable(data):
    X, y = data
    search = GridSearchCV(
        regressor(LSTMPredictor(), max_iter=2), {"predictor__hidden_size": [2, 3]}, cv=2
    ).fit(X, y)
    width = search.best_params_["predictor__hidden_size"]
    assert search.best_estimator_.predictor_.module_.lstm.hidden_size == width


@pytest.mark.parametrize("kind", [NeuralNet, NeuralNetRegressor])
def test_a_skorch_net(kind, data):
    X, y = data
    net = kind(
        Deep, criterion=nn.MSELoss, optimizer=torch.optim.Adam, lr=0.05, batch_size=16, verbose=0
    )
    model = regressor(net, max_iter=40).fit(X, y)
    assert model.score(X, y) > 0.5
    assert model.predictor is net
    assert not net.initialized_
    other = clone(model).set_params(predictor__lr=1e-9, predictor__module__width=3)
    assert other.fit(X, y).predictor_.module_.body[0].out_features == 3
    assert other.history_["learning_rate"][0] == 1e-9
    assert net.lr == 0.05
    assert_array_equal(clone(model).fit(X, y).predict(X), model.predict(X))


def test_a_skorch_net_for_another_criterion_is_refused(data):
    net = NeuralNet(Deep, criterion=nn.MSELoss, criterion__reduction="sum")
    with pytest.raises(ValueError, match="criterion__"):
        regressor(net).fit(*data)


def too_wide(n_in, n_out):
    return nn.Linear(n_in, n_out + 1)


def flat(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 1), nn.Flatten(0))


@pytest.mark.parametrize(
    ("predictor", "shape"),
    [(too_wide, r"\(2, 2\)"), (flat, r"\(2,\)"), (NeuralNet(too_wide(3, 1), nn.MSELoss), "2, 2")],
)
def test_output_of_another_width_is_named(predictor, shape, data):
    with pytest.raises(ValueError, match=f"{shape}.*the problem needs 1 number per"):
        regressor(predictor).fit(*data)


def test_what_is_not_a_predictor(data):
    with pytest.raises(TypeError, match=r"must return a torch\.nn\.Module .*got int"):
        regressor(lambda n_in, n_out: 3).fit(*data)
    with pytest.raises(ValueError, match="'predictor' parameter of DFLRegressor"):
        regressor("mlp").fit(*data)
    with pytest.raises(ValueError, match=r"X has 3 features.*n_channels=2"):
        regressor(LSTMPredictor(n_channels=2)).fit(*data)


def test_a_module_in_place_of_a_factory_is_explained(data):
    """A live net is no parameter: it would be trained in place, and clones would share it."""
    with pytest.raises((TypeError, ValueError), match="predictor"):
        regressor(nn.Linear(3, 1)).fit(*data)


def test_integer_sizes_that_make_no_sense(data):
    with pytest.raises(ValueError, match="hidden_layer_sizes must be positive"):
        regressor(hidden_layer_sizes=(4, 0)).fit(*data)
    with pytest.raises(ValueError, match="hidden_size"):
        regressor(LSTMPredictor(0)).fit(*data)


def test_a_schedule_of_the_users_net(data):
    X, y = data
    net = NeuralNet(
        Deep,
        nn.MSELoss,
        optimizer=torch.optim.SGD,
        lr=0.1,
        batch_size=32,
        verbose=0,
        callbacks=[LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.1)],
    )
    model = regressor(net, max_iter=5, learning_rate="constant").fit(X, y)
    assert_allclose(model.history_["learning_rate"], [0.1, 0.1, 0.01, 0.01, 0.001], rtol=1e-6)


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_a_scale_equivariant_net_scales_and_recovers_least_squares(hidden):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 5, size=(300, 4))
    X[0] = 0.0  # an empty window predicts nothing, and does not divide by zero
    level = X.mean(axis=1)
    y = X @ [0.5, 0.2, 0.2, 0.1] + 0.1 * level * rng.standard_normal(300)
    model = DFLRegressor(
        predictor=ScaleEquivariantPredictor(hidden), standardize=False, random_state=0
    ).fit(X, y)
    assert model.predict(X[:1]) == 0
    assert_allclose(model.predict(7.0 * X), 7.0 * model.predict(X), rtol=1e-12)
    best = X @ np.linalg.lstsq(X, y, rcond=None)[0]
    mse = np.mean((model.predict(X) - y) ** 2)
    assert mse < 1.05 * np.mean((best - y) ** 2)
