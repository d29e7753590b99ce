"""Where rows are held out, training never watches the rows that it is trained on."""

import numpy as np
import pytest

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.metrics import regret
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import (
    AmbiguitySet,
    DiffusionGenerator,
    GaussianNoise,
    NominalSamples,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = NewsvendorProblem(9, 1)
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=10, max_iter=4)


class Twice(AmbiguitySet):
    """A set of the user's own, which keeps nothing but the training rows."""

    radius = 1.0

    def set_nominal(self, rows, problem, seed, held_out=None):
        self._rows = rows.as_shares()

    def worst_case(self, row_loss):
        return self._rows, 0.0

    def held_out_regret(self, row_loss):
        return super().held_out_regret(row_loss)


@pytest.mark.parametrize(
    "ambiguity_set", [GaussianNoise(0.3), NominalSamples(200, generator=GENERATOR), Twice()]
)
def test_the_plain_regret_of_held_out_rows_is_watched(ambiguity_set):
    X, y = make_newsvendor(150, random_state=0)
    X_val, y_val = make_newsvendor(80, random_state=1)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y_val))
    model = DFLRegressor(
        PROBLEM, ambiguity_set=ambiguity_set, hidden_layer_sizes=(8,), max_iter=4, random_state=0
    ).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    robust = model.history_.dropna(subset=["worst_regret"])
    np.testing.assert_allclose(robust["objective"], robust["valid_regret"], rtol=1e-12)
    expected = regret(y_val, model.predict(X_val), problem=PROBLEM, sample_weight=weight)
    assert model.worst_case_.objective == pytest.approx(expected, rel=1e-12)


def test_without_held_out_rows_the_worst_rows_are_watched():
    X, y = make_newsvendor(150, random_state=0)
    model = DFLRegressor(
        PROBLEM,
        ambiguity_set=GaussianNoise(0.3),
        hidden_layer_sizes=(),
        early_stopping=False,
        max_iter=4,
        random_state=0,
    ).fit(X, y)
    robust = model.history_.dropna(subset=["worst_regret"])
    np.testing.assert_array_equal(robust["objective"], robust["worst_regret"])
