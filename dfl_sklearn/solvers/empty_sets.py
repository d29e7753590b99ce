"""Sets of linear constraints that no point satisfies."""

import numpy as np
from scipy.optimize import linprog


def check_not_empty(
    A: np.ndarray,
    b: np.ndarray,
    G: np.ndarray,
    h: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> None:
    """Raise a ValueError if nothing satisfies A z = b, G z <= h and l <= z <= u."""
    if (lower > upper).any() or _is_empty(A, b, G, h, lower, upper):
        raise ValueError("The constraints contradict one another: no z satisfies all of them.")


def _is_empty(
    A: np.ndarray,
    b: np.ndarray,
    G: np.ndarray,
    h: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> bool:
    if not len(A) and not len(G):
        return False
    h = np.minimum(h, 1e300)
    result = linprog(
        np.zeros(A.shape[1]),
        A_ub=G if len(G) else None,
        b_ub=h if len(G) else None,
        A_eq=A if len(A) else None,
        b_eq=b if len(A) else None,
        bounds=np.stack([lower, upper], axis=1),
    )
    return bool(result.status == 2)
