"""A small regressor and rows for it; a file that needs others defines its own."""

import numpy as np
import pytest

from dfl_sklearn import DFLRegressor
from dfl_sklearn.problems import NewsvendorProblem


@pytest.fixture
def model():
    return DFLRegressor(
        NewsvendorProblem(9, 1, nonnegative=False),
        hidden_layer_sizes=(8,),
        max_iter=15,
        batch_size=16,
        random_state=0,
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 3))
    return X, X @ [1.0, -1.0, 2.0] + rng.standard_normal(120)
