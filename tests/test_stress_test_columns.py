"""Tables of all kinds in a stress test: their columns are generated, or refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from .stressed import X_FIT, X_NEW, Y_NEW, X, Y, stressed

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


class Recorder(RegressorMixin, BaseEstimator):
    """A model that keeps the tables that it is asked about."""

    def fit(self, X, y):
        self.asked_ = []
        return self

    def predict(self, X):
        self.asked_.append(X)
        return np.full(len(X), 10.0)


def test_generated_rows_are_put_into_the_domain_of_the_problem():
    y = np.maximum(Y - np.quantile(Y, 0.4), 0)  # many are 0
    result = stressed(LinearRegression().fit(X_FIT, y[:120]), X_NEW, y[120:])
    assert 0.05 < result.projected_share < 0.6
    rows = result.worst_rows(2000)
    assert (rows["y"] >= 0).all()
    assert (rows["y"] == 0).mean() == pytest.approx(result.projected_share, abs=0.02)


def test_a_frame_is_asked_about_as_a_frame_of_the_same_columns():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "warm": rng.normal(size=120).astype(np.float32),
            "weekday": rng.integers(0, 7, 120),
            "open": rng.uniform(size=120) < 0.7,
            "count": pd.array(rng.poisson(40, 120), dtype="UInt16"),
        }
    )
    y = pd.Series(Y_NEW, name="demand")
    model = Recorder().fit(frame, y)
    result = stressed(model, frame, y, groups="weekday")
    assert len(model.asked_) == 2
    for asked in model.asked_:
        assert list(asked.columns) == list(frame.columns)
        assert list(asked.dtypes) == list(frame.dtypes)
    rows = result.worst_rows(2000)
    assert list(rows.columns[:5]) == ["warm", "weekday", "open", "count", "demand"]
    assert list(rows.dtypes[:4]) == list(frame.dtypes)
    assert set(rows["weekday"]) <= set(range(7))
    assert set(result.group_regret["group"]) == set(range(7))
    assert set(result.moved_columns().index) == {"warm", "weekday", "open", "count", "demand"}


def test_names_that_occur_twice_are_told_apart():
    frame = pd.DataFrame(X, columns=["y", "cost", "a", "b", "c"])
    model = Recorder().fit(frame, Y)
    result = stressed(model, frame, Y)
    rows = result.worst_rows(2)
    assert [*rows.columns] == [
        *("y", "cost", "a", "b", "c"),
        *("y_", "decision", "cost_", "regret", "weight"),
    ]
    assert "y_" in result.moved_columns().index


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["a", 1] * 60, "Column 'new' of X is object, and holds neither only numbers nor"),
        (
            [f"a{i}" for i in range(120)],
            r"'new' of X has 120 different words.* pipe\[1:\] and pipe",
        ),
        (pd.date_range("2026", periods=120), "column 'new' is datetime64"),
        ([np.nan] + [1.0] * 119, "Column 'new' of X has missing values"),
        ([np.inf] + [1.0] * 119, "X is not finite at row 0, column 1"),
    ],
)
def test_columns_that_cannot_be_generated_are_refused_by_name(column, message):
    frame = pd.DataFrame({"x": X_NEW[:, 0], "new": column})
    with pytest.raises(ValueError, match=message):
        stressed(Recorder().fit(frame, Y_NEW), frame, Y_NEW)


def towns():
    """Return rows in which a town and a class say how much is asked for."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], 240, p=[0.5, 0.3, 0.2]),
            "warm": rng.normal(size=240),
            "size": pd.Categorical(rng.choice(["S", "L"], 240), categories=["S", "M", "L"]),
        }
    )
    level = frame["town"].map({"Ulm": 10.0, "Bonn": 30.0, "Kiel": 50.0})
    return frame, (level + 5 * (frame["size"] == "L") + rng.normal(size=240)).to_numpy()


def test_words_are_those_of_real_rows_and_numbers_are_generated_given_them():
    frame, y = towns()
    encode = ColumnTransformer(
        [("words", OneHotEncoder(), ["town", "size"])], remainder="passthrough"
    )
    pipe = make_pipeline(encode, LinearRegression()).fit(frame[:120], y[:120])
    result = stressed(pipe, frame[120:], y[120:], groups="town")
    rows = result.worst_rows(2000)
    assert list(rows.dtypes[:3]) == list(frame.dtypes)
    pairs = {*zip(frame["town"], frame["size"], strict=True)}
    assert {*zip(rows["town"], rows["size"], strict=True)} == pairs
    means = rows.groupby(["town", "size"], observed=True)["y"].mean()
    for town, level in (("Ulm", 10.0), ("Bonn", 30.0), ("Kiel", 50.0)):
        assert means[town, "S"] == pytest.approx(level, abs=1.0)
        assert means[town, "L"] == pytest.approx(level + 5, abs=1.0)
    real = frame[120:]["town"].value_counts(normalize=True)
    shares = rows["town"].value_counts(normalize=True)
    assert_allclose(shares[real.index], real, atol=0.04)
    moved = result.moved_columns()
    assert {*moved.index} == {
        *("town=Bonn", "town=Kiel", "town=Ulm", "warm", "size=S", "size=L", "y")
    }
    kiel = float(result.worst_rows(2000).query("town == 'Kiel'")["weight"].sum())
    assert moved.loc["town=Kiel", "worst_mean"] == pytest.approx(kiel)
    assert set(result.group_regret["group"]) == {"Bonn", "Kiel", "Ulm"}
    with pytest.raises(ValueError, match="does not store which words it was fitted with"):
        stressed(pipe, frame[120:], y[120:], generator=result.generator)


def test_a_model_that_breaks_in_one_town_meets_it_more_often():
    frame, y = towns()
    y = y + np.where(frame["town"] == "Kiel", 30, 0)  # unknown to the model
    model = make_pipeline(
        ColumnTransformer([("town", OneHotEncoder(), ["town"])]), LinearRegression()
    ).fit(frame[:120], towns()[1][:120])
    moved = stressed(model, frame[120:], y[120:]).moved_columns()
    assert moved.loc["town=Kiel", "shift"] > 0.3
    assert moved.loc["town=Ulm", "shift"] < -0.1
