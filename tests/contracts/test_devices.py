"""Fits, searches and layers on another device than the CPU, CUDA or one in software."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor, PolicyRegressor
from dfl_sklearn.layers import QuadraticProgramLayer
from dfl_sklearn.layers.cover import CoverLayer
from dfl_sklearn.layers.cvar_portfolio import CVaRPortfolioLayer
from dfl_sklearn.layers.recourse import RecourseLayer
from dfl_sklearn.layers.regularized_linear import RegularizedLinearLayer
from dfl_sklearn.learners import LSTMPredictor
from dfl_sklearn.learners.construct import slopes_in_eval
from dfl_sklearn.losses import ScoreFunctionLoss
from dfl_sklearn.problems import (
    CoverageProblem,
    FromContext,
    LinearProgram,
    NewsvendorProblem,
    PortfolioProblem,
    ProvisioningProblem,
)
from dfl_sklearn.robust import (
    DiffusionGenerator,
    GaussianNoise,
    KLBall,
    PolicyGradientSearch,
    TiltedSearch,
    WassersteinBall,
)
from dfl_sklearn.scenarios import DiffusionScenarios, GaussianScenarios, MixtureScenarios

from .other_device import OTHER, OtherDevice, back, to_other

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings(
        "ignore::sklearn.exceptions.ConvergenceWarning",
        "ignore:for .* copying from a non-meta parameter",  # of the device in software: copied
    ),
]
PROBLEM = NewsvendorProblem(9, 1, nonnegative=False)
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 2, "batch_size": 256, "random_state": 0}
X = np.random.default_rng(0).standard_normal((60, 2))
Y = X @ [1.0, -1.0] + np.random.default_rng(1).standard_normal(60)


def generator(device):
    return DiffusionGenerator(
        hidden_layer_sizes=(4,),
        n_steps=3,
        max_iter=1,
        batch_size=2048,
        random_state=0,
        device=device,
    )


def flagship(search):
    return lambda device: DiffusionDRODFLRegressor(
        PROBLEM, search=search, generator=generator(device), device=device, **QUICK
    )


def net(ambiguity_set=None, **params):
    return lambda device: DFLRegressor(
        PROBLEM, ambiguity_set=ambiguity_set, device=device, **QUICK | params
    )


def policy_gradient(divergence):
    return PolicyGradientSearch(
        divergence, n_steps=3, n_tail=2, n_trajectories=30, n_warm_up=1, n_rounds=1, n_epochs=1
    )


MODELS = {
    "plain": net(),
    "score function": net(loss=ScoreFunctionLoss()),
    "global generator": net(GaussianNoise(0.1), predictor=torch.nn.Linear),
    "policy": lambda device: PolicyRegressor(LinearProgram(bounds=(-1, 1)), device=device, **QUICK),
    "weighted rows": net(KLBall(0.1)),
    # Members learn at rates of their own, and stop.
    "ensemble": net(n_estimators=3, n_iter_no_change=1, max_iter=9, learning_rate_init=0.5),
    "ensemble of modules": net(GaussianNoise(0.1), predictor=torch.nn.Linear, n_estimators=2),
    "ensemble, moved rows": net(WassersteinBall(0.1), n_estimators=2),
    "moved rows": net(WassersteinBall(0.1)),
    "scenarios": net(predictor=GaussianScenarios(rank=1, n_scenarios=9, **QUICK)),
    "scenarios, by density": net(
        predictor=MixtureScenarios(2, n_scenarios=9, **QUICK), loss=ScoreFunctionLoss()
    ),
    "scenarios, diffusion": lambda device: net(
        predictor=DiffusionScenarios(generator(device), n_scenarios=9)
    )(device),
    "scenarios, diffusion, by density": lambda device: net(
        predictor=DiffusionScenarios(generator(device), n_scenarios=9), loss=ScoreFunctionLoss()
    )(device),
    # More rows than an epoch draws.
    "pool": flagship(TiltedSearch(1200)),
    "policy gradient": flagship(policy_gradient("kl")),
    "score matching": flagship(policy_gradient("score_matching")),
}
# torch's LSTM packs its weights in a way that the device in software does not follow.
ON_CUDA = MODELS | {"lstm": net(WassersteinBall(0.1), predictor=LSTMPredictor(3))}


def outcome(model):
    worst = model.sample_worst_case(5, random_state=0) if hasattr(model, "search") else ()
    return [model.predict(X[:15]), *worst]


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_on_another_device_gives_the_same_bits(name):
    here = outcome(MODELS[name]("cpu").fit(X, Y))
    with OtherDevice():
        there = outcome(MODELS[name](OTHER).fit(X, Y))
    for one, other in zip(here, there, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("likely", [GaussianScenarios(**QUICK), MixtureScenarios(2, **QUICK)])
def test_a_distribution_is_fitted_on_another_device_to_the_same_bits(likely):
    here = clone(likely).fit(X, Y)
    with OtherDevice():
        there = clone(likely).set_params(device=OTHER).fit(X, Y)
    assert_array_equal(here.predict(X), there.predict(X))


def of_generator(device):
    model = generator(device).fit(X)
    assert all(each.device.type == "cpu" for each in model.denoiser_.parameters())
    return model.sample(9, random_state=0), model.score_samples(X), model.denoising_loss(X[:9])


def test_the_generator_samples_and_scores_on_its_device():
    here = of_generator("cpu")
    with OtherDevice():
        there = of_generator(OTHER)
    for one, other in zip(here, there, strict=True):
        assert_array_equal(one, other)


def scenarios_on(device):
    model = DiffusionScenarios(generator(device), n_scenarios=5, random_state=0).fit(X, Y)
    return model.predict_scenarios(X[:9]).values, model.sample(X[:9], random_state=0)


def test_scenarios_are_generated_on_the_device():
    here = scenarios_on("cpu")
    with OtherDevice():
        there = scenarios_on(OTHER)
    for one, other in zip(here, there, strict=True):
        assert_array_equal(one, other)


def test_the_flagships_own_generator_is_on_its_device():
    ball = DiffusionDRODFLRegressor(PROBLEM, device=OTHER).ambiguity_set
    assert ball.generator.device == OTHER


def test_a_stored_search_is_on_the_cpu():
    with OtherDevice():
        search = MODELS["policy gradient"](OTHER).fit(X, Y).ambiguity_set_.search_
        state = search.__getstate__()
    stored = copy.copy(search)
    stored.__dict__ = {**state, "_generator": search._generator}
    assert type(stored.denoiser_.layers[0].weight) is torch.nn.Parameter
    rows = pickle.loads(pickle.dumps(stored)).sample(5, np.random.default_rng(0)).X
    with OtherDevice():
        assert_array_equal(rows, search.sample(5, np.random.default_rng(0)).X)


# -- layers ----------------------------------------------------------------------------------


@pytest.mark.cases(lambda case: not case.name.startswith(("function", "convex_program")))
def test_layers_compute_where_their_input_lives(layer_case, smoothing):
    """The others call functions of NumPy or a convex solver."""
    layer = layer_case.make().decision_layer(smoothing)
    y = torch.as_tensor(layer_case.predictions(np.random.default_rng(0), 6))
    expected = slope(layer, y)
    # Quadratic programs are solved on the CPU, trades and schedules are searched for there.
    on_cpu = ("portfolio", "portfolio_with_trading_costs", "storage")
    on_cpu = layer_case.name in on_cpu or solves_quadratic_programs(layer)
    with OtherDevice(stays=not on_cpu):
        found = slope(layer, to_other(y))
    for one, other in zip(expected, found, strict=True):
        assert_array_equal(one, back(other))
    for one, other in zip(expected, slope(layer, y), strict=True):  # and back again
        assert_array_equal(one, other)


def solves_quadratic_programs(layer):
    kinds = (
        QuadraticProgramLayer,
        RegularizedLinearLayer,
        CVaRPortfolioLayer,
        CoverLayer,
        RecourseLayer,
    )
    return any(isinstance(each, kinds) for each in layer.modules())


def slope(layer, y):
    y = y.detach().requires_grad_()
    z = layer(y)
    return z.detach(), torch.autograd.grad((z * z).sum(), y)[0]


FROM = [FromContext(i) for i in range(3)]
WITH_CONTEXT = {
    "newsvendor": NewsvendorProblem(FROM[0], 1.0),
    "provisioning": ProvisioningProblem(0.0, 9.0, eta=FROM[0], e_idle=FROM[1]),
    "coverage": CoverageProblem(1, 1, FROM),
    "portfolio": PortfolioProblem(np.eye(3), FROM[0], FROM, FROM[1]),
}


@pytest.mark.parametrize("name", WITH_CONTEXT)
def test_numbers_of_a_row_may_live_there(name):
    layer = WITH_CONTEXT[name].decision_layer(0.5)
    y = torch.as_tensor(np.random.default_rng(0).uniform(0.1, 0.9, (6, 3)))
    context = torch.as_tensor(np.random.default_rng(1).dirichlet(np.ones(3), 6))
    expected = slope(lambda y: layer(y, context), y)
    with OtherDevice():
        found = slope(lambda y: layer(y, to_other(context)), to_other(y))
    for one, other in zip(expected, found, strict=True):
        assert_array_equal(one, back(other))


@pytest.mark.parametrize("bounds", [{}, {"lower": 0.0}])
def test_quadratic_programs_with_a_full_matrix(bounds):
    layer = QuadraticProgramLayer([[2.0, 1.0], [1.0, 2.0]], [[1.0, 1.0]], [1.0], **bounds)
    y = torch.tensor([[0.3, -0.2], [5.0, 1.0]], dtype=torch.float64)
    expected = slope(layer, y)
    with OtherDevice():
        found = slope(layer, to_other(y))
    for one, other in zip(expected, found, strict=True):
        assert_array_equal(one, back(other))


# -- CUDA ------------------------------------------------------------------------------------


needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device: torch sees none"
)


@needs_cuda
@pytest.mark.parametrize("name", ON_CUDA)
def test_a_fit_on_cuda(name):
    here, model = outcome(ON_CUDA[name]("cpu").fit(X, Y)), ON_CUDA[name]("cuda").fit(X, Y)
    assert next(model.predictor_.module_.parameters()).is_cuda
    for one, other in zip(here, outcome(model), strict=True):
        assert_allclose(other, one, rtol=1e-4, atol=1e-4)
    for one, other in zip(here, outcome(pickle.loads(pickle.dumps(model))), strict=True):
        assert_allclose(other, one, rtol=1e-4, atol=1e-4)


@needs_cuda
@pytest.mark.cases(lambda case: not case.name.startswith(("function", "convex_program")))
def test_layers_on_cuda(layer_case, smoothing):
    layer = layer_case.make().decision_layer(smoothing)
    y = torch.as_tensor(layer_case.predictions(np.random.default_rng(0), 6))
    expected, found = slope(layer, y), slope(layer, y.cuda())
    for one, other in zip(expected, found, strict=True):
        assert other.is_cuda
        assert_allclose(other.cpu(), one, rtol=1e-9, atol=1e-9)


@needs_cuda
@pytest.mark.parametrize("name", WITH_CONTEXT)
def test_numbers_of_a_row_on_cuda(name):
    layer = WITH_CONTEXT[name].decision_layer(0.5)
    y = torch.as_tensor(np.random.default_rng(0).uniform(0.1, 0.9, (6, 3)))
    context = torch.as_tensor(np.random.default_rng(1).dirichlet(np.ones(3), 6))
    expected = slope(lambda y: layer(y, context), y)
    found = slope(lambda y: layer(y, context.cuda()), y.cuda())
    for one, other in zip(expected, found, strict=True):
        assert_allclose(other.cpu(), one, rtol=1e-9, atol=1e-9)


@needs_cuda
def test_the_generator_on_cuda():
    for here, there in zip(of_generator("cpu"), of_generator("cuda"), strict=True):
        assert_allclose(there, here, rtol=1e-4, atol=1e-4)


@needs_cuda
def test_scenarios_on_cuda():
    for here, there in zip(scenarios_on("cpu"), scenarios_on("cuda"), strict=True):
        assert_allclose(there, here, rtol=1e-4, atol=1e-4)


def test_recurrent_nets_are_differentiated_without_cudnn(monkeypatch):
    """In eval mode cuDNN's raise in the backward pass."""
    enabled = []

    def on_cuda(device):
        assert device == torch.device("cpu")
        return slopes_in_eval(torch.device("cuda"))

    def look(module, *_):
        if isinstance(module, torch.nn.LSTM) and torch.is_grad_enabled() and not module.training:
            enabled.append(torch.backends.cudnn.enabled)

    monkeypatch.setattr("dfl_sklearn.training.predictor_regret.slopes_in_eval", on_cuda)
    before = torch.backends.cudnn.enabled
    hook = torch.nn.modules.module.register_module_forward_hook(look)
    try:
        ON_CUDA["lstm"]("cpu").fit(X, Y)
    finally:
        hook.remove()
    assert enabled
    assert not any(enabled)
    assert torch.backends.cudnn.enabled == before
    with slopes_in_eval(torch.device("cuda")):
        assert not torch.backends.cudnn.enabled
    with slopes_in_eval(torch.device("cpu")):
        assert torch.backends.cudnn.enabled == before
