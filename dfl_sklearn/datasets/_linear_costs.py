"""Costs of edges and values of items that are polynomials of features, with possible shifts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.utils import check_random_state

from dfl_sklearn._utils.grid import grid_edges
from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import Knob, check_count, resolve_shift

RUSH_FACTOR = 3.0
GROUP_SPREAD, GROUP_CENTRE = 0.6, (2.0, -2.0)

KNOBS = {
    "noise": Knob(0.5, low=0.0, high=1.0),
    "mean": Knob(0.0),
    "rush": Knob(0.0, low=0.0, high=1.0),
    "group": Knob(0.0, low=0.0, high=1.0),
}
PRESETS = {
    "noise": {"noise": 0.9},
    "mean_up": {"mean": 0.5},
    "mean_down": {"mean": -0.5},
    "rush": {"rush": 0.3},
    "group": {"group": 0.3},
}


def make_shortest_path(
    n_samples: int = 1000,
    n_features: int = 5,
    grid: tuple[int, int] = (5, 5),
    *,
    degree: int = 4,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generate travel times of the edges of a grid, for ``ShortestPathProblem.grid``.

    With p features :math:`x \sim N(\mu 1, I_p)`, and for each edge j a row :math:`b_j` of zeros and
    ones:

    .. math::

        y_j = \frac{1}{3.5^g} \left( \left( \frac{b_j^\top x}{\sqrt p} + 3 \right)^g + 1 \right)
              \varepsilon_j \, r_j,
        \qquad \varepsilon_j \sim U(1 - w, 1 + w),

    with the degree g. In a rush hour, which no feature predicts, edges between inner nodes take
    :math:`r_j = 3` times as long; else :math:`r_j = 1`. The rows :math:`b_j` are drawn once for
    each p and grid, so that samples drawn with different seeds share one distribution.

    There may be rows of a rare group, but none unless `shift` asks for them. Their features are
    :math:`0.6 x + (2, -2, 0, \ldots)`, and their costs have twice the degree:

    .. math::

        y_j = \left( \left( \frac{b_j^\top x / \sqrt p + 3}{3} \right)_+^{2 g} + 0.5 \right)
              \varepsilon_j \, r_j.

    For example, train on data with ``shift={"group": 0.05}``, which have few such rows, and test on
    data with ``shift="group"``, which have many. The other rows have the same distribution in both,
    and all rows use the same draws.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=5
        Number of features p, at least 1.
    grid : tuple of int, default=(5, 5)
        Numbers of rows and columns of nodes.
    degree : int, default=4
        The degree g, at least 1. Above 1 a linear predictor is misspecified.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        =======  ======================================  =======  ====================
        key      meaning                                 nominal  as a string
        =======  ======================================  =======  ====================
        "noise"  w, half-width of the noise, in [0, 1]   0.5      "noise": 0.9
        "mean"   mu, mean of every feature               0        "mean_up": 0.5,
                                                                  "mean_down": -0.5
        "rush"   probability of a rush hour              0        "rush": 0.3
        "group"  probability of the rare group           0        "group": 0.3
        =======  ======================================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, n_edges)
        Travel times; edges in the order of ``ShortestPathProblem.grid``.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    make_knapsack : Values of items from the same distribution.
    dfl_sklearn.problems.ShortestPathProblem : The problem to decide.

    References
    ----------
    Elmachtoub, Grigas, "Smart 'predict, then optimize'", Management Science 68, 2022, section 6.1.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_shortest_path
    >>> from dfl_sklearn.problems import ShortestPathProblem
    >>> X, y = make_shortest_path(100, grid=(3, 3), random_state=0)
    >>> X.shape, y.shape
    ((100, 5), (100, 12))
    >>> ShortestPathProblem.grid(3, 3).solve(y).sum(axis=1).max().item()
    4.0
    """
    try:
        n_rows, n_columns = (check_count("grid", size, minimum=1) for size in grid)
    except (TypeError, ValueError) as error:
        raise type(error)(f"grid must be two whole numbers, at least 1: {error}") from error
    if n_rows * n_columns < 2:
        raise ValueError(f"A grid of {n_rows} x {n_columns} nodes has no edge.")
    inner = _inner_edges(n_rows, n_columns)
    return _draw(n_samples, n_features, inner, degree, shift, random_state)


def make_knapsack(
    n_samples: int = 1000,
    n_features: int = 5,
    n_items: int = 16,
    *,
    degree: int = 4,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate values of items, for ``KnapsackProblem(knapsack_weights(n_items, ...), ...)``.

    The distribution is that of :func:`make_shortest_path`, with items instead of edges. In a rush,
    every second item, starting with the first, is worth three times as much.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=5
        Number of features, at least 1.
    n_items : int, default=16
        Number of items, at least 1.
    degree : int, default=4
        Degree of the polynomials, at least 1.
    shift : None, str or mapping of str to float, default=None
        As in :func:`make_shortest_path`.
    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, n_items)
        Values of the items.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    knapsack_weights : Weights of the items.
    make_uncertain_knapsack : Unknown weights or capacities instead of values.
    dfl_sklearn.problems.KnapsackProblem : The problem to decide.

    Examples
    --------
    >>> from dfl_sklearn.datasets import knapsack_weights, make_knapsack
    >>> from dfl_sklearn.problems import KnapsackProblem
    >>> X, y = make_knapsack(100, n_items=10, random_state=0)
    >>> problem = KnapsackProblem(knapsack_weights(10, 2), capacity=[20, 20])
    >>> bool((problem.solve(y).sum(axis=1) >= 2).all())
    True
    """
    n_items = check_count("n_items", n_items, minimum=1)
    every_other = np.arange(n_items) % 2 == 0
    return _draw(n_samples, n_features, every_other, degree, shift, random_state)


def knapsack_weights(n_items: int = 16, n_resources: int = 2) -> np.ndarray:
    """Return weights (n_resources, n_items) between 3 and 8, the same at every call.

    Parameters
    ----------
    n_items : int, default=16
        Number of items.
    n_resources : int, default=2
        Number of resources.

    Returns
    -------
    ndarray of shape (n_resources, n_items)
        The weights, rounded to hundredths.

    See Also
    --------
    make_knapsack : The values of the items.
    dfl_sklearn.problems.KnapsackProblem : The problem to decide.

    Examples
    --------
    >>> from dfl_sklearn.datasets import knapsack_weights
    >>> weights = knapsack_weights(5, 1)
    >>> bool(weights.min() >= 3), bool(weights.max() <= 8)
    (True, True)
    """
    n_items = check_count("n_items", n_items, minimum=1)
    n_resources = check_count("n_resources", n_resources, minimum=1)
    rng = np.random.default_rng([n_items, n_resources])
    return rng.integers(300, 800, size=(n_resources, n_items)) / 100


def _draw(
    n_samples: int,
    n_features: int,
    in_rush: np.ndarray,
    degree: int,
    shift: str | Mapping[str, float] | None,
    random_state: int | np.random.RandomState | None,
) -> tuple[np.ndarray, np.ndarray]:
    n_samples = check_count("n_samples", n_samples, minimum=1)
    n_features = check_count("n_features", n_features, minimum=1)
    degree = check_count("degree", degree, minimum=1)
    check_rows("n_samples", n_samples, n_features + 2 * len(in_rush))
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    rng = check_random_state(random_state)

    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    n_costs = len(in_rush)
    X = rng.standard_normal((n_samples, n_features)) + knobs["mean"]
    noise = 1.0 + knobs["noise"] * rng.uniform(-1.0, 1.0, size=(n_samples, n_costs))
    is_rush = rng.uniform(size=n_samples) < knobs["rush"]

    in_group = np.zeros(n_samples, dtype=bool)
    if knobs["group"] > 0:  # otherwise no draw, so that the state of a RandomState is as before
        in_group = rng.uniform(size=n_samples) < knobs["group"]
    X[in_group] *= GROUP_SPREAD
    X[in_group, :2] += GROUP_CENTRE[:n_features]

    slopes = _slopes(n_costs, n_features)
    level = X @ slopes.T / np.sqrt(n_features) + 3.0
    y = (level**degree + 1.0) / 3.5**degree
    y[in_group] = (np.maximum(level[in_group], 0.0) / 3.0) ** (2 * degree) + 0.5
    y *= noise
    y[np.ix_(is_rush, in_rush)] *= RUSH_FACTOR
    return X, y


def _slopes(n_costs: int, n_features: int) -> np.ndarray:
    """Return rows of zeros and ones (n_costs, n_features), the same at every call."""
    return np.random.default_rng([n_costs, n_features]).integers(0, 2, (n_costs, n_features))


def _inner_edges(n_rows: int, n_columns: int) -> np.ndarray:
    """Return which edges of a grid, in the order of the problem, join two inner nodes."""
    inner = np.zeros((n_rows, n_columns), dtype=bool)
    inner[1:-1, 1:-1] = True
    return inner.ravel()[grid_edges(n_rows, n_columns)].all(axis=1)
