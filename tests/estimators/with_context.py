"""Rows with a capacity that is known beforehand, and what decides within it."""

import numpy as np
import pandas as pd

from dfl_sklearn import DiffusionDRODFLRegressor
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, TiltedSearch

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 6, "random_state": 0}
CAPPED = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext("capacity"))


def rows():
    """Return features, the capacity among them, and demand."""
    rng = np.random.default_rng(0)
    n = 160
    X = pd.DataFrame(
        {
            "warm": rng.normal(size=n),
            "capacity": rng.choice([4.0, 6.0, 30.0], n),
            "rain": rng.normal(size=n),
        }
    )
    return X, np.maximum(0.0, 6 + 2 * X["warm"] + rng.gamma(2.0, 1.0, n)).to_numpy()


def flagship(search=None, **context):
    """Return a quick flagship."""
    generator = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=4, max_iter=2)
    return DiffusionDRODFLRegressor(
        CAPPED,
        radius=0.05,
        generator=generator,
        search=TiltedSearch(200) if search is None else search,
        **context,
        **{**QUICK, "max_iter": 5},
    )
