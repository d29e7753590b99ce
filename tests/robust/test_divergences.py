"""Divergence balls and CVaR against convex solvers, closed forms and limits."""

import numpy as np
import pytest

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import ChiSquareBall, CVaR, KLBall, TotalVariationBall
from dfl_sklearn.robust._worst_weights import chi_square_weights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETS = [KLBall(0.1), ChiSquareBall(0.2), CVaR(0.3), TotalVariationBall(0.2)]


def vectors(n_vectors):
    """Yield losses of several shapes, ties among them, with equal and unequal weights."""
    rng = np.random.default_rng(0)
    for i in range(n_vectors):
        n = int(rng.integers(2, 30))
        loss = rng.standard_normal(n) if i % 2 else rng.exponential(size=n) ** 2
        if i % 5 == 0:
            loss = np.round(loss)
        weight = np.ones(n) if i % 3 else rng.uniform(0.1, 2.0, size=n)
        yield loss, weight / weight.sum(), float(rng.uniform(0.01, 1.5))


def solved(loss, weight, constraint):
    """Return the largest mean loss by a convex solver, over weights that fulfil the constraint."""
    cvxpy = pytest.importorskip("cvxpy")
    p = cvxpy.Variable(len(loss), nonneg=True)
    scale = max(1.0, np.abs(loss).max())
    problem = cvxpy.Problem(
        cvxpy.Maximize(p @ (loss / scale)), [cvxpy.sum(p) == 1, *constraint(cvxpy, p, weight)]
    )
    return scale * problem.solve(
        solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
    )


@pytest.mark.parametrize("kind", ["kl", "chi square", "cvar", "total variation"])
def test_worst_mean_is_that_of_a_convex_solver(kind):
    for loss, weight, radius in vectors(60):
        if kind == "kl":
            found = KLBall(radius).worst_mean(loss, weight)
            oracle = solved(loss, weight, lambda cp, p, q, r=radius: [cp.sum(cp.kl_div(p, q)) <= r])
        elif kind == "chi square":
            found = ChiSquareBall(radius).worst_mean(loss, weight)
            oracle = solved(
                loss,
                weight,
                lambda cp, p, q, r=radius: [cp.sum_squares((p - q) / np.sqrt(q)) <= r],
            )
        elif kind == "total variation":
            share = min(radius / 1.5, 1.0)
            found = TotalVariationBall(share).worst_mean(loss, weight)
            oracle = solved(loss, weight, lambda cp, p, q, e=share: [cp.norm1(p - q) / 2 <= e])
        else:
            alpha = np.exp(-radius)
            found = CVaR(alpha).worst_mean(loss, weight)
            oracle = solved(loss, weight, lambda cp, p, q, a=alpha: [p <= q / a])
        assert found == pytest.approx(oracle, abs=1e-6 * max(1.0, np.abs(loss).max()))


def test_the_dual_of_the_kl_ball():
    for loss, weight, radius in vectors(20):
        taus = np.exp(np.linspace(-8, 8, 20001))[:, None]
        top = loss.max()
        dual = taus[:, 0] * (np.log(np.exp((loss - top) / taus) @ weight) + radius) + top
        assert KLBall(radius).worst_mean(loss, weight) == pytest.approx(dual.min(), abs=1e-4)


def test_the_primal_form_of_cvar():
    for loss, weight, radius in vectors(20):
        alpha = np.exp(-radius)
        primal = min(eta + weight @ np.maximum(loss - eta, 0) / alpha for eta in loss)
        assert CVaR(alpha).worst_mean(loss, weight) == pytest.approx(primal, abs=1e-12)


@pytest.mark.parametrize(
    ("plain", "all_in"),
    [
        (KLBall(0.0), KLBall(1e3)),
        (ChiSquareBall(0.0), ChiSquareBall(1e6)),
        (CVaR(1.0), CVaR(1e-9)),
        (TotalVariationBall(0.0), TotalVariationBall(1.0)),
    ],
    ids=["kl", "chi square", "cvar", "total variation"],
)
def test_the_limits_are_the_mean_and_the_maximum(plain, all_in):
    assert plain.is_nominal
    for loss, weight, _ in vectors(20):
        assert plain.worst_mean(loss, weight) == pytest.approx(weight @ loss, abs=1e-12)
        assert all_in.worst_mean(loss, weight) == pytest.approx(loss.max(), abs=1e-9)


@pytest.mark.parametrize("ball", SETS, ids=lambda each: type(each).__name__)
def test_equal_losses_keep_their_weights(ball):
    assert ball.worst_mean(np.full(4, 2.0), np.arange(1.0, 5.0)) == pytest.approx(2.0)


@pytest.mark.parametrize("ball", SETS, ids=lambda each: type(each).__name__)
def test_a_robust_fit_trains_for_the_worst_weights_that_it_shows(ball):
    X, y = make_newsvendor(200, random_state=0)
    problem = NewsvendorProblem(9, 1)
    linear = {
        "hidden_layer_sizes": (),
        "max_iter": 40,
        "learning_rate_init": 0.1,  # a longer plain fit has a worse worst case
        "random_state": 0,
    }
    plain = DFLRegressor(problem, **linear).fit(X, y)
    robust = DFLRegressor(problem, ambiguity_set=ball, **linear).fit(X, y)
    fitted = robust.ambiguity_set_
    costs = problem.cost(robust.decide(fitted.rows_.X), fitted.rows_.y)
    assert fitted.weight_.sum() == pytest.approx(1.0)
    assert robust.worst_case_.worst_regret == pytest.approx(fitted.weight_ @ costs)
    assert robust.worst_case_.worst_regret == pytest.approx(fitted.worst_mean(costs))
    plain_costs = problem.cost(plain.decide(X), y)
    assert robust.worst_case_.worst_regret < fitted.worst_mean(plain_costs)
    assert not hasattr(ball, "weight_")


def test_with_rows_held_out_the_worst_case_is_watched_there():
    X, y = make_newsvendor(200, random_state=0)
    model = DFLRegressor(
        NewsvendorProblem(9, 1),
        ambiguity_set=KLBall(0.2),
        hidden_layer_sizes=(8,),
        early_stopping=True,
        max_iter=20,
        random_state=0,
    ).fit(X, y)
    robust = model.history_.dropna(subset="objective")
    np.testing.assert_array_equal(robust["objective"], robust["valid_worst_regret"])


@pytest.mark.parametrize(
    ("ball", "message"),
    [
        (KLBall(-0.1), "radius must be at least 0, got -0.1"),
        (ChiSquareBall(np.nan), "radius must be at least 0, got nan"),
        (TotalVariationBall(1.1), r"radius must be in \[0, 1\], got 1.1"),
        (CVaR(0.0), r"alpha must be in \(0, 1\], got 0"),
        (CVaR(1.5), r"alpha must be in \(0, 1\], got 1.5"),
    ],
)
def test_parameters_out_of_range(ball, message):
    with pytest.raises(ValueError, match=message):
        ball.worst_mean(np.arange(3.0))
    X, y = make_newsvendor(60, random_state=0)
    with pytest.raises(ValueError, match=message):
        DFLRegressor(ambiguity_set=ball, random_state=0, max_iter=2).fit(X, y)


@pytest.mark.parametrize("radius", [1e-12, 0.1, 0.5, 1.0, 1.9, 1.9999999999])
@pytest.mark.parametrize(
    "loss",
    [
        [0.0, -1e-300, -1.0],
        [1e300, -1e300, 0.0],
        [5e-324, 0.0, 0.0],
        [1e10, 1e10 + 1e-6, 1e10 + 2e-6],  # of which little more than the level is left in floats
    ],
)
def test_chi_square_weights_of_losses_of_any_size_and_level(loss, radius):
    weight = np.full(3, 1 / 3)
    p, divergence = chi_square_weights(np.array(loss), weight, radius)
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    assert divergence <= radius * (1 + 1e-9)
    assert np.sum((p - weight) ** 2 / weight) == pytest.approx(divergence, rel=1e-6, abs=1e-12)


def test_the_chi_square_radius_is_met_where_rows_lose_all_their_weight():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(3, 60))
        loss, weight = 10 ** rng.uniform(-12, 0, n), rng.dirichlet(np.ones(n))
        radius = rng.uniform(0.2, 0.999) * (1 / weight[loss.argmin()] - 1)
        p, divergence = chi_square_weights(-loss, weight, radius)
        assert np.sum((p - weight) ** 2 / weight) == pytest.approx(divergence, rel=1e-6)
        assert divergence == pytest.approx(radius, rel=1e-6)
