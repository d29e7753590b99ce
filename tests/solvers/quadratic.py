"""Random quadratic programs, and by how much a point misses their optimality conditions."""

import numpy as np
from scipy.optimize import nnls

NEAR = 1e-8  # by which a constraint is taken to hold with equality


def draw(rng):
    """Return arguments of a layer, feasible by construction, and three linear terms."""
    n = int(rng.integers(1, 9))
    p, m = int(rng.integers(0, min(3, n))), int(rng.integers(0, 6))
    if rng.random() < 0.5:  # whole numbers: many constraints meet in one point
        A, G = rng.integers(-2, 3, (p, n)).astype(float), rng.integers(-2, 3, (m, n)).astype(float)
        inside = rng.integers(0, 3, n).astype(float)
    else:
        A, G, inside = rng.normal(size=(p, n)), rng.normal(size=(m, n)), rng.uniform(0, 2, n)
    b, h = A @ inside, G @ inside + np.where(rng.random(m) < 0.4, 0.0, rng.uniform(0, 1, m))
    room = np.where(rng.random((2, n)) < 0.4, 0.0, rng.uniform(0, 2, (2, n)))
    room[rng.random((2, n)) < 0.3] = np.inf
    if p and rng.random() < 0.3:
        A, b = np.vstack([A, A.sum(axis=0)]), np.append(b, b.sum())
    if m and rng.random() < 0.3:
        G, h = np.vstack([G, 2 * G[:1]]), np.append(h, 2 * h[0])
    if rng.random() < 0.4:
        quadratic = rng.uniform(0.1, 2, n) * rng.choice([1.0, 1.0, 1e-3])
    else:
        root = rng.normal(size=(n, n))
        quadratic = root @ root.T / n + 0.05 * np.eye(n)
    c = rng.normal(size=(3, n)) * rng.choice([1e-3, 1.0, 1.0, 30.0])
    if rng.random() < 0.3:
        c = np.round(c)
    of_z, of_cost, of_rows = 1.0, 1.0, np.ones(len(G))
    if rng.random() < 0.5:
        of_z, of_cost = 10.0 ** rng.uniform(-6, 6, 2)
        of_rows = 10.0 ** rng.uniform(-6, 6, len(G))
    return {
        "quadratic": quadratic * of_cost / of_z**2,
        "A_eq": A,
        "b_eq": b * of_z,
        "A_ub": G * of_rows[:, None],
        "b_ub": h * of_rows * of_z,
        "lower": (inside - room[0]) * of_z,
        "upper": (inside + room[1]) * of_z,
    }, c * of_cost / of_z


def optimality(arguments, c, z):
    """Return by how much z misses constraints, and what of its slope no multipliers take up."""
    Q, n = arguments["quadratic"], len(z)
    Q = np.diag(Q) if Q.ndim == 1 else Q
    A, b, G, h = (arguments[name] for name in ("A_eq", "b_eq", "A_ub", "b_ub"))
    unit = np.eye(n)
    low, high = np.isfinite(arguments["lower"]), np.isfinite(arguments["upper"])
    G = np.concatenate([G, -unit[low], unit[high]])
    h = np.concatenate([h, -arguments["lower"][low], arguments["upper"][high]])
    # Beside limits of an ordinary size, those near 0 are kept to a rounding error of these.
    of_z = max([np.abs(z).max(), *(1e-6 * np.abs(each).max(initial=0) for each in (b, h[-n:]))])
    missed = 0.0
    if len(A):
        size = np.abs(A) @ np.full(n, of_z) + np.abs(b)
        missed = (np.abs(A @ z - b) / np.where(size > 0, size, 1.0)).max()
    size = np.abs(G) @ np.full(n, of_z) + np.abs(h)
    size[size == 0] = 1.0
    slack = (h - G @ z) / size
    missed = max(missed, (-slack).max(initial=0.0))
    slope = Q @ z + c
    terms = (np.abs(Q) @ np.abs(z) + np.abs(c)).max()
    if terms == 0:
        return missed, 0.0
    columns = np.concatenate([G[slack <= NEAR], A, -A])
    length = np.linalg.norm(columns, axis=1)
    columns = columns[length > 0] / length[length > 0][:, None]
    if not len(columns):
        return missed, np.abs(slope).max() / terms
    found, left = nnls(columns.T, -slope / terms, maxiter=50 * len(columns))
    return missed, left / (1 + found.max())
