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
    is_empty = bool((lower > upper).any())
    if not is_empty and (len(A) or len(G)):
        result = linprog(
            np.zeros(A.shape[1]),
            A_ub=G if len(G) else None,
            b_ub=np.minimum(h, 1e300) if len(G) else None,
            A_eq=A if len(A) else None,
            b_eq=b if len(A) else None,
            bounds=np.stack([lower, upper], axis=1),
        )
        is_empty = result.status == 2
    if is_empty:
        raise ValueError("The constraints contradict one another: no z satisfies all of them.")
