"""n_estimators: nets that learn alone and decide together."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from skorch import NeuralNet
from skorch.callbacks import Callback

from dfl_sklearn import DFFRegressor, DFLRegressor, DiffusionDRODFLRegressor, decide
from dfl_sklearn._utils.seeds import named_seed
from dfl_sklearn.datasets import make_newsvendor, make_portfolio, portfolio_covariance
from dfl_sklearn.learners import LSTMPredictor, ScaleEquivariantPredictor
from dfl_sklearn.learners.construct import member_seeds
from dfl_sklearn.problems import (
    FromContext,
    LinearProgram,
    NewsvendorProblem,
    PortfolioProblem,
    ProvisioningProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.problems._average import averaged_decisions
from dfl_sklearn.robust import DiffusionGenerator, KLBall, TiltedSearch, WassersteinBall
from dfl_sklearn.rows import Optimum, Rows
from dfl_sklearn.training import fit
from dfl_sklearn.training.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 12, "batch_size": 16, "hidden_layer_sizes": (6,), "random_state": 0}
NEWSVENDOR = NewsvendorProblem(9, 1, nonnegative=False)
CHOICE = LinearProgram(bounds=(-1, 1))
C_MIN = ProvisioningProblem().c_min


def rows(n=90, d=1):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    y = X @ rng.standard_normal((3, d)) + rng.standard_normal((n, d))
    return X, y[:, 0] if d == 1 else y


class Net(torch.nn.Sequential):
    def __init__(self, n_in, n_out):
        super().__init__(torch.nn.Linear(n_in, 4), torch.nn.Tanh(), torch.nn.Linear(4, n_out))


def alone(model, k, monkeypatch):
    """Return a fit of one net with the seeds of a member."""
    with monkeypatch.context() as patch:
        patch.setattr(
            "dfl_sklearn.training.fit.named_seed",
            lambda seed, name: member_seeds(named_seed(seed, name), k + 1)[k],
        )
        return clone(model).set_params(n_estimators=1).fit(*rows())


@pytest.mark.parametrize(
    ("problem", "predictor"),
    [(NEWSVENDOR, None), (NEWSVENDOR, Net), (SquaredErrorProblem(), torch.nn.Linear)],
    ids=["perceptron", "module", "linear"],
)
def test_a_member_is_a_net_trained_alone(problem, predictor, monkeypatch):
    """Down to where its learning rate falls, and where it stops."""
    model = DFLRegressor(
        problem,
        predictor=predictor,
        n_estimators=3,
        early_stopping=True,
        **{**QUICK, "n_iter_no_change": 3, "max_iter": 40, "learning_rate_init": 0.05},
    )
    X, _ = rows()
    members = clone(model).fit(*rows()).predict_members(X)
    singles = [alone(model, k, monkeypatch) for k in range(3)]
    assert len({each.n_iter_ for each in singles}) > 1  # they stop at different times
    assert min(each.history_["learning_rate"].min() for each in singles) < 0.05
    for k, single in enumerate(singles):
        assert_allclose(members[k], single.predict(X), rtol=1e-6, atol=1e-8)


def test_members_that_watch_their_training_rows_stop_together(monkeypatch):
    model = DFLRegressor(NEWSVENDOR, n_estimators=3, early_stopping=False, **QUICK)
    X, y = rows()
    first = clone(model).set_params(max_iter=1).fit(X, y)
    for k in range(3):
        single = alone(model.set_params(max_iter=1), k, monkeypatch)
        assert_allclose(first.predict_members(X)[k], single.predict(X), rtol=1e-9)
    model.set_params(max_iter=12).fit(X, y)
    kept = model.history_["train_regret"].min()
    assert model.history_["train_regret"].idxmin() + 1 == model.best_epoch_
    assert NEWSVENDOR.cost(model.decide(X), y).mean() == pytest.approx(kept)


def test_what_is_averaged():
    X, y = rows()
    model = DFLRegressor(NewsvendorProblem(9, 1), n_estimators=3, **QUICK)
    model.fit(X, np.maximum(y, 0))
    members = model.predict_members(X)
    assert members.shape == (3, 90)
    assert_allclose(model.predict(X), members.mean(axis=0), rtol=1e-12)
    assert (members < 0).any()  # where the decision of the mean is not the mean decision
    assert_allclose(model.decide(X), np.maximum(members, 0).mean(axis=0), rtol=1e-12, atol=1e-14)
    assert_array_equal(decide(model, X), model.decide(X))
    Y = rows(d=2)[1]
    model = DFLRegressor(CHOICE, n_estimators=3, **QUICK).fit(X, Y)
    assert model.predict_members(X).shape == (3, 90, 2)
    assert_array_equal(model.decide(X), CHOICE.solve(model.predict(X)))
    single = DFLRegressor(CHOICE, **QUICK).fit(X, Y)
    assert_array_equal(single.predict_members(X), single.predict(X)[None])


@pytest.mark.parametrize("name", ["newsvendor", "portfolio"])
def test_together_they_cost_at_most_what_they_cost_on_average(name):
    if name == "newsvendor":
        problem, (X, y) = NewsvendorProblem(9, 1), make_newsvendor(200, random_state=0)
    else:
        problem, (X, y) = (
            PortfolioProblem(portfolio_covariance(5), 0.25),
            make_portfolio(200, random_state=0),
        )
    model = DFLRegressor(problem, n_estimators=5, **QUICK).fit(X, y)
    costs = [problem.cost(problem.solve(each), y) for each in model.predict_members(X)]
    together = problem.cost(model.decide(X), y)
    assert (together <= np.mean(costs, axis=0) + 1e-9).all()
    assert together.mean() < np.mean(costs)
    paid = model.score(X, y)
    assert paid > np.mean([single_score(problem, each, y) for each in model.predict_members(X)])


def single_score(problem, prediction, y):
    constant = problem.solve(y.reshape(1, len(y), -1))
    best = problem.optimal_cost(y)
    regret = problem.cost(problem.solve(prediction), y) - best
    return 1 - regret.sum() / (problem.cost(constant, y) - best).sum()


# -- exactness -------------------------------------------------------------------------------


MODELS = {
    "plain": DFLRegressor(NEWSVENDOR, n_estimators=3, early_stopping=True, **QUICK),
    "lstm": DFLRegressor(NEWSVENDOR, n_estimators=2, predictor=LSTMPredictor(3), **QUICK),
    "weighted rows": DFLRegressor(
        NEWSVENDOR, n_estimators=3, ambiguity_set=KLBall(0.1), **{**QUICK, "max_iter": 6}
    ),
    "moved rows": DFLRegressor(
        NEWSVENDOR,
        n_estimators=2,
        ambiguity_set=WassersteinBall(0.1),
        **{**QUICK, "max_iter": 4, "batch_size": 32},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_same_rows_give_the_same_bits(name):
    X, y = rows()
    model = clone(MODELS[name])
    weight = np.random.default_rng(1).integers(0, 4, len(y))
    order = np.random.default_rng(2).permutation(len(y))
    expected = clone(model).fit(X, y, sample_weight=weight).decide(X)
    for again in (
        clone(model).fit(X, y, sample_weight=weight),
        clone(model).fit(X[order], y[order], sample_weight=weight[order]),
        clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight)),
        clone(model).set_params(n_jobs=4).fit(X, y, sample_weight=weight),
    ):
        assert_array_equal(again.decide(X), expected)


def test_a_callback_that_listens_changes_nothing():
    X, y = rows()
    model = clone(MODELS["plain"]).set_params(learning_rate_init=0.2, n_iter_no_change=2)
    expected = clone(model).fit(X, y).predict_members(X)
    heard = clone(model).set_params(callbacks=[Callback()]).fit(X, y)
    assert_array_equal(heard.predict_members(X), expected)


def test_what_is_recalled_is_what_is_computed(short_epochs, tmp_path):
    generator = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=6, max_iter=2, random_state=0)
    X, y = rows()
    model = DiffusionDRODFLRegressor(
        NEWSVENDOR,
        n_estimators=3,
        search=TiltedSearch(60),
        generator=generator,
        **{**QUICK, "max_iter": 6},
    )
    expected = clone(model).fit(X, y).predict_members(X)
    for _ in range(2):
        model.set_params(memory=str(tmp_path)).fit(X, y)
        assert_array_equal(model.predict_members(X), expected)
    model.set_params(n_estimators=2).fit(X, y)  # another number is another net
    assert_array_equal(
        model.predict_members(X), clone(model).set_params(memory=None).fit(X, y).predict_members(X)
    )
    assert model.sample_worst_case(4, random_state=0)[0].shape == (4, 3)


# -- the worst case --------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [NewsvendorProblem(9, 1), CHOICE], ids=["newsvendor", "choice"])
def test_the_worst_case_is_that_of_what_they_decide_together(problem):
    X, y = rows()
    y = np.maximum(y, 0) if problem is not CHOICE else y
    model = DFLRegressor(problem, ambiguity_set=KLBall(0.1), n_estimators=3, **QUICK).fit(X, y)
    ball = model.ambiguity_set_
    costs = problem.cost(model.decide(ball.rows_.X), ball.rows_.y)
    regret = costs - problem.optimal_cost(ball.rows_.y)
    assert model.worst_case_.worst_regret == pytest.approx(ball.weight_ @ regret)


def test_slopes_are_those_of_what_they_decide_together():
    """In y and in the predictions, against the formula: decisions are cut off at 0 one by one."""
    y_hat = torch.tensor([[[3.0], [1.0]], [[-1.0], [4.0]]], dtype=torch.float64)
    y = torch.tensor([[2.0], [2.0]], dtype=torch.float64)
    known = Rows(y, y, y[:, 0], None, Optimum(y, 0 * y[:, 0]))
    y_hat.requires_grad_()
    found = Objective(NewsvendorProblem(9, 1)).relaxed_regret(y_hat, known)
    assert_allclose(found.detach(), [9 * 0.5, 0.5])  # orders of 1.5 and 2.5
    found.sum().backward()
    assert_allclose(y_hat.grad[..., 0], [[-4.5, 0.5], [0.0, 0.5]])
    y_hat = torch.tensor([[[30.0], [10.0]], [[-50.0], [40.0]]], dtype=torch.float64)
    of_mean = Objective(CHOICE).relaxed_regret(y_hat, known)
    assert_allclose(of_mean, [2.0, 0.0])  # relaxed decisions of .5 and -.5, which is the best


# -- context, corrections, going on ----------------------------------------------------------


def test_decisions_are_averaged_in_their_context():
    # A mean of shares under a known aversion to risk.
    problem = PortfolioProblem(np.eye(2), FromContext("aversion"))
    members = np.random.default_rng(0).normal(size=(3, 4, 2))
    table = pd.DataFrame({"aversion": [0.5, 1.0, 2.0, 4.0], "other": 0.0})
    expected = np.mean([problem.solve(each, context=table) for each in members], axis=0)
    assert_allclose(averaged_decisions(problem, members, table), expected, rtol=1e-12)
    by_position = PortfolioProblem(np.eye(2), FromContext(0))
    values = table["aversion"].to_numpy().copy()
    for context in (values, values[:, None], values.tolist(), torch.as_tensor(values)):
        assert_allclose(averaged_decisions(by_position, members, context), expected, rtol=1e-12)
    members[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="row 1"):
        averaged_decisions(by_position, members, values)


def test_an_ensemble_reads_its_context():
    X, y = rows()
    X = np.column_stack([X, np.random.default_rng(1).uniform(1, 9, len(X))])
    problem = NewsvendorProblem(FromContext(0), 1.0)
    model = DFLRegressor(problem, n_estimators=3, context=[3], **QUICK).fit(X, np.abs(y))
    members = np.maximum(model.predict_members(X), 0)
    assert_allclose(model.decide(X), members.mean(axis=0), rtol=1e-12)
    assert_array_equal(model.decide(X, context=X[:, 3]), model.decide(X))


def test_several_corrections():
    X, y = rows(200)
    problem = NewsvendorProblem(9, 1)
    y = np.maximum(y + 1, 0)
    quick = {**QUICK, "max_iter": 30}
    model = DFFRegressor(
        LinearRegression(), problem, n_estimators=3, trust_region="absolute", cv=3, **quick
    ).fit(X, y)
    assert not model.fell_back_
    members = model.predict_members(X)
    assert members.shape == (3, 200)
    assert_allclose(model.predict(X), members.mean(axis=0), rtol=1e-12)
    radius = model.trust_radius(X) * (1 + 1e-9)
    assert (np.abs(members - model.predict_backbone(X)) <= radius).all()
    assert_allclose(model.decide(X), np.maximum(members, 0).mean(axis=0), rtol=1e-12, atol=1e-14)
    model.set_params(min_gain=1e9).fit(X, y)
    assert_array_equal(model.predict_members(X), model.predict_backbone(X)[None])
    assert_array_equal(model.decide(X), problem.solve(model.predict(X)))


def test_an_ensemble_goes_on_from_its_weights():
    X, y = rows()
    model = DFLRegressor(NEWSVENDOR, n_estimators=3, warm_start=True, **QUICK).fit(X, y)
    before = model.predict_members(X)
    model.set_params(learning_rate_init=1e-12, max_iter=1).fit(2 * X[:80] + 1, 3 * y[:80])
    assert_allclose(model.predict_members(X), before, rtol=1e-8, atol=1e-8)
    model.partial_fit(X[:60], y[:60])
    assert_allclose(model.predict_members(X), before, rtol=1e-8, atol=1e-8)
    with pytest.raises(ValueError, match="warm_start goes on from has 3 nets, and n_estimators=5"):
        model.set_params(n_estimators=5).fit(X, y)
    with pytest.raises(ValueError, match="partial_fit goes on from has 3 nets, and n_estimators=1"):
        model.set_params(n_estimators=1).partial_fit(X, y)


# -- errors ----------------------------------------------------------------------------------


def test_a_skorch_net_is_refused():
    net = NeuralNet(torch.nn.Linear, criterion=torch.nn.MSELoss, module__in_features=3)
    with pytest.raises(ValueError, match="n_estimators=3 needs a predictor that can be built"):
        DFLRegressor(NEWSVENDOR, predictor=net, n_estimators=3).fit(*rows())


@pytest.mark.parametrize("n_estimators", [0, 1.5])
def test_numbers_that_are_none(n_estimators):
    with pytest.raises(ValueError, match="'n_estimators' parameter"):
        DFLRegressor(NEWSVENDOR, n_estimators=n_estimators).fit(*rows())


def test_a_net_of_the_wrong_width_is_named():
    with pytest.raises(ValueError, match=r"returned shape \(2, 5\) .* needs 1 number per row"):
        DFLRegressor(
            NEWSVENDOR, predictor=lambda n_in, n_out: torch.nn.Linear(n_in, 5), n_estimators=2
        ).fit(*rows())


def test_a_member_that_diverges_is_an_error():
    model = DFLRegressor(SquaredErrorProblem(), n_estimators=2, **QUICK)
    model.set_params(learning_rate_init=1e200, early_stopping=False)
    with pytest.raises(FloatingPointError, match=r"have diverged: lower learning_rate_init"):
        model.fit(*rows())


def levels():
    """Return windows of a level far from 0, whose mean is to be forecast."""
    X = np.random.default_rng(0).uniform(1e4, 2e4, (40, 7))
    return X, X.mean(axis=1)


def unscaled(seed, **params):
    """Return a model whose initial predictions may be so low that no capacity follows from them.

    Without weight decay a net that has no slope keeps its predictions.
    """
    params = {"predictor": ScaleEquivariantPredictor(), "standardize": False, **params}
    return DFLRegressor(ProvisioningProblem(), random_state=seed, alpha=0.0, max_iter=6, **params)


@pytest.mark.parametrize("seed", [0, 3, 7])
def test_members_that_learn_nothing_are_counted(seed, monkeypatch):
    monkeypatch.setattr(fit, "_N_DRAWS", 1)
    X, y = levels()
    model = unscaled(seed, n_estimators=4)
    first = model.set_params(max_iter=1).fit(X, y).predict_members(X).reshape(4, -1)
    with pytest.warns(ConvergenceWarning) as caught:
        last = model.set_params(max_iter=6).fit(X, y).predict_members(X).reshape(4, -1)
    n_dead = int((first == last).all(axis=1).sum())
    messages = " ".join(str(each.message) for each in caught)
    assert "stopped at max_iter=6" in messages
    assert 0 < n_dead < 4
    assert f"{n_dead} of the 4 nets trained side by side (n_estimators) learnt" in messages


@pytest.mark.parametrize("seed", [0, 3, 7])
def test_members_that_learn_nothing_are_drawn_again(seed, monkeypatch):
    """Where each is watched on its own, the others come out as without it, to the bit."""
    X, y = levels()
    model = unscaled(seed, n_estimators=4)
    found = {}
    for n_draws in (1, 4):
        monkeypatch.setattr(fit, "_N_DRAWS", n_draws)
        with pytest.warns(ConvergenceWarning) as caught:
            found[n_draws] = model.fit(X, y, X_val=X, y_val=y).predict_members(X).reshape(4, -1)
    assert not any("learnt nothing" in str(each.message) for each in caught)
    is_same = (found[1] == found[4]).all(axis=1)
    assert 0 < is_same.sum() < 4
    assert_array_equal(is_same, found[1].max(axis=1) > C_MIN)
    assert (found[4].max(axis=1) > C_MIN).all()


def test_one_net_that_learns_nothing_is_drawn_again(monkeypatch):
    X, y = levels()
    monkeypatch.setattr(fit, "_N_DRAWS", 1)
    low = [seed for seed in range(16) if unscaled(seed).fit(X, y).predict(X).max() <= C_MIN]
    assert low
    monkeypatch.undo()
    for seed in low:
        with pytest.warns(ConvergenceWarning, match="^Training stopped at max_iter=6"):
            model = unscaled(seed).fit(X, y)
        assert model.predict(X).max() > C_MIN


def test_where_every_draw_learns_nothing_it_is_said():
    def low(n_in, n_out):
        net = torch.nn.Linear(n_in, n_out)
        torch.nn.init.constant_(net.bias, -1e9)
        return net

    with pytest.warns(ConvergenceWarning, match=r"the same in all 6 epochs.*nothing was learnt"):
        unscaled(0, predictor=low).fit(*levels())


def test_nets_without_weights_to_train_have_one_error_whatever_their_number():
    def frozen(n_in, n_out):
        return torch.nn.Linear(n_in, n_out).requires_grad_(False)

    X, y = rows(20)
    for n in 1, 2:
        with pytest.raises(ValueError, match="does not depend on the predictions"):
            DFLRegressor(NEWSVENDOR, predictor=frozen, n_estimators=n, max_iter=1).fit(X, y)


def test_members_that_have_nothing_to_learn_are_not_counted():
    """What is always best is predicted from the second fit on: neither has a loss."""
    X, y = np.random.default_rng(0).standard_normal((40, 2)), np.full(40, 3.0)
    model = DFLRegressor(CHOICE, n_estimators=3, max_iter=30, random_state=0, warm_start=True)
    model.set_params(learning_rate_init=0.1)
    model.fit(X, y)
    assert (model.predict_members(X) > 1.5).all()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.set_params(max_iter=4).fit(X, y)
    assert not any("side by side" in str(each.message) for each in caught)
    assert (model.history_["train_loss"] == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_members_behind_a_closed_unit_are_drawn_again(seed):
    """The loss has a slope in what they predict, and none in their weights."""

    class Closed(torch.nn.Sequential):
        def __init__(self, n_in, n_out):
            super().__init__(torch.nn.Linear(n_in, n_out), torch.nn.ReLU())
            torch.nn.init.constant_(self[0].bias, 3.0 if torch.rand(()) < 0.7 else -9.0)

    X, _ = rows()
    model = DFLRegressor(NEWSVENDOR, predictor=Closed, n_estimators=3, standardize=False)
    model.set_params(random_state=seed, max_iter=12, batch_size=16).fit(X, 5 + X[:, 0])
    assert (model.predict_members(X).max(axis=1) > 0).all()
