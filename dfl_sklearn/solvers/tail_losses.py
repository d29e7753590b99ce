"""Losses beyond a reserve as linear constraints (Rockafellar and Uryasev)."""

import numpy as np
from scipy import sparse

from .polytope import Polytope


def tail_losses(spread: np.ndarray) -> Polytope:
    """Return the constraints of a mean-CVaR portfolio on (z, t, u).

    Shares z (d,) that sum to 1, a reserve t and what each scenario, a row of `spread` (S, d),
    loses beyond it: ``-spread @ z - t <= u``, ``u >= 0``.
    """
    n_scenarios, n_assets = spread.shape
    own = sparse.hstack([np.full((n_scenarios, 1), -1.0), -sparse.eye_array(n_scenarios)])
    beyond = sparse.hstack([sparse.csr_array(-spread), own], format="csr")
    budget = np.zeros((1, beyond.shape[1]))
    budget[0, :n_assets] = 1.0
    lower = np.zeros(beyond.shape[1])
    lower[n_assets] = -np.inf
    return Polytope.of(
        len(lower), ub=(beyond, np.zeros(n_scenarios)), eq=(budget, np.ones(1)), lower=lower
    )
