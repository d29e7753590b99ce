"""DiffusionDRODFLRegressor: its limits, its memory, and what it reports."""

import pickle

import numpy as np
import pytest
from array_api_compat import array_namespace
from joblib import Memory
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn._utils.progress import parts
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import FunctionProblem, NewsvendorProblem
from dfl_sklearn.robust import (
    AmbiguitySet,
    DiffusionBall,
    DiffusionGenerator,
    PolicyGradientSearch,
    TiltedSearch,
)

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore:Training stopped at max_iter"),
]

PROBLEM = NewsvendorProblem(9, 1)
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(16,), n_steps=10, max_iter=5)
QUICK = {
    "hidden_layer_sizes": (),
    "max_iter": 20,
    "nominal_weight": 0.0,
    "random_state": 0,
    "generator": GENERATOR,
}


@pytest.fixture(scope="module")
def data():
    return make_newsvendor(200, random_state=0)


def flagship(**params):
    return DiffusionDRODFLRegressor(PROBLEM, **{"search": TiltedSearch(500), **QUICK, **params})


@pytest.mark.parametrize("params", [{"nominal_weight": 1.0}, {"radius": 0.0}])
def test_without_robustness_it_is_the_plain_regressor_bit_for_bit(data, params):
    X, y = data
    plain = DFLRegressor(PROBLEM, hidden_layer_sizes=(), max_iter=20, random_state=0).fit(X, y)
    robust = flagship(**params).fit(X, y)
    np.testing.assert_array_equal(robust.predict(X), plain.predict(X))
    with pytest.raises(AttributeError, match="without a worst case"):
        robust.sample_worst_case(3)


def test_worst_case_regret_grows_with_the_radius(data):
    X, y = data
    models = [flagship(radius=radius).fit(X, y) for radius in (0.01, 0.1, 0.4)]
    worst = [model.worst_case_.worst_regret for model in models]
    assert worst == sorted(worst)
    for model, radius in zip(models, (0.01, 0.1, 0.4), strict=True):
        assert model.worst_case_.divergence == pytest.approx(radius, rel=0.05)
        assert model.worst_case_.objective == pytest.approx(model.worst_case_.worst_regret)
    # More robust is dearer on the rows themselves, and cheaper on the bad ones.
    nominal = [model.worst_case_.train_regret for model in models]
    assert nominal[-1] > nominal[0]


def test_robust_training_lowers_the_worst_case_of_the_plain_predictor(data):
    X, y = data
    model = flagship(radius=0.2).fit(X, y)
    stages = model.history_["objective"].dropna()
    assert model.worst_case_.objective < stages.iloc[0]
    assert model.history_["objective"].isna().any()


def test_it_is_the_general_trainer_with_a_diffusion_ball(data):
    X, y = data
    ball = DiffusionBall(0.1, generator=GENERATOR, search=TiltedSearch(500))
    general = DFLRegressor(
        PROBLEM, ambiguity_set=ball, hidden_layer_sizes=(), max_iter=20, random_state=0
    ).fit(X, y)
    np.testing.assert_array_equal(flagship().fit(X, y).predict(X), general.predict(X))
    assert not hasattr(ball, "generator_")


def test_sample_worst_case(data):
    X, y = data
    model = flagship(radius=0.3).fit(X, y)
    X_worst, y_worst = model.sample_worst_case(2000, random_state=0)
    assert X_worst.shape == (2000, 5)
    assert y_worst.shape == (2000,)
    assert (y_worst >= 0).all()
    cost = PROBLEM.cost(model.decide(X_worst), y_worst).mean()
    assert cost == pytest.approx(model.worst_case_.worst_regret, rel=0.2)


def test_what_is_reported_of_the_worst_case(data):
    X, y = data
    model = flagship(radius=0.1).fit(X, y)
    found, search = model.worst_case_, model.ambiguity_set_.search_
    pool, nominal = search.nominal().X, search.nominal().weight
    demand = np.maximum(pool[:, -1], 0.0)
    cost = PROBLEM.cost(model.decide(pool[:, :-1]), demand)  # the best decision costs nothing
    assert found.nominal_regret == pytest.approx(nominal @ cost)
    weight = search.weight_
    assert found.worst_regret == pytest.approx(weight @ cost)
    assert found.row_divergence == pytest.approx(np.sum(weight * np.log(weight / nominal)))
    assert found.effective_sample_size == pytest.approx(1 / np.sum(weight**2))
    assert found.projected_share == (pool[:, -1] < 0).mean()


@pytest.mark.parametrize(
    "search",
    [
        TiltedSearch(300),
        PolicyGradientSearch(n_steps=8, n_tail=4, n_trajectories=64, n_rounds=1, n_warm_up=2),
    ],
)
def test_with_early_stopping_the_worst_case_is_watched_on_rows_not_trained_on(data, search):
    X, y = data
    model = flagship(
        search=search, early_stopping=True, nominal_weight=0.25, hidden_layer_sizes=(8,)
    ).fit(X, y)
    robust = model.history_.dropna(subset="objective")
    watched = 0.25 * robust["valid_regret"] + 0.75 * robust["valid_worst_regret"]
    np.testing.assert_allclose(robust["objective"], watched)
    assert (robust["valid_worst_regret"] != robust["worst_regret"]).all()
    # The weights kept are those of the best epoch, also if the search has moved on since.
    assert "valid_worst_regret" in model.worst_case_


def test_policy_gradient_trains_too(data):
    X, y = data
    search = PolicyGradientSearch(n_steps=20, n_tail=10, n_trajectories=128, n_warm_up=3)
    model = flagship(search=search, radius=0.1, max_iter=8)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert model.worst_case_.divergence <= 0.11
    assert np.isfinite(model.worst_case_.row_divergence)
    assert model.sample_worst_case(10, random_state=0)[0].shape == (10, 5)


class CountedGenerator(DiffusionGenerator):
    """A generator that notes each of its fits in a file, whatever the process."""

    def __init__(
        self, log="", *, max_iter=2, n_steps=5, hidden_layer_sizes=(4,), random_state=None
    ):
        super().__init__(
            max_iter=max_iter,
            n_steps=n_steps,
            hidden_layer_sizes=hidden_layer_sizes,
            random_state=random_state,
        )
        self.log = log

    def fit(self, Z, y=None, sample_weight=None):
        with open(self.log, "a") as file:
            file.write("fit\n")
        return super().fit(Z, sample_weight=sample_weight)


def test_generator_and_pretraining_are_computed_once_per_training_set(data, tmp_path):
    X, y = data
    log = tmp_path / "fits"
    model = flagship(
        generator=CountedGenerator(str(log)),
        search=TiltedSearch(50),
        max_iter=2,
        memory=str(tmp_path / "cache"),
    )
    search = GridSearchCV(model, {"radius": [0.01, 0.1, 0.5]}, cv=2, refit=False)
    with pytest.warns(ConvergenceWarning):
        search.fit(X, y)
    assert log.read_text().split() == ["fit"] * 2
    # One cache entry per fold for the generator, its pool, and the pretrained predictor.
    entries = list((tmp_path / "cache").rglob("output.pkl"))
    assert len(entries) == 6


def test_memory_changes_nothing(data, tmp_path):
    X, y = data
    plain = flagship(max_iter=8).fit(X, y)
    for _ in range(2):
        remembered = flagship(max_iter=8, memory=Memory(tmp_path, verbose=0)).fit(X, y)
        np.testing.assert_array_equal(remembered.predict(X), plain.predict(X))


def test_grid_search_over_the_radius(data):
    X, y = data
    search = GridSearchCV(flagship(max_iter=5), {"radius": [0.0, 0.05]}, cv=2)
    with pytest.warns(ConvergenceWarning):
        search.fit(X, y)
    assert set(search.cv_results_["param_radius"]) == {0.0, 0.05}


def test_pickle_keeps_the_worst_case(data):
    X, y = data
    model = flagship().fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(
        loaded.sample_worst_case(5, random_state=0)[0],
        model.sample_worst_case(5, random_state=0)[0],
    )


class Stop(Callback):
    """Interrupt as Ctrl-C would, in a given epoch."""

    def __init__(self, epoch):
        self.epoch, self.seen = epoch, 0

    def on_epoch_end(self, net, **kwargs):
        self.seen += 1
        if self.seen == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [2, 45])
def test_interrupting_either_part_leaves_a_usable_model(data, epoch):
    X, y = data
    model = flagship(callbacks=[Stop(epoch)], max_iter=30, n_iter_no_change=100)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X, y)
    assert np.isfinite(model.decide(X)).all()


def test_two_products(data):
    X, y = make_newsvendor(150, n_products=2, random_state=0)
    model = DiffusionDRODFLRegressor(
        NewsvendorProblem([9, 3], 1), search=TiltedSearch(300), radius=0.05, **QUICK
    ).fit(X, y)
    assert model.sample_worst_case(4, random_state=0)[1].shape == (4, 2)


def test_negative_radius_is_refused(data):
    with pytest.raises(ValueError, match="radius"):
        flagship(radius=-1.0).fit(*data)


def test_interrupting_the_generator_keeps_the_plain_predictor_and_no_half_model(
    data, tmp_path, monkeypatch
):
    X, y = data

    def interrupt(record):
        if "generator" in parts() and record["epoch"] == 2:
            raise KeyboardInterrupt

    model = flagship(memory=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("dfl_sklearn.learners.trainer.say_epoch", interrupt)
        with pytest.warns(ConvergenceWarning, match="not trained for the worst case") as caught:
            model.fit(X, y)
    assert len(caught) == 1
    plain = DFLRegressor(PROBLEM, hidden_layer_sizes=(), max_iter=20, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    assert len(list(tmp_path.rglob("output.pkl"))) == 1  # the pretrained predictor alone


def test_a_refit_without_robustness_forgets_the_worst_case(data):
    X, y = data
    model = flagship().fit(X, y)
    assert hasattr(model, "worst_case_")
    model.set_params(radius=0.0).fit(X, y)
    assert not hasattr(model, "worst_case_")
    assert not hasattr(model, "ambiguity_set_")


def test_memory_changes_nothing_for_a_module_with_dropout(data, tmp_path):
    X, y = data

    def fitted(memory):
        return flagship(predictor=dropout_net, memory=memory, max_iter=5).fit(X, y).predict(X)

    plain = fitted(None)
    for _ in range(2):
        np.testing.assert_array_equal(fitted(str(tmp_path)), plain)


def dropout_net(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 8), nn.Dropout(0.5), nn.Linear(8, n_out))


LIMIT = 15.5


def below(data):
    """Return the rows whose demand is well below the limit; generated demand exceeds it."""
    X, y = data
    return X[y < LIMIT - 1], y[y < LIMIT - 1]


class UnboundedProblem(NewsvendorProblem):
    """Its cost is NaN beyond all demand that was seen, as of a formula with a root in it."""

    def cost_rows(self, z, y, context=None):
        xp = array_namespace(z, y)
        cost = super().cost_rows(z, y, context)
        return xp.where(y[:, 0] > LIMIT, xp.full_like(cost, float("nan")), cost)


def test_a_cost_that_is_nan_on_a_generated_row_is_named_with_the_row(data):
    X, y = below(data)
    model = flagship(radius=0.1, search=TiltedSearch(2000)).set_params(
        problem=UnboundedProblem(9, 1)
    )
    with pytest.raises(
        FloatingPointError, match=r"UnboundedProblem gave a cost of nan .* y = \[1\d\..*\]"
    ):
        model.fit(X, y)


def test_an_error_of_the_problem_on_a_generated_row_says_where_it_came_up(data):
    X, y = below(data)

    def cost(z, y):
        return np.where(y > LIMIT, np.nan, np.abs(z - y))

    model = flagship(search=TiltedSearch(2000), max_iter=2).set_params(
        problem=FunctionProblem(cost, (0, 30))
    )
    with pytest.raises(ValueError, match="cost_function returned nan") as caught:
        model.fit(X, y)
    assert "search for the worst case" in caught.value.__notes__[0]


def test_a_diverged_net_says_so(data):
    X, y = data
    model = flagship(learning_rate_init=1e200, learning_rate="constant", max_iter=3)
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        model.fit(X, y)


class InterruptedReport(DiffusionBall):
    """A set at whose last look the user presses Ctrl-C."""

    def report(self, row_loss):
        raise KeyboardInterrupt


def test_interrupting_the_last_look_at_the_worst_case_keeps_the_model(data):
    X, y = data
    ball = InterruptedReport(0.1, generator=GENERATOR, search=TiltedSearch(300))
    model = DFLRegressor(
        PROBLEM, ambiguity_set=ball, hidden_layer_sizes=(), max_iter=20, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert model.worst_case_.worst_regret > 0


class RaisedDemand(AmbiguitySet):
    """The training rows with more demand in every epoch: X is the same array, y is not."""

    radius = 1.0

    def set_nominal(self, rows, problem, seed, held_out=None):
        self.rows_, self.seen = rows.replace(weight=rows.weight / rows.weight.sum()), []

    def worst_case(self, row_loss):
        moved = self.rows_.replace(y=self.rows_.y + 50.0 * (1 + len(self.seen)))
        self.seen.append((moved.weight @ row_loss(moved), moved.weight @ row_loss(self.rows_)))
        return moved, 0.0


def test_rows_that_differ_in_y_alone_are_not_taken_for_each_other(data):
    model = DFLRegressor(
        PROBLEM, ambiguity_set=RaisedDemand(), hidden_layer_sizes=(), max_iter=2, random_state=0
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(*data)
    for raised, still in model.ambiguity_set_.seen[:2]:
        assert raised > still + 100


def test_pickles_do_not_grow_with_what_was_sampled(data):
    model = flagship(search=TiltedSearch(300)).fit(*data)
    before = len(pickle.dumps(model))
    model.sample_worst_case(20_000)
    assert len(pickle.dumps(model)) == before
