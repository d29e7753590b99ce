"""Inequalities that no point satisfies strictly: equations in disguise."""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linprog


class Tight(NamedTuple):
    """Which rows (m,), lower and upper bounds (n,) hold with equality at every feasible point."""

    rows: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def always_tight(
    A: np.ndarray,
    b: np.ndarray,
    G: np.ndarray,
    h: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> Tight:
    r"""Find what holds with equality wherever A z = b, G z <= h and l <= z <= u.

    One linear program tells: over the cone of scaled points :math:`(\lambda z, \lambda)`,
    :math:`\lambda \ge 1`, the sum of the slacks, each counted up to 1, is largest where every slack
    that can be positive counts fully.

    Raises
    ------
    ValueError
        If no point satisfies the constraints.

    References
    ----------
    Freund, Roundy, Todd, "Identifying the set of always-active constraints in a system of linear
    inequalities by a single linear program", 1985.
    """
    n, m = G.shape[1], len(G)
    low, high = np.flatnonzero(np.isfinite(lower)), np.flatnonzero(np.isfinite(upper))
    n_slacks = m + len(low) + len(high)
    unit = sparse.eye_array(n, format="csr")
    # Columns: z, the scale, the slacks. Rows: G z - h + t <= 0, l - z + t <= 0, z - u + t <= 0.
    left = sparse.vstack([sparse.csr_array(G), -unit[low], unit[high]])
    right = np.concatenate([-h, lower[low], -upper[high]])[:, None]
    result = linprog(
        np.concatenate([np.zeros(n + 1), -np.ones(n_slacks)]),
        A_ub=sparse.hstack([left, right, sparse.eye_array(n_slacks)]) if n_slacks else None,
        b_ub=np.zeros(n_slacks) if n_slacks else None,
        A_eq=np.hstack([A, -b[:, None], np.zeros((len(A), n_slacks))]) if len(A) else None,
        b_eq=np.zeros(len(A)) if len(A) else None,
        bounds=[(None, None)] * n + [(1.0, None)] + [(0.0, 1.0)] * n_slacks,
    )
    if result.status == 2:
        raise ValueError("The constraints contradict one another: no z satisfies all of them.")
    if result.status != 0:
        raise RuntimeError(f"The constraints could not be looked through: {result.message}")
    tight = result.x[n + 1 :] < 0.5
    found = Tight(tight[:m], np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))
    found.lower[low], found.upper[high] = np.split(tight[m:], [len(low)])
    return found
