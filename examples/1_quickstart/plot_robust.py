"""
========================================================
Robust to a shift: the worst case near a diffusion model
========================================================

A shop orders before demand is known. Now and then demand jumps: rarely in the training data, and
more often later. :class:`~dfl_sklearn.estimators.DiffusionDRODFLRegressor` fits a diffusion model
to the data, searches near it for the distribution under which the current orders cost most, and
trains on that distribution.
"""

# %%
# Data
# ----
# In the training data, demand is in a costly regime in one row out of twenty; under the shift it is
# in six out of twenty. Other shifts change the level of demand or increase the noise.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.metrics import decision_cost
from dfl_sklearn.problems import NewsvendorProblem

problem = NewsvendorProblem(underage_cost=9, overage_cost=1)
X, y = make_newsvendor(300, random_state=0)
tests = {
    "no shift": make_newsvendor(20_000, random_state=1),
    "regime common": make_newsvendor(20_000, shift="regime", random_state=1),
    "more noise": make_newsvendor(20_000, shift="noise", random_state=1),
    "level up": make_newsvendor(20_000, shift="level_up", random_state=1),
    "level down": make_newsvendor(20_000, shift="level_down", random_state=1),
}

# %%
# Train for a range of radii
# --------------------------
# The diffusion model and the predictor trained on the rows themselves do not depend on the radius.
# With ``memory`` they are fitted only once.

import tempfile

radii = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2]
with tempfile.TemporaryDirectory() as cache:
    models = {
        radius: DiffusionDRODFLRegressor(
            problem, radius=radius, hidden_layer_sizes=(), memory=cache, random_state=0
        ).fit(X, y)
        for radius in radii
    }


def costs(model):
    """Return the mean cost per row of each test set."""
    return {
        name: decision_cost(y_test, model.predict(X_test), problem=problem)
        for name, (X_test, y_test) in tests.items()
    }


robust = pd.DataFrame({radius: costs(model) for radius, model in models.items()}).T
robust.rename_axis("radius").round(2)

# %%
# The plain alternative: a margin
# -------------------------------
# The simple alternative is to order a little more: train with a larger underage cost than the true
# one. Robust training has to be compared with this margin, at the same price.

margins = [9, 10, 12, 15, 19, 25]
careful = pd.DataFrame(
    {
        margin: costs(
            DFLRegressor(NewsvendorProblem(margin, 1), hidden_layer_sizes=(), random_state=0).fit(
                X, y
            )
        )
        for margin in margins
    }
).T
careful.rename_axis("underage cost").round(2)

# %%
# The plots show the cost under a shift against the price without a shift; lower and further left is
# better. A small radius costs nothing here, because rows from the diffusion model also stabilise
# the fit. Beyond that the two curves are close together: only one mistake is dangerous, and
# ordering more is most of the remedy. Where demand falls, both methods cost more and bring nothing.

fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharex=True)
plain = robust.loc[0.0, "no shift"]
for ax, shift in zip(axes, ["regime common", "level up", "level down"], strict=True):
    for frame, name, color in (
        (robust, "diffusion, radius", "#1b6a8f"),
        (careful, "margin, underage cost", "#d1703c"),
    ):
        price = 100 * (frame["no shift"] / plain - 1)
        ax.plot(price, frame[shift], "o-", color=color, label=name, ms=4)
        for knob in (frame.index[2], frame.index[4]):
            ax.annotate(
                f"{knob:g}",
                (price[knob], frame.loc[knob, shift]),
                color=color,
                xytext=(4, 5),
                textcoords="offset points",
                fontsize=8,
            )
    ax.set(title=shift, xlabel="price without shift, %")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("cost per row under the shift")
axes[0].legend(frameon=False)
plt.show()

# %%
# What the worst case looks like
# ------------------------------
# Rows drawn from the worst distribution are still realistic. More of them come from the costly
# regime.

X_worst, y_worst = models[0.1].sample_worst_case(5000, random_state=0)
nominal = models[0.1].generator_.sample(5000, random_state=0)[:, -1]
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
bins = np.histogram_bin_edges(np.concatenate([y, y_worst]), 50)
ax.hist(y, bins, density=True, color="0.85", label="training rows")
ax.hist(nominal, bins, density=True, histtype="step", color="0.3", label="diffusion model")
ax.hist(y_worst, bins, density=True, histtype="step", color="#1b6a8f", lw=1.8, label="worst case")
ax.set(xlabel="demand", ylabel="density")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()
