"""
==================================
Melding: a matching and two covers
==================================

The three domains of Wilder, Dilkina and Tambe, "Melding the data-decisions pipeline" (AAAI 2019,
table 1): which papers cite one another (a matching), which channels to advertise in and which films
to recommend (submodular covers). In each, one small net for all pairs or items is trained twice:
once for its predictions and once for the decision.

The citations are the real ones of Cora, downloaded once. The data of the other two cannot be
redistributed. Here they are generated after the description in the paper, and smaller;
``benchmarks/coverage.py`` has the sizes and nets of the paper, and intervals. All splits of Cora
are in ``benchmarks/cora_matching.py``.

Run it with ``python examples/3_papers/wilder_melding.py``; about four minutes on one core.
"""

# sphinx_gallery_thumbnail_path = "_static/thumbnails/wilder_melding.png"

# %%
# One comparison for all three
# ----------------------------
# The results are the value of the decisions as a share of the best value in hindsight.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import (
    fetch_cora_matching,
    make_budget_allocation,
    make_recommendation,
)
from dfl_sklearn.learners import ItemwisePredictor, PairwisePredictor
from dfl_sklearn.losses import LogLoss, RegretLoss
from dfl_sklearn.problems import CoverageProblem, MatchingProblem


def share_of_hindsight(problem, prediction, y):
    return problem.cost(problem.solve(prediction), y).sum() / problem.optimal_cost(y).sum()


def compare(problem, predictor, train, test, focused, two_stage):
    """Return the shares of a decision-focused net, its two-stage version and random predictions."""
    settings = {"standardize": False, "random_state": 0}
    shares = {}
    for name, params in {"decision-focused": focused, "two-stage": two_stage}.items():
        model = DFLRegressor(problem, predictor=predictor, **settings, **params).fit(*train)
        shares[name] = share_of_hindsight(problem, model.predict(test[0]), test[1])
    random = np.random.default_rng(0).random(test[1].shape)
    return {**shares, "random": share_of_hindsight(problem, random, test[1])}


# %%
# Citations
# ---------
# There are 22 training instances and 5 test instances, each with 50 + 50 papers, and a prediction
# for each of 2,500 pairs. It does not matter which paper of a pair is on the left.

X, y = fetch_cora_matching(return_X_y=True)
order = np.random.default_rng(0).permutation(len(X))
test, train = order[:5], order[5:]
to_the_end = {
    "early_stopping": False,
    "learning_rate": "constant",
    "tol": 0.0,
    "n_iter_no_change": 1000,
}
net = {"batch_size": 1, **to_the_end}
results = {
    "matching (Cora)": compare(
        MatchingProblem(50, 50),
        PairwisePredictor(50, 50, (200,), output="logistic", symmetric=True),
        (X[train], y[train]),
        (X[test], y[test]),
        {**net, "loss": RegretLoss(0.1), "alpha": 0.5, "max_iter": 8, "learning_rate_init": 5e-4},
        {**net, "loss": LogLoss(), "alpha": 0.2, "max_iter": 100, "learning_rate_init": 1e-3},
    )
}

# %%
# Channels and films
# ------------------
# There are 80 training sets and 200 test sets of 50 items; five items of each set are chosen. With
# the regret on held-out rows for early stopping, a net trained by the log loss would stop too
# early. It is trained for 300 epochs instead.


def forest(train, test):
    """Return the predictions of a forest that sees items one by one."""
    items = [each.reshape(-1, each.shape[1] // 50) for each in (*train, test[0])]
    model = RandomForestRegressor(50, min_samples_leaf=5, random_state=0).fit(*items[:2])
    return model.predict(items[2]).reshape(test[1].shape)


covers = {"budget allocation": make_budget_allocation, "recommendation": make_recommendation}
problem = CoverageProblem(5, 50)
net = {"batch_size": 5, "learning_rate_init": 0.01}
for name, make in covers.items():
    train, test = make(80, 50, 100, 10, random_state=0), make(200, 50, 100, 10, random_state=1)
    results[name] = compare(
        problem,
        ItemwisePredictor(50, (), output="logistic"),
        train,
        test,
        {**net, "loss": RegretLoss(), "early_stopping": True, "max_iter": 60},
        {**net, **to_the_end, "loss": LogLoss(), "max_iter": 300},
    )
    results[name]["random forest"] = share_of_hindsight(problem, forest(train, test), test[1])

# %%
# Results
# -------

table = pd.DataFrame(results).T
print((100 * table).round(1).to_string())

axis = table.plot.bar(rot=0, figsize=(7, 3.4), width=0.7)
axis.set(ylabel="value, share of hindsight")
axis.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.15))
plt.tight_layout()
plt.show()
