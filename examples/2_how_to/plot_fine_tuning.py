"""
===================================
Fine-tune a forest for the decision
===================================

Trees can't be trained through a solver: their predictions jump. :class:`~dfl_sklearn.DFFRegressor`
leaves them as they are and corrects what they predict, by a small net that may move each prediction
by no more than a given share, and that is dropped where it does not help on held-out rows.
"""

# %%
# A forest that aims at the wrong number
# --------------------------------------
# A newsvendor loses nine on each paper too few and one on each too many. A forest predicts the mean
# demand; what should be ordered is its 90 % quantile, and how far that is from the mean depends on
# the features.
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from dfl_sklearn import DFFRegressor
from dfl_sklearn.datasets import (
    fetch_azure_llm_trace,
    get_data_home,
    make_lagged,
    make_llm_trace,
    make_newsvendor,
)
from dfl_sklearn.inspection import BiasCorrectionDisplay
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem

X, y = make_newsvendor(500, random_state=0)
X_test, y_test = make_newsvendor(2000, random_state=1)
problem = NewsvendorProblem(underage_cost=9, overage_cost=1)

forest = RandomForestRegressor(100, min_samples_leaf=5, random_state=0)
model = DFFRegressor(forest, problem, epsilon=0.5, random_state=0).fit(X, y)


def cost(prediction, problem, y):
    return problem.cost(problem.solve(prediction), y).mean()


before = cost(model.predict_backbone(X_test), problem, y_test)
after = cost(model.predict(X_test), problem, y_test)
print(f"cost per day: forest {before:.2f}, corrected {after:.2f}")

# %%
# On the left each correction in its trust region, half of the prediction in both directions: most
# orders are raised. On the right what that did: a little more waste on many days, far fewer empty
# shelves on some.
BiasCorrectionDisplay.from_estimator(model, X_test, y_test)
plt.show()

# %%
# How far predictions may move is a parameter to search:
search = GridSearchCV(model, {"epsilon": [0.0, 0.1, 0.3, 0.5, 1.0]}, cv=3).fit(X, y)
scores = pd.Series(search.cv_results_["mean_test_score"], search.cv_results_["param_epsilon"])
scores.rename("score").rename_axis("epsilon").round(3)

# %%
# Capacity for a trace of requests
# --------------------------------
# Capacity for a language model, from the seven intervals of five seconds before, with boosting as
# backbone: the real trace of a conversation service where it has been downloaded, else one
# generated with similar statistics. Neighbouring windows overlap, so folds and held-out rows follow
# time.
is_here = (Path(get_data_home()) / "azure_llm" / "AzureLLMInferenceTrace_conv.csv").exists()
if is_here:
    trace = fetch_azure_llm_trace("conversation", download_if_missing=False).frame
else:
    trace = make_llm_trace(n_bins=720, random_state=0)
source = "Azure" if is_here else "generated"
X, y = (each.to_numpy(float) for each in make_lagged(trace["context_tokens"], n_lags=7))
fitted, watched, tested = np.split(np.arange(len(y)), [len(y) // 2, 7 * len(y) // 10])
watched, tested = watched[7:], tested[7:]  # windows that overlap with the part before

boosting = HistGradientBoostingRegressor(max_iter=50, random_state=0)
served = ProvisioningProblem()
model = DFFRegressor(boosting, served, cv=TimeSeriesSplit(5), random_state=0)
model.fit(X[fitted], y[fitted], X_val=X[watched], y_val=y[watched])

best = served.optimal_cost(y[tested]).mean()
for name, prediction in {
    "boosting": model.predict_backbone(X[tested]),
    "corrected": model.predict(X[tested]),
}.items():
    dearer = (cost(prediction, served, y[tested]) - best) / abs(best)
    print(f"{source} trace, {name}: {dearer:.1%} dearer than hindsight")
print("fell back to the backbone" if model.fell_back_ else "correction in use")

# %%
BiasCorrectionDisplay.from_estimator(model, X[tested], y[tested])
plt.show()

# %%
# On the generated trace boosting learnt from half an hour of noisy windows, and the correction
# helps. On the real one there is nothing to gain, and it is dropped: predictions are those of the
# backbone.
