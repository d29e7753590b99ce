"""Bad input to the estimators: each a clear error that names the culprit."""

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import LinearSVR
from sklearn.tree import DecisionTreeRegressor

from dfl_sklearn import DFLRegressor, ExpertMixture, PolicyRegressor, TwoStageRegressor
from dfl_sklearn.compose import PredictionTransformer
from dfl_sklearn.layers import AffineBoxLayer
from dfl_sklearn.losses import DecisionLoss
from dfl_sklearn.metrics import regret
from dfl_sklearn.problems import (
    DecisionProblem,
    FromContext,
    FunctionProblem,
    NewsvendorProblem,
    ProvisioningProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.robust import GroupDRO, KLBall, SinkhornBall
from dfl_sklearn.scenarios import LocalScenarios

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 3, "hidden_layer_sizes": (4,), "random_state": 0}


@pytest.fixture
def X():  # noqa: N802
    return np.random.default_rng(0).standard_normal((30, 2))


@pytest.fixture
def y():
    return np.random.default_rng(1).uniform(1, 5, 30)


@pytest.fixture(params=["net", "two_stage"])
def make(request):
    """Return a function that makes an estimator for a problem."""
    if request.param == "net":
        return lambda problem=None: DFLRegressor(problem, **QUICK)
    return lambda problem=None: TwoStageRegressor(Ridge(), problem)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(make, X, y, value):
    word = "NaN" if np.isnan(value) else "infinity"
    bad_X, bad_y = X.copy(), y.copy()
    bad_X[3, 1] = bad_y[3] = value
    with pytest.raises(ValueError, match=f"X contains {word}"):
        make().fit(bad_X, y)
    with pytest.raises(ValueError, match=f"y contains {word}"):
        make().fit(X, bad_y)
    with pytest.raises(ValueError, match=f"X contains {word}"):
        make().fit(X, y).predict(bad_X)


def test_shapes(make, X, y):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make().fit(X, y[:-1])
    with pytest.raises(ValueError, match="1D array"):
        make().fit(X[:, 0], y)
    with pytest.raises(ValueError, match=r"dim 3|3D|3-d|shape"):
        make().fit(X, y[:, None, None])
    with pytest.raises(ValueError, match=r"X has 1 features, but .* is expecting 2 features"):
        make().fit(X, y).predict(X[:, :1])
    with pytest.raises(NotFittedError):
        make().predict(X)
    with pytest.raises(NotFittedError):
        make().decide(X)
    with pytest.raises(NotFittedError):
        make().score(X, y)


@pytest.mark.parametrize("problem", [NewsvendorProblem(9, 1), ProvisioningProblem()])
def test_negative_observed_demand_is_named(make, X, y, problem):
    y[7] = -2.5
    with pytest.raises(ValueError, match=r"y is a negative demand at row 7, column 0: -2\.5"):
        make(problem).fit(X, y)
    fitted = make(problem).fit(X, np.abs(y))
    with pytest.raises(ValueError, match="is a negative demand at row 7"):
        fitted.score(X, y)


def test_negative_held_out_demand_is_named(X, y):
    with pytest.raises(ValueError, match="is a negative demand at row 1"):
        DFLRegressor(NewsvendorProblem(9, 1), **QUICK).fit(X, y, X_val=X[:2], y_val=[1.0, -1.0])


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (NewsvendorProblem(0, 1), "underage_cost must be positive"),
        (NewsvendorProblem(1, -1), "overage_cost must be positive"),
        (NewsvendorProblem([1, 2], 1), "has 2 parameters per row, but y has 1 column"),
        (ProvisioningProblem(5, 5), "c_min must be below c_max"),
        (ProvisioningProblem(eta=2), "eta must lie strictly between"),
        (FunctionProblem(np.add, (1, 0)), r"bounds\[0\]"),
        (3, "'problem' parameter of"),
        (NewsvendorProblem, "'problem' parameter of"),
    ],
)
def test_bad_problems(make, X, y, problem, message):
    with pytest.raises(ValueError, match=message):
        make(problem).fit(X, y)


def test_what_fits_is_listed(X, y):
    def message(model):
        with pytest.raises(ValueError, match="parameter of") as error:
            model.fit(X, y)
        return str(error.value)

    assert "KLBall is a class: write KLBall()." in message(DFLRegressor(ambiguity_set=KLBall))
    assert "write GroupDRO(...)." in message(DFLRegressor(ambiguity_set=GroupDRO))
    assert "write NewsvendorProblem()." in message(DFLRegressor(NewsvendorProblem))
    said = message(DFLRegressor(ambiguity_set=3))
    assert said.endswith("GroupDRO, JustTrainTwice, KLBall, NominalSamples, SinkhornBall, "
                         "TotalVariationBall, WassersteinBall.")  # fmt: skip
    assert "Search" not in said
    said = message(DFLRegressor(FromContext))
    assert "Choose from dfl_sklearn.problems: CVaRPortfolioProblem," in said
    assert "FromContext" not in said.partition("Choose from")[2]
    assert "Predicted" not in said
    assert "DecisionProblem," not in said
    said = message(TwoStageRegressor(Ridge(), risk=SinkhornBall))
    assert said.endswith("robust: CVaR, ChiSquareBall, KLBall, TotalVariationBall.")
    with pytest.raises(TypeError, match=r"SquaredErrorProblem is a class: write SquaredErrorPr"):
        regret(y, y, problem=SquaredErrorProblem)


def test_sample_weight(make, X, y):
    for weight, message in [
        (np.ones(29), r"sample_weight.*(29,|inconsistent)|inconsistent.*sample"),
        (np.full(30, np.nan), "sample_weight contains NaN"),
        (["a"] * 30, "could not convert"),
    ]:
        with pytest.raises(ValueError, match=message):
            make().fit(X, y, sample_weight=weight)


def test_sample_weight_of_nets(X, y):
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        DFLRegressor(**QUICK).fit(X, y, sample_weight=-np.ones(30))
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero"):
        DFLRegressor(**QUICK).fit(X, y, sample_weight=np.zeros(30))


def test_held_out_rows(X, y):
    model = DFLRegressor(**QUICK)
    for arguments, message in [
        ({"X_val": X}, "Give both X_val and y_val"),
        ({"y_val": y}, "Give both X_val and y_val"),
        ({"sample_weight_val": y}, "sample_weight_val was given without"),
        ({"X_val": X[:, :1], "y_val": y}, "X has 1 features, but DFLRegressor is expecting 2"),
        ({"X_val": X[:3], "y_val": y}, "inconsistent numbers of samples"),
        ({"X_val": X, "y_val": np.column_stack([y, y])}, "y_val has 2 columns and y has 1"),
        ({"X_val": X * np.nan, "y_val": y}, "contains NaN"),
        ({"X_val": X[:0], "y_val": y[:0]}, "0 sample"),
        ({"X_val": X, "y_val": y, "sample_weight_val": 0 * y}, "at least one non-zero"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, **arguments)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_nothing_is_learnt_from_one_row(X, y, early_stopping):
    model = DFLRegressor(early_stopping=early_stopping, **QUICK)
    for rows, weight in (([0], None), ([0, 0], None), ([0, 1], [1.0, 0.0]), ([0], [2.0])):
        with pytest.raises(ValueError, match=r"at least 2 distinct rows .* n_samples=1"):
            model.fit(X[rows], y[rows], sample_weight=weight)


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "device='gpu' is not a torch device"), ("cuda:99", "device='cuda:99'")],
)
def test_devices(X, y, device, message):
    with pytest.raises(ValueError, match=message):
        DFLRegressor(device=device, **QUICK).fit(X, y)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an MPS device")
def test_a_device_that_is_not_there(X, y):
    with pytest.raises(ValueError, match="device='mps'"):
        DFLRegressor(device="mps", **QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("max_iter", 0),
        ("alpha", -1.0),
        ("learning_rate", "fast"),
        ("learning_rate_init", 0.0),
        ("validation_fraction", 1.0),
        ("early_stopping", "often"),
        ("activation", "swish"),
        ("loss", "regret"),
        ("hidden_layer_sizes", "ab"),
        ("random_state", -1),
        ("n_jobs", 0.5),
        ("callbacks", 3),
        ("tol", -1e-3),
    ],
)
def test_parameters_are_named(X, y, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of DFLRegressor"):
        DFLRegressor(**{name: value}).fit(X, y)


class BrokenProblem(SquaredErrorProblem):
    """Its cost is NaN where y > 4, though only in torch, as with a careless `where`."""

    def cost_rows(self, decisions, y, context=None):
        xp = array_namespace(decisions, y)
        cost = super().cost_rows(decisions, y, context)
        if isinstance(cost, np.ndarray):
            return cost
        return xp.where(y[:, 0] > 4, cost * float("nan"), cost)


def test_a_loss_that_is_not_finite_names_problem_and_row(X, y):
    y[:] = 2.0 + np.arange(30) / 30
    y[11] = 4.5
    with pytest.raises(FloatingPointError, match=r"BrokenProblem gave nan .* y = \[4\.5\]"):
        DFLRegressor(BrokenProblem(), early_stopping=False, batch_size=30, **QUICK).fit(X, y)


def nan_above_four(z, y):
    return np.where(y > 4, np.nan, (z - y) ** 2)


def test_a_cost_function_that_returns_nan_is_named(X, y):
    y[11] = 4.5
    with pytest.raises(ValueError, match="cost_function returned nan"):
        DFLRegressor(FunctionProblem(nan_above_four, (0, 9)), **QUICK).fit(X, y)


def test_divergence_names_the_learning_rate_and_the_epoch(X, y):
    model = DFLRegressor(learning_rate_init=1e30, early_stopping=False, **QUICK)
    with pytest.raises(FloatingPointError, match=r"epoch [123]\b.*learning_rate_init=1e\+30"):
        model.fit(X.astype(np.float32), y)


class NoLayer(DecisionProblem):
    def solve_rows(self, y, context=None):
        return y

    def cost_rows(self, decisions, y, context=None):
        xp = array_namespace(decisions, y)
        return xp.sum((decisions - y) ** 2, axis=1)


def test_a_problem_without_a_layer(X, y):
    with pytest.raises(NotImplementedError, match="NoLayer has no decision layer"):
        DFLRegressor(NoLayer(), **QUICK).fit(X, y)
    TwoStageRegressor(Ridge(), NoLayer()).fit(X, y).decide(X)


def test_two_stage_wraps_what_predicts_one_output(X, y):
    both = np.column_stack([y, -y])
    model = TwoStageRegressor(LinearSVR(random_state=0)).fit(X, both)
    alone = [LinearSVR(random_state=0).fit(X, each).predict(X) for each in both.T]
    assert_array_equal(model.predict(X), np.column_stack(alone))


def test_two_stage_names_a_regressor_without_weights(X, y):
    with pytest.raises(ValueError, match=r"KNeighborsRegressor\.fit does not take it"):
        TwoStageRegressor(KNeighborsRegressor()).fit(X, y, sample_weight=y)
    with pytest.raises(ValueError, match="'estimator' parameter of TwoStageRegressor"):
        TwoStageRegressor("ridge").fit(X, y)


@pytest.mark.parametrize(
    "around",
    [
        TwoStageRegressor,
        LocalScenarios,
        PredictionTransformer,
        lambda fitted: ExpertMixture([("tree", fitted)]),
    ],
)
def test_rows_for_a_model_fitted_before_are_checked(X, y, around):
    model = around(FrozenEstimator(DecisionTreeRegressor().fit(X, y)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    for weight, message in (
        (y[:-1], "sample_weight.shape ="),
        (-y, "Negative values"),
        (np.full(30, np.nan), "sample_weight contains NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, sample_weight=weight)
    model.fit(X, y, sample_weight=y)


class Purchases(DecisionProblem):
    """Buy ahead at 1, and the square of what is missing at 1/2; `how` the cost is written."""

    COSTS = {
        "maximum": lambda z, y: (z + 0.5 * np.maximum(y - z, 0.0) ** 2).sum(axis=1),
        "sum": lambda z, y: np.sum((z - y) ** 2, axis=1),
        "where": lambda z, y: np.where(y > z, 4 * (y - z), z - y)[:, 0],
        "wrong": lambda z, y: (z - y).no_such_method(),
        "both": lambda z, y: ((z - y) ** 2).sum(axis=1),
    }

    def __init__(self, how="both"):
        self.how = how

    def solve_rows(self, y, context=None):
        return np.maximum(y - 1.0, 0.0)

    def cost_rows(self, decisions, y, context=None):
        return self.COSTS[self.how](decisions, y)

    def decision_layer(self, smoothing=None):
        return AffineBoxLayer(offset=-1.0, lower=0.0)

    def decision_projection(self, n_parameters):
        return AffineBoxLayer(lower=0.0)


@pytest.mark.parametrize("how", ["maximum", "sum", "where"])
@pytest.mark.parametrize("estimator", [DFLRegressor, PolicyRegressor])
def test_a_cost_for_numpy_alone_is_named(estimator, how, X, y):
    problem = Purchases(how)
    assert problem.cost(problem.solve(y), y).shape == (30,)
    with pytest.raises(TypeError, match=r"Purchases.cost_rows works with NumPy") as error:
        estimator(problem, **QUICK).fit(X, y)
    assert "xp = array_namespace(decisions, y)" in str(error.value)


def test_other_errors_of_a_cost_stay_as_they_are(X, y):
    DFLRegressor(Purchases("both"), **QUICK).fit(X, y)
    with pytest.raises(AttributeError, match="no_such_method"):
        DFLRegressor(Purchases("wrong"), **QUICK).fit(X, y)

    class OwnLoss(DecisionLoss):
        def bind(self, problem):
            return lambda y_hat, y, optimum: np.abs(y_hat - y)

    with pytest.raises(RuntimeError, match="requires grad"):
        DFLRegressor(Purchases("both"), loss=OwnLoss(), **QUICK).fit(X, y)
