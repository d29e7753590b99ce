"""Normal noise that fills its space more evenly than independent draws do."""

import numpy as np
import scipy
from scipy.stats import norm, qmc

_BITS = 30
# The generator's parameter was renamed.
_RNG = "rng" if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15) else "seed"


def quasi_normal(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return normal noise (n, d) from a scrambled sequence of Sobol.

    Each vector is standard normal, and any number of them in a row fills the space evenly: means
    over a few of them are nearer to the expectation.

    References
    ----------
    Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences", 1995.
    """
    if d == 0:
        return np.zeros((n, 0))
    sobol = qmc.Sobol(d, scramble=True, bits=_BITS, **{_RNG: rng})
    points = sobol.random_base2(int(n - 1).bit_length())[:n]
    return norm.ppf(points + 0.5 ** (_BITS + 1))
