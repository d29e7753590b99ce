"""Long work: lines where they are asked for, one warning of it, and Ctrl-C."""

import importlib
import warnings

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.neural_network import MLPRegressor

from dfl_sklearn import (
    ConformalDecisions,
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    ExpertMixture,
    PolicyRegressor,
    TwoStageRegressor,
)
from dfl_sklearn._utils import progress
from dfl_sklearn._utils.convergence import Doubts, collected_doubts
from dfl_sklearn._utils.progress import counted, part, parts, reporting, say, say_epoch
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.inspection import RadiusCurveDisplay
from dfl_sklearn.model_selection import compare_decisions, stress_test
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import (
    CovariateShiftWeight,
    DiffusionGenerator,
    GroupDRO,
    JustTrainTwice,
    KLBall,
    PolicyGradientSearch,
    TiltedSearch,
)
from dfl_sklearn.scenarios import (
    DiffusionScenarios,
    DistributionScenarios,
    MixtureScenarios,
    ResidualScenarios,
)

pytestmark = pytest.mark.usefixtures("short_epochs")

PROBLEM = NewsvendorProblem(9, 1)
X, Y = make_newsvendor(60, random_state=0)
QUICK = {"hidden_layer_sizes": (), "max_iter": 2, "random_state": 0}
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(4,), n_steps=5, max_iter=2, random_state=0)
NET = DFLRegressor(PROBLEM, **QUICK)
PERCEPTRON = MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, random_state=0)
POLICY_GRADIENT = PolicyGradientSearch(
    n_steps=4, n_tail=2, n_trajectories=16, n_warm_up=2, n_rounds=1, n_epochs=1
)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [0.0]
    monkeypatch.setattr(progress, "_now", lambda: now[0])
    return now


@pytest.fixture
def impatient(monkeypatch):
    """A line is due at once, whenever one may be."""
    monkeypatch.setattr(progress, "_LONGEST_SILENCE", 0.0)


def robust(search, **params):
    return DiffusionDRODFLRegressor(
        PROBLEM, search=search, generator=GENERATOR, **{**QUICK, **params}
    )


def printed(capsys):
    return capsys.readouterr().out.splitlines()


# -- lines -----------------------------------------------------------------------------


def test_an_epoch_is_printed_after_so_many_and_after_two_seconds(capsys, clock):
    with reporting(4):
        for epoch in range(1, 11):
            clock[0] += 1.9 if epoch in (6, 7) else 0.0
            say_epoch({"epoch": epoch, "loss": 0.5})
    found = [int(line.split()[1]) for line in printed(capsys)]
    assert found == [1, 4, 7, 8]
    with reporting(4, by_time=True):
        for epoch in range(1, 11):
            clock[0] += 0.9
            say_epoch({"epoch": epoch, "loss": 0.5})
    assert [int(line.split()[1]) for line in printed(capsys)] == [3, 6, 9]


def test_what_is_counted_is_printed_by_time_with_its_part(capsys, clock):
    def slow():
        for _ in counted(range(6), "rows", 6):
            clock[0] += 0.8

    with reporting(1), part("fold 1 of 2"):
        slow()
        say("fitted")
    assert printed(capsys) == [
        *("fold 1 of 2: 3 of 6 rows", "fold 1 of 2: 6 of 6 rows", "fold 1 of 2: fitted")
    ]
    slow()
    with reporting(False):
        slow()
    assert printed(capsys) == []


def test_verbose_of_a_part_counts_before_that_around_it(capsys, clock):
    with reporting(1), reporting(2):
        for epoch in (1, 2, 3):
            say_epoch({"epoch": epoch})
    assert len(printed(capsys)) == 2
    with reporting(1), reporting(0):
        say_epoch({"epoch": 3})
    assert len(printed(capsys)) == 1


def test_nothing_is_left_after_an_interruption(capsys):
    with pytest.raises(KeyboardInterrupt), reporting(1), part("a"):
        raise KeyboardInterrupt
    say("nobody has asked")
    assert parts() == ()
    assert printed(capsys) == []


LONG = {
    "generator": lambda v: GENERATOR.__class__(**{**GENERATOR.get_params(), "verbose": v}).fit(X),
    "diffusion": lambda v: DiffusionScenarios(
        GENERATOR, n_estimators=2, n_scenarios=4, random_state=0, verbose=v
    ).fit(X, Y),
    "mixture": lambda v: MixtureScenarios(**QUICK, verbose=v).fit(X, Y),
    "trained scenarios": lambda v: DFLRegressor(
        PROBLEM, predictor=MixtureScenarios(**QUICK), **QUICK, verbose=v
    ).fit(X, Y),
    "policy": lambda v: PolicyRegressor(PROBLEM, **QUICK, verbose=v).fit(X, Y),
    "KL ball": lambda v: DFLRegressor(PROBLEM, ambiguity_set=KLBall(0.1), **QUICK, verbose=v).fit(
        X, Y
    ),
    "groups": lambda v: DFLRegressor(
        PROBLEM, ambiguity_set=GroupDRO(lambda X: X[:, 0] > 0), **QUICK, verbose=v
    ).fit(X, Y),
    "twice": lambda v: DFLRegressor(
        PROBLEM, ambiguity_set=JustTrainTwice(), **QUICK, verbose=v
    ).fit(X, Y),
    "tilted": lambda v: robust(TiltedSearch(100), verbose=v).fit(X, Y),
    "policy gradient": lambda v: robust(POLICY_GRADIENT, verbose=v).fit(X, Y),
    "3D over scenarios": lambda v: DiffusionDRODFLRegressor(
        PROBLEM, decision="scenarios", generator=GENERATOR, n_scenarios=4, random_state=0, verbose=v
    ).fit(X, Y),
    "fine-tuned": lambda v: DFFRegressor(
        LinearRegression(), PROBLEM, cv=2, **{**QUICK, "hidden_layer_sizes": (2,)}, verbose=v
    ).fit(X, Y),
    "conformal": lambda v: ConformalDecisions(NET, cv=2, verbose=bool(v)).fit(X, Y),
    "experts": lambda v: (
        ExpertMixture([("net", NET), ("line", LinearRegression())], PROBLEM, verbose=bool(v))
        .fit(X, Y)
        .progressive(X, Y)
    ),
    "residuals": lambda v: ResidualScenarios(NET, cv=2, verbose=bool(v)).fit(X, Y),
    "quantiles": lambda v: DistributionScenarios(
        QuantileRegressor(alpha=0), n_scenarios=2, verbose=bool(v)
    ).fit(X, Y),
    "two stages": lambda v: (
        TwoStageRegressor(ResidualScenarios(LinearRegression()), PROBLEM, verbose=bool(v))
        .fit(X, Y)
        .decide(X)
    ),
    "worst of scenarios": lambda v: (
        TwoStageRegressor(
            ResidualScenarios(LinearRegression()), PROBLEM, risk=KLBall(0.1), verbose=bool(v)
        )
        .fit(X, Y)
        .decide(X)
    ),
    "shift": lambda v: CovariateShiftWeight(cv=2, verbose=bool(v)).fit(X, X + 0.1),
    "stress test": lambda v: stress_test(
        {"net": LinearRegression().fit(X, Y)},
        *(X, Y),
        problem=PROBLEM,
        generator=GENERATOR,
        n_samples=300,
        radius=0.05,
        random_state=0,
        verbose=bool(v),
    ),
}
SAID = {
    "generator": ["generator: epoch    1", "generator: fitted in 2 epochs"],
    "diffusion": ["generator 1 of 2: generator: epoch    1", "generator 2 of 2: generator: fitted"],
    "mixture": ["likelihood: epoch    1"],
    "trained scenarios": ["likelihood: epoch    1", "epoch    1"],
    "policy": ["epoch    1"],
    "3D over scenarios": ["generator: epoch    1"],
    "KL ball": ["epoch    1", "worst case: epoch    1", "worst case: the weights of epoch"],
    "groups": ["worst case: epoch    1"],
    "twice": ["worst case: epoch    1"],
    "tilted": ["epoch    1", "generator: epoch    1", "100 rows drawn", "worst case: epoch    1"],
    "policy gradient": ["worst case: 2 of 2 rounds", "worst case: epoch    1"],
    "fine-tuned": ["backbone: fitted", "fold 2 of 2: fitted", "correction: epoch    1"],
    "conformal": ["fold 1 of 2: epoch    1", "fold 1 of 2: fitted on 30", "all rows: fitted on 60"],
    "experts": [
        "expert 'net': epoch",
        "expert 'line': fitted",
        "expert 'line': has decided for 60",
    ],
    "residuals": ["all rows: fitted", "fold 1 of 2: epoch    1", "fold 2 of 2: fitted"],
    "quantiles": ["quantile 0.25: fitted", "quantile 0.75: fitted"],
    "two stages": ["60 rows decided over scenarios"],
    "worst of scenarios": ["60 rows decided over scenarios"],
    "shift": ["linear, C=0.001: fold 1 of 2: fitted", "quadratic, C=1: fold 2 of 2: fitted"],
    "stress test": [
        *("generator: fitted", "300 rows drawn", "'net': 1 of 1 parts of the generated rows"),
        "'net' tested, worst regret",
    ],
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", LONG)
def test_long_work_is_reported_where_asked_for_and_silent_where_not(name, capsys, impatient):
    LONG[name](False)
    assert printed(capsys) == []
    LONG[name](1)
    lines = printed(capsys)
    for beginning in SAID[name]:
        assert any(line.startswith(beginning) for line in lines), (beginning, lines)


def test_lines_do_not_make_another_generator(tmp_path):
    def fitted(verbose):
        generator = GENERATOR.__class__(**{**GENERATOR.get_params(), "verbose": verbose})
        scenarios = DiffusionScenarios(generator, memory=str(tmp_path), random_state=0)
        return scenarios.fit(X, Y).predict(X)

    np.testing.assert_array_equal(fitted(False), fitted(5))
    assert len(list(tmp_path.rglob("output.pkl"))) == 1


# -- one warning -----------------------------------------------------------------------


def told(work):
    """Return the ConvergenceWarnings of some work."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [each for each in caught if issubclass(each.category, ConvergenceWarning)]


MANY = {
    "worst case": lambda: DFLRegressor(PROBLEM, ambiguity_set=KLBall(0.1), **QUICK).fit(X, Y),
    "trained scenarios": lambda: DFLRegressor(
        PROBLEM, predictor=MixtureScenarios(**QUICK), **QUICK
    ).fit(X, Y),
    "fine-tuned": lambda: DFFRegressor(PERCEPTRON, PROBLEM, cv=3, **QUICK).fit(X, Y),
    "conformal": lambda: ConformalDecisions(NET, cv=4).fit(X, Y),
    "experts": lambda: ExpertMixture([("a", NET), ("b", PERCEPTRON)], PROBLEM).fit(X, Y),
    "residuals": lambda: ResidualScenarios(PERCEPTRON).fit(X, Y),
    "comparison": lambda: compare_decisions({"a": NET, "b": PERCEPTRON}, X, Y, cv=10),
    "curve": lambda: RadiusCurveDisplay.from_estimator(
        robust(TiltedSearch(100)), X, Y, tests={"same": (X, Y)}, radii=(0.0, 0.1, 0.2)
    ),
}
NAMED = {
    "worst case": ["max_iter=2", "on the rows as they are and for the worst case"],
    "trained scenarios": ["before the likelihood had settled", "before the regret had settled"],
    "fine-tuned": ["[backbone; fold 1 of 3; fold 2 of 3; fold 3 of 3]", "max_iter=2"],
    "conformal": ["[fold 1 of 4; fold 2 of 4; fold 3 of 4; 2 more] Training stopped"],
    "experts": ["[expert 'a'] Training stopped at max_iter=2", "[expert 'b'] Stochastic"],
    "residuals": ["[all rows; fold 1 of 5; fold 2 of 5; 3 more] Stochastic Optimizer"],
    "comparison": ["['a'] Training stopped at max_iter=2", "['b'] Stochastic Optimizer"],
    "curve": ["[radius=0]", "[radius=0.1; radius=0.2]", "Increase max_iter"],
}


@pytest.mark.parametrize("name", MANY)
def test_a_fit_warns_once_of_all_that_has_not_converged(name):
    found = told(MANY[name])
    assert len(found) == 1
    for part_of_text in NAMED[name]:
        assert part_of_text in str(found[0].message)
    assert found[0].filename == __file__


def test_messages_that_differ_in_numbers_alone_are_counted():
    doubts = Doubts()
    for n in range(1, 7):
        doubts.add(f"Not converged for {n} rows after 1e-{n} s.")
    doubts.add("Another one.")
    (found,) = told(lambda: doubts.warn(stacklevel=1))
    first, second, last = str(found.message).splitlines()
    assert first == "Not converged for 1 rows after 1e-1 s."
    assert second == "(5 more of the same with other numbers.)"
    assert last == "Another one."
    assert told(lambda: Doubts().warn(stacklevel=1)) == []


def test_other_warnings_are_shown_at_once_and_filters_are_heeded():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with collected_doubts(of_others=True) as doubts:
            warnings.warn("other", UserWarning, stacklevel=1)
            assert [str(each.message) for each in caught] == ["other"]
            warnings.warn("slow", ConvergenceWarning, stacklevel=1)
        assert len(caught) == 1
        doubts.warn(stacklevel=1)
        assert [str(each.message) for each in caught] == ["other", "slow"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", ConvergenceWarning)
        NET.fit(X, Y)
    assert not caught
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning):
            NET.fit(X, Y)


# -- Ctrl-C ----------------------------------------------------------------------------


EPOCH_END = "dfl_sklearn.learners.trainer.say_epoch"


@pytest.fixture
def ctrl_c(monkeypatch):
    """Press Ctrl-C when a function is first called in a part, by default after an epoch."""

    def press(name, place=EPOCH_END):
        module, _, function = place.rpartition(".")
        called = getattr(importlib.import_module(module), function)

        def pressed(*args, **kwargs):
            if name in (None, *parts()):
                monkeypatch.undo()
                raise KeyboardInterrupt
            return called(*args, **kwargs)

        monkeypatch.setattr(place, pressed)

    return press


@pytest.mark.parametrize(
    "model",
    [
        ConformalDecisions(NET, cv=3),
        ResidualScenarios(NET, cv=3),
        ExpertMixture([("a", LinearRegression()), ("fold 2 of 3", NET)], PROBLEM),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_fit_ends_with_the_fold_that_is_interrupted(model, ctrl_c):
    ctrl_c("expert 'fold 2 of 3'" if isinstance(model, ExpertMixture) else "fold 2 of 3")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize(
    ("name", "place"),
    [("fold 2 of 3", EPOCH_END), ("correction", "dfl_sklearn.estimators._net_regressor.StagedFit")],
)
def test_an_interrupted_correction_leaves_the_backbone(name, place, ctrl_c):
    model = DFFRegressor(NET, PROBLEM, cv=3, **QUICK)
    ctrl_c(name, place)
    (found,) = told(lambda: model.fit(X, Y))
    assert "predictions are those of the backbone" in str(found.message)
    assert model.fell_back_
    np.testing.assert_array_equal(model.predict(X), model.estimator_.predict(X))
    np.testing.assert_array_equal(model.decide(X), model.estimator_.decide(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = DFFRegressor(NET, PROBLEM, cv=3, **QUICK).fit(X, Y)
    np.testing.assert_array_equal(model.estimator_.predict(X), again.estimator_.predict(X))


@pytest.mark.parametrize(
    ("place", "n_left"), [("dfl_sklearn.robust._fitting.watched_rows", 1), (EPOCH_END, 2)]
)
def test_generators_before_an_interruption_are_kept(place, n_left, ctrl_c, tmp_path):
    model = DiffusionScenarios(
        GENERATOR, n_estimators=3, n_scenarios=6, random_state=0, memory=str(tmp_path)
    )
    ctrl_c("generator 2 of 3", place)
    (found,) = told(lambda: model.fit(X, Y))
    assert "interrupted" in str(found.message)
    assert len(model.generators_) == n_left
    assert model.predict_scenarios(X[:2]).values.shape == (2, 6, 1)
    whole = DiffusionScenarios(GENERATOR, n_scenarios=6, random_state=0, memory=str(tmp_path))
    assert whole.fit(X, Y).generator_.n_iter_ == 2
    assert len(list(tmp_path.rglob("output.pkl"))) == 1  # no half generator among them


@pytest.mark.parametrize(
    "scenarios",
    [
        MixtureScenarios(hidden_layer_sizes=(), max_iter=9, n_scenarios=5, random_state=0),
        DiffusionScenarios(GENERATOR, n_scenarios=5, random_state=0),
    ],
    ids=lambda each: type(each).__name__,
)
def test_ctrl_c_in_the_likelihood_ends_the_fit_with_what_it_has(scenarios, ctrl_c):
    model = DFLRegressor(PROBLEM, predictor=scenarios, **QUICK)
    ctrl_c(None)
    (found,) = told(lambda: model.fit(X, Y))
    assert "interrupted" in str(found.message)
    assert model.n_iter_ == 0
    assert np.isfinite(model.decide(X)).all()
    np.testing.assert_allclose(
        model.predict_scenarios(X).values, model.scenario_model_.predict_scenarios(X).values
    )


def test_a_curve_keeps_the_radii_before_an_interruption(ctrl_c):
    ctrl_c("radius=0.2")
    (found,) = told(
        lambda: RadiusCurveDisplay.from_estimator(
            robust(TiltedSearch(100)), X, Y, tests={"same": (X, Y)}, radii=(0.0, 0.1, 0.2, 0.3)
        )
    )
    assert "Interrupted (Ctrl-C) in the fit for radius=0.2." in str(found.message)


class Interrupted(LinearRegression):
    """A model that is asked for too long."""

    def predict(self, X):
        raise KeyboardInterrupt


def test_a_stress_test_keeps_the_models_before_an_interruption():
    models = {"line": LinearRegression().fit(X, Y), "slow": Interrupted().fit(X, Y)}
    options = {
        **{"problem": PROBLEM, "generator": GENERATOR, "n_samples": 300, "radius": 0.05},
        "random_state": 0,
    }
    with pytest.warns(UserWarning, match="has no result for 'slow'"):
        found = stress_test(models, X, Y, **options)
    whole = stress_test(models["line"], X, Y, **options)
    assert found.estimators == ("line",)
    assert found.to_frame()["worst"].item() == whole.to_frame()["worst"].item()
    with pytest.raises(KeyboardInterrupt):
        stress_test(models["slow"], X, Y, **options)


def test_threads_of_others_do_not_report(capsys):
    def work(epoch):
        say_epoch({"epoch": epoch})

    with reporting(1):
        Parallel(n_jobs=2, prefer="threads")(delayed(work)(k) for k in range(2))
    assert printed(capsys) == []
