"""
=============================
A capacity known for each day
=============================

A kitchen prepares two dishes. How much it can store differs from day to day, and is known in the
morning. Three settings are needed. The problem *reads* this capacity from a column of the table
(``FromContext``). The estimator is told which column it is (``context=``). The Pipeline leaves the
column *unchanged* (``keep_context``), since a ``StandardScaler`` would rescale the capacity.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dfl_sklearn import DFLRegressor, TwoStageRegressor, decide
from dfl_sklearn.compose import keep_context
from dfl_sklearn.metrics import make_decision_cost_scorer
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem

rng, n = np.random.default_rng(0), 900
table = pd.DataFrame({"weekday": rng.choice(["Mon", "Wed", "Sat"], n)})
table["temperature"] = np.where(rng.random(n) < 0.1, np.nan, rng.normal(15, 7, n))
table["capacity"] = rng.choice([40.0, 55.0, 100.0], n)
warm = table["temperature"].fillna(15) - 15
soup = 30 - warm + rng.gamma(2, 4, n)
salad = 20 + 1.5 * warm + 10 * (table["weekday"] == "Sat") + rng.gamma(2, 4, n)
y = np.column_stack([soup, salad]).clip(min=0)
train, test = slice(0, 600), slice(600, None)

# A missing soup costs 4, a missing salad 9, a portion left over 1.
problem = MultiProductNewsvendorProblem([4, 9], 1, capacity=FromContext("capacity"))
columns = make_column_transformer(
    (OneHotEncoder(sparse_output=False), ["weekday"]),
    (make_pipeline(SimpleImputer(), StandardScaler()), ["temperature"]),
)
models = {
    "two-stage": TwoStageRegressor(LinearRegression(), problem, context="capacity"),
    "decision-focused": DFLRegressor(problem, context="capacity", max_iter=60, random_state=0),
}
cost = {}
for name, model in models.items():
    pipe = make_pipeline(keep_context(columns, "capacity"), model)
    if name == "decision-focused":  # by the model's own score, which knows the capacity
        pipe = GridSearchCV(pipe, {"dflregressor__hidden_layer_sizes": [(), (16,)]}, cv=3)
    pipe.fit(table[train], y[train])
    orders = decide(pipe, table[test])
    assert (orders.sum(axis=1) <= table["capacity"][test] + 1e-9).all()
    cost[name] = -make_decision_cost_scorer(problem)(pipe, table[test], y[test])

pd.Series(cost).plot.barh(figsize=(6, 2.5), xlabel="mean cost per day on 300 other days")
plt.tight_layout()
plt.show()
