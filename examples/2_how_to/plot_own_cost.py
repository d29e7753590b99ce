"""
==================================
A decision with a cost of your own
==================================

If no class of this package fits your problem, write its cost as a NumPy function.
:class:`~dfl_sklearn.problems.FunctionProblem` finds the best decision numerically, and models can
be trained through it.
"""

# %%
# The cost
# --------
# A call centre decides in the morning how many agents work today. An agent costs 160 and handles 60
# calls. Calls beyond that wait, and the cost of waiting grows faster than their number. Idle agents
# can do paperwork, which is worth a quarter of their cost.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.metrics import decision_cost
from dfl_sklearn.problems import FunctionProblem


def staffing_cost(agents, calls):
    busy = np.minimum(agents, calls / 60)
    waiting = np.maximum(calls - 60 * agents, 0)
    return 160 * agents - 40 * (agents - busy) + 4 * waiting + 0.02 * waiting**2


problem = FunctionProblem(staffing_cost, bounds=(0, 60))

# %%
# The function takes arrays with one entry per row. The problem computes the best decision for each
# row, and its cost.
calls = np.array([300.0, 900.0, 1500.0])
agents = problem.solve(calls)
pd.DataFrame({"calls": calls, "agents": agents, "cost": problem.cost(agents, calls)}).round(1)

# %%
# The cost as a function of the decision: too few agents cost more than too many.
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
grid = np.linspace(0, 35, 400)
for number, colour in zip(calls, ["#8fc1dd", "#2a6f97", "#22333b"], strict=True):
    curve = problem.cost(grid, np.full(grid.shape, number))
    ax.plot(grid, curve / 1e3, color=colour, label=f"{number:.0f} calls")
    best = problem.solve([number])
    ax.plot(best, problem.cost(best, [number]) / 1e3, "o", color=colour)
ax.set(xlabel="agents", ylabel="cost (thousands)", xlim=(0, 35), ylim=(0, 12))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, title="dot: best decision")
plt.show()

# %%
# Training through the function
# -----------------------------
# The number of calls depends on the season and on a campaign, with more scatter during a campaign.
rng = np.random.default_rng(0)


def sample(n):
    season = rng.uniform(-1, 1, n)
    campaign = rng.integers(0, 2, n)
    noise = rng.standard_normal(n) * np.where(campaign, 180, 60)
    calls = 900 + 250 * season + 200 * campaign + noise
    return np.column_stack([season, campaign]), calls.clip(0)


X, y = sample(400)
X_new, y_new = sample(2000)

two_stage = TwoStageRegressor(LinearRegression(), problem).fit(X, y)
focused = DFLRegressor(problem, hidden_layer_sizes=(), tol=1e-2, random_state=0)
focused.fit(X, y)
pd.Series(
    {
        name: decision_cost(y_new, model.predict(X_new), problem=problem)
        for name, model in (("two-stage", two_stage), ("decision-focused", focused))
    },
    name="mean cost per day",
).round(0).to_frame()

# %%
# Derivatives are finite differences, so the cost may have kinks. This takes time, since every step
# solves the decisions of its batch several times. It works well for one to three decisions per row
# and a few thousand rows. For a problem that you solve often, write a class, see :doc:`/extending`.

# %%
# What the model has learnt
# -------------------------
# The decision-focused model plans a reserve, and a larger one during a campaign.
COLOURS = {"two-stage": "#d1603d", "decision-focused": "#2a6f97"}
season = np.linspace(-1, 1, 50)
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True, layout="constrained")
for campaign, ax in enumerate(axes):
    rows = X_new[:, 1] == campaign
    ax.scatter(X_new[rows, 0], y_new[rows] / 60, s=4, color="0.8", label="agents kept busy")
    line = np.column_stack([season, np.full(50, campaign)])
    for name, model in (("two-stage", two_stage), ("decision-focused", focused)):
        ax.plot(season, model.decide(line), color=COLOURS[name], linewidth=2, label=name)
    ax.set(title=["no campaign", "campaign"][campaign], xlabel="season", xticks=[-1, 0, 1])
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("agents")
axes[0].legend(frameon=False, loc="upper left")
plt.show()
