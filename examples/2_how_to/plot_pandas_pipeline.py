"""
=========================================
A pandas table, a Pipeline, a grid search
=========================================

Real tables contain numbers and categories. This example goes from a DataFrame to orders, with
scikit-learn's own tools around a :class:`~dfl_sklearn.estimators.DFLRegressor`.
"""

# %%
# The table
# ---------
# A bakery has three shops. For each day it records the weekday, the weather forecast, whether there
# is a promotion, and the demand for loaves.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dfl_sklearn import DFLRegressor, TwoStageRegressor, decide
from dfl_sklearn.metrics import d2_regret_score, decision_cost
from dfl_sklearn.problems import NewsvendorProblem

rng = np.random.default_rng(0)
n_days = 1200
days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
table = pd.DataFrame(
    {
        "weekday": rng.choice(days, n_days),
        "shop": rng.choice(["harbour", "market", "station"], n_days),
        "temperature": rng.normal(14, 7, n_days).round(1),
        "promotion": rng.integers(0, 2, n_days),
    }
)
busy = table["weekday"].map({"Fri": 25, "Sat": 45}).fillna(0)
place = table["shop"].map({"harbour": -20, "market": 20, "station": 0})
mean = 120 + busy + place - 1.2 * (table["temperature"] - 14) + 15 * table["promotion"]
# Saturdays on the harbour are anybody's guess.
wild = (table["weekday"] == "Sat") & (table["shop"] == "harbour")
spread = np.where(wild, 35.0, 10.0)
demand = (mean + spread * rng.gumbel(0, 1, n_days)).clip(lower=0).round().rename("loaves")
table.assign(loaves=demand).head()

# %%
# The problem: a loaf that is missing costs 3, a loaf left over costs 1.
problem = NewsvendorProblem(underage_cost=3, overage_cost=1)
X_train, X_test, y_train, y_test = train_test_split(table, demand, random_state=0)

# %%
# The Pipeline
# ------------
# Categories become indicator columns, numbers are scaled, and the model comes last. The problem is
# a parameter of the model, so cloning and grid search work as usual.
columns = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["weekday", "shop"]),
    (StandardScaler(), ["temperature", "promotion"]),
    sparse_threshold=0,
)
pipe = Pipeline([("columns", columns), ("model", DFLRegressor(problem, random_state=0))])

# %%
# The grid search
# ---------------
# Without a ``scoring`` argument the search uses the model's own score, the D2 regret score: 1 is
# the score in hindsight, 0 that of the best constant order.
search = GridSearchCV(
    pipe,
    {"model__hidden_layer_sizes": [(), (16,)], "model__alpha": [1e-4, 1e-2]},
    cv=3,
).fit(X_train, y_train)
pd.DataFrame(search.cv_results_)[
    [
        "param_model__hidden_layer_sizes",
        "param_model__alpha",
        "mean_test_score",
        "std_test_score",
        "rank_test_score",
    ]
].style.format(precision=3).format("{:g}", subset="param_model__alpha")

# %%
# Orders
# ------
# A Pipeline and a search have ``predict`` but no ``decide``; :func:`dfl_sklearn.decide` returns the
# decisions of the model inside. For comparison, we fit the same Pipeline with least squares as its
# last step.
two_stage = Pipeline(
    [("columns", columns), ("model", TwoStageRegressor(LinearRegression(), problem))]
).fit(X_train, y_train)
models = {"two-stage": two_stage, "decision-focused": search}
predicted = {name: each.predict(X_test) for name, each in models.items()}
orders = {name: decide(each, X_test) for name, each in models.items()}
pd.DataFrame(
    {
        name: {
            "mean cost": decision_cost(y_test, each, problem=problem),
            "D2 regret score": d2_regret_score(y_test, each, problem=problem),
        }
        for name, each in predicted.items()
    }
).T.round(2)

# %%
# Where the money goes
# --------------------
# Mean cost per shop and day, on the test rows.
COLOURS = {"two-stage": "#d1603d", "decision-focused": "#2a6f97"}
groups = X_test["shop"].str.cat(
    np.where(X_test["weekday"] == "Sat", "Saturday", "Monday to Friday"), sep="\n"
)
costs = pd.DataFrame({name: problem.cost(each, y_test) for name, each in orders.items()})
means = costs.groupby(groups.to_numpy()).mean()
fig, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
means.plot.bar(ax=ax, color=COLOURS, width=0.75, rot=0)
ax.set(xlabel="", ylabel="mean cost per day")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Costs are highest where demand is hard to predict. There it matters most which mistake is the
# cheaper one. Each bar is the mean of a few dozen rows, on Saturdays of fewer, so single bars may
# favour either model. The table above is computed from all rows.
