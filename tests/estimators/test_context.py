"""Context through the estimators: columns of X that the problem reads and nothing else changes."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import (
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    TwoStageRegressor,
    decide,
)
from dfl_sklearn.compose import DecisionTransformer, PredictionTransformer, keep_context
from dfl_sklearn.inspection import BiasCorrectionDisplay, DecisionDisplay, WorstCaseDisplay
from dfl_sklearn.learners import LSTMPredictor, ScaleEquivariantPredictor
from dfl_sklearn.metrics import d2_regret_score, make_decision_cost_scorer, make_regret_scorer
from dfl_sklearn.model_selection import CostTailSplit
from dfl_sklearn.problems import (
    FromContext,
    LinearProgram,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
)
from dfl_sklearn.robust import (
    CVaR,
    DiffusionGenerator,
    GaussianNoise,
    KLBall,
    PolicyGradientSearch,
    TiltedSearch,
    WassersteinBall,
)

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 6, "random_state": 0}
CAPPED = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext("capacity"))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    n = 160
    X = pd.DataFrame(
        {
            "warm": rng.normal(size=n),
            "capacity": rng.choice([4.0, 6.0, 30.0], n),
            "rain": rng.normal(size=n),
        }
    )
    return X, np.maximum(0.0, 6 + 2 * X["warm"] + rng.gamma(2.0, 1.0, n)).to_numpy()


def models():
    """One estimator for each way through the code, with the context as a feature or without."""
    seen, unseen = ({"context": "capacity", "context_is_feature": each} for each in (True, False))
    fine = {**QUICK, "cv": 2}
    return {
        "net": DFLRegressor(CAPPED, **seen, **QUICK),
        "net, unseen": DFLRegressor(CAPPED, **unseen, **QUICK),
        "kl": DFLRegressor(CAPPED, ambiguity_set=KLBall(0.1), **seen, **QUICK),
        "noise, unseen": DFLRegressor(CAPPED, ambiguity_set=GaussianNoise(0.1), **unseen, **QUICK),
        "wasserstein": DFLRegressor(CAPPED, ambiguity_set=WassersteinBall(0.1), **seen, **QUICK),
        "two-stage": TwoStageRegressor(LinearRegression(), CAPPED, **seen),
        "two-stage, unseen": TwoStageRegressor(LinearRegression(), CAPPED, **unseen),
        "fine-tuning": DFFRegressor(LinearRegression(), CAPPED, **seen, **fine),
        "fine-tuning, unseen": DFFRegressor(LinearRegression(), CAPPED, **unseen, **fine),
        "predictions": DFFRegressor(
            LinearRegression(), CAPPED, inputs="predictions", **seen, **fine
        ),
        "flagship, unseen": flagship(**unseen),
    }


def flagship(search=None, **context):
    """Return a quick flagship."""
    generator = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=8, max_iter=3)
    return DiffusionDRODFLRegressor(
        CAPPED,
        radius=0.05,
        generator=generator,
        search=TiltedSearch(200) if search is None else search,
        **context,
        **{**QUICK, "max_iter": 5},
    )


@pytest.fixture(params=models(), ids=str)
def model(request):
    return clone(models()[request.param])


def test_decisions_keep_to_the_limit_of_their_row_and_no_more_is_seen_than_features(model, data):
    X, y = data
    model.fit(X, y)
    orders = model.decide(X)
    assert (orders <= X["capacity"] + 1e-9).all()
    assert (orders > 4.0).any()
    assert_array_equal(orders, CAPPED.solve(model.predict(X), context=X))
    assert model.n_features_in_ == 3
    assert list(model.feature_names_in_) == list(X.columns)
    # The score is that of these decisions, and of a null model that knows the capacity.
    assert model.score(X, y) == pytest.approx(
        d2_regret_score(y, model.predict(X), problem=CAPPED, context=X)
    )
    stored = pickle.loads(pickle.dumps(model))
    assert_array_equal(stored.decide(X), orders)
    # What is no feature does not reach the predictor.
    other = X.assign(capacity=X["capacity"].to_numpy()[::-1])
    same = np.array_equal(model.predict(X), model.predict(other))
    assert same is not model.context_is_feature


def test_a_row_of_weight_two_is_the_row_twice(model, data):
    X, y = (each[:60] for each in data)
    weight = np.random.default_rng(1).integers(0, 3, 60)
    rows = np.repeat(np.arange(60), weight)
    if model.get_params().get("cv"):
        model.set_params(cv=2)
    weighted = clone(model).fit(X, y, sample_weight=weight.astype(float))
    repeated = clone(model).fit(X.iloc[rows], y[rows])
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)


@pytest.mark.parametrize(
    "context",
    [
        "capacity",
        ["capacity"],
        1,
        [1],
        slice("capacity", "capacity"),
        [False, True, False],
        make_column_selector(pattern="cap"),
    ],
    ids=["name", "names", "position", "positions", "slice", "mask", "callable"],
)
def test_columns_are_selected_as_in_a_column_transformer(context, data):
    X, y = data
    expected = DFLRegressor(CAPPED, context="capacity", **QUICK).fit(X, y).decide(X)
    found = DFLRegressor(CAPPED, context=context, **QUICK).fit(X, y).decide(X)
    assert_array_equal(found, expected)


def test_positions_need_no_names(data):
    X, y = data
    by_position = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext(0))
    found = DFLRegressor(by_position, context=[1], **QUICK).fit(X.to_numpy(), y)
    expected = DFLRegressor(CAPPED, context="capacity", **QUICK).fit(X, y)
    assert_array_equal(found.decide(X.to_numpy()), expected.decide(X))


def test_the_order_in_which_columns_are_selected_does_not_matter_to_names(data):
    X, y = data
    X = X.assign(dear=np.where(X["rain"] > 0, 9.0, 4.0))
    problem = MultiProductNewsvendorProblem(
        FromContext("dear"), 1.0, capacity=FromContext("capacity")
    )
    orders = [
        DFLRegressor(problem, context=context, **QUICK).fit(X, y).decide(X)
        for context in (["capacity", "dear"], ["dear", "capacity"])
    ]
    assert_array_equal(*orders)


def test_columns_of_a_table_are_found_by_name_where_they_have_gone(data):
    X, y = data
    model = TwoStageRegressor(
        make_pipeline(PassNames(), LinearRegression()), CAPPED, context="capacity"
    )
    model.fit(X, y)
    turned = X[["rain", "warm", "capacity"]]
    assert_array_equal(model.decide(turned), model.decide(X))


class PassNames(StandardScaler):
    """A step that looks for its columns by name, in any order."""

    def fit(self, X, y=None):
        return super().fit(X[sorted(X.columns)], y)

    def transform(self, X):
        return super().transform(X[sorted(X.columns)])


def test_what_is_wrong_is_said(data):
    X, y = data
    with pytest.raises(ValueError, match=r"reads 'capacity' from the context, but none was given"):
        DFLRegressor(CAPPED, **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"keep_context\(StandardScaler\(\), \['capacity'\]\)"):
        make_pipeline(StandardScaler(), DFLRegressor(CAPPED, context="capacity", **QUICK)).fit(X, y)
    with pytest.raises(ValueError, match="NewsvendorProblem takes no context"):
        DFLRegressor(NewsvendorProblem(9, 1), context="capacity", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"not among the columns of X: it has \['warm'"):
        DFLRegressor(CAPPED, context="cap", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"reads 'capacity' .* it selects \['rain'\]"):
        DFLRegressor(CAPPED, context="rain", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="by name, but X is an array"):
        DFLRegressor(CAPPED, context=1, **QUICK).fit(X.to_numpy(), y)
    with pytest.raises(ValueError, match="leaves the predictor none"):
        DFLRegressor(CAPPED, context="capacity", context_is_feature=False, **QUICK).fit(
            X[["capacity"]], y
        )
    with pytest.raises(ValueError, match="selects no column"):
        DFLRegressor(CAPPED, context=[], **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="twice"):
        DFLRegressor(CAPPED, context=[1, 1], **QUICK).fit(X, y)
    for selection in (3.0, lambda X: None):
        with pytest.raises(
            TypeError, match="context must be a name, a position, a list or a slice"
        ):
            DFLRegressor(CAPPED, context=[0], **QUICK).set_params(context=selection)._find_context(
                X
            )
    with pytest.raises(ValueError, match=r"no names \(a step without get_feature_names"):
        DFLRegressor(CAPPED, context="capacity", **QUICK).fit(pd.DataFrame(X.to_numpy()), y)
    with pytest.raises(ValueError, match="have the same name"):
        TwoStageRegressor(LinearRegression(), CAPPED, context="capacity").fit(
            X[["capacity", "capacity"]], y
        )
    bad = X.copy()
    bad.loc[7, "capacity"] = -1.0
    for estimator in (
        TwoStageRegressor(LinearRegression(), CAPPED, context="capacity"),
        DFLRegressor(CAPPED, context="capacity", **QUICK),
        DFFRegressor(LinearRegression(), CAPPED, context="capacity", **QUICK),
    ):
        with pytest.raises(ValueError, match=r"capacity.*row 7"):
            estimator.fit(bad, y)
        with pytest.raises(ValueError, match=r"capacity.*row 7"):
            estimator.fit(X, y).decide(bad)
    for estimator in (
        DFLRegressor(CAPPED, context="capacity", **QUICK),
        DFFRegressor(LinearRegression(), CAPPED, context="capacity", **QUICK),
    ):
        with pytest.raises(ValueError, match=r"capacity.*row 7"):
            estimator.fit(X, y, X_val=bad, y_val=y)


def test_no_set_changes_the_context(data):
    X, y = data
    for ambiguity_set in (KLBall(0.1), CVaR(0.5), GaussianNoise(0.3), WassersteinBall(0.3)):
        seen = []

        class Watched(type(ambiguity_set)):
            def worst_case(self, row_loss, seen=seen):
                rows, divergence = super().worst_case(row_loss)
                seen.append((rows.X.shape[1], set(rows.context[:, 0])))
                return rows, divergence

        watched = Watched(**ambiguity_set.get_params())
        DFLRegressor(
            CAPPED, context="capacity", ambiguity_set=watched, **{**QUICK, "max_iter": 3}
        ).fit(X, y)
        assert seen
        assert all(each == (2, {4.0, 6.0, 30.0}) for each in seen)


@pytest.mark.parametrize(
    "search",
    [
        TiltedSearch(200),
        PolicyGradientSearch(n_steps=6, n_tail=3, n_trajectories=80, n_warm_up=1, n_rounds=1),
    ],
    ids=["tilted", "policy gradient"],
)
def test_generated_rows_take_the_context_of_real_ones(search, data):
    X, y = data
    model = flagship(search, context="capacity").fit(X, y)
    X_worst, y_worst = model.sample_worst_case(300, random_state=0)
    assert X_worst.shape == (300, 3)
    assert set(X_worst[:, 1]) == {4.0, 6.0, 30.0}
    assert len(np.unique(X_worst[:, 0])) > 30
    again = pickle.loads(pickle.dumps(model)).sample_worst_case(300, random_state=0)
    assert_array_equal(again[0], X_worst)
    # What is reported is the regret of these decisions, each under its own capacity.
    table = pd.DataFrame(X_worst, columns=X.columns)
    paid = CAPPED.cost(model.decide(table), y_worst, context=table)
    regret = (paid - CAPPED.optimal_cost(y_worst, context=table)).mean()
    assert regret == pytest.approx(model.worst_case_.worst_regret, rel=0.5)
    pytest.importorskip("matplotlib")
    display = WorstCaseDisplay.from_estimator(model, n_samples=50, random_state=0)
    assert len(display.worst_regret) == 50
    import matplotlib.pyplot as plt

    plt.close("all")


def test_the_slope_that_moves_rows_is_that_of_the_features(data):
    """A ball of one column moves it by its radius, the context standing between the features."""
    X, y = data
    model = DFLRegressor(
        CAPPED,
        context="capacity",
        ambiguity_set=WassersteinBall(0.2, columns="features"),
        **QUICK,
    ).fit(X, y)
    assert 0 < model.worst_case_.divergence <= 0.2 + 1e-9


def test_warm_start_and_partial_fit_go_on(data):
    X, y = data
    model = DFLRegressor(CAPPED, context="capacity", warm_start=True, **QUICK).fit(X, y)
    first = model.score(X, y)
    model.fit(X, y)
    assert model.score(X, y) >= first - 0.05
    model.partial_fit(X[:40], y[:40])
    assert (model.decide(X) <= X["capacity"] + 1e-9).all()


@pytest.mark.parametrize("change", [{"context": "rain"}, {"context_is_feature": True}])
def test_training_does_not_go_on_for_other_columns(change, data):
    X, y = data
    X["rain"] = X["capacity"]
    problem = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext(0))
    before = {"context": "capacity", "context_is_feature": False}
    model = DFLRegressor(problem, warm_start=True, **before, **QUICK).fit(X, y)
    expected = model.predict(X)
    with pytest.raises(ValueError, match=r"sees the columns \[0, 2\] of X.* the new one would see"):
        model.set_params(**change).fit(X, y)
    assert_array_equal(model.set_params(**before).predict(X), expected)


@pytest.mark.parametrize("predictor", [LSTMPredictor(3), ScaleEquivariantPredictor()], ids=str)
def test_a_net_whose_columns_are_alike_says_that_it_sees_a_context(predictor, data):
    X, y = data
    model = DFLRegressor(CAPPED, predictor=predictor, context="capacity", **QUICK)
    with pytest.warns(UserWarning, match=f"{type(predictor).__name__} takes the columns of X for"):
        model.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(context_is_feature=False).fit(X, y)


def test_labels_that_are_no_names_are_places(data):
    """As for scikit-learn: what stands first stays first, whatever its label."""
    X, y = data
    labelled = X[["capacity", "warm", "rain"]].set_axis([2, 0, 1], axis=1)
    fresh = labelled.set_axis([0, 1, 2], axis=1)
    problem = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext(0))
    for model in (
        DFLRegressor(problem, context=[0], **QUICK),
        DFFRegressor(LinearRegression(), problem, context=[0], **QUICK),
    ):
        model.fit(labelled, y)
        assert_array_equal(model.context_of(fresh)[:, 0], X["capacity"])
        assert_array_equal(model.decide(fresh), model.decide(labelled))


def test_one_way_to_ask_for_decisions(data):
    X, y = data
    own = DFLRegressor(CAPPED, context="capacity", **QUICK)
    pipe = make_pipeline(keep_context(StandardScaler(), "capacity"), own).fit(X, y)
    orders = decide(pipe, X)
    assert (orders <= X["capacity"] + 1e-9).all()
    assert_array_equal(orders, pipe[-1].decide(pipe[:-1].transform(X)))
    search = GridSearchCV(pipe, {"dflregressor__alpha": [1e-4, 1.0]}, cv=2).fit(X, y)
    assert_array_equal(decide(search, X), decide(search.best_estimator_, X))
    # Of a model that knows no problem the predictions are solved for, the context being told.
    plain = make_pipeline(StandardScaler(), LinearRegression()).fit(X, y)
    expected = CAPPED.solve(plain.predict(X), context=X)
    assert_array_equal(decide(plain, X, CAPPED, "capacity"), expected)
    assert_array_equal(decide(plain, X, CAPPED, [1]), expected)
    with pytest.raises(ValueError, match="knows no decision problem"):
        decide(plain, X)
    # What is decided in another kind of problem is not the decision asked about.
    squares = DFLRegressor(**QUICK).fit(X, y)
    assert_array_equal(
        decide(squares, X, CAPPED, "capacity"), CAPPED.solve(squares.predict(X), context=X)
    )


def test_scorers_see_each_rows_own_context(data):
    X, y = data
    plain = LinearRegression().fit(X, y)
    orders = CAPPED.solve(plain.predict(X), context=X)
    cost = CAPPED.cost(orders, y, context=X)
    best = CAPPED.optimal_cost(y, context=X)
    score = make_decision_cost_scorer(CAPPED, context="capacity")(plain, X, y)
    assert score == pytest.approx(-cost.mean())
    regret = make_regret_scorer(CAPPED, context=["capacity"])
    assert regret(plain, X, y) == pytest.approx(-(cost - best).mean())
    weight = np.arange(1.0, len(y) + 1)
    assert regret(plain, X, y, sample_weight=weight) == pytest.approx(
        -np.average(cost - best, weights=weight)
    )
    own = TwoStageRegressor(LinearRegression(), CAPPED, context="capacity").fit(X, y)
    assert make_regret_scorer(CAPPED)(own, X, y) == pytest.approx(-(cost - best).mean())
    scores = cross_val_score(LinearRegression(), X, y, scoring=regret, cv=3)
    assert np.isfinite(scores).all()


def test_the_null_model_knows_the_context_and_no_features():
    """By hand: one capacity binds, and the best order without features is the quantile below it."""
    y = np.array([1.0, 2.0, 3.0, 10.0])
    context = pd.DataFrame({"capacity": [2.5, 100.0, 100.0, 4.0]})
    orders = np.minimum(10.0, context["capacity"].to_numpy())  # the 90 % quantile, capped
    null = CAPPED.cost(orders, y, context=context) - CAPPED.optimal_cost(y, context=context)
    guess = np.array([1.0, 1.0, 2.0, 9.0])
    paid = CAPPED.cost(np.minimum(guess, context["capacity"]), y, context=context)
    model = paid - CAPPED.optimal_cost(y, context=context)
    assert d2_regret_score(y, guess, problem=CAPPED, context=context) == pytest.approx(
        1 - model.sum() / null.sum()
    )


def test_the_null_model_of_a_linear_cost_decides_for_the_mean():
    problem = LinearProgram([[1.0, 1.0]], [FromContext("room")], bounds=(0, 1), sense="max")
    y = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, -1.0]])
    context = pd.DataFrame({"room": [0.5, 1.0, 2.0]})
    mean = np.broadcast_to(y.mean(axis=0), y.shape)
    null = problem.cost(problem.solve(mean, context=context), y, context=context)
    best = problem.optimal_cost(y, context=context)
    guess = y[::-1]
    paid = problem.cost(problem.solve(guess, context=context), y, context=context)
    assert d2_regret_score(y, guess, problem=problem, context=context) == pytest.approx(
        1 - (paid - best).sum() / (null - best).sum()
    )


def test_linear_costs_train_with_context():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "room"])
    X["room"] = rng.choice([0.5, 1.5, 3.0], 80)
    y = np.stack([X["a"] + 1, X["b"] + 1, -X["a"] + 1], axis=1) + 0.1 * rng.normal(size=(80, 3))
    problem = LinearProgram([[1.0] * 3], [FromContext("room")], bounds=(0, 1), sense="max")
    model = DFLRegressor(
        problem, context="room", **{**QUICK, "hidden_layer_sizes": (), "max_iter": 30}
    ).fit(X, y)
    z = model.decide(X)
    assert (z.sum(axis=1) <= X["room"] + 1e-9).all()
    assert model.score(X, y) > 0.8


def test_decision_transformer_is_told_which_columns_are_context(data):
    X, y = data
    pipe = make_pipeline(
        keep_context(PredictionTransformer(LinearRegression()), "capacity"),
        DecisionTransformer(CAPPED, context="capacity"),
    ).fit(X, y)
    orders = pipe.transform(X)
    model = TwoStageRegressor(
        LinearRegression(), CAPPED, context="capacity", context_is_feature=False
    ).fit(X, y)
    assert_allclose(orders[:, 0], model.decide(X))
    assert pipe.score(X, y) == pytest.approx(model.score(X, y))
    assert list(pipe.get_feature_names_out()) == ["decision_prediction0"]


def test_displays_and_splitters_decide_with_the_context(data):
    pytest.importorskip("matplotlib")
    X, y = data
    plain = LinearRegression().fit(X, y)
    display = DecisionDisplay.from_estimator(plain, X, y, problem=CAPPED, context="capacity")
    orders = CAPPED.solve(plain.predict(X), context=X)
    assert_array_equal(display.decisions, orders)
    regret = CAPPED.cost(orders, y, context=X) - CAPPED.optimal_cost(y, context=X)
    assert_allclose(display.regret, regret)
    again = DecisionDisplay.from_predictions(y, plain.predict(X), problem=CAPPED, context=X)
    assert_array_equal(again.decisions, orders)
    fine = DFFRegressor(LinearRegression(), CAPPED, context="capacity", **QUICK).fit(X, y)
    assert len(BiasCorrectionDisplay.from_estimator(fine, X, y).regret_change) == len(y)
    train, test = next(CostTailSplit(CAPPED, 1, context="capacity", random_state=0).split(X, y))
    assert len(np.intersect1d(train, test)) == 0
    import matplotlib.pyplot as plt

    plt.close("all")


def test_a_capacity_that_binds_on_half_of_the_days_is_worth_knowing():
    """Trained with its capacity a model does better than one that is cut off afterwards."""
    gains = []
    settings = {"hidden_layer_sizes": (), "max_iter": 25, "random_state": 0}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = pd.DataFrame(rng.normal(size=(400, 3)), columns=list("abc"))
        X["capacity"] = np.where(rng.random(400) < 0.5, 3.0, 100.0)
        # Two products of unequal worth share the capacity: which one to give up is learnt.
        first = np.maximum(0, 2 + X["a"] + 0.5 * rng.normal(size=400))
        second = np.maximum(0, 2 + X["b"] ** 2 - X["a"] + 0.5 * rng.normal(size=400))
        y = np.stack([first, second], axis=1)
        shared = MultiProductNewsvendorProblem([9, 4], 1.0, capacity=FromContext("capacity"))
        knows = DFLRegressor(shared, context="capacity", **settings)
        ignores = DFLRegressor(NewsvendorProblem([9, 4], 1.0), **settings)
        train, test = slice(0, 250), slice(250, None)
        cost = []
        for model in (knows, ignores):
            model.fit(X[train], y[train])
            orders = shared.solve(model.predict(X[test]), context=X[test])
            cost.append(shared.cost(orders, y[test], context=X[test]).mean())
        gains.append(cost[0] / cost[1] - 1)
    mean, error = np.mean(gains), np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert mean + 2.78 * error < 0, gains  # the t quantile of five
