"""A cvxpy program with a context read by name, in all estimators."""

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from dfl_sklearn import (
    ConformalDecisions,
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    ExpertMixture,
    PolicyRegressor,
    TwoStageRegressor,
)
from dfl_sklearn.problems import ConvexProgram, CvxpyProgram
from dfl_sklearn.robust import DiffusionGenerator, TiltedSearch


def supply():
    bought, short = cp.Variable(nonneg=True), cp.Variable(nonneg=True)
    demand, most = cp.Parameter(), cp.Parameter(name="most")
    limits = [bought + short >= demand, bought <= most]
    return CvxpyProgram(cp.Problem(cp.Minimize(bought + 5 * short), limits), demand, bought, most)


PROBLEM = ConvexProgram(supply)
RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.normal(size=40), "most": RNG.uniform(1, 5, 40), "b": 0.5})
Y = 3 + X["a"].to_numpy() + 0.3 * RNG.normal(size=40)
FEW = {"max_iter": 1, "random_state": 0, "context": "most"}
TWO_STAGE = TwoStageRegressor(LinearRegression(), PROBLEM, context="most")


@pytest.mark.parametrize(
    "model",
    [
        TWO_STAGE,
        DFLRegressor(PROBLEM, hidden_layer_sizes=(), **FEW),
        DFFRegressor(LinearRegression(), PROBLEM, cv=2, **FEW),
        DFFRegressor(LinearRegression(), PROBLEM, cv=2, inputs="predictions", **FEW),
        PolicyRegressor(PROBLEM, hidden_layer_sizes=(), **FEW),
        ExpertMixture([("one", TWO_STAGE)], PROBLEM, context="most"),
        ConformalDecisions(TWO_STAGE),
        DiffusionDRODFLRegressor(
            PROBLEM,
            hidden_layer_sizes=(),
            generator=DiffusionGenerator(hidden_layer_sizes=(4,), n_steps=2, max_iter=1),
            search=TiltedSearch(20),
            **FEW,
        ),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_context_is_read_by_name(model):
    model = model.fit(X, Y)
    decisions = model.decide(X)
    assert PROBLEM.is_feasible(decisions, context=X).all()
    assert (decisions > 0.9 * X["most"]).any()
