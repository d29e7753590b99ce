"""The Wasserstein ball against closed forms, and the slopes of the regret that it follows."""

import numpy as np
import pytest

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem, SquaredErrorProblem
from dfl_sklearn.robust import AmbiguitySet, WassersteinBall
from dfl_sklearn.rows import Rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SLOPE = np.array([1.0, -2.0, 0.5])


class AbsoluteLoss:
    """The absolute error of a linear model."""

    def __call__(self, rows):
        return np.abs(rows.y[:, 0] - rows.X @ SLOPE)

    def gradient(self, rows):
        sign = np.sign(rows.y[:, 0] - rows.X @ SLOPE)
        return -sign[:, None] * SLOPE, sign[:, None]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3)) * [1.0, 2.0, 3.0]
    y = X @ SLOPE + rng.standard_normal(200)
    return Rows(X, y[:, None], rng.uniform(0.5, 2.0, size=200)).canonical()


def dual(norm, values):
    return {
        "l1": np.abs(values).max(),
        "l2": np.linalg.norm(values),
        "linf": np.abs(values).sum(),
    }[norm]


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("columns", ["both", "features", "target"])
@pytest.mark.parametrize("radius", [0.0, 0.3])
def test_a_linear_model_with_absolute_loss_has_the_closed_form(rows, norm, columns, radius):
    share = rows.weight / rows.weight.sum()

    def spread(values):
        return np.sqrt(share @ (values - share @ values) ** 2)

    slopes = np.concatenate(
        [SLOPE * spread(rows.X) * (columns != "target"), spread(rows.y) * (columns != "features")]
    )
    ball = WassersteinBall(radius, norm=norm, columns=columns)
    ball.set_nominal(rows, NewsvendorProblem(1, 1, nonnegative=False), 0)
    found, divergence = ball.worst_case(AbsoluteLoss())
    mean = share @ AbsoluteLoss()(rows)
    worst = found.weight @ AbsoluteLoss()(found)
    assert worst == pytest.approx(mean + radius * dual(norm, slopes), rel=1e-12)
    assert divergence == pytest.approx(radius, abs=1e-12)
    if columns != "both":
        fixed = "y" if columns == "features" else "X"
        np.testing.assert_array_equal(getattr(found, fixed), getattr(rows, fixed))


def test_the_distance_is_measured_in_the_norm_asked_for(rows):
    share = rows.weight / rows.weight.sum()
    unit = [np.sqrt(share @ (part - share @ part) ** 2) for part in (rows.X, rows.y)]
    for norm, order in (("l1", 1), ("l2", 2), ("linf", np.inf)):
        ball = WassersteinBall(0.4, norm=norm)
        ball.set_nominal(rows, SquaredErrorProblem(), 0)
        found, _ = ball.worst_case(AbsoluteLoss())
        step = np.hstack([(found.X - rows.X) / unit[0], (found.y - rows.y) / unit[1]])
        lengths = np.linalg.norm(step, ord=order, axis=1)
        assert np.sqrt(share @ lengths**2) == pytest.approx(0.4)


class SlopeProbe(AmbiguitySet):
    """Compares the slopes that training gives with finite differences of its exact regret."""

    radius = 1.0

    def set_nominal(self, rows, problem, seed, held_out=None):
        self.rows_ = rows.replace(weight=rows.weight / rows.weight.sum())
        self.errors = []

    def worst_case(self, row_loss):
        X, y, weight = self.rows_.X, self.rows_.y, self.rows_.weight
        found = np.hstack(row_loss.gradient(self.rows_))
        table = np.hstack([X, y])
        for column in range(table.shape[1]):
            step = np.zeros(table.shape[1])
            step[column] = 1e-5
            sides = [
                row_loss(
                    type(self.rows_)(*np.split(table + sign * step, [X.shape[1]], axis=1), weight)
                )
                for sign in (1, -1)
            ]
            differences = (sides[0] - sides[1]) / 2e-5
            self.errors.append(np.abs(differences - found[:, column]))
        return self.rows_, 0.0


@pytest.mark.parametrize(
    "problem",
    [SquaredErrorProblem(), NewsvendorProblem(9, 1), ProvisioningProblem(c_min=1.0, c_max=30.0)],
    ids=lambda each: type(each).__name__,
)
def test_slopes_are_those_of_finite_differences(problem):
    X, y = make_newsvendor(150, random_state=0)
    probe = SlopeProbe()
    model = DFLRegressor(
        problem, ambiguity_set=probe, hidden_layer_sizes=(8,), activation="tanh", max_iter=3,
        early_stopping=False, random_state=0,
    ).fit(X, y)  # fmt: skip
    errors = np.concatenate(model.ambiguity_set_.errors)
    # A row within a step of a kink has no slope to compare with.
    assert np.mean(errors < 1e-4) > 0.99


def test_a_robust_fit_moves_rows_to_more_regret_and_trains_for_them():
    X, y = make_newsvendor(200, random_state=0)
    problem = NewsvendorProblem(9, 1)
    robust = DFLRegressor(
        problem, ambiguity_set=WassersteinBall(0.3), hidden_layer_sizes=(), random_state=0
    ).fit(X, y)
    ball, found = robust.ambiguity_set_, robust.worst_case_
    costs = problem.cost(robust.decide(ball.perturbed_.X), ball.perturbed_.y)
    assert found.worst_regret == pytest.approx(ball.perturbed_.weight @ costs)
    assert found.worst_regret > found.train_regret
    assert found.objective < robust.history_["objective"].dropna().iloc[0]
    assert (ball.perturbed_.y >= 0).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"radius": -1.0}, "radius must be at least 0, got -1.0"),
        ({"norm": "l3"}, "norm must be one of .*'linf'.* got 'l3'"),
        ({"columns": "y"}, "columns must be one of .*'target'.* got 'y'"),
        ({"n_steps": 0}, "n_steps must be a whole number of at least 1, got 0"),
    ],
)
def test_parameters_out_of_range(params, message):
    X, y = make_newsvendor(60, random_state=0)
    with pytest.raises(ValueError, match=message):
        DFLRegressor(ambiguity_set=WassersteinBall(**params), max_iter=2, random_state=0).fit(X, y)


def distance_of(ball, norm=2):
    """Return the root mean square of the distances that rows were moved, in deviations."""
    rows, perturbed = ball.rows_, ball.perturbed_
    parts = []
    for before, after in ((rows.X, perturbed.X), (rows.y, perturbed.y)):
        before, after = before.astype(np.float64), after.astype(np.float64)
        spread = np.sqrt(rows.weight @ (before - rows.weight @ before) ** 2)
        parts.append((after - before) / np.where(spread > 1e-12, spread, np.inf))
    return np.sqrt(rows.weight @ np.linalg.norm(np.hstack(parts), ord=norm, axis=1) ** 2)


class LessIsWorse(AbsoluteLoss):
    """A regret that rises as demand falls."""

    def __call__(self, rows):
        return -rows.y[:, 0]

    def gradient(self, rows):
        return np.zeros(rows.X.shape), -np.ones(rows.y.shape)


def test_the_distance_is_that_of_the_rows_put_back_into_the_domain():
    rng = np.random.default_rng(0)
    rows = Rows(
        rng.standard_normal((50, 1)), rng.exponential(1.0, (50, 1)), np.ones(50)
    ).canonical()
    ball = WassersteinBall(2.0, columns="target")
    ball.set_nominal(rows, NewsvendorProblem(1, 1), 0)
    found, divergence = ball.worst_case(LessIsWorse())
    assert (found.y == 0).any()  # demand was put back to 0
    assert divergence == pytest.approx(distance_of(ball), rel=1e-12)
    assert divergence < 1.9


class WholeDemand(NewsvendorProblem):
    """A domain that is not convex: rounding takes a row further than its step."""

    def project_parameters(self, y):
        return np.rint(y), 0.0


@pytest.mark.parametrize("radius", [0.4, 0.6, 1.0])
def test_no_row_leaves_the_ball_by_way_of_the_domain(radius):
    y = np.arange(6.0)[:, None]
    rows = Rows(y.copy(), y, np.ones(6)).canonical()
    ball = WassersteinBall(radius, columns="target")
    ball.set_nominal(rows, WholeDemand(1, 1), 0)
    _, divergence = ball.worst_case(LessIsWorse())
    assert divergence == pytest.approx(distance_of(ball), abs=1e-12)
    assert divergence <= radius


@pytest.mark.parametrize("radius", [1e-4, 1e-2, 0.3])
def test_rows_in_float32_stay_within_the_radius(radius):
    rng = np.random.default_rng(0)
    X = (1000.0 + rng.standard_normal((60, 3)) * [1.0, 1.0, 0.0]).astype(np.float32)
    rows = Rows(X, rng.standard_normal((60, 1)), np.ones(60)).canonical()
    ball = WassersteinBall(radius)
    ball.set_nominal(rows, NewsvendorProblem(1, 1, nonnegative=False), 0)
    found, divergence = ball.worst_case(AbsoluteLoss())
    assert found.X.dtype == np.float32
    assert divergence == pytest.approx(distance_of(ball), rel=1e-6)
    assert divergence <= radius


def test_targets_that_may_not_move_are_not_put_into_the_domain():
    y = np.array([[-1.0], [2.0], [3.0]])  # outside, as a hand-made set may have it
    rows = Rows(np.arange(3.0)[:, None], y, np.ones(3)).canonical()
    ball = WassersteinBall(0.5, columns="features")
    ball.set_nominal(rows, NewsvendorProblem(1, 1), 0)

    class Slope(LessIsWorse):
        def __call__(self, rows):
            return rows.X[:, 0]

        def gradient(self, rows):
            return np.ones(rows.X.shape), np.zeros(rows.y.shape)

    found, divergence = ball.worst_case(Slope())
    np.testing.assert_array_equal(found.y, y)
    assert divergence == pytest.approx(0.5)


@pytest.mark.parametrize("size", [1e-180, 1e180])
def test_the_unit_of_the_regret_does_not_matter(rows, size):
    class Scaled(AbsoluteLoss):
        def __call__(self, rows):
            return size * super().__call__(rows)

        def gradient(self, rows):
            return tuple(size * each for each in super().gradient(rows))

    found = []
    for loss in (AbsoluteLoss(), Scaled()):
        ball = WassersteinBall(0.3)
        ball.set_nominal(rows, NewsvendorProblem(1, 1, nonnegative=False), 0)
        found.append(ball.worst_case(loss))
    np.testing.assert_allclose(found[1][0].X, found[0][0].X, rtol=1e-12)
    assert found[1][1] == pytest.approx(0.3)
