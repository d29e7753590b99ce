"""Ambiguity sets of the user's own: right by default, or an error or a warning that names them."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import AmbiguitySet, CVaR, GaussianNoise, SinkhornBall
from dfl_sklearn.rows import Rows
from dfl_sklearn.scenarios import ResidualScenarios

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = make_newsvendor(60, random_state=0)


class Answers(AmbiguitySet):
    """A set that returns what a function makes of the training rows."""

    def __init__(self, answer=None, radius=1.0):
        self.answer = answer
        self.radius = radius

    def set_nominal(self, rows, problem, seed, held_out=None):
        super().set_nominal(rows, problem, seed, held_out)
        self.rows_ = rows.as_shares()

    def worst_case(self, row_loss):
        return self.answer(self.rows_)


def fitted(ambiguity_set, **params):
    options = {"hidden_layer_sizes": (), "max_iter": 2, "early_stopping": False, "random_state": 0}
    model = DFLRegressor(
        NewsvendorProblem(4, 1), ambiguity_set=ambiguity_set, **{**options, **params}
    )
    return model.fit(X, Y)


def changed(rows, change):
    weight = rows.weight.copy()
    change(weight)
    return rows.replace(weight=weight), 1.0


def only_first(weight, value):
    weight[0] = value


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda rows: changed(rows, lambda w: w.__imul__(2)), ValueError, "they sum to 2. Divide"),
        (lambda rows: changed(rows, lambda w: w.fill(0)), ValueError, "they sum to 0"),
        (lambda rows: changed(rows, lambda w: only_first(w, np.nan)), ValueError, "row 0 is nan"),
        (lambda rows: changed(rows, lambda w: only_first(w, -0.1)), ValueError, "row 0 is -0.1"),
        (lambda rows: (rows.replace(weight=rows.weight[1:]), 1.0), ValueError, r"shape \(60,\);"),
        (lambda rows: rows, TypeError, "`return rows, divergence`, got Rows"),
        (lambda rows: None, TypeError, "`return rows, divergence`, got NoneType"),
        (lambda rows: (rows.weight, 1.0), TypeError, "got a tuple of ndarray, float"),
        (
            lambda rows: (rows, np.nan),
            ValueError,
            "divergence that Answers.worst_case returns",
        ),
        (lambda rows: (rows, None), TypeError, "must be a number, got None"),
        (
            lambda rows: (Rows(rows.X[:, 1:], rows.y, rows.weight), 1.0),
            ValueError,
            r"X of shape \(60, 5\), got \(60, 4\)",
        ),
        (
            lambda rows: (rows.replace(context=rows.X), 1.0),
            ValueError,
            "which have no context",
        ),
        (
            lambda rows: (rows.replace(X=rows.X.tolist()), 1.0),
            TypeError,
            "arrays of numbers: X is list",
        ),
        (
            lambda rows: (rows.replace(y=rows.y.astype(object)), 1.0),
            TypeError,
            "arrays of numbers: y is an array of objects",
        ),
    ],
)
def test_what_a_worst_case_returns_is_checked(answer, error, message):
    with pytest.raises(error, match=message) as raised:
        fitted(Answers(answer))
    assert "Answers.worst_case" in str(raised.value)


def test_weights_that_sum_to_1_but_for_rounding_pass():
    as_they_are = fitted(Answers(lambda rows: (rows, 1.0)))
    rounded = fitted(
        Answers(lambda rows: (rows.replace(weight=rows.weight.astype(np.float32)), 1.0))
    )
    np.testing.assert_allclose(rounded.predict(X), as_they_are.predict(X), rtol=1e-3)


@pytest.mark.parametrize("method", ["worst_regret", "held_out_regret"])
def test_regrets_that_are_no_numbers_are_named(method):
    own = type("Own", (Answers,), {method: lambda self, *given: float("nan")})
    with pytest.raises(ValueError, match=rf"What Own.{method} returns must be a number, got nan"):
        fitted(own(lambda rows: (rows, 1.0)), early_stopping=True)


def test_a_set_needs_no_radius():
    class Factor(Answers):
        def __init__(self, answer=None, factor=2.0):
            self.answer = answer
            self.factor = factor

    own = Factor(lambda rows: (rows, 0.5))
    assert not own.is_nominal
    assert fitted(own).worst_case_.divergence == 0.5
    assert not hasattr(fitted(Answers(lambda rows: (rows, 0.5), radius=0)), "worst_case_")


class CostliestFifth(Answers):
    """A set with worst weights, which are those of CVaR."""

    def worst_weights(self, loss, weight=None):
        return CVaR(alpha=0.2).worst_weights(loss, weight)

    def worst_case(self, row_loss):
        worst = self.worst_weights(row_loss(self.rows_), self.rows_.weight)
        return self.rows_.replace(weight=worst), 1.6


def careful(risk):
    return TwoStageRegressor(
        ResidualScenarios(LinearRegression()), NewsvendorProblem(4, 1), risk=risk
    )


def test_a_set_with_worst_weights_weights_scenarios():
    own, same = (careful(risk).fit(X, Y) for risk in (CostliestFifth(), CVaR(alpha=0.2)))
    np.testing.assert_array_equal(own.decide(X[:5]), same.decide(X[:5]))


def test_a_set_without_worst_weights_is_refused_as_a_risk():
    with pytest.raises(TypeError, match=r"Answers has no method worst_weights\(loss, weight\)"):
        careful(Answers()).fit(X, Y)
    with pytest.raises(TypeError, match="SinkhornBall moves or generates rows"):
        careful(SinkhornBall()).fit(X, Y)


def test_worst_weights_of_scenarios_are_checked():
    class Twice(CostliestFifth):
        def worst_weights(self, loss, weight=None):
            return 2 * super().worst_weights(loss, weight)

    with pytest.raises(ValueError, match=r"Twice.worst_weights must return weights .* sum to 2"):
        careful(Twice()).fit(X, Y)


def hidden_net(ambiguity_set, seed=0):
    rows = make_newsvendor(200, random_state=1)
    return DFLRegressor(
        NewsvendorProblem(4, 1), ambiguity_set=ambiguity_set, hidden_layer_sizes=(8,), max_iter=20,
        random_state=seed,
    ).fit(*rows)  # fmt: skip


def test_worst_weights_tell_when_to_stop_on_rows_held_out():
    """As those of the package's own set do, although the base is not called."""

    class Forgetful(CostliestFifth):
        def set_nominal(self, rows, problem, seed, held_out=None):
            self.rows_ = rows.as_shares()

    plain, own, forgetful, package = (
        hidden_net(each) for each in (None, CostliestFifth(), Forgetful(), CVaR(alpha=0.2))
    )
    for each in (own, forgetful):
        np.testing.assert_allclose(each.predict(X), package.predict(X), rtol=1e-9)
        watched, expected = (m.worst_case_.valid_worst_regret for m in (each, package))
        assert watched == pytest.approx(expected, rel=1e-9)
        assert "_held_out" not in vars(each.ambiguity_set_)
    assert not np.array_equal(own.predict(X), plain.predict(X))


class Undecided(Answers):
    """The costliest rows, for a set that says nothing about rows held out."""

    def worst_case(self, row_loss):
        worst = CVaR(alpha=0.1).worst_weights(row_loss(self.rows_), self.rows_.weight)
        return self.rows_.replace(weight=worst), 2.3


def test_a_set_that_is_stopped_by_the_plain_regret_is_named():
    with pytest.warns(
        UserWarning, match="Undecided does not say what its worst case costs"
    ) as found:
        model = hidden_net(Undecided())
    (warning,) = found
    assert "the set has changed nothing" in str(warning.message)
    np.testing.assert_array_equal(model.predict(X), hidden_net(None).predict(X))
    assert warning.filename == __file__


@pytest.mark.parametrize("own", [CostliestFifth(), GaussianNoise(0.1)])
def test_other_sets_do_not_warn(own, recwarn):
    hidden_net(own)
    fitted(Undecided())  # no rows are held out
    assert not [each for each in recwarn if "held out" in str(each.message)]
