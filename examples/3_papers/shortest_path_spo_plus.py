"""
=====================================================
Smart predict-then-optimise: the shortest-path tables
=====================================================

The experiment of Elmachtoub and Grigas, "Smart 'predict, then optimize'" (Management Science 68,
2022, section 6.1): routes through a grid of 5x5 nodes, travel times that are a polynomial in the
features, and a *linear* predictor, which is correct for degree 1 and increasingly misspecified for
higher degrees.

Least squares fits all travel times. SPO+ fits what matters for the route. A random forest also fits
the travel times, but is not linear.

Run it with ``python examples/3_papers/shortest_path_spo_plus.py``; about a minute on one core. A
comparison with PyEPO is in ``benchmarks/pyepo_linear.py``, other losses are in
``benchmarks/linear_losses.py``.
"""

# sphinx_gallery_thumbnail_path = "_static/thumbnails/shortest_path_spo_plus.png"

# %%
# The experiment
# --------------
# For each degree there are ten samples of 1,000 training rows and 2,000 test rows. In both, travel
# times vary by up to half around the polynomial. The results are the regret as a share of the cost
# of the best routes.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import make_shortest_path
from dfl_sklearn.metrics import normalized_regret
from dfl_sklearn.problems import ShortestPathProblem

DEGREES = (1, 2, 4, 6, 8)
problem = ShortestPathProblem.grid(5, 5)
forest = RandomForestRegressor(100, min_samples_leaf=5, random_state=0)
ways = {
    "least squares": TwoStageRegressor(LinearRegression(), problem),
    "random forest": TwoStageRegressor(forest, problem),
    "SPO+": DFLRegressor(problem, hidden_layer_sizes=(), random_state=0),
}

records = []
for degree in DEGREES:
    for seed in range(10):
        X, y = make_shortest_path(1000, degree=degree, random_state=2 * seed)
        X_test, y_test = make_shortest_path(2000, degree=degree, random_state=2 * seed + 1)
        for name, model in ways.items():
            prediction = model.fit(X, y).predict(X_test)
            regret = normalized_regret(y_test, prediction, problem=problem)
            records.append({"degree": degree, "seed": seed, "way": name, "regret": regret})
results = pd.DataFrame(records)

# %%
# Results
# -------

table = results.pivot_table(index="degree", columns="way", values="regret", sort=False)
print((100 * table).round(2).to_string())

figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for name, each in results.groupby("way", sort=False):
    by_degree = 100 * each.groupby("degree")["regret"].agg(["mean", "sem"])
    axis.errorbar(by_degree.index, by_degree["mean"], 2 * by_degree["sem"], marker="o", label=name)
axis.set(xlabel="degree of the polynomial", ylabel="regret, % of the best cost", xticks=DEGREES)
axis.legend(frameon=False)
plt.show()
