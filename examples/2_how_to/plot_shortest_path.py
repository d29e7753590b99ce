"""
==================================
Routes from predicted travel times
==================================

A courier crosses a town on a grid of streets. The travel time of each street is predicted from five
features of the day, and the route is the fastest one by these predictions. What matters is how long
the route really takes, not how well each street was predicted.
"""

# %%
# Data
# ----
# Travel times are a polynomial of degree 4 in the features, with noise. The predictor is linear, so
# it cannot fit all travel times, and training decides where it is wrong.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import make_shortest_path
from dfl_sklearn.losses import PerturbedFenchelYoungLoss, SPOPlusLoss
from dfl_sklearn.metrics import normalized_regret
from dfl_sklearn.problems import ShortestPathProblem

problem = ShortestPathProblem.grid(5, 5)
X, y = make_shortest_path(500, random_state=0)
X_test, y_test = make_shortest_path(2000, random_state=1)

# %%
# Three ways to train the same linear model
# -----------------------------------------
# Least squares treats all streets alike. SPO+, the default loss for linear costs, is a convex upper
# bound of the time lost on the route. With the perturbed Fenchel-Young loss, the mean route under
# random noise on the predictions should be the best route.
models = {
    "least squares": TwoStageRegressor(LinearRegression(), problem),
    "SPO+": DFLRegressor(problem, loss=SPOPlusLoss(), hidden_layer_sizes=(), random_state=0),
    "Fenchel-Young": DFLRegressor(
        problem, loss=PerturbedFenchelYoungLoss(), hidden_layer_sizes=(), random_state=0
    ),
}
for name, model in models.items():
    predicted = model.fit(X, y).predict(X_test)
    lost = normalized_regret(y_test, predicted, problem=problem)
    error = np.sqrt(np.mean((predicted - y_test) ** 2))
    print(f"{name:15s}  time lost on the route {lost:.1%}, error per street {error:.2f}")

# %%
# The decision-focused models predict each street worse, but their routes are better.
#
# One day
# -------
# The wider a street is drawn, the slower it is. The plots show the routes of least squares and of
# SPO+, and the best route.
day = int(
    np.argmax(
        problem.cost(models["least squares"].decide(X_test), y_test)
        - problem.cost(models["SPO+"].decide(X_test), y_test)
    )
)
routes = {
    "least squares": models["least squares"].decide(X_test[day : day + 1])[0],
    "SPO+": models["SPO+"].decide(X_test[day : day + 1])[0],
    "best": problem.solve(y_test[day : day + 1])[0],
}
place = np.stack(np.divmod(np.arange(25), 5)[::-1], axis=1) * [1, -1]
edges = np.asarray(problem.edges)

fig, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for ax, (name, route) in zip(axes, routes.items(), strict=True):
    for edge, (start, end) in enumerate(edges):
        ends = place[[start, end]].T
        ax.plot(*ends, color="0.8", lw=1 + 2.5 * y_test[day, edge], zorder=1)
        if route[edge]:
            ax.plot(*ends, color="C3" if name != "best" else "C2", lw=2, zorder=2)
    ax.plot(*place.T, "o", color="0.3", ms=4, zorder=3)
    ax.set_title(f"{name}: {route @ y_test[day]:.1f}")
    ax.set_aspect("equal")
    ax.axis("off")
plt.show()

# %%
# With enough features and a flexible net the predictions can be accurate, and then all losses lead
# to the same routes. The loss matters where the model is too simple to predict all streets well.
