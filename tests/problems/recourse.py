"""Random linear programs with recourse, and what SciPy and cutting planes make of them."""

import numpy as np
from scipy.optimize import linprog

from dfl_sklearn.problems import Predicted

N_PREDICTED = 3


def draw(rng, *, whole=False, in_T=False, in_W=False, in_costs=False):
    """Return arguments of a problem whose recourse is complete, and which numbers are predicted.

    The numbers are those at y = 0, behind them the slopes in y.
    """
    n, m = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    k = m + int(rng.integers(0, 3))
    W = np.concatenate([np.eye(m), rng.uniform(-0.3, 1, (m, k - m))], axis=1)
    numbers = {
        "c": rng.uniform(0.5, 2, n),
        "q": rng.uniform(2, 6, k),
        "T": rng.uniform(0, 1.5, (m, n)),
        "W": W,
        "h": rng.uniform(1, 8, m),
    }
    slopes = {name: np.zeros((N_PREDICTED, *each.shape)) for name, each in numbers.items()}
    places = ["h"] + ["T"] * in_T + ["W"] * in_W + ["c", "q"] * in_costs
    for j in range(N_PREDICTED):
        name = places[j % len(places)]
        shape = numbers[name].shape
        where = tuple(int(rng.integers(0, size)) for size in shape)
        if name == "W":  # the part that makes recourse complete stays
            where = where[0], where[0]
        slopes[name][(j, *where)] = rng.uniform(0.2, 1.0) if name != "h" else rng.uniform(0.5, 2)
    arguments = {}
    for name, each in numbers.items():
        marked = np.array(each, dtype=object)
        for j in range(N_PREDICTED):
            for where in np.argwhere(slopes[name][j]):
                where = tuple(where)
                numbers[name][where] = 0.0  # a marker stands in the place of a number
                for i in range(j):
                    slopes[name][(i, *where)] = 0.0
                marked[where] = Predicted(j, slopes[name][(j, *where)])
        arguments[name] = marked
    # A column whose place another took is read by a need of its own.
    unread = [j for j in range(N_PREDICTED) if not any(slopes[name][j].any() for name in slopes)]
    for j in unread:
        arguments, numbers, slopes = _with_need(arguments, numbers, slopes, j, n, k)
        k += 1
    arguments["A_ub"], arguments["b_ub"] = np.ones((1, n)), [6.0]
    arguments["bounds"] = (0, 4)
    if whole:
        arguments["integrality"] = 1
    return arguments, numbers, slopes


def _with_need(arguments, numbers, slopes, j, n, k):
    """Return a program with one more need, which a recourse of its own at a price of 3 covers."""
    m = len(numbers["h"])
    slopes = dict(slopes)

    def beside(W, value):
        out = np.zeros((m + 1, k + 1), dtype=W.dtype)
        out[:m, :k], out[m, k] = W, value
        return out

    for each, one, row in ((numbers, 1.0, np.full((1, n), 0.5)), (arguments, 1.0, None)):
        row = np.array(np.full((1, n), 0.5), dtype=each["T"].dtype)
        each["T"] = np.concatenate([each["T"], row])
        each["W"] = beside(each["W"], one)
        each["q"] = np.append(each["q"], 3.0)
    numbers["h"] = np.append(numbers["h"], 0.0)
    arguments["h"] = np.append(arguments["h"], np.array([Predicted(j)], dtype=object))
    grown = {"c": slopes["c"]}
    grown["q"] = np.pad(slopes["q"], ((0, 0), (0, 1)))
    grown["T"] = np.pad(slopes["T"], ((0, 0), (0, 1), (0, 0)))
    grown["W"] = np.pad(slopes["W"], ((0, 0), (0, 1), (0, 1)))
    grown["h"] = np.pad(slopes["h"], ((0, 0), (0, 1)))
    grown["h"][j, -1] = 1.0
    return arguments, numbers, grown


def at(numbers, slopes, row):
    """Return the numbers at a row of y."""
    return {name: each + np.tensordot(row, slopes[name], 1) for name, each in numbers.items()}


def second_stage(part, z):
    """Return the least cost of recourse, and its slope in z, by SciPy."""
    left = part["h"] - part["T"] @ z
    found = linprog(part["q"], A_ub=-part["W"], b_ub=-left)
    assert found.status == 0
    return found.fun, part["T"].T @ found.ineqlin.marginals


def joint(part):
    """Return the plan for numbers that are certain, and its cost, by SciPy."""
    n, k = len(part["c"]), len(part["q"])
    found = linprog(
        np.append(part["c"], part["q"]),
        A_ub=np.block([[np.ones((1, n)), np.zeros((1, k))], [-part["T"], -part["W"]]]),
        b_ub=np.append(6.0, -part["h"]),
        bounds=[(0, 4)] * n + [(0, None)] * k,
    )
    assert found.status == 0
    return found.x[:n], found.fun


def by_cuts(parts, weight, tol=1e-8):
    """Return the least mean cost over scenarios by the L-shaped method (Van Slyke and Wets)."""
    n = len(parts[0]["c"])
    c = sum(w * part["c"] for w, part in zip(weight, parts, strict=True))
    cuts, right = [], []
    for _ in range(200):
        found = linprog(
            np.append(c, 1.0),
            A_ub=np.array([[*np.ones(n), 0.0], *cuts]),
            b_ub=np.array([6.0, *right]),
            bounds=[(0, 4)] * n + [(0, None)],  # the costs of recourse are positive
        )
        z = found.x[:n]
        values = [second_stage(part, z) for part in parts]
        later = sum(w * value for w, (value, _) in zip(weight, values, strict=True))
        slope = sum(w * each for w, (_, each) in zip(weight, values, strict=True))
        if later - found.x[n] <= tol * (1 + later):
            return c @ z + later
        cuts.append(np.append(slope, -1.0))
        right.append(slope @ z - later)
    raise AssertionError("The cuts do not close the gap.")
