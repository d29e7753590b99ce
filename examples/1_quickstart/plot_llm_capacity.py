"""
==========================================
From a demand trace to a capacity decision
==========================================

A service answers requests to a large language model. Every five seconds it decides how much
capacity, in tokens, to keep ready for the next five. Capacity in use and idle capacity both cost
energy; demand that is served has a value, with diminishing returns.

This example takes a demand trace, cuts it into windows, trains on the past and decides for the
future. It then computes what the decisions cost, also on traces that differ from the training
trace.
"""

# %%
# A trace and its windows
# -----------------------
# :func:`~dfl_sklearn.datasets.make_llm_trace` generates two hours that resemble a public trace of a
# conversation service; :func:`~dfl_sklearn.datasets.fetch_azure_llm_trace` loads the real one. Each
# row of ``X`` holds the last seven sums, ``y`` the next one.
import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import make_lagged, make_llm_trace
from dfl_sklearn.inspection import DecisionDisplay
from dfl_sklearn.metrics import normalized_regret
from dfl_sklearn.problems import ProvisioningProblem

N_LAGS = 7


def windows(**distribution):
    trace = make_llm_trace(n_bins=1440, **distribution)
    return make_lagged(trace["context_tokens"], n_lags=N_LAGS)


X, y = windows(random_state=0)
X.tail(3)

# %%
# Neighbouring windows overlap, so the split follows time: one hour for training, a quarter of an
# hour for early stopping, and the rest for the test. A gap of seven rows keeps the parts apart.
X_train, y_train = X[:720], y[:720]
X_val, y_val = X[727:907], y[727:907]
X_test, y_test = X[914:], y[914:]

# %%
# The decision
# ------------
# :class:`~dfl_sklearn.problems.ProvisioningProblem` holds the cost. With its default constants
# the last tokens served are worth less than their energy, so the best capacity is a fixed share of
# the demand:
problem = ProvisioningProblem()
for demand in (0.0, 10_000.0, 100_000.0):
    print(f"demand {demand:9,.0f} -> best capacity {problem.solve([demand])[0]:9,.0f}")

# %%
# Training
# --------
# Two-stage models learn to predict the demand. Decision-focused models are trained on the cost of
# the capacity that follows from their prediction. The regret on the validation rows is used for
# early stopping.
two_stage = {
    "two-stage, least squares": TwoStageRegressor(LinearRegression(), problem),
    "two-stage, boosting": TwoStageRegressor(
        GradientBoostingRegressor(n_estimators=50, random_state=0), problem
    ),
}
focused = {
    "decision-focused, linear": DFLRegressor(problem, hidden_layer_sizes=(), random_state=0),
    "decision-focused, network": DFLRegressor(problem, random_state=0),
}
for model in two_stage.values():
    model.fit(X_train, y_train)
for model in focused.values():
    model.fit(X_train, y_train, X_val=X_val, y_val=y_val)

# %%
# What the decisions cost
# -----------------------
# The normalised regret is the cost above that of the best decisions in hindsight, as a share of the
# latter: 0 is perfect. Besides the rest of the trace, there are test traces with more demand, with
# more noise, with sudden bursts, and of a service for code, which has no demand most of the time.
# The mean of the seven lags, which learns nothing, is the baseline.
tests = {
    "same service": (X_test, y_test),
    "busier": windows(shift={"level": 1.5}, random_state=1),
    "nervous": windows(shift={"noise": 2.0}, random_state=1),
    "bursts": windows(shift={"burst": 0.05}, random_state=1),
    "code service": windows(service="code", random_state=1),
}
models = two_stage | focused
regrets = {
    "mean of the lags": {
        test: normalized_regret(target, data.mean(axis=1), problem=problem)
        for test, (data, target) in tests.items()
    }
}
for name, model in models.items():
    regrets[name] = {
        test: normalized_regret(target, model.predict(data), problem=problem)
        for test, (data, target) in tests.items()
    }
table = pd.DataFrame(regrets).T
table.style.format("{:.3f}").highlight_min(props="font-weight: bold")

# %%
# The best value of each column is in bold. Here decision-focused training brings little: the best
# capacity is *linear* in the demand, and the cost is smooth near its minimum, so that a good
# prediction in the sense of least squares is already good for the decision. On the code service all
# models have a large regret, because its trace is unlike anything in the training rows. Try a
# simple two-stage model first; :doc:`/user_guide/overview` says when to expect more.

# %%
# Ten minutes of decisions
# ------------------------
# The upper panel shows the demand, the best capacity in hindsight, and the capacity decided. The
# lower panel shows the regret of each interval.
part = slice(60, 180)
time = X_test.index[part]
demand = y_test.to_numpy()[part]
optimum = problem.optimum(demand)
capacity = focused["decision-focused, network"].decide(X_test[part])
excess = problem.cost(capacity, demand) - optimum.cost

INK, BLUE, GREY, RED = "#22333b", "#2a6f97", "#d5dbe1", "#d1603d"
fig, (top, bottom) = plt.subplots(
    2, figsize=(9, 5), sharex=True, height_ratios=[3, 1], layout="constrained"
)
top.fill_between(time, demand / 1e3, step="mid", color=GREY, label="demand")
top.step(
    time,
    optimum.decisions.ravel() / 1e3,
    where="mid",
    color=INK,
    linewidth=1,
    label="best capacity in hindsight",
)
top.step(time, capacity / 1e3, where="mid", color=BLUE, linewidth=2.2, label="capacity decided")
top.set_ylabel("thousand tokens per 5 s")
top.set_ylim(0, 1.25 * demand.max() / 1e3)
top.set_xlim(time[0], time[-1])
top.legend(frameon=False, ncols=3, loc="upper left")
bottom.fill_between(time, 1e3 * excess, step="mid", color=RED, linewidth=0)
bottom.set_ylabel("regret\n(cost x 1000)")
bottom.set_ylim(0)
bottom.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M"))
bottom.set_xlabel("time of day (UTC)")
for ax in (top, bottom):
    ax.spines[["top", "right"]].set_visible(False)
fig.align_ylabels()
plt.show()

# %%
# Comparing two models
# --------------------
# :class:`~dfl_sklearn.inspection.DecisionDisplay` draws such a picture in one call, with the
# cumulative regret, also for several models on the same axes. Here are ten minutes of the code
# service, for which neither model was trained.
X_code, y_code = tests["code service"]
shown = slice(240, 360)
display = None
for name, colour in (("two-stage, least squares", RED), ("decision-focused, linear", BLUE)):
    display = DecisionDisplay.from_estimator(
        models[name],
        X_code[shown],
        y_code[shown],
        name=name,
        color=colour,
        ax=None if display is None else display.axes_,
    )
display.axes_[1].xaxis.set_major_formatter(mdates.DateFormatter("%H:%M"))
display.axes_[0].set(ylabel="tokens per 5 s", ylim=(0, 1.2 * y_code[shown].max()))
display.axes_[1].set_xlabel("time of day (UTC)")
plt.show()
