"""The classifier test of new rows: its level, its power, and rows that are like those before."""

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from dfl_sklearn.robust._two_sample_test import two_sample_test


def line(X):
    return LogisticRegression()


class MeanDifference(ClassifierMixin, BaseEstimator):
    """A score along the difference of the two means."""

    def fit(self, X, y):
        self.direction_ = X[y == 1].mean(axis=0) - X[y == 0].mean(axis=0)
        return self

    def predict_proba(self, X):
        score = 1 / (1 + np.exp(-(X @ self.direction_)))
        return np.column_stack([1 - score, score])


def means(X):
    return MeanDifference()


def by_heart(X):
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


def test_a_classifier_that_knows_rows_by_heart_sees_no_shift_in_known_rows():
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        rows = rng.integers(0, 40, (190, 1)).astype(float)  # most of them seen before
        found.append(two_sample_test(rows[:120], rows[120:155], rows[155:], by_heart, 3)[1])
    assert (np.array(found) < 0.05).sum() <= binom.ppf(0.999, 60, 0.05)


def test_scores_that_are_all_equal_show_nothing():
    rows = np.random.default_rng(0).normal(size=(90, 1))
    dull = two_sample_test(rows[:60], rows[60:75], rows[75:], lambda X: DummyClassifier(), 2)
    assert dull == (0.5, 1.0)


def test_one_odd_row_is_no_shift_and_a_window_of_them_is():
    constant, odd = np.zeros((60, 1)), np.zeros((20, 1))
    odd[::7] = 1.0
    assert two_sample_test(constant, odd, np.eye(20)[:, :1], line, 2)[1] > 0.01
    assert two_sample_test(constant, odd + 1, odd + 1, line, 2)[1] < 1e-6
