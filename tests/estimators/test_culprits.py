"""Errors in the words of the user: which parameter, which row, what to do."""

import numpy as np
import pandas as pd
import pytest
import torch
from array_api_compat import array_namespace
from sklearn.linear_model import LinearRegression
from skorch import NeuralNetRegressor
from skorch.callbacks import Checkpoint, EarlyStopping, LRScheduler
from torch import nn

from dfl_sklearn import DFFRegressor, DFLRegressor, DiffusionDRODFLRegressor, TwoStageRegressor
from dfl_sklearn.compose import DecisionTransformer, PredictionTransformer
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.losses import RegretLoss
from dfl_sklearn.problems import (
    ConvexProgram,
    DecisionProblem,
    LinearProgram,
    NewsvendorProblem,
    TopKProblem,
)
from dfl_sklearn.robust import DiffusionBall, DiffusionGenerator, KLBall

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0}
X, y = make_newsvendor(60, random_state=0)
DAYS = pd.date_range("2020-01-01", periods=len(y))


# -- what is no number ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        DFLRegressor(**QUICK),
        DFFRegressor(LinearRegression()),
        DecisionTransformer(),
        DiffusionGenerator(),
    ],
)
def test_dates_are_no_features(model):
    frame = pd.DataFrame({"day": DAYS})
    for dates in (frame, frame.to_numpy(), pd.DataFrame({"since": DAYS - DAYS[0]})):
        with pytest.raises(ValueError, match=r"must hold numbers, but .* (datetime|timedelta)64"):
            model.fit(dates, y)


def test_dates_are_no_features_in_predict_either():
    model = DFLRegressor(**QUICK).fit(X[:, :1], y)
    with pytest.raises(ValueError, match=r"X must hold numbers, but column 'day' is datetime64"):
        model.predict(pd.DataFrame({"day": DAYS}))


@pytest.mark.parametrize(
    "model",
    [
        DFLRegressor(**QUICK),
        DFFRegressor(LinearRegression()),
        TwoStageRegressor(LinearRegression()),
        PredictionTransformer(LinearRegression()),
    ],
)
@pytest.mark.parametrize(
    "target", [y.astype(str), y.astype(str).astype(object), pd.Series(y).astype(str), DAYS]
)
def test_text_and_dates_are_no_targets(model, target):
    with pytest.raises(ValueError, match=r"^y must hold numbers"):
        model.fit(X, target)


def test_weights_whose_sum_is_no_number():
    with pytest.raises(ValueError, match="sample_weight must have a positive, finite sum"):
        DFLRegressor(**QUICK).fit(X, y, sample_weight=np.full(len(y), 1e308))


# -- parameters ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (DFLRegressor(), {"ambiguity_set__radius": 0.1}, "ambiguity_set is None.*'radius'"),
        (DFLRegressor(), {"loss__smoothing": 1.0}, "loss is None"),
        (DFLRegressor(), {"problem__eta": 0.1}, "problem is None"),
        (DFLRegressor(), {"predictor__lr": 0.1}, "predictor is None"),
        (DFFRegressor(LinearRegression()), {"ambiguity_set__radius": 0.1}, "ambiguity_set is None"),
        (DiffusionDRODFLRegressor(), {"generator__n_steps": 3}, "generator is None"),
        (TwoStageRegressor(LinearRegression()), {"problem__eta": 0.1}, "problem is None"),
        (DecisionTransformer(), {"problem__eta": 0.1}, "problem is None"),
        (DiffusionBall(), {"search__n_pool": 3}, "search is None"),
        (DiffusionGenerator(), {"denoiser__n_layers": 3}, "denoiser is None"),
    ],
)
def test_a_parameter_of_what_is_not_there(model, params, message):
    (name,) = params
    with pytest.raises(ValueError, match=f"^{name} cannot be set: {message}"):
        model.set_params(**params)


def test_an_object_and_its_parameter_are_set_together():
    model = DFLRegressor().set_params(ambiguity_set__radius=0.3, ambiguity_set=KLBall())
    assert model.ambiguity_set.radius == 0.3
    with pytest.raises(ValueError, match="Invalid parameter 'radios'"):
        model.set_params(ambiguity_set__radios=0.3)


@pytest.mark.parametrize(
    ("params", "choices"),
    [
        ({"loss": "spo+"}, ["SPOPlusLoss", "RegretLoss"]),
        ({"problem": "newsvendor"}, ["NewsvendorProblem", "LinearProgram"]),
        ({"ambiguity_set": "kl"}, ["KLBall", "WassersteinBall"]),
    ],
)
@pytest.mark.parametrize("make", [DFLRegressor, lambda **p: DFFRegressor(LinearRegression(), **p)])
def test_a_name_in_place_of_an_object_lists_the_objects(make, params, choices):
    with pytest.raises(ValueError) as caught:
        make(**params).fit(X, y)
    (name,) = params
    assert f"The {name!r} parameter" in str(caught.value)
    assert all(each in str(caught.value) for each in choices)


@pytest.mark.parametrize("callback", [EarlyStopping, Checkpoint])
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("through_net", [True, False])
def test_a_callback_that_waits_for_what_is_not_recorded(callback, early_stopping, through_net):
    watched = "valid_regret" if early_stopping else "train_regret"
    params = {"callbacks": [callback()]}
    if through_net:
        net = NeuralNetRegressor(nn.Linear, module__in_features=X.shape[1], module__out_features=1)
        params = {"predictor": net.set_params(callbacks=[("mine", callback())])}
    model = DFLRegressor(early_stopping=early_stopping, **QUICK, **params)
    with pytest.raises(ValueError, match=rf'{callback.__name__}.*monitor="{watched}'):
        model.fit(X, y)


def test_callbacks_that_watch_what_is_recorded(tmp_path):
    callbacks = [
        EarlyStopping(monitor="valid_regret"),
        LRScheduler(policy="StepLR", step_size=2),
        Checkpoint(monitor="valid_regret_best", dirname=tmp_path),
    ]
    DFLRegressor(early_stopping=True, callbacks=callbacks, **QUICK).fit(X, y)


# -- nets ----------------------------------------------------------------------------------


class Casts(nn.Module):
    """A net that insists on float32."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x):
        return self.linear(x.float())


class Answers(Casts):
    """A net whose answers are in float32."""

    def forward(self, x):
        return self.linear(x).float()


def test_a_net_that_insists_on_float32():
    with pytest.raises(TypeError, match=r"predictor cannot compute in torch.float64"):
        DFLRegressor(predictor=Casts, max_iter=3).fit(X, y)
    model = DFLRegressor(predictor=Casts, max_iter=3).fit(X.astype(np.float32), y)
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    assert np.isfinite(DFLRegressor(predictor=Answers, max_iter=3).fit(X, y).predict(X)).all()


def test_nets_with_weights_in_float32_are_converted():
    model = DFLRegressor(predictor=nn.Linear, max_iter=3, random_state=0).fit(X, y)
    assert model.predict(X).dtype == np.float64
    net = NeuralNetRegressor(
        nn.Linear, module__in_features=X.shape[1], module__out_features=1, train_split=None
    )
    model = DFLRegressor(predictor=net, max_iter=3, random_state=0).fit(X, y)
    assert model.predict(X).dtype == np.float64


# -- decisions -----------------------------------------------------------------------------


def test_where_one_decision_is_feasible_a_fit_works():
    costs = np.random.default_rng(0).uniform(1, 2, (60, 2))
    for problem, only in (
        (LinearProgram(bounds=[(1, 1), (2, 2)]), [1.0, 2.0]),
        (LinearProgram(A_eq=[[1.0, 0.0], [0.0, 1.0]], b_eq=[1.0, 2.0]), [1.0, 2.0]),
        (TopKProblem(2), [1.0, 1.0]),
    ):
        for loss in (RegretLoss(), None):
            model = DFLRegressor(problem, loss=loss, **QUICK).fit(X, costs)
            np.testing.assert_allclose(model.decide(X), np.tile(only, (60, 1)), atol=1e-9)


class Constant(DecisionProblem):
    """A problem whose layer forgets what it was given."""

    def solve_rows(self, y, context=None):
        return y.copy()

    def cost_rows(self, decisions, y, context=None):
        xp = array_namespace(decisions, y)
        return xp.sum((decisions - y) ** 2, axis=1)

    def decision_layer(self, smoothing=None):
        return Detached()


class Detached(nn.Module):
    def forward(self, y):
        return y.detach()


def test_a_layer_without_a_gradient_is_named():
    with pytest.raises(ValueError, match="RegretLoss for Constant does not depend on the pred"):
        DFLRegressor(Constant(), **QUICK).fit(X, y)


def limited():
    import cvxpy as cp

    load, power = cp.Parameter(1), cp.Variable(1)
    return cp.Problem(cp.Minimize(cp.sum_squares(power)), [power >= load, power <= 1]), load, power


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_prediction_without_a_solution_names_its_row():
    pytest.importorskip("cvxpylayers")
    layer = ConvexProgram(limited, solver="CLARABEL").decision_layer()
    loads = torch.tensor([[0.5], [1.5], [0.1]], dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match=r"no solution for row 1 of a batch .* \[1\.5\]"):
        layer(loads)
    with pytest.raises(ValueError, match=r"row"):
        layer(loads.detach())


# -- sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-900, -530, 530, 900])
def test_features_of_any_size_give_the_same_fit(exponent):
    """Standardised columns do not depend on their unit, not even by a bit."""
    expected = DFLRegressor(NewsvendorProblem(9, 1), **QUICK).fit(X, y).predict(X)
    scaled = np.ldexp(X, exponent)
    found = DFLRegressor(NewsvendorProblem(9, 1), **QUICK).fit(scaled, y).predict(scaled)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("exponent", [-900, 900])
def test_a_generator_of_rows_of_any_size(exponent):
    rows = np.random.default_rng(0).standard_t(2, (80, 2))
    generator = DiffusionGenerator(hidden_layer_sizes=(4,), n_steps=5, max_iter=2, random_state=0)
    expected = generator.fit(rows).sample(20, random_state=0)
    found = generator.fit(np.ldexp(rows, exponent)).sample(20, random_state=0)
    np.testing.assert_allclose(np.ldexp(found, -exponent), expected, rtol=1e-12)


def test_a_column_that_spans_too_much_is_named():
    wide = X.copy()
    wide[:, 1] = 1.7e308
    wide[:2, 1] = -1.7e308
    for model in (DFLRegressor(**QUICK), DiffusionGenerator()):
        with pytest.raises(ValueError, match="olumn 1"):
            model.fit(wide, y)


@pytest.mark.parametrize("size", [1e160, 1e-170])
def test_targets_whose_squares_are_no_numbers(size):
    with pytest.raises((ValueError, FloatingPointError)):
        DFLRegressor(**QUICK).fit(X, size * y)


def test_features_too_far_away_are_named():
    model = DFLRegressor(**QUICK).fit(1e-3 * X, y)
    far = X.copy()
    far[4, 1] = 1.7e308
    with pytest.raises(ValueError, match=r"(row 4|column 1)"):
        model.predict(far)


@pytest.mark.parametrize("radius", [np.array([0.1]), "a", [0.1]])
def test_a_radius_that_is_no_number_is_named_in_fit(radius):
    with pytest.raises(ValueError, match="radius must be a number"):
        DFLRegressor(ambiguity_set=KLBall(radius), **QUICK).fit(X, y)
