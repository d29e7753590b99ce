"""The classifier test of new rows: its level, its power, and rows that are like those before."""

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from dfl_sklearn.robust._shift_discriminant import ShiftDiscriminant
from dfl_sklearn.robust._two_sample_test import two_sample_test


def line():
    return LogisticRegression()


class MeanDifference(ClassifierMixin, BaseEstimator):
    """A score along the difference of the two means."""

    def fit(self, X, y):
        self.direction_ = X[y == 1].mean(axis=0) - X[y == 0].mean(axis=0)
        return self

    def predict_proba(self, X):
        score = 1 / (1 + np.exp(-(X @ self.direction_)))
        return np.column_stack([1 - score, score])


def means():
    return MeanDifference()


def by_heart():
    return DecisionTreeClassifier(random_state=0)


def normal(n, rng):
    return rng.normal(size=(n, 2))


def words(n, rng):
    return rng.integers(0, 2, (n, 2)).astype(float)  # nearly all scores are ties


def autoregressive(n, rng):
    found = np.zeros((n + 50, 2))
    for t in range(1, n + 50):
        found[t] = 0.6 * found[t - 1] + rng.normal(size=2)
    return found[50:]


def p_values(draw, n_tests, shift=0.0):
    found = []
    for seed in range(n_tests):
        rows = draw(190, np.random.default_rng(seed))
        rows[120:] += shift
        found.append(two_sample_test(rows[:120], rows[120:155], rows[155:], means, 2)[1])
    return np.array(found)


@pytest.mark.parametrize("draw", [normal, words, autoregressive])
def test_the_level(draw):
    found = p_values(draw, 200)
    for level in (0.05, 0.2):
        low, high = binom.ppf([5e-4, 1 - 5e-4], 200, level)
        assert low <= (found < level).sum() <= high


def test_the_power_is_that_of_the_best_direction():
    found, shift = p_values(normal, 100, shift=0.8), 0.8 * np.sqrt(2)
    # Were the direction known, two means of 120 and 35 rows would be compared.
    best = norm.sf(norm.isf(0.01) - shift / np.sqrt(1 / 120 + 1 / 35))
    assert best > 0.99
    assert (found < 0.01).mean() > 0.9


@pytest.mark.parametrize("classifier", [by_heart, line, ShiftDiscriminant])
@pytest.mark.parametrize("n_blocks", [2, 3])
@pytest.mark.parametrize("shift", [4, 6, 8, 30])
def test_the_larger_the_shift_the_smaller_the_p_value(classifier, n_blocks, shift):
    """Also where scores do not differ within a sample, or differ in a few rows alone."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        reference, before, now = (rng.normal(size=(n, 3)) for n in (200, 40, 40))
        for rows in (before, now):
            rows[:, 0] += shift
        auc, p_value = two_sample_test(reference, before, now, classifier, n_blocks)
        assert auc > 0.9
        assert p_value < 1e-9


def test_two_constants_are_told_apart():
    ones, twos = np.ones((200, 1)), np.full((50, 1), 2.0)
    assert two_sample_test(ones, twos, twos, ShiftDiscriminant, 3)[1] < 1e-9


def test_the_auc_is_that_of_the_scores():
    rng = np.random.default_rng(0)
    reference, before, now = rng.normal(size=(400, 1)), *rng.normal(1.0, size=(2, 200, 1))
    auc, p_value = two_sample_test(reference, before, now, line, 2)
    assert auc == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.04)
    # Any rising score has the ranks of the feature.
    held = [reference[:200], reference[200:]]
    pairs = [(now > each.T).mean() for each in held]
    assert auc == pytest.approx(np.mean(pairs), abs=1e-12)
    assert p_value < 1e-15


def test_scores_count_as_probabilities_do():
    rng = np.random.default_rng(0)
    rows = *rng.normal(size=(2, 100, 3)), rng.normal(size=(50, 3))

    class Odds(LogisticRegression):
        predict_proba = property()  # hidden, so that decision_function is asked

    assert two_sample_test(*rows, Odds, 2) == two_sample_test(*rows, line, 2)


def moved_mean(rows):
    rows[:, 0] += 0.8


def wider(rows):
    rows[:, 0] *= 2


def dependent(rows):
    rows[:, 1] = 0.8 * rows[:, 0] + 0.6 * rows[:, 1]


@pytest.mark.parametrize(
    ("move", "n_features"), [(moved_mean, 15), (wider, 25), (wider, 8), (dependent, 4)]
)
def test_the_default_finds_shifts_of_each_kind_among_columns_that_stay(move, n_features):
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        reference, before, now = (rng.normal(size=(n, n_features)) for n in (300, 100, 100))
        for rows in (before, now):
            move(rows)
        found.append(two_sample_test(reference, before, now, ShiftDiscriminant, 2)[1])
    assert np.median(found) < 0.003


@pytest.mark.parametrize(("shift", "width"), [(1.0, 1.0), (0.0, 4.0)])
def test_the_default_has_the_least_squared_error_on_rows_left_out(shift, width):
    rng, n = np.random.default_rng(0), 24
    X, y = rng.normal(size=(n, 2)), (np.arange(n) >= 15).astype(int)
    X[y == 1] = X[y == 1] * width + shift
    found = ShiftDiscriminant().fit(X, y)

    def error(features, penalty):
        each = []
        for i in range(n):
            rest = np.arange(n) != i
            model = RidgeClassifier(penalty).fit(features[rest], y[rest])
            each.append(model.decision_function(features[[i]])[0] - (2 * y[i] - 1))
        return np.mean(np.square(each))

    scaled = StandardScaler().fit_transform(X)
    products = np.column_stack([scaled, scaled**2, scaled[:, 0] * scaled[:, 1]])
    candidates = {
        (columns, k): error(StandardScaler().fit_transform(products[:, :columns]), n * 10.0**k)
        for columns in (2, 4, 5)
        for k in np.arange(-8, 5) / 2
    }
    columns, k = min(candidates, key=candidates.get)
    assert found.model_[-1].n_features_in_ == columns == {1.0: 2, 4.0: 4}[width]
    assert found.model_[-1].alpha_ == pytest.approx(n * 10.0**k)


def test_a_classifier_that_knows_rows_by_heart_sees_no_shift_in_known_rows():
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        rows = rng.integers(0, 40, (190, 1)).astype(float)  # most of them seen before
        found.append(two_sample_test(rows[:120], rows[120:155], rows[155:], by_heart, 3)[1])
    assert (np.array(found) < 0.05).sum() <= binom.ppf(0.999, 60, 0.05)


def test_scores_that_are_all_equal_show_nothing():
    rows = np.random.default_rng(0).normal(size=(90, 1))
    dull = two_sample_test(rows[:60], rows[60:75], rows[75:], DummyClassifier, 2)
    assert dull == (0.5, 1.0)


def test_one_odd_row_is_no_shift_and_a_window_of_them_is():
    constant, odd = np.zeros((60, 1)), np.zeros((20, 1))
    odd[::7] = 1.0
    assert two_sample_test(constant, odd, np.eye(20)[:, :1], line, 2)[1] > 0.01
    assert two_sample_test(constant, odd + 1, odd + 1, line, 2)[1] < 1e-6
