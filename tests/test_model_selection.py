"""Splitters that hold out a shift."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.metrics import make_regret_scorer
from dfl_sklearn.model_selection import ClusterSplit, CostTailSplit
from dfl_sklearn.problems import NewsvendorProblem, SquaredErrorProblem

PROBLEM = NewsvendorProblem(9, 1)


@pytest.fixture(scope="module")
def data():
    return make_newsvendor(400, random_state=0)


def test_training_sets_are_random_and_test_sets_dwell_on_the_tail(data):
    X, y = data
    order = np.quantile(y, 0.9)
    regret = 9 * np.maximum(y - order, 0) + np.maximum(order - y, 0)
    constant = DummyRegressor(strategy="quantile", quantile=0.9)
    splitter = CostTailSplit(PROBLEM, 20, tail_share=0.4, estimator=constant, random_state=0)
    splits = list(splitter.split(X, y))
    assert len(splits) == 20
    tail = set()
    for train, test in splits:
        rows, counts = np.unique(test, return_counts=True)
        assert sorted([*train, *rows]) == list(range(400))
        assert len(train) == 300
        repeated = counts > 1
        assert counts[repeated].sum() / len(test) == pytest.approx(0.4, abs=0.1)
        tail.update(rows[repeated])
    assert len(tail) == 40  # each row of the tail is held out in some of twenty test sets
    # The orders of five folds differ a little from that of all rows.
    assert regret[list(tail)].min() >= np.quantile(regret, 0.85)
    share = np.mean([np.isin(train, list(tail)).mean() for train, _ in splits])
    assert share == pytest.approx(0.1, abs=0.01)


def test_the_tail_under_a_reference_model_is_where_that_model_errs():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    y = 5 * X[:, 0] + np.where(rng.uniform(size=300) < 0.1, 8.0, 0.1) * rng.standard_normal(300)
    errors = np.abs(y - 5 * X[:, 0])
    problem = SquaredErrorProblem()
    hard = errors >= np.quantile(errors, 0.88)

    def share_of_hard_among_repeated(estimator):
        splitter = CostTailSplit(problem, 5, tail_share=0.3, estimator=estimator, random_state=0)
        repeated = [
            row
            for _, test in splitter.split(X, y)
            for row, count in zip(*np.unique(test, return_counts=True), strict=True)
            if count > 1
        ]
        return hard[repeated].mean()

    assert share_of_hard_among_repeated(LinearRegression()) > 0.8
    assert share_of_hard_among_repeated(None) == share_of_hard_among_repeated(LinearRegression())
    assert share_of_hard_among_repeated(DummyRegressor()) < 0.5


def test_several_outputs_and_frames(data):
    pandas = pytest.importorskip("pandas")
    X, y = make_newsvendor(100, n_products=2, random_state=0)
    problem = NewsvendorProblem([9, 3], 1)
    arrays = list(CostTailSplit(problem, 2, test_size=40, random_state=0).split(X, y))
    frames = list(
        CostTailSplit(problem, 2, test_size=40, random_state=0).split(
            pandas.DataFrame(X), pandas.DataFrame(y)
        )
    )
    for (train, test), (train_2, test_2) in zip(arrays, frames, strict=True):
        np.testing.assert_array_equal(train, train_2)
        np.testing.assert_array_equal(test, test_2)
        assert len(train) == 60


def test_a_search_by_the_costly_tail_chooses_the_more_careful_model(data):
    X, y = data
    grid = {"quantile": [0.5, 0.9, 0.98]}
    model = QuantileRegressor(alpha=0.0)
    scorer = make_regret_scorer(PROBLEM)
    chosen = {
        name: GridSearchCV(model, grid, cv=cv, scoring=scorer).fit(X, y).best_params_["quantile"]
        for name, cv in {
            "random": 3,
            "tail": CostTailSplit(PROBLEM, 3, tail_share=0.9, random_state=0),
        }.items()
    }
    assert chosen == {"random": 0.9, "tail": 0.98}


def test_same_seed_same_splits_and_a_cloned_search_keeps_them(data):
    X, y = data
    splitter = CostTailSplit(PROBLEM, 2, random_state=3)
    search = clone(GridSearchCV(LinearRegression(), {}, cv=splitter))
    for (_, one), (_, other) in zip(splitter.split(X, y), search.cv.split(X, y), strict=True):
        np.testing.assert_array_equal(one, other)
    assert "tail_share=0.5" in repr(splitter)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tail_share": 1.0}, r"tail_share must be in \(0, 1\), got 1.0"),
        ({"tail_fraction": 0}, r"tail_fraction must be in \(0, 1\), got 0"),
        ({"tail_share": 0.2, "tail_fraction": 0.3}, "tail_share=0.2 must be above tail_fraction"),
        ({"tail_fraction": 0.001}, "tail_fraction=0.001 of 400 rows is 0; .* at least 2 rows"),
        ({"test_size": 3, "tail_fraction": 0.01}, "A test set of 3 rows has 0 of the tail"),
    ],
)
def test_what_cannot_be_held_out(data, params, message):
    with pytest.raises(ValueError, match=message):
        list(CostTailSplit(PROBLEM, random_state=0, **params).split(*data))


@pytest.mark.parametrize("seed", range(20))
def test_fifty_rows_are_enough(seed):
    X, y = make_newsvendor(50, random_state=seed)
    splitter = CostTailSplit(PROBLEM, random_state=seed)
    assert len(list(splitter.split(X, y))) == 8


def test_rows_that_all_cost_the_same_have_no_tail():
    with pytest.raises(ValueError, match="All rows cost the same"):
        next(CostTailSplit(None).split(np.zeros((40, 1)), np.ones(40)))


def test_a_negative_demand_is_named_by_its_row(data):
    X, y = data
    y = y.copy()
    y[3] = -1.0
    with pytest.raises(ValueError, match="row 3"):
        next(CostTailSplit(PROBLEM).split(X, y))


def test_words_in_x_ask_for_an_estimator():
    X = np.array([["a"], ["b"]] * 30, dtype=object)
    y = np.arange(60.0)
    with pytest.raises(ValueError, match="give another model as estimator="):
        next(CostTailSplit(PROBLEM).split(X, y))
    encoded = make_pipeline(OneHotEncoder(), LinearRegression())
    assert len(list(CostTailSplit(PROBLEM, 2, estimator=encoded).split(X, y))) == 2


def test_costs_need_y(data):
    with pytest.raises(ValueError, match="needs y"):
        next(CostTailSplit(PROBLEM).split(data[0]))


def test_clusters_are_held_out_one_by_one():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 1000.0]])
    label = rng.integers(3, size=90)
    X = centres[label] + rng.standard_normal((90, 2)) * [1, 100]
    splits = list(ClusterSplit(3, random_state=0).split(X))
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(90))
    for train, test in splits:
        assert len(np.unique(label[test])) == 1
        assert not np.intersect1d(train, test).size
    assert splits[0][1][0] == 0
    scores = cross_val_score(LinearRegression(), X, X[:, 0], cv=ClusterSplit(3, random_state=0))
    assert len(scores) == 3


@pytest.mark.parametrize("n_splits", [1, 2.5])
def test_a_single_cluster_cannot_be_held_out(n_splits):
    with pytest.raises(ValueError, match="n_splits must be a whole number of at least 2"):
        next(ClusterSplit(n_splits).split(np.arange(6.0)[:, None]))


def test_more_clusters_than_distinct_rows():
    with pytest.raises(ValueError, match="2 distinct rows or groups of them, too few"):
        next(ClusterSplit(3).split([[0.0], [0.0], [1.0]]))
    with (
        pytest.raises(ValueError, match="too few for n_splits=3"),
        pytest.warns(match="distinct clusters"),
    ):
        next(ClusterSplit(3).split([[1e9], [1e9 + 1e-6], [5.0], [5.0]]))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_splits": 0}, "n_splits must be a whole number of at least 1, got 0"),
        ({"n_splits": 2.5}, "n_splits must be a whole number"),
        ({"test_size": "half"}, "test_size must be a number"),
        ({"test_size": 0}, "test_size must be a whole number of at least 1"),
        ({"tail_share": "half"}, "tail_share must be a number"),
        ({"problem": "newsvendor"}, "problem must be a DecisionProblem or None"),
    ],
)
def test_splits_name_their_parameters(data, params, message):
    with pytest.raises(ValueError, match=message):
        next(CostTailSplit(**{"problem": PROBLEM, **params}).split(*data))


@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_rows_to_rank(n):
    with pytest.raises(ValueError, match=f"needs at least 5 rows, got n_samples={n}"):
        next(CostTailSplit(PROBLEM).split(np.ones((n, 2)), np.ones(n)))


def test_as_many_splits_as_asked_for():
    for splitter in (CostTailSplit(PROBLEM, 0), ClusterSplit(1)):
        with pytest.raises(ValueError, match="n_splits must be a whole number"):
            splitter.get_n_splits()


def test_errors_that_are_rounding_errors_make_no_tail():
    X = np.random.default_rng(0).normal(size=(200, 3))
    with pytest.raises(ValueError, match="All rows cost the same"):
        next(CostTailSplit(None, 1, random_state=0).split(X, 10 + X @ [1, 2, 3]))


def test_rows_that_cost_nothing_are_not_in_the_tail():
    y = np.ones(200)
    y[::40] = 20
    split = CostTailSplit(None, 1, estimator=DummyRegressor(strategy="median"), random_state=0)
    with pytest.raises(ValueError, match=r"Only 5 of 200 rows cost more .* tail_fraction=0\.1"):
        next(split.split(np.zeros((200, 1)), y))


def test_a_share_that_repeats_no_row_is_no_shift():
    rng = np.random.default_rng(0)
    split = CostTailSplit(None, 1, tail_share=0.13, random_state=0)
    with pytest.raises(ValueError, match=r"tail_share=0\.13 is no shift"):
        next(split.split(rng.normal(size=(200, 1)), rng.normal(size=200)))
