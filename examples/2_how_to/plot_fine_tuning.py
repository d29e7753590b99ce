"""
===================================
Fine-tune a forest for the decision
===================================

Trees cannot be trained through a solver, since their predictions have no derivatives.
:class:`~dfl_sklearn.DFFRegressor` leaves them as they are and corrects their predictions with a
small net. The net may change each prediction only by a given share, and it is dropped if it does
not help on held-out rows.
"""

# %%
# A forest that predicts the wrong statistic
# ------------------------------------------
# A newsvendor loses nine for each missing paper and one for each paper left over. A forest predicts
# the mean demand, but the best order is the 90 % quantile. How far it is from the mean depends on
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
# The left panel shows each correction within its trust region, which is half of the prediction in
# both directions. Most orders are raised. The right panel shows the effect: a few more papers left
# over on many days, and far fewer missing papers on some days.
BiasCorrectionDisplay.from_estimator(model, X_test, y_test)
plt.show()

# %%
# You can search over the size of the trust region:
search = GridSearchCV(model, {"epsilon": [0.0, 0.1, 0.3, 0.5, 1.0]}, cv=3).fit(X, y)
scores = pd.Series(search.cv_results_["mean_test_score"], search.cv_results_["param_epsilon"])
scores.rename("score").rename_axis("epsilon").round(3)

# %%
# Capacity for a trace of requests
# --------------------------------
# The second task is capacity for a language model, predicted from the last seven intervals of five
# seconds. The backbone is boosting. The data are the real trace of a conversation service if it has
# been downloaded, and otherwise a generated trace with similar statistics. Neighbouring windows
# overlap, so folds and held-out rows follow time.
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
    excess = (cost(prediction, served, y[tested]) - best) / abs(best)
    print(f"{source} trace, {name}: {excess:.1%} above the best cost in hindsight")
print("fell back to the backbone" if model.fell_back_ else "correction in use")

# %%
BiasCorrectionDisplay.from_estimator(model, X[tested], y[tested])
plt.show()

# %%
# On the generated trace, boosting was fitted on half an hour of noisy windows, and the correction
# helps. On the real trace there is nothing to gain, and the correction is dropped: the predictions
# are those of the backbone.
