"""The weights of training rows in forests and neighbour models, as sparse matrices."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array


def leaf_weights(leaves: np.ndarray, at: np.ndarray, weight: np.ndarray) -> csr_array:
    r"""Return the mean over trees of the shares that training rows have in the leaf of x.

    .. math:: w_i(x) = \frac1T \sum_t \frac{q_i\, 1\{i \in R_t(x)\}}{\sum_j q_j\, 1\{j \in R_t(x)\}}

    (Bertsimas and Kallus, 2020).

    Parameters
    ----------
    leaves : ndarray of shape (n, T)
        The leaf of each training row in each tree.
    at : ndarray of shape (m, T)
        The leaves of the rows to predict.
    weight : ndarray of shape (n,)
        Of the training rows, positive.

    Returns
    -------
    csr_array of shape (m, n)
    """
    n_trees = leaves.shape[1]
    known = np.empty(at.shape, dtype=bool)
    within, asked, n_leaves = np.empty_like(leaves), np.empty_like(at), 0
    for t in range(n_trees):  # leaves are numbered through all trees
        found, number = np.unique(leaves[:, t], return_inverse=True)
        place = np.searchsorted(found, at[:, t]).clip(max=len(found) - 1)
        known[:, t] = found[place] == at[:, t]
        within[:, t], asked[:, t] = number + n_leaves, place + n_leaves
        n_leaves += len(found)
    n_known = known.sum(axis=1, keepdims=True)
    refuse_empty(n_known == 0, "no training row in any of its leaves", "Fit on more rows")
    members = _of_leaves(within, n_leaves, np.repeat(weight, n_trees))
    total = np.asarray(members.sum(axis=0)).ravel()
    share = _of_leaves(asked, n_leaves, (known / (n_known * total[asked])).ravel())
    product = share @ members.T
    product.eliminate_zeros()
    product.sort_indices()
    return product


def _of_leaves(leaf: np.ndarray, n_leaves: int, values: np.ndarray) -> csr_array:
    starts = np.arange(len(leaf) + 1) * leaf.shape[1]
    return csr_array((values, leaf.ravel(), starts), shape=(len(leaf), n_leaves))


def neighbor_weights(model: Any, X: Any, n_rows: int) -> csr_array:
    """Return the weights (m, n) that a regressor of neighbours gives to the training rows.

    Parameters
    ----------
    model : KNeighborsRegressor or RadiusNeighborsRegressor
        Fitted.
    X : array-like of shape (m, p)
    n_rows : int
        Of the training rows.

    Raises
    ------
    ValueError
        If a row has no neighbour, or none of positive weight; the message names the row.
    """
    find = model.kneighbors if hasattr(model, "kneighbors") else model.radius_neighbors
    distance, index = find(X)
    counts = np.array([len(each) for each in index])
    refuse_empty(counts == 0, "no training row within its radius", "Give a larger radius")
    flat = np.concatenate([np.asarray(each) for each in index]).astype(np.int64)
    weight = _by_distance(model.weights, distance, counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    total = np.add.reduceat(weight, starts[:-1])
    refuse_empty(~(total > 0), "neighbours of weight 0 alone", "Give other weights=")
    found = csr_array((weight / np.repeat(total, counts), flat, starts), (len(counts), n_rows))
    found.sort_indices()
    return found


def _by_distance(weights: Any, distance: Any, counts: np.ndarray) -> np.ndarray:
    """Return the weights of all neighbours in one array, as scikit-learn computes them."""
    if weights is None or (isinstance(weights, str) and weights == "uniform"):
        return np.ones(counts.sum())
    if callable(weights):
        found = weights(distance)
        return np.concatenate([np.asarray(each, dtype=np.float64) for each in found])
    # "distance": neighbours at distance 0 get all of the weight.
    parts = []
    for each in distance:
        here = each == 0
        parts.append(here.astype(np.float64) if here.any() else each.min() / each)
    return np.concatenate(parts)


def refuse_empty(empty: np.ndarray, what: str, advice: str) -> None:
    """Raise a ValueError about the first row without scenarios."""
    if empty.any():
        raise ValueError(f"Row {int(empty.argmax())} of X has {what}. {advice}.")
