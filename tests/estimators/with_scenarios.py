"""Rows with demands for two products, and scenarios of them."""

import numpy as np
from sklearn.linear_model import LinearRegression

from dfl_sklearn.problems import MultiProductNewsvendorProblem
from dfl_sklearn.scenarios import ResidualScenarios, ScenarioModel, Scenarios


def demands():
    """Return features, and what is asked for of two products."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = (
        30
        + X @ rng.normal(size=(3, 2))
        + rng.exponential(3, size=(120, 2)) * np.exp(0.3 * X[:, :1])
    )
    return X, y


def problem():
    """Return the problem of two products whose capacity binds."""
    return MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=65.0)


def residuals():
    """Return a line with the errors of it as scenarios."""
    return ResidualScenarios(LinearRegression(), scale="ridge")


class Fixed(ScenarioModel):
    """The same scenarios for every row."""

    def __init__(self, values, weight=None):
        self.values = values
        self.weight = weight

    def fit(self, X, y):
        self.n_features_in_ = np.shape(X)[1]
        self.is_vector_, (self.n_scenarios_, self.n_outputs_) = False, np.shape(self.values)
        return self

    def _conditions(self, X):
        return (np.zeros(len(X)),)

    def _scenarios(self, nothing):
        n, S = len(nothing), len(self.values)
        weight = np.full(S, 1 / S) if self.weight is None else np.asarray(self.weight)
        values = np.broadcast_to(np.asarray(self.values, float), (n, S, self.n_outputs_))
        return Scenarios(values, np.broadcast_to(weight, (n, S)))
