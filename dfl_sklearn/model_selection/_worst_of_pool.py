"""The worst weights of a pool of generated rows, with a check that the pool is large enough."""

import math

import numpy as np

from ..robust._tilt import effective_sample_size, tilt

MIN_EFFECTIVE = 50.0  # least effective sample size for a mean over the pool


def worst_of_pool(
    regret: np.ndarray, weight: np.ndarray, radius: float, whose: str
) -> tuple[np.ndarray, float]:
    """Return the worst weights (n,) of generated rows within a radius, and the divergence.

    Parameters
    ----------
    regret : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        Nominal weights, all 1 / n.
    radius : float
        Radius in nats.
    whose : str
        Name of the model, for the error.

    Raises
    ------
    ValueError
        If the effective sample size of the worst weights is below 50.
    """
    worst, divergence = tilt(regret, weight, radius)
    found = effective_sample_size(worst)
    if not _is_enough(found):
        largest = largest_radius(regret, weight)
        raise ValueError(
            f"radius={radius:g} is too large for {len(regret)} generated rows: the worst "
            f"distribution for {whose} has an effective sample size of {found:.1f} rows, and "
            f"below {MIN_EFFECTIVE:g} the result is little more than the largest regret. "
            f"The largest radius for this sample is {largest:g}; {radius:g} needs about "
            f"n_samples={_samples_needed(len(regret), found)}, and more where the regret has a "
            "heavier tail than these rows show."
        )
    return worst, divergence


def largest_radius(regret: np.ndarray, weight: np.ndarray) -> float:
    """Return the largest radius, rounded down, with a sufficient effective sample size.

    The effective sample size falls with the radius: it is exp(2 K(t) - K(2 t)) times n, with
    K the convex cumulant generating function of the regret at the rate t of the tilt.
    """

    def is_enough(radius: float) -> bool:
        return _is_enough(effective_sample_size(tilt(regret, weight, radius)[0]))

    low, high = 0.0, math.log(len(regret))
    if is_enough(high):
        return math.inf
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if is_enough(middle) else (low, middle)
    digits = 1 - math.floor(math.log10(low)) if low > 0 else 0
    return math.floor(low * 10**digits) / 10**digits


def _is_enough(effective: float) -> bool:
    return effective >= MIN_EFFECTIVE * (1 - 1e-9)  # of 50 equal weights it is 50, up to rounding


def _samples_needed(n: int, effective: float) -> int:
    """Return how many rows are needed, if the effective ones stay the same share of all."""
    needed = n * MIN_EFFECTIVE / effective
    unit = 10 ** (math.floor(math.log10(needed)) - 1)
    return int(math.ceil(needed / unit) * unit)
