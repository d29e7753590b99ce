"""
====================
A plan with recourse
====================

Three depots serve four sites. Shipments are decided from a forecast of demand. What is then short
is bought at 5 a unit. The program is written in cvxpy. The shortfall is not among the decisions
that the function returns, so it takes its best value once demand is known. Training takes both
stages into account, and learns how much reserve to ship.
"""

import cvxpy as cp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.metrics import make_decision_cost_scorer
from dfl_sklearn.problems import ConvexProgram

rng = np.random.default_rng(0)
PRICE = rng.uniform(1, 3, (3, 4))


def transport():
    ship, short = cp.Variable((3, 4), nonneg=True), cp.Variable(4, nonneg=True)
    demand = cp.Parameter(4)
    cost = cp.sum(cp.multiply(PRICE, ship)) + 5 * cp.sum(short)
    limits = [cp.sum(ship, axis=1) <= [40, 40, 60], cp.sum(ship, axis=0) + short >= demand]
    return cp.Problem(cp.Minimize(cost), limits), demand, ship


problem = ConvexProgram(transport)
slopes = rng.normal(size=(5, 4))
X = rng.normal(size=(900, 5))
y = 20 + 6 * X @ slopes + 4 * rng.normal(size=(900, 4))
train, test = slice(0, 400), slice(400, None)

# The plain baseline: what is predicted, and a margin chosen by the cost of decisions.
margins = [FunctionTransformer(inverse_func=lambda y, m=m: y + m) for m in range(4)]
with_margin = TransformedTargetRegressor(LinearRegression(), check_inverse=False)
score, grid = make_decision_cost_scorer(problem), {"transformer": margins}
models = {
    "squared error": TwoStageRegressor(LinearRegression(), problem),
    "with the best margin": GridSearchCV(with_margin, grid, scoring=score, cv=3),
    "decision-focused": DFLRegressor(problem, hidden_layer_sizes=(), random_state=0),
}
cost = {}
for name, model in models.items():
    cost[name] = -score(model.fit(X[train], y[train]), X[test], y[test])
cost["known demand"] = problem.optimal_cost(y[test]).mean()

plt.figure(figsize=(6, 2.6))
plt.plot([*cost.values()], [*cost], "o")
plt.grid(axis="y", color="0.9")
plt.xlabel("mean cost of a day, shortfall included")
plt.tight_layout()
plt.show()
