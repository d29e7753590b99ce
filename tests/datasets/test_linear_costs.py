import numpy as np
import pytest

from dfl_sklearn.datasets import knapsack_weights, make_knapsack, make_shortest_path
from dfl_sklearn.problems import KnapsackProblem, ShortestPathProblem


def test_without_noise_times_are_a_polynomial_of_one_score_per_edge():
    quiet = {"noise": 0.0}
    X, y = make_shortest_path(50, 4, (3, 3), degree=3, shift=quiet, random_state=0)
    score = np.cbrt(y * 3.5**3 - 1.0) - 3.0  # b'x / sqrt(p)
    slopes, residual, *_ = np.linalg.lstsq(X, score * np.sqrt(4), rcond=None)
    np.testing.assert_allclose(residual, 0.0, atol=1e-20)
    assert set(np.rint(slopes).ravel()) == {0.0, 1.0}
    np.testing.assert_allclose(slopes, np.rint(slopes), atol=1e-9)
    # Another seed has the same slopes.
    X_2, y_2 = make_shortest_path(50, 4, (3, 3), degree=1, shift=quiet, random_state=1)
    np.testing.assert_allclose(y_2, (X_2 @ np.rint(slopes) / 2 + 4.0) / 3.5, atol=1e-12)


@pytest.mark.parametrize("make", [make_shortest_path, make_knapsack])
def test_shifts_are_paired(make):
    X, y = make(300, random_state=0)
    quiet, loud = (make(300, shift={"noise": w}, random_state=0)[1] for w in (0.0, 0.9))
    np.testing.assert_allclose((loud - quiet) / 0.9, (y - quiet) / 0.5, atol=1e-12)
    assert np.abs(loud / quiet - 1).max() <= 0.9
    up, _ = make(300, shift="mean_up", random_state=0)
    down, _ = make(300, shift="mean_down", random_state=0)
    np.testing.assert_allclose(up - X, 0.5, atol=1e-12)
    np.testing.assert_allclose(down - X, -0.5, atol=1e-12)
    rush_X, rush = make(300, shift="rush", random_state=0)
    np.testing.assert_array_equal(rush_X, X)
    factor = rush / y
    hit = (np.abs(factor - 3) < 1e-9).any(axis=1)
    assert hit.mean() == pytest.approx(0.3, abs=0.07)
    np.testing.assert_allclose(factor[~hit], 1.0)
    struck = np.abs(factor[hit] - 3) < 1e-9
    assert (struck == struck[0]).all()  # the same ones in every rush


def test_a_rare_group_lies_elsewhere_and_costs_by_its_own_formula():
    X, _ = make_shortest_path(2000, 5, (4, 4), degree=2, random_state=0)
    few, many = (
        make_shortest_path(
            2000, 5, (4, 4), degree=2, shift={"group": share, "noise": 0.0}, random_state=0
        )
        for share in (0.05, 0.3)
    )
    is_few, is_many = ((each[0] != X).any(axis=1) for each in (few, many))
    assert is_few.mean() == pytest.approx(0.05, abs=0.015)
    assert is_many.mean() == pytest.approx(0.3, abs=0.03)
    assert is_many[is_few].all()  # paired
    moved = 0.6 * X[is_many] + [2, -2, 0, 0, 0]
    np.testing.assert_allclose(many[0][is_many], moved, rtol=1e-14, atol=1e-15)
    # The others have their cost, by slopes that the quiet data without a group give away.
    _, quiet = make_shortest_path(2000, 5, (4, 4), degree=2, shift={"noise": 0.0}, random_state=0)
    np.testing.assert_array_equal(many[1][~is_many], quiet[~is_many])
    score = np.linalg.lstsq(X[:40], np.sqrt(quiet[:40] * 12.25 - 1) - 3, rcond=None)[0]
    slopes = np.rint(score * np.sqrt(5))
    b = moved @ slopes / np.sqrt(5)
    np.testing.assert_allclose(many[1][is_many], np.maximum(b + 3, 0) ** 4 / 81 + 0.5, rtol=1e-9)
    named = make_shortest_path(50, grid=(4, 4), shift="group", random_state=0)
    by_number = make_shortest_path(50, grid=(4, 4), shift={"group": 0.3}, random_state=0)
    np.testing.assert_array_equal(named[1], by_number[1])
    one, _ = make_shortest_path(50, 1, (3, 3), shift={"group": 1.0}, random_state=0)
    np.testing.assert_allclose(
        one, 0.6 * make_shortest_path(50, 1, (3, 3), random_state=0)[0] + 2.0, rtol=1e-14
    )


def test_a_rush_strikes_edges_between_inner_nodes():
    problem = ShortestPathProblem.grid(4, 5)
    _, y = make_shortest_path(5, grid=(4, 5), random_state=0)
    _, rush = make_shortest_path(5, grid=(4, 5), shift={"rush": 1.0}, random_state=0)
    ends = np.stack(np.unravel_index(problem.edges, (4, 5)), axis=-1)  # edge, end, (row, column)
    inner = ((ends > 0) & (ends < [3, 4])).all(axis=(1, 2))
    np.testing.assert_array_equal((rush != y).all(axis=0), inner)
    assert inner.sum() == 7


def test_the_items_fit_their_problem():
    X, y = make_knapsack(20, n_items=12, random_state=0)
    problem = KnapsackProblem(knapsack_weights(12, 3), [20, 20, 20])
    assert problem.is_feasible(problem.solve(y)).all()
    assert X.shape == (20, 5)
    assert (y > 0).all()
    np.testing.assert_array_equal(knapsack_weights(12, 3), knapsack_weights(12, 3))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"grid": (1, 1)}, ValueError, "1 x 1 nodes has no edge"),
        ({"grid": (0, 3)}, ValueError, "grid must be two whole numbers"),
        ({"grid": (2.5, 3)}, TypeError, "grid must be two whole numbers"),
        ({"grid": (2, 3, 4)}, ValueError, "grid must be two whole numbers"),
        ({"degree": 0}, ValueError, "degree must be at least 1"),
        ({"n_features": 0}, ValueError, "n_features must be at least 1"),
        ({"shift": "rain"}, ValueError, "Unknown shift 'rain'"),
        ({"shift": {"noise": 1.5}}, ValueError, "noise"),
    ],
)
def test_bad_arguments(params, error, message):
    with pytest.raises(error, match=message):
        make_shortest_path(10, **params)
