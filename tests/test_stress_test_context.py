"""Contexts in a stress test: those of real rows, kept as they are."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.compose import keep_context
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem

from .stressed import stressed

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
CAPPED = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext("capacity"))


def capped_rows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "warm": rng.normal(size=160),
            "capacity": rng.choice([4.0, 6.0, 30.0], 160),
            "rain": rng.normal(size=160),
        }
    )
    return frame, np.maximum(0.0, 6 + 2 * frame["warm"] + rng.gamma(2.0, 1.0, 160)).to_numpy()


@pytest.mark.parametrize("scaled", [False, True])
def test_contexts_of_generated_rows_are_those_of_real_ones(scaled):
    frame, y = capped_rows()
    model = TwoStageRegressor(LinearRegression(), CAPPED, context="capacity")
    if scaled:
        model = make_pipeline(keep_context(StandardScaler(), "capacity"), model)
    model.fit(frame[:80], y[:80])
    result = stressed(model, frame[80:], y[80:], problem=None)
    rows = result.worst_rows(2000)
    assert set(rows["capacity"]) == {4.0, 6.0, 30.0}
    assert (rows["decision"] <= rows["capacity"] + 1e-9).all()
    given = stressed(model, frame[80:], y[80:], problem=None, context="capacity")
    pd.testing.assert_frame_equal(result.to_frame(), given.to_frame(), check_exact=True)


def test_a_context_that_nobody_knows_is_asked_for():
    frame, y = capped_rows()
    line = LinearRegression().fit(frame[:80], y[:80])
    with pytest.raises(ValueError, match="reads a context, and no estimator has one"):
        stressed(line, frame[80:], y[80:], problem=CAPPED)
    rows = stressed(line, frame[80:], y[80:], problem=CAPPED, context="capacity").worst_rows(2000)
    assert (rows["decision"] <= rows["capacity"] + 1e-9).all()
    # One that knows it tells the others which columns to keep.
    own = TwoStageRegressor(LinearRegression(), CAPPED, context="capacity")
    both = stressed(
        {"own": own.fit(frame[:80], y[:80]), "line": line}, frame[80:], y[80:], problem=None
    )
    pd.testing.assert_frame_equal(both.worst_rows(99, estimator="line"), rows[:99])
    # Columns that are not to be generated, whatever the problem.
    rows = stressed(line, frame[80:], y[80:], context=["capacity", "rain"]).worst_rows(2000)
    real = {*map(tuple, frame[80:][["capacity", "rain"]].to_numpy())}
    assert {*map(tuple, rows[["capacity", "rain"]].to_numpy())} <= real


def test_a_context_lost_on_the_way_is_asked_for():
    frame, y = capped_rows()
    problem = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext(0))
    model = make_pipeline(
        MinMaxScaler(), TwoStageRegressor(LinearRegression(), problem, context=[1])
    )
    model.fit(frame[:80].to_numpy(), y[:80])
    with pytest.raises(ValueError, match="cannot be found among the columns of X"):
        stressed(model, frame[80:].to_numpy(), y[80:], problem=None)
