"""Coordinates of rows given their context, against jointly Gaussian tables and exact relations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from dfl_sklearn.robust._columns import ColumnCoordinates
from dfl_sklearn.robust._given_context import TableCoordinates, evidence_ridge

SLOPE = np.array([[1.0, 0.0, 0.5], [-0.3, 0.2, 1.0]])
ROOT = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.7]])


def gaussian(n, seed=0):
    rng = np.random.default_rng(seed)
    context = rng.standard_normal((n, 2)) @ [[1.0, 0.7], [0.0, 1.0]]
    return 3.0 + context @ SLOPE + rng.standard_normal((n, 3)) @ ROOT, context


def test_a_jointly_gaussian_table_is_standard_normal_and_independent_of_its_context():
    Z, context = gaussian(20_000)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(Z))
    coordinates = TableCoordinates.fit(Z, weight, context)
    z, u = coordinates.forward(Z, context), coordinates.context.forward(context)
    joint = np.cov(np.hstack([z, u]).T, aweights=weight)
    assert_allclose(joint, np.eye(5), atol=5e-3)
    assert_allclose(coordinates.inverse(z, context), Z, atol=1e-9)


def test_the_density_of_the_coordinates_is_the_conditional_one():
    Z, context = gaussian(20_000)
    coordinates = TableCoordinates.fit(Z, np.ones(len(Z)), context)
    Z, context = gaussian(300, seed=1)
    found = multivariate_normal(np.zeros(3)).logpdf(coordinates.forward(Z, context))
    found += coordinates.log_det(Z, context)
    noise = multivariate_normal(np.zeros(3), ROOT.T @ ROOT)
    assert_allclose(found, noise.logpdf(Z - 3.0 - context @ SLOPE), atol=0.15)


def test_the_log_determinant_is_that_of_finite_differences():
    """With heavy-tailed columns, which are compressed, before and after the regression."""
    rng = np.random.default_rng(0)
    context = np.exp(1.5 * rng.standard_normal((400, 1)))
    Z = np.column_stack(
        [
            np.exp(1.5 * rng.standard_normal(400)) * context[:, 0],
            rng.standard_t(2.5, 400) + np.log(context[:, 0]),
        ]
    )
    coordinates = TableCoordinates.fit(Z, np.ones(400), context)
    assert coordinates.table.compressed.any()
    row, given = Z[7:8], context[7:8]
    slopes = np.empty((2, 2))
    for j in range(2):
        step = 1e-6 * np.eye(2)[j] * np.abs(row[0, j])
        ends = [coordinates.forward(row + sign * step, given)[0] for sign in (1, -1)]
        slopes[:, j] = (ends[0] - ends[1]) / (2 * step[j])
    expected = np.linalg.slogdet(slopes)[1]
    assert coordinates.log_det(row, given)[0] == pytest.approx(expected, abs=1e-5)


def test_a_context_that_is_constant_changes_nothing():
    Z, _ = gaussian(200)
    plain = ColumnCoordinates.fit(Z, np.ones(200))
    given = TableCoordinates.fit(Z, np.ones(200), np.full((200, 2), 7.0))
    assert given.n_known == 0
    context = np.full((200, 2), 7.0)
    assert_array_equal(given.forward(Z, context), plain.forward(Z))
    assert_array_equal(given.log_det(Z, context), plain.log_det(Z))


@pytest.mark.parametrize("slope", [2.0, -3.0])
@pytest.mark.parametrize("heavy", [False, True])
def test_columns_that_the_context_determines_are_exact(slope, heavy):
    rng = np.random.default_rng(0)
    known = np.exp(2 * rng.standard_normal(300)) if heavy else rng.standard_normal(300)
    context = np.column_stack([known, rng.integers(0, 2, 300), 2 * known, np.full(300, 4.0)])
    own = rng.standard_normal(300)
    Z = np.column_stack([slope * known + 1, own, own + context[:, 1], 2 * context[:, 1] - 1])
    coordinates = TableCoordinates.fit(Z, np.ones(300), context)
    assert coordinates.n_coordinates == 1
    made = coordinates.inverse(rng.standard_normal((300, 1)), context)
    assert_allclose(made[:, 0], slope * known + 1, rtol=1e-9, atol=1e-9)
    assert_allclose(made[:, 2], made[:, 1] + context[:, 1], atol=1e-9)
    assert_array_equal(made[:, 3], 2 * context[:, 1] - 1)
    assert np.std(made[:, 1]) > 0.5
    assert_allclose(
        coordinates.inverse(coordinates.forward(Z, context), context), Z, rtol=1e-9, atol=1e-9
    )


def test_all_columns_may_be_determined():
    known = np.random.default_rng(0).standard_normal(50)[:, None]
    Z = np.hstack([known, -known, 3 + 0 * known])
    coordinates = TableCoordinates.fit(Z, np.ones(50), known)
    assert coordinates.n_coordinates == 0
    assert_allclose(coordinates.inverse(np.empty((50, 0)), known), Z, atol=1e-12)
    assert_allclose(coordinates.log_det(Z, known), 0.0)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_the_units_do_not_matter(size):
    Z, context = gaussian(200)
    coordinates = TableCoordinates.fit(size * Z, np.ones(200), size * context)
    ours = TableCoordinates.fit(Z, np.ones(200), context)
    z = coordinates.forward(size * Z, size * context)
    assert_allclose(z, ours.forward(Z, context), rtol=1e-6, atol=1e-8)
    assert_allclose(coordinates.inverse(z, size * context), size * Z, rtol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 12, 31])
@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_few_rows_and_many_contexts(n, k):
    rng = np.random.default_rng(n)
    context = rng.standard_normal((n, k))
    Z = np.column_stack([rng.standard_normal((n, 3)), context[:, 0]])
    coordinates = TableCoordinates.fit(Z, rng.uniform(0.5, 2.0, n), context)
    z = coordinates.forward(Z, context)
    assert np.abs(z).max() < 10
    assert_allclose(coordinates.inverse(z, context), Z, atol=1e-9)
    fresh = rng.standard_normal((500, k))
    made = coordinates.inverse(rng.standard_normal((500, coordinates.n_coordinates)), fresh)
    assert np.isfinite(made).all()
    assert made.std(axis=0).max() < 10


def test_noise_is_shrunk_to_nearly_nothing_and_a_strong_slope_hardly():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((200, 3))
    columns = np.column_stack([rng.standard_normal(200), 5 * u[:, 0] + rng.standard_normal(200)])
    share = np.full(200, 1 / 200)
    slope, degrees = evidence_ridge(columns, u, share)
    plain = np.linalg.lstsq(u, columns, rcond=None)[0]
    assert np.linalg.norm(slope[:, 0]) < 0.5 * np.linalg.norm(plain[:, 0])
    assert_allclose(slope[:, 1], plain[:, 1], atol=0.02)
    assert degrees[0] < 1.5 < 2.9 < degrees[1] <= 3


def test_few_rows_give_a_better_conditional_gaussian_than_least_squares_or_no_context():
    """By the expected log density of fresh rows, over 20 tables."""
    rng, k, d = np.random.default_rng(0), 8, 3
    gains = []
    for _ in range(20):
        slope = 0.25 * rng.standard_normal((k, d))

        def table(n, slope=slope):
            context = rng.standard_normal((n, k))
            return context @ slope + rng.standard_normal((n, d)), context

        Z, context = table(30)
        fresh, given = table(2000)
        score = multivariate_normal(np.zeros(d)).logpdf
        ours = TableCoordinates.fit(Z, np.ones(30), context)
        found = score(ours.forward(fresh, given)) + ours.log_det(fresh, given)
        none = ColumnCoordinates.fit(Z, np.ones(30))
        without = score(none.forward(fresh)) + none.log_det(fresh)
        fitted, *_ = np.linalg.lstsq(np.c_[np.ones(30), context], Z, rcond=None)
        left = Z - np.c_[np.ones(30), context] @ fitted
        squares = multivariate_normal(np.zeros(d), left.T @ left / 30).logpdf(
            fresh - np.c_[np.ones(2000), given] @ fitted
        )
        gains.append([found.mean() - without.mean(), found.mean() - squares.mean()])
    assert (np.mean(gains, axis=0) > 0.1).all()


def test_a_column_that_spans_too_much_is_named():
    Z, context = gaussian(20)
    with pytest.raises(ValueError, match="Context column 1 spans more than a float holds"):
        TableCoordinates.fit(Z, np.ones(20), np.sign(context) * [1.0, 1.7e308])
    Z[:, 2] = np.sign(Z[:, 2] - 3.0) * 1.7e308
    with pytest.raises(ValueError, match="Column 2 spans more"):
        TableCoordinates.fit(Z, np.ones(20), context)
