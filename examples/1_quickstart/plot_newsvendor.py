"""
===============================
Ordering before demand is known
===============================

A shop orders stock in the morning. Each unit that is missing in the evening costs 9, each unit left
over costs 1. This is the newsvendor problem, the simplest problem in which a good prediction and a
good decision are two different things.

We compare two ways to learn from the same rows:

* **two-stage**: fit a regressor for the demand, then order what it predicts;
* **decision-focused**: fit the predictor so that the *orders* are cheap.

Then the distribution of the data changes, and we compare both again.
"""

# %%
# Data and problem
# ----------------
# :func:`~dfl_sklearn.datasets.make_newsvendor` draws demand that depends on five features. In one
# row out of twenty, a rare regime raises the demand. The argument ``shift`` changes the
# distribution.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.metrics import decision_cost
from dfl_sklearn.problems import NewsvendorProblem

problem = NewsvendorProblem(underage_cost=9, overage_cost=1)
X, y = make_newsvendor(n_samples=300, random_state=0)

# %%
# Two models
# ----------
# Both are linear in the features and are fitted on the same 300 rows. They differ only in what they
# minimise.
two_stage = TwoStageRegressor(LinearRegression(), problem).fit(X, y)
focused = DFLRegressor(problem, hidden_layer_sizes=(), random_state=0).fit(X, y)

X_new, y_new = make_newsvendor(n_samples=5000, random_state=1)
pd.DataFrame(
    {
        "mean cost": [
            decision_cost(y_new, model.predict(X_new), problem=problem)
            for model in (two_stage, focused)
        ],
        "score (D2 regret)": [model.score(X_new, y_new) for model in (two_stage, focused)],
        "rows with unmet demand": [
            np.mean(model.decide(X_new) < y_new) for model in (two_stage, focused)
        ],
    },
    index=["two-stage", "decision-focused"],
).round(2)

# %%
# Why they differ
# ---------------
# Least squares predicts the mean of the demand, so that the shop runs out of stock about every
# second day. Its score below 0 means that the best constant order would have been cheaper. With
# costs of 9 and 1, the best order suffices in nine cases out of ten. Decision-focused training
# finds this order, without being told the quantile.
COLOURS = {"two-stage": "#d1603d", "decision-focused": "#2a6f97"}

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
bins = np.linspace(-8, 10, 73)
for name, model in (("two-stage", two_stage), ("decision-focused", focused)):
    surplus = model.decide(X_new) - y_new
    ax.hist(surplus, bins, color=COLOURS[name], alpha=0.55, density=True, label=name)
ax.axvline(0, color="0.2", linewidth=1)
ax.annotate(
    "short: 9 a unit",
    (-0.2, 0.97),
    xycoords=("data", "axes fraction"),
    ha="right",
    va="top",
    color="0.3",
)
ax.annotate(
    "left over: 1 a unit",
    (0.2, 0.97),
    xycoords=("data", "axes fraction"),
    va="top",
    color="0.3",
)
ax.set(
    xlabel="order minus demand (units)",
    ylabel="share of rows per unit",
    xlim=(-8, 10),
    ylim=(0, 0.4),
)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="center right")
fig.suptitle("The two models order differently")
plt.show()

# %%
# When the distribution shifts
# ----------------------------
# Now the models stay as they are, but the data change: the rare regime becomes common, the noise
# grows, the level of demand rises or falls, or the effects of the features change a little. We
# repeat everything for five training samples, and add a flexible regressor and a small network. The
# network has hidden layers, so it holds out a fifth of its rows for early stopping.
models = {
    "two-stage, least squares": TwoStageRegressor(LinearRegression(), problem),
    "two-stage, boosting": TwoStageRegressor(
        GradientBoostingRegressor(n_estimators=50, random_state=0), problem
    ),
    "decision-focused, linear": DFLRegressor(problem, hidden_layer_sizes=(), random_state=0),
    "decision-focused, network": DFLRegressor(problem, random_state=0),
}
shifts = {
    "no shift": None,
    "rare regime\ncommon": "regime",
    "more\nnoise": "noise",
    "level\nup": "level_up",
    "level\ndown": "level_down",
    "features\nrotated": "rotation",
}
records = []
for seed in range(5):
    X, y = make_newsvendor(n_samples=300, random_state=seed)
    tests = {
        name: make_newsvendor(n_samples=2000, shift=shift, random_state=100 + seed)
        for name, shift in shifts.items()
    }
    for model_name, model in models.items():
        model.fit(X, y)
        for shift_name, (X_new, y_new) in tests.items():
            cost = decision_cost(y_new, model.predict(X_new), problem=problem)
            records.append((model_name, shift_name, seed, cost))
costs = pd.DataFrame(records, columns=["model", "test rows", "seed", "cost"])
summary = costs.groupby(["model", "test rows"], sort=False)["cost"].agg(["mean", "std"])
table = summary["mean"].unstack(sort=False)
table.rename(columns=lambda name: name.replace("\n", " ")).round(2)

# %%
# The same numbers as a plot. Whiskers are the standard deviation over the five samples.
bar_colours = ["#d1603d", "#eeb39b", "#2a6f97", "#8fc1dd"]
fig, ax = plt.subplots(figsize=(8.5, 4), layout="constrained")
positions = np.arange(len(shifts))
for i, (name, colour) in enumerate(zip(models, bar_colours, strict=True)):
    rows = summary.loc[name]
    ax.bar(
        positions + (i - 1.5) * 0.2,
        rows["mean"],
        0.19,
        yerr=rows["std"],
        color=colour,
        ecolor="0.35",
        error_kw={"linewidth": 1},
        label=name,
    )
ax.set_xticks(positions, list(shifts))
ax.set_ylabel("mean cost per row (smaller is better)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, ncols=2)
plt.show()

# %%
# Where demand rises, two-stage models cost most, since their orders have no reserve. Where it
# **falls**, least squares is the cheapest of the four, by a little: its orders were too small
# before, and happen to be right now. A decision-focused model is not robust to every shift.

# %%
# A method for this problem
# -------------------------
# For one product the best order is a quantile of the demand. Linear quantile regression predicts it
# directly, and costs about the same as the decision-focused linear model:
X, y = make_newsvendor(n_samples=300, random_state=0)
X_new, y_new = make_newsvendor(n_samples=5000, random_state=1)
quantile = TwoStageRegressor(QuantileRegressor(quantile=0.9, alpha=0), problem).fit(X, y)
for name, model in (("quantile regression", quantile), ("decision-focused", focused)):
    print(f"{name:20s} {decision_cost(y_new, model.predict(X_new), problem=problem):.2f}")

# %%
# Use the specialised method where there is one. Decision-focused training needs only the cost, and
# works the same way where the right statistic is not known, as in
# :ref:`sphx_glr_auto_examples_2_how_to_plot_own_cost.py`.
