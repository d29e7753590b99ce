"""Mixed strategies of a finite game between two players, whose gains add up to 0."""

import numpy as np
from scipy.optimize import linprog


def matrix_game(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best mixed strategies of both players.

    Parameters
    ----------
    losses : ndarray of shape (k, j)
        What the player of rows loses to that of columns, finite.

    Returns
    -------
    rows : ndarray of shape (k,)
        The mixture of rows whose largest expected loss is smallest.
    columns : ndarray of shape (j,)
        The mixture of columns whose smallest expected gain is largest.
    """
    k, j = losses.shape
    if k == 1:
        return np.ones(1), np.eye(j)[losses[0].argmax()]
    if j == 1:
        return np.eye(k)[losses[:, 0].argmin()], np.ones(1)
    low, high = losses.min(), losses.max()
    if low == high:
        return np.full(k, 1 / k), np.full(j, 1 / j)
    scaled = (losses - low) / (high - low)  # tolerances of the solver are absolute
    found = linprog(  # min v with scaled.T @ rows <= v
        np.append(np.zeros(k), 1.0),
        A_ub=np.column_stack([scaled.T, -np.ones(j)]),
        b_ub=np.zeros(j),
        A_eq=np.append(np.ones(k), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * k + [(None, None)],
        method="highs-ds",
    )
    if found.status != 0:
        raise ValueError(f"A game of {k} by {j} strategies was not solved: {found.message}")
    rows = np.maximum(found.x[:k], 0.0)
    columns = np.maximum(-found.ineqlin.marginals, 0.0)
    return rows / rows.sum(), columns / columns.sum()
