"""Quasi-random normal noise, which fills space more evenly than independent draws."""

import numpy as np
import scipy
from scipy.stats import norm, qmc

_BITS = 30
# The generator's parameter was renamed.
_RNG = "rng" if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15) else "seed"


def quasi_normal(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return normal noise (n, d) from a scrambled Sobol sequence.

    Each vector is standard normal, and consecutive vectors fill the space evenly, so that means
    over a few of them are closer to the expectation.

    References
    ----------
    Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences", 1995.
    """
    if d == 0:
        return np.zeros((n, 0))
    sobol = qmc.Sobol(d, scramble=True, bits=_BITS, **{_RNG: rng})
    points = sobol.random_base2(int(n - 1).bit_length())[:n]
    return norm.ppf(points + 0.5 ** (_BITS + 1))
