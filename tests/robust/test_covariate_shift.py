"""Weights from unlabelled rows against true density ratios."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from dfl_sklearn.robust import CovariateShiftWeight, covariate_shift_weight

rng = np.random.default_rng(0)
WIDE, NARROW = np.array([[1.0, 0.3], [0.3, 1.0]]), np.array([[0.6, -0.1], [-0.1, 0.7]])
X = rng.multivariate_normal([0.0, 0.0], WIDE, 1500)
TOMORROW = rng.multivariate_normal([0.6, -0.4], NARROW, 900)


def true_ratio(x):
    there = multivariate_normal([0.6, -0.4], NARROW).pdf(x)
    return there / multivariate_normal([0.0, 0.0], WIDE).pdf(x)


def test_weights_are_the_ratios_of_gaussians():
    model = CovariateShiftWeight().fit(X, TOMORROW)
    new = rng.multivariate_normal([0.0, 0.0], WIDE, 1000)
    for rows, found in ((X, model.weight_), (new, model.weight(new))):
        true = true_ratio(rows)
        assert np.corrcoef(found, true)[0, 1] > 0.96
        assert abs(found.mean() - true.mean()) < 0.08
        assert_allclose(found @ rows / found.sum(), [0.6, -0.4], atol=0.12)
    true = true_ratio(X)
    n_true = true.sum() ** 2 / (true @ true)
    assert model.effective_sample_size_ == pytest.approx(n_true, rel=0.25)


def test_the_weighted_mean_is_one_and_priors_do_not_matter():
    weight = rng.uniform(0.5, 2.0, 1500)
    model = CovariateShiftWeight().fit(X, TOMORROW, sample_weight=weight)
    assert np.average(model.weight_, weights=weight) == pytest.approx(1.0)
    many = CovariateShiftWeight().fit(X, np.repeat(TOMORROW, 5, axis=0))
    few = CovariateShiftWeight().fit(X, TOMORROW)
    assert np.corrcoef(many.weight_, few.weight_)[0, 1] > 0.99
    total = covariate_shift_weight(X, TOMORROW, weight)
    assert_allclose(total, weight * model.weight_)


@pytest.mark.parametrize("unit", [1 / 1500, 2.0**-600])
def test_shares_are_as_good_as_numbers_of_rows(unit):
    few = X[:300], TOMORROW[:200]
    by_rows = CovariateShiftWeight().fit(*few)
    by_shares = CovariateShiftWeight().fit(*few, np.full(300, unit), np.full(200, unit))
    assert_allclose(by_shares.weight_, by_rows.weight_, rtol=1e-6)


def test_weights_go_to_classifiers_that_request_them():
    few, weight = (X[:200], TOMORROW[:100]), rng.uniform(0.1, 4.0, 200)

    def fitted(classifier=None, weight=weight):
        return CovariateShiftWeight(classifier, cv=2).fit(*few, weight).classifiers_

    def slopes(classifiers):
        return [each[-1].coef_ if hasattr(each, "steps") else each.coef_ for each in classifiers]

    plain, weighted = slopes(fitted()), slopes(fitted(LogisticRegression()))
    unweighted = slopes(fitted(LogisticRegression().fit(X, X[:, 0] > 0), None))
    with config_context(enable_metadata_routing=True):
        assert_array_equal(slopes(fitted()), plain)
        asked = LogisticRegression().set_fit_request(sample_weight=True)
        assert_array_equal(slopes(fitted(asked)), weighted)
        asked = make_pipeline(StandardScaler(with_mean=False), asked)
        asked[0].set_fit_request(sample_weight=True)
        assert len(fitted(asked)) == 2
        refused = LogisticRegression().set_fit_request(sample_weight=False)
        assert_array_equal(slopes(fitted(refused)), unweighted)
        with pytest.raises(
            UnsetMetadataPassedError, match=r"used within CovariateShiftWeight\.fit"
        ):
            fitted(LogisticRegression())


def test_without_a_shift_weights_are_equal():
    dull = CovariateShiftWeight(DummyClassifier()).fit(X, TOMORROW)
    assert_allclose(dull.weight_, 1.0, rtol=1e-12)
    assert dull.effective_sample_size_ == pytest.approx(1500)
    same = CovariateShiftWeight().fit(X[:700], X[700:])
    assert same.effective_sample_size_ > 600


def test_many_products_of_features_and_few_rows_of_the_target():
    draws = np.random.default_rng(1)
    many, few = draws.normal(size=(700, 12)), draws.normal(size=(100, 12))
    same = CovariateShiftWeight().fit(many, few)  # 90 terms on 80 rows of the target
    assert same.effective_sample_size_ > 600
    moved = CovariateShiftWeight().fit(many, few + [1.0, *[0.0] * 11])
    true = np.exp(many[:, 0] - 0.5)
    assert np.corrcoef(moved.weight_, true)[0, 1] > 0.8
    assert 0.5 < moved.effective_sample_size_ / (true.sum() ** 2 / (true @ true)) < 2.0


def test_rows_are_weighted_by_classifiers_that_have_not_seen_them():
    tree = DecisionTreeClassifier(min_samples_leaf=40, random_state=0)
    target = np.concatenate([TOMORROW[:300], X[:100]])
    model = CovariateShiftWeight(tree, clip=20.0).fit(X[:300], target)
    assert model.weight_[:100].std() > 0  # a tree that had seen them would give equal odds
    # Equal rows, in source and target, are in one fold: they get one weight.
    twice = CovariateShiftWeight(tree, clip=20.0)
    found = twice.fit(np.repeat(X[:200], 2, axis=0), TOMORROW[:200]).weight_.reshape(200, 2)
    assert_array_equal(found[:, 0], found[:, 1])


def test_target_rows_are_weighted_as_other_rows_of_the_target_are():
    forest = RandomForestClassifier(20, min_samples_leaf=10, random_state=0)
    model = CovariateShiftWeight(forest).fit(X[:600], TOMORROW)
    others = np.random.default_rng(1).multivariate_normal([0.6, -0.4], NARROW, 900)
    # Of the mean of classifiers most of which have seen them the weights would be larger.
    mean_log = {}
    for name, rows in (("known", TOMORROW), ("new", others)):
        mean_log[name] = np.log(model.weight(rows)).mean()
        mean_log[f"{name}, by all"] = np.mean(model._mean_log_odds(rows)) - model._level
    assert mean_log["known, by all"] > mean_log["new"] + 0.15
    assert abs(mean_log["known"] - mean_log["new"]) < 0.1
    assert_array_equal(model.weight(TOMORROW[::-1])[::-1], model.weight(TOMORROW))


def test_neither_the_order_of_rows_nor_storing_matters():
    model = CovariateShiftWeight().fit(X, TOMORROW)
    order = rng.permutation(len(X))
    shuffled = CovariateShiftWeight().fit(X[order], TOMORROW[::-1])
    assert_allclose(shuffled.weight_, model.weight_[order], rtol=1e-6)
    assert_array_equal(model.weight(X[order]), model.weight_[order])
    assert_array_equal(pickle.loads(pickle.dumps(model)).weight(X), model.weight_)


def test_weight_two_is_the_row_twice():
    weight = rng.integers(0, 3, 1500)
    once = CovariateShiftWeight().fit(X, TOMORROW, sample_weight=weight)
    twice = CovariateShiftWeight().fit(np.repeat(X, weight, axis=0), TOMORROW)
    assert_allclose(once.weight(TOMORROW), twice.weight(TOMORROW), rtol=1e-4)
    assert np.isfinite(once.weight_).all()


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_copies_of_weight_zero_change_nothing(order):
    rng = np.random.default_rng(0)
    rows, target = rng.normal(size=(40, 2)), rng.normal(0.5, 1, size=(60, 2))
    model = CovariateShiftWeight(LogisticRegression())
    alone = model.fit(rows, target, np.ones(40)).weight(rows)
    weight = np.repeat(order, 40).astype(float)
    target_weight = np.r_[np.ones(60), np.zeros(40)]
    model.fit(np.r_[rows, rows], np.r_[target, rows], weight, target_weight)
    assert_allclose(model.weight(rows), alone, rtol=1e-12)
    assert_allclose(model.weight_, np.r_[alone, alone], rtol=1e-12)


def test_folds_that_are_sure_of_opposite_things():
    class Sure(DummyClassifier):
        def fit(self, X, y, sample_weight=None):
            self.is_first_ = X[:, 0].min() == 0
            return super().fit(X, y, sample_weight)

        def predict_proba(self, X):
            is_sure = np.where(X[:, 0] == 9.5, 1.0 * self.is_first_, 0.5)
            return np.column_stack([1 - is_sure, is_sure])

    rows = np.arange(20.0)[:, None]
    model = CovariateShiftWeight(Sure(), cv=2, clip=9).fit(rows, rows + 0.25)
    with pytest.raises(ValueError, match="Row 1 has no weight: of the classifiers of two folds"):
        model.weight([[3.0], [9.5]])


def test_a_clip_holds_and_keeps_the_mean():
    plain = CovariateShiftWeight().fit(X, TOMORROW)
    cut = CovariateShiftWeight(clip=1.5).fit(X, TOMORROW)
    assert plain.weight_.max() > 1.6
    assert cut.weight_.max() == 1.5
    assert cut.weight_.mean() == pytest.approx(1.0)
    assert cut.weight(TOMORROW).max() == 1.5


def test_tables_with_words():
    table = pd.DataFrame(X, columns=["a", "b"]).assign(place=np.where(X[:, 0] > 0, "x", "y"))
    later = pd.DataFrame(TOMORROW, columns=["a", "b"])
    later["place"] = np.where(TOMORROW[:, 0] > 0, "x", "y")
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer((OneHotEncoder(), ["place"]), remainder=StandardScaler())
    model = CovariateShiftWeight(make_pipeline(columns, LogisticRegression())).fit(table, later)
    assert_array_equal(model.weight(table.iloc[::-1]), model.weight_[::-1])
    with pytest.raises(ValueError, match="they differ in 'c'"):
        model.weight(later.rename(columns={"b": "c"}))


def test_samples_that_do_not_overlap():
    model = CovariateShiftWeight()
    with pytest.warns(UserWarning, match="X and X_target hardly overlap"):
        model.fit(X[:100], X[100:200] + 20)
    # As far apart as that leaves weights that look like those of samples without a shift.
    assert model.effective_sample_size_ > 20
    for clip in (None, 5.0):
        tree = CovariateShiftWeight(DecisionTreeClassifier(random_state=0), clip=clip)
        with pytest.raises(ValueError, match="sure that no row of X is of X_target"):
            tree.fit(X[:100], X[100:200] + 20)


class Known(LogisticRegression):
    """The true odds of normal rows and of normal rows further on."""

    def __init__(self, further=3.0):
        self.further = further

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array([0, 1])
        share = np.average(y, weights=sample_weight)
        self.prior_ = np.log(share / (1 - share))
        return self

    def predict_proba(self, X):
        odds = self.further * X[:, 0] - self.further**2 / 2 + self.prior_
        return np.column_stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))])


def messages_of(further, rows, sample_weight=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = CovariateShiftWeight(Known(further)).fit(rows, rows[:100] + further, sample_weight)
    return model.effective_sample_size_, [str(each.message) for each in caught]


@pytest.mark.parametrize("further", [0.5, 1.0, 2.0, 2.5])
def test_few_rows_that_count(further):
    rows = np.random.default_rng(2).standard_normal((700, 1))
    weight = np.exp(further * rows[:, 0])
    n_rows = weight.sum() ** 2 / (weight @ weight)
    size, messages = messages_of(further, rows)
    assert size == pytest.approx(n_rows)
    assert len(messages) == (n_rows < 30) == (further > 2.1)
    if messages:
        assert f"the 700 rows of X are worth {n_rows:.1f} of equal weight" in messages[0]


def test_no_second_warning_where_samples_are_apart():
    rows = np.random.default_rng(2).standard_normal((700, 1))
    size, messages = messages_of(6.0, rows)
    assert size < 30
    assert len(messages) == 1
    assert "hardly overlap" in messages[0]


def test_few_rows_before_the_weights_are_no_shift():
    rows = np.random.default_rng(2).standard_normal((40, 1))
    size, messages = messages_of(0.5, rows)
    assert 20 < size < 35
    assert messages == []
    weight = np.ones(40)
    weight[10:] = 1e-3  # a dozen rows count to begin with
    assert messages_of(0.3, rows, weight)[1] == []


def test_categorical_columns_with_other_categories_stay_categorical():
    def table(rows, names):
        place = pd.Categorical(np.where(rows[:, 0] > 0, *names), categories=sorted(names))
        return pd.DataFrame({"a": rows[:, 1], "place": place})

    trees = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5)
    source, target = table(X[:300], ("x", "y")), table(TOMORROW[:300], ("x", "z"))
    model = CovariateShiftWeight(trees).fit(source, target)
    is_x = source["place"] == "x"
    assert model.weight_[is_x].mean() > 2 * model.weight_[~is_x].mean()
    assert_array_equal(model.weight(source), model.weight_)


@pytest.mark.parametrize("value", ["word", None, np.inf])
def test_the_default_classifier_says_what_it_does_not_take(value):
    table = pd.DataFrame(X[:20], columns=["a", "b"]).astype({"a": object})
    table.iloc[3, 0] = value
    with pytest.raises(ValueError, match=r"takes only finite numbers: .*Give a classifier"):
        CovariateShiftWeight().fit(table, table)


class Sure(LogisticRegression):
    def predict_proba(self, X):
        return np.column_stack([X[:, 0] <= 2, X[:, 0] > 2]).astype(float)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (CovariateShiftWeight(), (X, TOMORROW[:, :1]), r"X_target must be a table with the col"),
        (CovariateShiftWeight(), (X, TOMORROW[:1]), "X_target must have at least 2 distinct rows"),
        (CovariateShiftWeight(), (X, TOMORROW, np.zeros(1500)), "at least one non-zero"),
        (CovariateShiftWeight(clip=1.0), (X, TOMORROW), "clip"),
        (CovariateShiftWeight(Sure()), (X, TOMORROW), "Row .* has an infinite weight"),
        (
            CovariateShiftWeight(make_pipeline(LogisticRegression())),
            (X, TOMORROW, np.ones(1500)),
            "takes no sample_weight. Give a classifier that is no Pipeline",
        ),
    ],
)
def test_errors_say_what_is_wrong(model, data, message):
    with pytest.raises(ValueError, match=message):
        model.fit(*data)


def test_labels_that_are_no_names_count_by_position():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(80, 2)), rng.normal(0.5, 1, size=(60, 2))
    plain = CovariateShiftWeight().fit(source, target).weight_
    for labels in ([1, 2], [5, "b"], ["a", "b"]):
        tables = pd.DataFrame(source), pd.DataFrame(target, columns=labels)
        assert_allclose(CovariateShiftWeight().fit(*tables).weight_, plain, rtol=1e-9)
    with pytest.raises(ValueError, match="they differ in their order"):
        CovariateShiftWeight().fit(pd.DataFrame(source), pd.DataFrame(target, columns=[1, 0]))
