import numpy as np
import pandas as pd
import pytest

from dfl_sklearn.datasets import make_lagged


@pytest.mark.parametrize("n_lags", [1, 2, 7])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_against_a_loop(n_lags, horizon):
    series = np.random.RandomState(0).randn(30)
    X, y = make_lagged(series, n_lags, horizon)
    n_rows = 30 - n_lags - horizon + 1
    assert X.shape == (n_rows, n_lags)
    assert y.shape == ((n_rows,) if horizon == 1 else (n_rows, horizon))
    for row in range(n_rows):
        np.testing.assert_array_equal(X[row], series[row : row + n_lags])
        future = series[row + n_lags : row + n_lags + horizon]
        np.testing.assert_array_equal(np.atleast_1d(y[row]), future)


def test_series_keeps_times_and_names():
    index = pd.date_range("2023-11-16", periods=10, freq="5s")
    series = pd.Series(np.arange(10), index=index, name="demand")
    X, y = make_lagged(series, 3)
    assert list(X.columns) == ["lag_3", "lag_2", "lag_1"]
    assert X.index.equals(index[3:])
    assert y.index.equals(index[3:])
    assert y.name == "demand"
    # lag_k is the series, k steps before the target
    for lag in (1, 2, 3):
        np.testing.assert_array_equal(X[f"lag_{lag}"], series.shift(lag)[3:])
    X, Y = make_lagged(series, 3, horizon=4)
    assert list(Y.columns) == ["step_1", "step_2", "step_3", "step_4"]
    assert X.index.equals(index[3:7])
    assert Y.index.equals(index[3:7])
    assert Y.iloc[0].tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("int64", "float64"), ("bool", "float64"), ("float32", "float32"), ("object", "float64")],
)
def test_dtypes(dtype, expected):
    X, y = make_lagged(np.ones(5).astype(dtype), 2)
    assert X.dtype == y.dtype == expected


@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("wrap", [np.asarray, pd.Series])
def test_results_are_writable_copies(horizon, wrap):
    series = wrap(np.arange(8.0))
    X, y = (np.asarray(part) if wrap is np.asarray else part for part in
            make_lagged(series, 3, horizon))  # fmt: skip
    X[:] = -1.0
    y[:] = -2.0
    np.testing.assert_array_equal(series, np.arange(8.0))
    assert (np.asarray(X) == -1.0).all()


def test_shortest_series():
    X, y = make_lagged([1, 2, 3], 2)
    assert X.tolist() == [[1, 2]]
    assert y.tolist() == [3]
    with pytest.raises(ValueError, match=r"series has 2 values.*n_lags \+ horizon = 2 \+ 1"):
        make_lagged([1, 2], 2)
    with pytest.raises(ValueError, match="series has 0 values"):
        make_lagged([], 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_non_finite_values_are_located(value):
    with pytest.raises(ValueError, match=r"at position 2, 1 such"):
        make_lagged([0.0, 1.0, value, 3.0], 1)
    series = pd.Series([0.0, value, 1.0, value], index=list("abcd"))
    with pytest.raises(ValueError, match=r"at position 1 \(index b\), 2 such"):
        make_lagged(series, 1)


def test_two_dimensional_input():
    with pytest.raises(ValueError, match=r"one-dimensional, got shape \(4, 2\)"):
        make_lagged(np.ones((4, 2)), 1)
    with pytest.raises(ValueError, match="one column"):
        make_lagged(pd.DataFrame({"a": [1, 2, 3]}), 1)
    with pytest.raises(ValueError, match="one-dimensional"):
        make_lagged(3.0, 1)


@pytest.mark.parametrize(
    "series", [["a", "b", "c"], np.ones(3) * 1j, pd.date_range("2023", periods=3), [1, "x", 2]]
)
def test_not_numbers(series):
    with pytest.raises(ValueError, match="real numbers"):
        make_lagged(series, 1)


@pytest.mark.parametrize("name", ["n_lags", "horizon"])
def test_bad_counts(name):
    arguments = {"n_lags": 1, "horizon": 1}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        make_lagged([1, 2, 3], **(arguments | {name: 0}))
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        make_lagged([1, 2, 3], **(arguments | {name: 1.0}))
