"""Probabilities that items reach targets: channels and customers, films and actors."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

import numpy as np
from sklearn.utils import check_random_state

from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import Knob, check_count, resolve_shift

N_LAYERS = 5  # layers of the random net that makes the features of a channel
N_GENRES = 5

BUDGET_KNOBS = {
    "chance": Knob(0.2, low=0.0, high=1.0),
    "overlap": Knob(1.0, low=0.0),
    "noise": Knob(0.0, low=0.0),
    "outage": Knob(0.0, low=0.0, high=1.0),
}
BUDGET_PRESETS = {
    "chance_up": {"chance": 0.4},
    "chance_down": {"chance": 0.1},
    "overlap": {"overlap": 2.0},
    "noise": {"noise": 0.5},
    "outage": {"outage": 0.2},
}
RECOMMENDATION_KNOBS = {
    "cast": Knob(1.0, low=0.0),
    "activity": Knob(1.0, low=0.0),
    "drift": Knob(0.0, low=0.0, high=1.0),
}
RECOMMENDATION_PRESETS = {
    "cast_up": {"cast": 2.0},
    "cast_down": {"cast": 0.5},
    "cold": {"activity": 0.3},
    "drift": {"drift": 0.5},
}


def make_budget_allocation(
    n_samples: int = 100,
    n_channels: int = 20,
    n_customers: int = 50,
    n_features: int = 10,
    *,
    reach: float = 0.1,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generate probabilities that channels reach customers, for ``CoverageProblem``.

    Each row is a separate market. Channel i and customer j are connected with the probability
    :math:`\min(1, r\, a_i b_j)`, where :math:`a_i` and :math:`b_j` are log-normal with mean 1 and a
    standard deviation of 1 of their logarithms, so that a few channels reach many customers. If
    they are connected, the probability of reaching the customer is

    .. math:: \theta_{ij} \sim U(0, u), \qquad u = 0.2,

    and 0 otherwise. The features of a channel are the output of a random net of five layers for
    these probabilities. Its weights depend only on the numbers of customers and features, so that
    samples drawn with different seeds have the same distribution. The problem is
    ``CoverageProblem(k, n_channels)``.

    Parameters
    ----------
    n_samples : int, default=100
        Number of markets.
    n_channels, n_customers : int, default=20 and 50
        Numbers of channels and customers per market.
    n_features : int, default=10
        Number of features per channel.
    reach : float, default=0.1
        r, in (0, 1]. Where it is small, it is about the share of customers that a channel is
        connected to; for larger values the share is smaller, since no probability exceeds 1.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        =========  ==============================================  =======  =====================
        key        meaning                                         nominal  as a string
        =========  ==============================================  =======  =====================
        "chance"   u, largest chance, in [0, 1]                    0.2      "chance_up": 0.4,
                                                                            "chance_down": 0.1
        "overlap"  standard deviation of :math:`\log b_j`: how     1        "overlap": 2
                   much channels reach the same customers
        "noise"    standard deviation of noise in the features     0        "noise": 0.5
        "outage"   probability that a channel reaches nobody,      0        "outage": 0.2
                   which its features do not predict
        =========  ==============================================  =======  =====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_channels * n_features)
        Features, channel by channel, as :class:`~dfl_sklearn.learners.ItemwisePredictor` takes
        them.
    y : ndarray of shape (n_samples, n_channels * n_customers)
        Probabilities, in the order of :class:`~dfl_sklearn.problems.CoverageProblem`.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a number is out of range, or a name in `shift` is unknown.

    See Also
    --------
    make_recommendation : Another task for the same problem.
    dfl_sklearn.problems.CoverageProblem : The problem to decide.

    References
    ----------
    Wilder, Dilkina, Tambe, "Melding the data-decisions pipeline", AAAI 2019, section 6, where
    the graphs come from logs of advertisers' bids.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_budget_allocation
    >>> from dfl_sklearn.problems import CoverageProblem
    >>> X, y = make_budget_allocation(30, random_state=0)
    >>> X.shape, y.shape
    ((30, 200), (30, 1000))
    >>> CoverageProblem(k=3, n_items=20).solve(y).sum(axis=1).mean().item()
    3.0
    """
    n_samples = check_count("n_samples", n_samples, minimum=1)
    n_channels = check_count("n_channels", n_channels, minimum=1)
    n_customers = check_count("n_customers", n_customers, minimum=1)
    n_features = check_count("n_features", n_features, minimum=1)
    reach = _share("reach", reach)
    check_rows("n_samples", n_samples, 3 * n_channels * n_customers + n_channels * n_features)
    knobs = resolve_shift(shift, BUDGET_KNOBS, BUDGET_PRESETS)
    rng = check_random_state(random_state)

    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    shape = (n_samples, n_channels, n_customers)
    channel = _log_normal(rng.standard_normal((n_samples, n_channels, 1)), 1.0)
    customer = _log_normal(rng.standard_normal((n_samples, 1, n_customers)), knobs["overlap"])
    is_connected = rng.uniform(size=shape) < reach * channel * customer
    probabilities = knobs["chance"] * rng.uniform(size=shape) * is_connected
    noise = rng.standard_normal((n_samples, n_channels, n_features))
    is_out = rng.uniform(size=(n_samples, n_channels, 1)) < knobs["outage"]

    # In units of a typical channel's probabilities, so that features are of the order of 1.
    usual = 0.2 * np.sqrt(reach * n_customers / 3.0)
    X = _random_net(probabilities / usual, n_features) + knobs["noise"] * noise
    y = np.where(is_out, 0.0, probabilities)
    return X.reshape(n_samples, -1), y.reshape(n_samples, -1)


def make_recommendation(
    n_samples: int = 100,
    n_films: int = 20,
    n_actors: int = 50,
    n_users: int = 30,
    *,
    cast: float = 2.0,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generate ratings of films and their actors, for ``CoverageProblem(k, n_films)``.

    Each row is a set of films, from which a few with many different actors are to be recommended.
    The features of a film are its ratings by users. Film i has genres :math:`g_i \sim N(0, I_5)`
    and a size :math:`a_i`, which is log-normal with mean 1 and a standard deviation of 0.7 of its
    logarithm. Actor j plays in it with the probability

    .. math:: \min\Bigl(1, \; m \, a_i \, \frac{\exp(h_j^\top g_i + f_j)}
       {\sum_l \exp(h_l^\top g_i + f_l)} \Bigr),

    with :math:`h_j \sim N(0, I_5)` and :math:`f_j \sim N(0, 1)`. User u has seen it with the
    probability :math:`\min(1, 0.3\, v\, a_i\, s_u)`, v = 1, and :math:`s_u` like :math:`a_i`; the
    rating is then

    .. math:: 3 + t_u^\top g_i + \varepsilon_{iu}, \qquad t_u \sim N(0, I_5 / 5), \quad
       \varepsilon_{iu} \sim N(0, 1),

    rounded and clipped to 1, ..., 5, and 0 for films not seen. Actors and users are drawn once for
    each pair of their numbers, so that samples drawn with different seeds have the same
    distribution.

    Parameters
    ----------
    n_samples : int, default=100
        Number of sets of films.
    n_films, n_actors : int, default=20 and 50
        Number of films per set, and number of actors, who are the same for all sets.
    n_users : int, default=30
        Number of users, whose ratings are the features of a film.
    cast : float, default=2
        m, positive: about the mean number of actors in a film where it is small compared with
        `n_actors`; otherwise the mean number is smaller.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        ==========  ===========================================  =======  ====================
        key         meaning                                      nominal  as a string
        ==========  ===========================================  =======  ====================
        "cast"      factor on m                                  1        "cast_up": 2,
                                                                          "cast_down": 0.5
        "activity"  v, factor on what users have seen            1        "cold": 0.3
        "drift"     share of the actors who play in other        0        "drift": 0.5
                    genres than before
        ==========  ===========================================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_films * n_users)
        Ratings film by film, as :class:`~dfl_sklearn.learners.ItemwisePredictor` takes them.
    y : ndarray of shape (n_samples, n_films * n_actors)
        1 where an actor plays in a film, else 0.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a number is out of range, or a name in `shift` is unknown.

    See Also
    --------
    make_budget_allocation : Another task for the same problem.
    dfl_sklearn.problems.CoverageProblem : The problem to decide.

    References
    ----------
    Wilder, Dilkina, Tambe, "Melding the data-decisions pipeline", AAAI 2019, section 6, where
    ratings and casts are those of MovieLens.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_recommendation
    >>> X, y = make_recommendation(30, random_state=0)
    >>> X.shape, y.shape
    ((30, 600), (30, 1000))
    """
    n_samples = check_count("n_samples", n_samples, minimum=1)
    n_films = check_count("n_films", n_films, minimum=1)
    n_actors = check_count("n_actors", n_actors, minimum=1)
    n_users = check_count("n_users", n_users, minimum=1)
    if isinstance(cast, bool) or not isinstance(cast, Real) or not 0 < cast < np.inf:
        raise ValueError(f"cast must be a positive number, got {cast!r}.")
    check_rows("n_samples", n_samples, n_films * (2 * n_actors + 4 * n_users))
    knobs = resolve_shift(shift, RECOMMENDATION_KNOBS, RECOMMENDATION_PRESETS)
    rng = check_random_state(random_state)

    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    genres = rng.standard_normal((n_samples, n_films, N_GENRES))
    size = _log_normal(rng.standard_normal((n_samples, n_films, 1)), 0.7)
    plays = rng.uniform(size=(n_samples, n_films, n_actors))
    has_seen = rng.uniform(size=(n_samples, n_films, n_users))
    mood = rng.standard_normal((n_samples, n_films, n_users))

    rng = np.random.default_rng([n_actors, n_users])
    before, after = rng.standard_normal((2, n_actors, N_GENRES))
    fame, moves = rng.standard_normal(n_actors), rng.uniform(size=(n_actors, 1))
    tastes = rng.standard_normal((n_users, N_GENRES)) / np.sqrt(N_GENRES)
    active = 0.3 * _log_normal(rng.standard_normal(n_users), 0.7)

    pull = np.exp(genres @ np.where(moves < knobs["drift"], after, before).T + fame)
    part = pull / pull.sum(axis=2, keepdims=True)
    y = (plays < cast * knobs["cast"] * size * part).astype(float)
    ratings = np.clip(np.rint(3.0 + genres @ tastes.T + mood), 1.0, 5.0)
    X = np.where(has_seen < knobs["activity"] * size * active, ratings, 0.0)
    return X.reshape(n_samples, -1), y.reshape(n_samples, -1)


def _log_normal(normal: np.ndarray, deviation: float) -> np.ndarray:
    """Return log-normal values of mean 1, with this standard deviation of their logarithms."""
    return np.exp(deviation * normal - deviation**2 / 2.0)


def _random_net(x: np.ndarray, n_out: int) -> np.ndarray:
    """Return the output of a fixed random net of five layers for x (..., n)."""
    n_in = x.shape[-1]
    rng = np.random.default_rng([n_in, n_out])
    for layer in range(N_LAYERS):
        width = n_out if layer == N_LAYERS - 1 else n_in
        weights = rng.standard_normal((x.shape[-1], width)) * np.sqrt(2.0 / x.shape[-1])
        x = x @ weights + 0.3 * rng.standard_normal(width)
        if layer < N_LAYERS - 1:
            x = np.maximum(x, 0.0)
    return x


def _share(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value <= 1:
        raise ValueError(f"{name} must be a number in (0, 1], got {value!r}.")
    return float(value)
