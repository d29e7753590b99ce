"""Constructors take anything; the first use says which argument makes no sense."""

import numpy as np
import pytest
import sklearn
import torch

from dfl_sklearn import datasets, learners, losses, metrics, problems, robust
from dfl_sklearn.rows import Rows

RNG = np.random.default_rng(0)
ROWS = Rows(RNG.standard_normal((40, 2)), RNG.exponential(1.0, (40, 1)), np.ones(40)).canonical()
NEWSVENDOR = problems.NewsvendorProblem(9, 1)
GENERATOR = robust.DiffusionGenerator(hidden_layer_sizes=(4,), n_steps=4, max_iter=1)
NO_FLAGS = ["a", None, 2, 0.0, [True], np.array([True, False])]
NO_NUMBERS = ["a", None, True, [1.0, 2.0], np.array([1.0, 2.0]), 1j, np.nan, -1.0]
NO_COUNTS = [*NO_NUMBERS, 2.5, np.inf]


def solve(problem):
    problem.solve(RNG.uniform(0.1, 0.9, (3, 2)))


def start(ambiguity_set):
    ambiguity_set.set_nominal(ROWS, NEWSVENDOR, 0)


TABLE = np.concatenate([ROWS.X, ROWS.y], axis=1)
FITTED = sklearn.base.clone(GENERATOR).set_params(random_state=0).fit(TABLE)


def search(part):
    part.set_nominal(FITTED, Rows.of_table(TABLE, np.full(len(TABLE), 1 / len(TABLE))), 0)


def bind(loss):
    loss.bind(problems.TopKProblem(1))


def build(net, n_in=6, n_out=2):
    net.build(n_in, n_out, torch.Generator())


def denoise(recipe):
    recipe.build(3, torch.Generator())


def square(z, y):
    return (z - y[:, 0]) ** 2


CASES = [
    (solve, problems.NewsvendorProblem, {}, "nonnegative", NO_FLAGS),
    (solve, problems.NewsvendorProblem, {}, "underage_cost", ["a", None, True, 1j, np.nan, -1]),
    (solve, problems.MatchingProblem, {"n_left": 2, "n_right": 1}, "perfect", NO_FLAGS),
    (solve, problems.MatchingProblem, {"n_left": 2, "n_right": 1}, "sense", ["up", None, ["max"]]),
    (
        solve,
        problems.FunctionProblem,
        {"cost_function": square, "bounds": (0, 1)},
        "vectorized",
        NO_FLAGS,
    ),
    (
        solve,
        problems.FunctionProblem,
        {"cost_function": square, "bounds": (0, 1)},
        "n_starts",
        NO_COUNTS,
    ),
    (
        solve,
        problems.FunctionProblem,
        {"cost_function": square, "bounds": (0, 1)},
        "tol",
        NO_NUMBERS,
    ),
    (
        solve,
        problems.FunctionProblem,
        {"cost_function": square},
        "bounds",
        ["ab", (0, 1j), (-1.7e308, 1.7e308)],
    ),
    (
        solve,
        problems.PortfolioProblem,
        {},
        "covariance",
        ["a", [["1", "0"], ["0", "1"]], np.eye(2) * 1j],
    ),
    (solve, problems.KnapsackProblem, {"capacity": 1}, "weights", ["ab", ["1", "2"], [1j, 2]]),
    (solve, problems.KnapsackProblem, {"weights": [1, 2], "capacity": 1}, "n_jobs", ["a", 0, 1.5]),
    (solve, problems.LinearProgram, {"bounds": (0, 1)}, "n_jobs", ["a", 0, 1.5]),
    (solve, problems.CVaRPortfolioProblem, {}, "residuals", ["a", [["1", "0"]], np.eye(2) * 1j]),
    (start, robust.KLBall, {}, "radius", NO_NUMBERS),
    (start, robust.ChiSquareBall, {}, "radius", NO_NUMBERS),
    (start, robust.CVaR, {}, "alpha", [*NO_NUMBERS, 0.0]),
    (start, robust.WassersteinBall, {}, "radius", [*NO_NUMBERS, np.inf]),
    (start, robust.WassersteinBall, {}, "n_steps", [*NO_COUNTS, 0]),
    (start, robust.WassersteinBall, {}, "norm", ["l3", 2, None, ["l1"]]),
    (start, robust.GaussianNoise, {}, "scale", [*NO_NUMBERS, np.inf]),
    (start, robust.GaussianNoise, {}, "columns", ["X", None, ["both"]]),
    (start, robust.NominalSamples, {"generator": GENERATOR}, "n_samples", [*NO_COUNTS, 0]),
    (start, robust.DiffusionBall, {"generator": GENERATOR}, "radius", NO_NUMBERS),
    (start, robust.DiffusionBall, {}, "generator", ["a", 1]),
    (start, robust.DiffusionBall, {"generator": GENERATOR}, "search", ["a", 1]),
    (search, robust.TiltedSearch, {}, "n_pool", [*NO_COUNTS, 0]),
    (search, robust.TiltedSearch, {}, "real_share", [*NO_NUMBERS, 1.0]),
    *[
        (search, robust.PolicyGradientSearch, {}, name, NO_COUNTS)
        for name in ("n_steps", "n_tail", "n_trajectories", "n_rounds", "refresh_every", "n_epochs")
    ],
    (search, robust.PolicyGradientSearch, {}, "clip", [*NO_NUMBERS, 0.0]),
    (search, robust.PolicyGradientSearch, {}, "divergence", ["js", None, 1]),
    (bind, losses.RegretLoss, {}, "smoothing", ["a", True, 1j, np.nan, -1.0, 0.0]),
    (bind, losses.BlackboxLoss, {}, "interpolation", [*NO_NUMBERS, 0.0]),
    (bind, losses.PerturbedFenchelYoungLoss, {}, "sigma", [*NO_NUMBERS, 0.0]),
    (bind, losses.PerturbedFenchelYoungLoss, {}, "random_state", NO_COUNTS),
    (bind, losses.ScoreFunctionLoss, {}, "sigma", [*NO_NUMBERS, 0.0]),
    (bind, losses.ScoreFunctionLoss, {}, "n_samples", [*NO_COUNTS, 0, 1, 3]),
    (bind, losses.ScoreFunctionLoss, {"antithetic": False}, "n_samples", [*NO_COUNTS, 0, 1]),
    (bind, losses.ScoreFunctionLoss, {}, "random_state", NO_COUNTS),
    (bind, losses.ScoreFunctionLoss, {}, "antithetic", NO_FLAGS),
    (
        build,
        learners.MLPPredictor,
        {},
        "hidden_layer_sizes",
        ["a", None, 2.5, -1, [0], True, [[2, 2]]],
    ),
    (build, learners.MLPPredictor, {}, "activation", ["sine", None, ["relu"]]),
    (build, learners.LSTMPredictor, {}, "hidden_size", [*NO_COUNTS, 0]),
    (build, learners.PairwisePredictor, {"n_left": 2, "n_right": 1}, "symmetric", NO_FLAGS),
    (build, learners.ItemwisePredictor, {"n_items": 2}, "output", ["relu", None, ["identity"]]),
    (denoise, robust.ConvDenoiser, {}, "n_channels", [*NO_COUNTS, 0]),
    (denoise, robust.ConvDenoiser, {}, "kernel_size", [*NO_COUNTS, 2]),
    (denoise, robust.MLPDenoiser, {}, "hidden_layer_sizes", ["a", None, 2.5, -1, b"x"]),
]


@pytest.mark.parametrize(
    ("use", "kind", "params", "name", "values"),
    CASES,
    ids=[f"{kind.__name__}-{name}" for _, kind, _, name, _ in CASES],
)
def test_an_argument_that_makes_no_sense_is_named(use, kind, params, name, values):
    for value in values:
        with pytest.raises(ValueError, match=name):
            use(kind(**params, **{name: value}))


@pytest.mark.cases(lambda case: case.slopes)
@pytest.mark.parametrize("value", ["a", True, 1j, np.nan, np.inf, -1.0, np.array([1.0, 2.0])])
def test_smoothing_of_every_layer(case, value):
    with pytest.raises(ValueError, match="smoothing must be"):
        case.make().decision_layer(value)


@pytest.mark.parametrize("value", NO_FLAGS)
def test_flags_of_functions(value):
    with pytest.raises(ValueError, match="normalized must be True or False"):
        metrics.make_regret_scorer(NEWSVENDOR, normalized=value)
    with pytest.raises(ValueError, match="return_regime must be True or False"):
        datasets.make_newsvendor(return_regime=value)
    with pytest.raises(ValueError, match="return_crisis must be True or False"):
        datasets.make_portfolio(return_crisis=value)
    for name in ("return_X_y", "download_if_missing"):
        for fetch in (datasets.fetch_azure_llm_trace, datasets.fetch_cora_matching):
            with pytest.raises(ValueError, match=f"{name} must be True or False"):
                fetch(**{name: value})


def test_large_costs_of_a_newsvendor_have_the_same_quantile():
    y = RNG.exponential(1.0, (1, 30, 1))
    expected = NEWSVENDOR.solve(y)
    for size in (2.0**1020, 2.0**-1020):
        np.testing.assert_array_equal(
            problems.NewsvendorProblem(9 * size, 1 * size).solve(y), expected
        )


def test_costs_that_overflow_name_their_row():
    problem = problems.SquaredErrorProblem()
    with pytest.raises(ValueError, match=r"cost of inf for row 1, with the decision \[0.0\]"):
        problem.cost([0.0, 0.0], [1.0, 1e200])
    with pytest.raises(ValueError, match="y is too small for squared errors"):
        metrics.d2_regret_score([1e-170, 2e-170], [0.0, 0.0], problem=problem)
    with pytest.raises(ValueError, match="y is too large to be added up at row 0, column 0"):
        problems.TopKProblem(1).solve([[1.7e308, 1.7e308]])
    with pytest.raises(ValueError, match="add up to more than a float holds"):
        metrics.decision_cost([1e308, 1e308], [0.0, 0.0], problem=problems.NewsvendorProblem(1, 1))


@pytest.mark.parametrize("exponent", [-500, 500])
def test_a_layer_whose_smoothing_is_relative_has_no_unit(exponent):
    layer = problems.LinearProgram([[1.0, 2.0, 1.0]], [2.0], bounds=(0, 1)).decision_layer()
    y = torch.tensor(RNG.standard_normal((6, 3)), requires_grad=True)
    scaled = torch.tensor(np.ldexp(y.detach().numpy(), exponent), requires_grad=True)
    z, z_scaled = layer(y), layer(scaled)
    torch.testing.assert_close(z, z_scaled, rtol=0, atol=0)
    for each in (z, z_scaled):
        (each * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    np.testing.assert_array_equal(np.ldexp(scaled.grad.numpy(), exponent), y.grad.numpy())
