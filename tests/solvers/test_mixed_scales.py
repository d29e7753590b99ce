"""Programs whose numbers lie between 1e-9 and 1e9, against exact arithmetic."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from .programs import MODES, dot, draw, draw_mixed, enumerated_optimum, exact_optimum, fractions

ALLOWED = Fraction(1, 10**6)  # of the absolute terms of the cost
ROUNDING = Fraction(1, 10**9)  # of the absolute terms of a row


def largest_violation(program, z):
    """Return by how much a constraint is missed, as a share of its terms; 1 for bounds."""
    worst = Fraction(0)
    for terms, right, is_equation in program.rows():
        off = dot(terms, z) - right
        off = abs(off) if is_equation else max(off, Fraction(0))
        if off:
            size = dot([abs(each) for each in terms], [abs(each) for each in z]) + abs(right)
            worst = max(worst, off / size)
    outside = any(
        x < low or x > high for x, low, high in zip(z, program.low, program.high, strict=True)
    )
    fractional = any(w and x.denominator != 1 for x, w in zip(z, program.integral, strict=True))
    return Fraction(1) if outside or fractional else worst


def verdict(program):
    """Return "right", "refused", or what is wrong."""
    truth = exact_optimum(program)
    try:
        z = fractions(program.problem().solve(program.c[None])[0])
    except (ValueError, RuntimeError) as error:
        if "No decision satisfies" in str(error):
            said = "infeasible"
        else:
            said = "unbounded" if "has no minimum" in str(error) else "refused"
        # A set that is empty by a rounding error may be taken for one that is not.
        return "right" if said == truth or truth == "infeasible" else f"{said}, not {truth}"
    violation = largest_violation(program, z)
    if violation > ROUNDING:
        return f"infeasible decision, missed by {float(violation):.1g}"
    if truth == "infeasible":
        return "right"  # but for rounding errors
    if truth == "unbounded":
        return "a decision where there is no best one"
    best, where = truth
    c = fractions(program.c)
    terms = [dot([abs(x) for x in c], [abs(x) for x in each]) for each in (z, where)]
    gap = dot(c, z) - best
    return "right" if abs(gap) <= ALLOWED * max(terms) else f"cost off by {float(gap):.1g}"


@pytest.mark.parametrize("seed", range(2))
def test_small_linear_programs(seed):
    rng = np.random.default_rng(seed)
    found = Counter(verdict(draw(rng, int(rng.integers(1, 5)))) for _ in range(500))
    assert found["right"] == 500, found


def test_larger_linear_programs():
    rng = np.random.default_rng(10)
    found = Counter(verdict(draw(rng, int(rng.integers(5, 13)))) for _ in range(60))
    assert found["right"] == 60, found


def test_mixed_integer_programs():
    rng = np.random.default_rng(20)
    found = Counter(verdict(draw_mixed(rng, int(rng.integers(1, 5)))) for _ in range(60))
    assert found["right"] == 60, found


def test_the_exact_optimum_is_that_of_all_vertices():
    rng, seen = np.random.default_rng(30), 0
    for mode in MODES * 5:
        program = draw(rng, int(rng.integers(1, 4)), mode)
        program.low, program.high = (
            np.where(np.isfinite(program.low), program.low, -7.0),
            program.high,
        )
        program.high = np.where(np.isfinite(program.high), program.high, np.abs(program.low) + 9.0)
        truth, best = exact_optimum(program), enumerated_optimum(program)
        assert (None if truth == "infeasible" else truth[0]) == best
        seen += best is not None
    assert seen > 20
