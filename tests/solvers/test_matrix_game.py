"""Mixed strategies against what neither player can better."""

import numpy as np
from numpy.testing import assert_allclose

from dfl_sklearn.solvers.matrix_game import matrix_game


def test_rock_paper_scissors_is_played_evenly():
    rows, columns = matrix_game(np.array([[0.0, 1, -1], [-1, 0, 1], [1, -1, 0]]))
    assert_allclose(rows, 1 / 3)
    assert_allclose(columns, 1 / 3)


def test_neither_player_can_better_it():
    rng = np.random.default_rng(0)
    for scale in (1e-9, 1.0, 1e9):
        for _ in range(20):
            losses = scale * (rng.normal(size=rng.integers(1, 8, 2)) + 1e3 * rng.integers(-1, 2))
            rows, columns = matrix_game(losses)
            assert_allclose([rows.sum(), columns.sum()], 1)
            assert min(rows.min(), columns.min()) >= 0
            most, least = (rows @ losses).max(), (losses @ columns).min()
            assert_allclose(most, least, atol=1e-9 * (np.ptp(losses) + abs(losses).max()))


def test_equal_losses():
    assert_allclose(matrix_game(np.full((2, 3), 5.0))[0], 0.5)
