"""Demand for two items whose spread, and only that, depends on the features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import truncnorm
from sklearn.utils import check_random_state

from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import Knob, check_count, resolve_shift

CENTRE, MOST = 3.0, 100.0

KNOBS = {
    "noise": Knob(1.0, low=0.01, high=100.0),
    "level": Knob(0.0, low=-100.0, high=100.0),
}
PRESETS = {
    "noise": {"noise": 1.5},
    "level_up": {"level": 1.0},
    "level_down": {"level": -1.0},
}


def make_two_item_newsvendor(
    n_samples: int = 400,
    n_features: int = 10,
    *,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generate demand for two items whose spread depends on the features.

    With p features :math:`x \sim N(0, I_p)`, the demand :math:`y_l` for item l = 1, 2 is normal
    with the mean :math:`3 + m` and the standard deviation :math:`s\, e^{x_l}`, truncated to the
    interval from 0 to 100. Features beyond the second have no effect.

    The problem is ``MultiProductNewsvendorProblem([100, 1], [5, 0.05], capacity=1000)``, in which
    the capacity never binds. The best order is the quantile of level 20/21 of the truncated normal
    distribution, see below.

    Parameters
    ----------
    n_samples : int, default=400
        Number of rows.
    n_features : int, default=10
        Number of features p, at least 2.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        =======  ==========================================  =======  ====================
        key      meaning                                     nominal  as a string
        =======  ==========================================  =======  ====================
        "noise"  s, factor on the standard deviation,        1        "noise": 1.5
                 in [0.01, 100]
        "level"  m, added to the mean before truncation,     0        "level_up": 1,
                 in [-100, 100]                                       "level_down": -1
        =======  ==========================================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, 2)
        Demand, between 0 and 100.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    make_newsvendor : Demand whose mean depends on the features, with a rare costly regime.
    dfl_sklearn.problems.MultiProductNewsvendorProblem : The problem to decide.

    References
    ----------
    Kallus, Mao, "Stochastic optimization forests", Management Science 69, 2023, section 4, and its
    code (github.com/CausalML/StochOptForest).

    Examples
    --------
    The best orders for each row, compared with the best orders that are the same for all rows:

    >>> import numpy as np
    >>> from scipy.stats import truncnorm
    >>> from dfl_sklearn.datasets import make_two_item_newsvendor
    >>> from dfl_sklearn.problems import MultiProductNewsvendorProblem
    >>> X, y = make_two_item_newsvendor(2000, random_state=0)
    >>> spread = np.exp(X[:, :2])
    >>> best = truncnorm.ppf(20 / 21, -3 / spread, 97 / spread, loc=3, scale=spread)
    >>> problem = MultiProductNewsvendorProblem([100, 1], [5, 0.05], capacity=1000)
    >>> same = problem.solve(y[None])
    >>> float(problem.cost(best, y).mean() / problem.cost(same, y).mean()) < 0.9
    True
    """
    n_samples = check_count("n_samples", n_samples, minimum=1)
    n_features = check_count("n_features", n_features, minimum=2)
    check_rows("n_samples", n_samples, n_features + 8)
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    rng = check_random_state(random_state)

    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    X = rng.standard_normal((n_samples, n_features))
    quantile = rng.uniform(size=(n_samples, 2))

    spread, mean = knobs["noise"] * np.exp(X[:, :2]), CENTRE + knobs["level"]
    low, high = -mean / spread, (MOST - mean) / spread
    y = truncnorm.ppf(quantile, low, high, loc=mean, scale=spread)
    return X, np.clip(y, 0.0, MOST)
