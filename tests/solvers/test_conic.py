"""What counts as a proof that a point of a conic program is best."""

import numpy as np
import pytest
from scipy import sparse

from dfl_sklearn.solvers.conic import ConicProgram, _is_proven


@pytest.mark.parametrize(("x", "is_best"), [(0.0, False), (0.5, True), (0.4, False)])
def test_a_slope_at_zero_is_no_proof(x, is_best):
    # x^2 - x without constraints: at 0 neither cost nor gap has a term, and yet 1/2 is best.
    nothing = np.zeros(0)
    program = ConicProgram(
        P=sparse.csc_array([[2.0]]),
        c=np.array([-1.0]),
        A=sparse.csc_array((0, 1)),
        b=nothing,
        n_zero=0,
        n_nonnegative=0,
        cones=[],
    )
    proven = _is_proven(program, np.array([x]), nothing, nothing, nothing, np.ones(1), 1.0)
    assert proven is is_best
