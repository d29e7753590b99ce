"""Loads in the periods of a day, for power stations that are switched on before they are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from dfl_sklearn._utils.checks import number
from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import Knob, check_count, resolve_shift

BASE, SWING, SLOPE, BEND, SURGE, NOISE = 45.0, 12.0, 8.0, 4.0, 25.0, 5.0
SHARED = 0.6  # share of the noise variance that is common to all periods of a day
FIRST_POWER, SMALLER = 40.0, 0.8  # power of the largest station, and factor to the next one
FIRST_PRICE, DEARER = 10.0, 1.35
LEAST_SHARE, FIXED_SHARE = 0.4, 0.25

KNOBS = {
    "surge": Knob(0.05, low=0.0, high=1.0),
    "noise": Knob(1.0, low=0.0),
    "level": Knob(1.0, low=0.0),
}
PRESETS = {
    "surge": {"surge": 0.3},
    "noise": {"noise": 1.5},
    "level_up": {"level": 1.2},
    "level_down": {"level": 0.8},
}


def make_unit_commitment(
    n_samples: int = 500,
    n_features: int = 5,
    n_periods: int = 4,
    *,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generate loads, for power stations that are switched on before the loads are known.

    With p features :math:`x \sim N(0, I_p)` and H periods of a day, loads are

    .. math:: y_h = l \bigl( 45 - 12 \cos(2 \pi h / H) + 8\, b_h^\top x + 4\, (b_h^\top x)^2 \bigr)
       + 25\, S + 5\, n\, \bigl( \sqrt{.6}\, \varepsilon_0 + \sqrt{.4}\, \varepsilon_h \bigr),

    but at least 0. A surge, which no feature predicts, has S = 1 and occurs on one day in twenty.
    Slopes :math:`b_h`, of length 1, depend on p and H alone, so that samples drawn with different
    seeds have the same distribution. :func:`unit_commitment_numbers` returns the stations.

    Parameters
    ----------
    n_samples : int, default=500
        Number of rows.
    n_features : int, default=5
        Number of features p, at least 1.
    n_periods : int, default=4
        Number of periods H, at least 1.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        =======  ================================  =======  ====================
        key      meaning                           nominal  as a string
        =======  ================================  =======  ====================
        "surge"  probability of a surge            0.05     "surge": 0.3
        "noise"  n, factor on the noise            1        "noise": 1.5
        "level"  l, factor on what is foreseeable  1        "level_up": 1.2,
                                                            "level_down": 0.8
        =======  ================================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, n_periods)
        Loads of the periods, non-negative.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    unit_commitment_numbers : The power stations.
    dfl_sklearn.problems.RecourseLinearProgram : The problem to decide.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_unit_commitment, unit_commitment_numbers
    >>> from dfl_sklearn.problems import RecourseLinearProgram
    >>> X, y = make_unit_commitment(100, random_state=0)
    >>> problem = RecourseLinearProgram(**unit_commitment_numbers())
    >>> problem.solve(y[:2])  # which stations run
    array([[1., 1., 1., 0.],
           [1., 1., 0., 0.]])
    """
    n_samples, n_features, n_periods = (
        check_count(name, value, minimum=1)
        for name, value in (
            ("n_samples", n_samples),
            ("n_features", n_features),
            ("n_periods", n_periods),
        )
    )
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    check_rows("n_samples", n_samples, n_features + 4 * n_periods)
    rng = check_random_state(random_state)
    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    X = rng.standard_normal((n_samples, n_features))
    shared, own = rng.standard_normal((n_samples, 1)), rng.standard_normal((n_samples, n_periods))
    is_surge = rng.uniform(size=(n_samples, 1)) < knobs["surge"]
    slopes = np.random.default_rng([n_features, n_periods]).normal(size=(n_features, n_periods))
    seen = X @ (slopes / np.linalg.norm(slopes, axis=0))
    daily = BASE - SWING * np.cos(2.0 * np.pi * np.arange(n_periods) / n_periods)
    noise = np.sqrt(SHARED) * shared + np.sqrt(1.0 - SHARED) * own
    load = knobs["level"] * (daily + SLOPE * seen + BEND * seen**2)
    return X, np.maximum(load + SURGE * is_surge + NOISE * knobs["noise"] * noise, 0.0)


def unit_commitment_numbers(
    n_periods: int = 4, n_units: int = 4, *, price_of_shortage: float = 100.0
) -> dict[str, Any]:
    r"""Return the power stations for :func:`make_unit_commitment`.

    Station i = 0, 1, ... has a power of :math:`40 \cdot .8^i` and costs :math:`10 \cdot 1.35^i` per
    unit and period. It is switched on or off for the whole day. Switching it on costs a quarter of
    the cost of a day at full power, and it then gives at least two fifths of its power. Once the
    loads are known, the power in every period is chosen. Missing power is bought at the price of a
    shortage; excess power is worth nothing.

    Parameters
    ----------
    n_periods : int, default=4
        Number of periods of a day.
    n_units : int, default=4
        Number of power stations.
    price_of_shortage : float, default=100
        Price of a shortage per unit and period, positive.

    Returns
    -------
    dict
        Arguments of ``RecourseLinearProgram``. The plan says which stations are on; the recourse is
        the power of each station in each period, followed by the shortages.

    See Also
    --------
    make_unit_commitment : The loads.
    dfl_sklearn.problems.RecourseLinearProgram : The problem that takes these numbers.

    Examples
    --------
    >>> from dfl_sklearn.datasets import unit_commitment_numbers
    >>> unit_commitment_numbers()["T"].shape
    (36, 4)
    """
    H, n = (
        check_count(name, value, minimum=1)
        for name, value in (("n_periods", n_periods), ("n_units", n_units))
    )
    dear = number(price_of_shortage, "price_of_shortage", above=0)
    from dfl_sklearn.problems import Predicted

    power, price = FIRST_POWER * SMALLER ** np.arange(n), FIRST_PRICE * DEARER ** np.arange(n)
    of_station = np.kron(np.diag(power), np.ones((H, 1)))  # power, station by station
    eye, shortage = np.eye(n * H), np.zeros((n * H, H))
    return {
        "c": FIXED_SHARE * H * power * price,
        "q": np.concatenate([np.repeat(price, H), np.full(H, dear)]),
        # At most the power, at least a share of it, and in total at least the load.
        "T": np.concatenate([of_station, -LEAST_SHARE * of_station, np.zeros((H, n))]),
        "W": np.block([[-eye, shortage], [eye, shortage], [np.tile(np.eye(H), n), np.eye(H)]]),
        "h": [0.0] * (2 * n * H) + [Predicted(h) for h in range(H)],
        "bounds": (0, 1),
        "integrality": 1,
    }
