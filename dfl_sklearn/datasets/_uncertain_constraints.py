"""Weights, capacities and demand that depend on polynomials of features, with possible shifts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import betaincinv
from scipy.stats import poisson
from sklearn.utils import check_random_state

from dfl_sklearn._utils.checks import number
from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import Knob, check_count, check_option, resolve_shift

RUSH_FACTOR = 2.0
N_REFERENCE = 1000  # rows from which the numbers of a problem are computed
LARGEST_RATE = 1e9  # largest rate for which Poisson quantiles are right

KNOBS = {
    "noise": Knob(0.1, low=0.0, high=1.0),
    "mean": Knob(0.0),
    "level": Knob(1.0, low=0.0),
    "rush": Knob(0.0, low=0.0, high=1.0),
}
PRESETS = {
    "noise": {"noise": 0.5},
    "mean_up": {"mean": 0.3},
    "mean_down": {"mean": -0.3},
    "level_up": {"level": 1.2},
    "level_down": {"level": 0.8},
    "rush": {"rush": 0.2},
}


def make_uncertain_knapsack(
    n_samples: int = 1000,
    n_features: int = 5,
    n_items: int = 50,
    *,
    unknown: str = "weights",
    degree: int = 5,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generate weights of items, or capacities, for ``UncertainKnapsackProblem``.

    With p features :math:`x \sim N(\mu 1, I_p)`, and for each item j a row :math:`b_j` of zeros and
    ones, weights are

    .. math:: w_j \sim \mathrm{Poisson}\Bigl( l\, r_j \Bigl(1 + \Bigl( \frac{b_j^\top x}{\sqrt p}
       + 3 \Bigr)^g \Bigr)_+ \varepsilon_j \Bigr), \qquad \varepsilon_j \sim U(1 - n, 1 + n),

    with the degree g and the level l = 1. In a rush, which no feature predicts, every other item
    from the first on weighs :math:`r_j = 2` times as much; else :math:`r_j = 1`.

    Unknown capacities are shares of the weight of all items: with a single row b,

    .. math:: C = \frac{l}{r} \sum_j w_j \max(0.1, s), \qquad s \sim \mathrm{Beta}(a, a), \qquad
       a = (1 + (b^\top |x|)^g)\, \varepsilon,

    rounded; half as much (r = 2) in a rush.

    Rows b are drawn once for each p and number of items, so that samples drawn with different seeds
    have the same distribution. :func:`uncertain_knapsack_numbers` returns the known numbers of the
    knapsacks.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=5
        Number of features p, at least 1.
    n_items : int, default=50
        Number of items, at least 1.
    unknown : {"weights", "capacity"}, default="weights"
        What y holds.
    degree : int, default=5
        The degree g, at least 1.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        =======  ======================================  =======  ====================
        key      meaning                                 nominal  as a string
        =======  ======================================  =======  ====================
        "noise"  n, half-width of the noise, in [0, 1]   0.1      "noise": 0.5
        "mean"   mu, mean of every feature               0        "mean_up": 0.3,
                                                                  "mean_down": -0.3
        "level"  l, factor on weights or capacities      1        "level_up": 1.2,
                                                                  "level_down": 0.8
        "rush"   probability of a rush                   0        "rush": 0.2
        =======  ======================================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, n_items), or (n_samples,) for unknown capacities
        Weights or capacities, integers as floats.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a number is out of range, or a name in `shift` or `unknown` is unknown.

    See Also
    --------
    uncertain_knapsack_numbers : The known numbers of the knapsacks.
    make_knapsack : Known weights and unknown values.
    dfl_sklearn.problems.UncertainKnapsackProblem : The problem to decide.

    References
    ----------
    Silvestri et al., "Score function gradient estimation to widen the applicability of
    decision-focused learning", Journal of Artificial Intelligence Research, 2026, and its code
    (github.com/matsilv/sfge-dfl), where x and the rates are rounded.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_uncertain_knapsack, uncertain_knapsack_numbers
    >>> from dfl_sklearn.problems import UncertainKnapsackProblem
    >>> X, y = make_uncertain_knapsack(100, n_items=10, random_state=0)
    >>> X.shape, y.shape
    ((100, 5), (100, 10))
    >>> problem = UncertainKnapsackProblem(**uncertain_knapsack_numbers(10))
    >>> bool(problem.is_feasible(problem.solve(y), y).mean() > 0.8)
    True
    """
    n_samples, n_features, n_items, degree = _counts(n_samples, n_features, n_items, degree)
    check_option("unknown", unknown, ("weights", "capacity"))
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    check_rows("n_samples", n_samples, n_features + 4 * n_items)
    rng = check_random_state(random_state)
    if unknown == "weights":
        return _counts_of_items(n_samples, n_features, n_items, degree, knobs, rng)
    X = rng.standard_normal((n_samples, n_features)) + knobs["mean"]
    noise = 1.0 + knobs["noise"] * rng.uniform(-1.0, 1.0, size=n_samples)
    is_rush = rng.uniform(size=n_samples) < knobs["rush"]
    quantile = rng.uniform(size=n_samples)
    slope = np.random.default_rng([n_features]).integers(0, 2, n_features)
    slope[0] = 1  # so that the capacity depends on at least one feature
    a = np.maximum((1.0 + (np.abs(X) @ slope) ** degree) * noise, 1e-3)
    share = np.maximum(0.1, betaincinv(a, a, quantile))
    level = knobs["level"] * np.where(is_rush, 1.0 / RUSH_FACTOR, 1.0)
    total = uncertain_knapsack_numbers(n_items, n_features, unknown="capacity")["weights"].sum()
    return X, np.rint(level * share * total)


def uncertain_knapsack_numbers(
    n_items: int = 50,
    n_features: int = 5,
    *,
    unknown: str = "weights",
    degree: int = 5,
    penalty_ratio: float = 10.0,
) -> dict[str, Any]:
    r"""Return the known numbers of the knapsacks of :func:`make_uncertain_knapsack`.

    With unknown weights, values are :math:`v_j = u_j \sum_i \bar w_{ij}`, where :math:`u_j \sim
    U(0, 1)` and :math:`\bar w_{ij}` are the weights of 1,000 nominal rows, scaled to the interval
    from 0 to 1. The capacity is a fifth of the mean total weight of these rows. With an unknown
    capacity, weights are integers between 1 and 100, and values are :math:`v_j = u_j w_j`. All
    numbers are the same at every call.

    The penalty is the ratio times the mean value of a unit of weight, :math:`\rho\, \sum_j v_j /
    \sum_j \mathrm E w_j`: excess by an average item costs :math:`\rho` times its value. (In the
    paper, removing an item costs :math:`\rho` times its value, whatever its weight, and unused
    capacity can be filled later for a part of the value.)

    Parameters
    ----------
    n_items : int, default=50
        Number of items.
    n_features : int, default=5
        Number of features.
    unknown : {"weights", "capacity"}, default="weights"
        As for :func:`make_uncertain_knapsack`.
    degree : int, default=5
        As for :func:`make_uncertain_knapsack`.
    penalty_ratio : float, default=10
        The ratio :math:`\rho`, positive.

    Returns
    -------
    dict
        Arguments of ``UncertainKnapsackProblem``: ``values``, ``penalty``, and ``capacity`` or
        ``weights``.

    See Also
    --------
    make_uncertain_knapsack : The weights or capacities.
    dfl_sklearn.problems.UncertainKnapsackProblem : The problem that takes these numbers.

    Examples
    --------
    >>> from dfl_sklearn.datasets import uncertain_knapsack_numbers
    >>> sorted(uncertain_knapsack_numbers(8, unknown="capacity"))
    ['penalty', 'values', 'weights']
    """
    _, n_features, n_items, degree = _counts(1, n_features, n_items, degree)
    check_option("unknown", unknown, ("weights", "capacity"))
    ratio = number(penalty_ratio, "penalty_ratio", above=0)
    seeds = [n_items, n_features, degree, 0 if unknown == "weights" else 1]
    known = np.random.default_rng(seeds)
    shares = known.uniform(size=n_items)
    if unknown == "capacity":
        weights = known.integers(1, 101, n_items).astype(float)
        values = shares * weights
        return {
            "values": values,
            "weights": weights,
            "penalty": float(ratio * values.sum() / weights.sum()),
        }
    rng = np.random.RandomState(known.integers(2**31))
    knobs = resolve_shift(None, KNOBS)
    _, y = _counts_of_items(N_REFERENCE, n_features, n_items, degree, knobs, rng)
    spread = np.ptp(y, axis=0)
    scaled = (y - y.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    values = shares * scaled.sum(axis=0)
    return {
        "values": values,
        "capacity": float(np.rint(0.2 * y.sum(axis=1).mean())),
        "penalty": float(ratio * values.sum() / y.mean(axis=0).sum()),
    }


def make_set_multicover(
    n_samples: int = 1000,
    n_features: int = 5,
    n_items: int = 5,
    *,
    degree: int = 5,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generate demand for items, for ``SetMultiCoverProblem``.

    The distribution is that of the weights of :func:`make_uncertain_knapsack`: Poisson numbers
    whose rates are polynomials of the features. In a rush, the demand for every second item,
    starting with the first, doubles. :func:`set_multicover_numbers` returns the sets and costs.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=5
        Number of features, at least 1.
    n_items : int, default=5
        Number of items, at least 1.
    degree : int, default=5
        Degree of the polynomials, at least 1.
    shift : None, str or mapping of str to float, default=None
        As in :func:`make_uncertain_knapsack`.
    random_state : int, RandomState instance or None, default=None
        Determines the sample, as in :func:`make_uncertain_knapsack`.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, n_items)
        Demand, integers as floats.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    set_multicover_numbers : Sets and costs for this demand.
    dfl_sklearn.problems.SetMultiCoverProblem : The problem to decide.

    References
    ----------
    Silvestri et al., 2026; see :func:`make_uncertain_knapsack`.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_set_multicover, set_multicover_numbers
    >>> from dfl_sklearn.problems import SetMultiCoverProblem
    >>> X, y = make_set_multicover(100, random_state=0)
    >>> problem = SetMultiCoverProblem(**set_multicover_numbers(n_items=5, n_sets=25))
    >>> bool(problem.is_feasible(problem.solve(y[:2]), y[:2]).all())
    True
    """
    n_samples, n_features, n_items, degree = _counts(n_samples, n_features, n_items, degree)
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    check_rows("n_samples", n_samples, n_features + 4 * n_items)
    rng = check_random_state(random_state)
    return _counts_of_items(n_samples, n_features, n_items, degree, knobs, rng)


def set_multicover_numbers(
    n_items: int = 5,
    n_sets: int = 25,
    *,
    density: float = 0.02,
    penalty_ratio: float = 5.0,
) -> dict[str, Any]:
    r"""Return sets and costs for the demand of :func:`make_set_multicover`.

    Each item is in at least two sets and each set contains at least one item, chosen at random. If
    these are less than a share `density` of all pairs, further random pairs are added. A set costs
    an integer from 1 to 99, and a missing item costs `penalty_ratio` times the most expensive set
    that contains it. All numbers are the same at every call.

    Parameters
    ----------
    n_items : int, default=5
        Number of items.
    n_sets : int, default=25
        Number of sets, at least 2.
    density : float, default=0.02
        Least share of pairs of items and sets, in [0, 1].
    penalty_ratio : float, default=5
        Ratio of a penalty to the cost of the most expensive set, positive.

    Returns
    -------
    dict
        Arguments of ``SetMultiCoverProblem``: ``incidence``, ``set_cost`` and ``penalty``.

    See Also
    --------
    make_set_multicover : The demand.
    dfl_sklearn.problems.SetMultiCoverProblem : The problem that takes these numbers.

    References
    ----------
    Silvestri et al., 2026; see :func:`make_uncertain_knapsack`.

    Examples
    --------
    >>> from dfl_sklearn.datasets import set_multicover_numbers
    >>> bool((set_multicover_numbers(5, 25)["incidence"].sum(axis=1) >= 2).all())
    True
    """
    n_items = check_count("n_items", n_items, minimum=1)
    n_sets = check_count("n_sets", n_sets, minimum=2)
    density = number(density, "density", at_least=0, at_most=1)
    ratio = number(penalty_ratio, "penalty_ratio", above=0)
    rng = np.random.default_rng([n_items, n_sets])
    cost = rng.integers(1, 100, n_sets).astype(float)
    incidence = np.zeros((n_items, n_sets))
    for row in incidence:
        row[rng.choice(n_sets, 2, replace=False)] = 1.0
    incidence[rng.integers(n_items, size=n_sets), np.arange(n_sets)] = 1.0
    filled = incidence.mean()
    more = max(0.0, density - filled) / max(1.0 - filled, 1e-9)
    incidence[rng.uniform(size=incidence.shape) < more] = 1.0
    return {
        "incidence": incidence,
        "set_cost": cost,
        "penalty": ratio * (incidence * cost).max(axis=1),
    }


def _counts(*values: Any) -> tuple[int, ...]:
    names = ("n_samples", "n_features", "n_items", "degree")
    return tuple(
        check_count(name, value, minimum=1) for name, value in zip(names, values, strict=True)
    )


def mean_counts(X: np.ndarray, n_items: int, degree: int = 5) -> np.ndarray:
    """Return the nominal mean counts (n, n_items) for features (n, p)."""
    p = X.shape[1]
    slopes = np.random.default_rng([n_items, p]).integers(0, 2, (n_items, p))
    return np.maximum(1.0 + (X @ slopes.T / np.sqrt(p) + 3.0) ** degree, 0.0)


def _counts_of_items(
    n_samples: int,
    n_features: int,
    n_items: int,
    degree: int,
    knobs: Mapping[str, float],
    rng: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, p) and Poisson numbers (n, m) whose rates are polynomials of them."""
    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    X = rng.standard_normal((n_samples, n_features)) + knobs["mean"]
    noise = 1.0 + knobs["noise"] * rng.uniform(-1.0, 1.0, size=(n_samples, n_items))
    is_rush = rng.uniform(size=n_samples) < knobs["rush"]
    quantile = rng.uniform(size=(n_samples, n_items))
    rate = knobs["level"] * mean_counts(X, n_items, degree) * noise
    rate[np.ix_(is_rush, np.arange(n_items) % 2 == 0)] *= RUSH_FACTOR
    if rate.max() > LARGEST_RATE:
        raise ValueError(
            f"Rates of up to {rate.max():.2g} cannot be drawn: lower degree, or values in shift."
        )
    return X, np.where(rate > 0, poisson.ppf(quantile, np.maximum(rate, 1e-9)), 0.0)
