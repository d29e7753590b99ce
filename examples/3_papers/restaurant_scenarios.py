"""
============================================
A restaurant: seven ingredients, one kitchen
============================================

Each morning a restaurant prepares seven ingredients, with a limit on the total amount. Demand is
that of the restaurant Yaz in Stuttgart (from the package ``ddop``, Philippi et al., Journal of Open
Source Software, 2021), which is downloaded once. A missing portion costs 9 for the first ingredient
and 3 for the last; a portion left over costs 1.

The best decision depends on the *distribution* of demand: how much of the scarce capacity an
ingredient should get depends on how uncertain the demand for each of them is. A point prediction
does not tell this. Here the same forest is used twice, for a point prediction and for scenarios
from the days in its leaves. The scenario model is then chosen by the cost of its decisions.
"""

# sphinx_gallery_thumbnail_path = "_static/thumbnails/restaurant_scenarios.png"

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.datasets import fetch_yaz
from dfl_sklearn.inspection import ScenarioDisplay
from dfl_sklearn.metrics import make_decision_cost_scorer
from dfl_sklearn.problems import MultiProductNewsvendorProblem
from dfl_sklearn.scenarios import LocalScenarios, ResidualScenarios

X, y = fetch_yaz(return_X_y=True)
is_open = X["is_closed"] == 0
X, y = X[is_open].drop(columns="is_closed"), y[is_open]
train, test = slice(0, 350), slice(350, None)

capacity = float(y[train].sum(axis=1).mean())
problem = MultiProductNewsvendorProblem(np.linspace(9, 3, 7), 1, capacity=capacity)

# %%
# Five ways to decide
# -------------------
columns = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["weekday", "month"]),
    remainder="passthrough",
)
linear = make_pipeline(columns, LinearRegression())
forest = make_pipeline(columns, RandomForestRegressor(200, min_samples_leaf=5, random_state=0))
ways = {
    "linear model": linear,
    "forest": forest,
    "residuals of the linear model": ResidualScenarios(linear),
    "residuals of the forest": ResidualScenarios(forest),
    "days in the leaves of the forest": LocalScenarios(forest),
}
cost = {}
for name, way in ways.items():
    model = TwoStageRegressor(way, problem).fit(X[train], y[train])
    cost[name] = problem.cost(model.decide(X[test]), y[test].to_numpy()).mean()
print(pd.Series(cost).round(1).to_string())

# %%
# Chosen by the cost of decisions
# -------------------------------
# Folds are blocks of consecutive days, as neighbouring days resemble each other.
search = GridSearchCV(
    TwoStageRegressor(linear, problem),
    {"estimator": list(ways.values())},
    scoring=make_decision_cost_scorer(problem),
    cv=KFold(5),
).fit(X[train], y[train])
chosen = list(ways.values()).index(search.best_params_["estimator"])
print("chosen:", list(ways)[chosen])

# %%
# Orders and scenarios
# --------------------
# On busy days the order of the last ingredient, whose missing portions cost least, is reduced in
# favour of the others.
model = TwoStageRegressor(ways["days in the leaves of the forest"], problem).fit(X[train], y[train])
ScenarioDisplay.from_estimator(model, X[350:410], y[350:410])
plt.show()
