"""
================================================
3D-Learning: capacity for language-model serving
================================================

The experiment of Wen, Fan and Yang, "3D-Learning: diffusion-augmented distributionally robust
decision-focused learning" (arXiv:2602.02943): train on the trace of a conversation service, and
decide capacity for it and, without retraining, for another service.

This script differs from the published experiment on purpose. No series is repeated or rescaled
separately, and empty bins stay zeros. The test rows are later in time than the training rows, so
that no test row occurs in training. The published protocol, with more predictors and seeds, is in
``benchmarks/azure.py``.

It downloads the public Azure traces (a few MB) once; run it with
``python examples/3_papers/llm_provisioning_3d_learning.py``. About a minute on one core.
"""

# sphinx_gallery_thumbnail_path = "_static/thumbnails/llm_provisioning_3d_learning.png"

# %%
# Data
# ----
# The demand of five seconds is predicted from the seven intervals before.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import fetch_azure_llm_trace, make_lagged
from dfl_sklearn.inspection import WorstCaseDisplay
from dfl_sklearn.metrics import normalized_regret
from dfl_sklearn.problems import ProvisioningProblem
from dfl_sklearn.robust import PolicyGradientSearch

N_LAGS = 7


def windows(service):
    """Return the lagged rows of one service in 2023."""
    trace = fetch_azure_llm_trace(service).frame
    return make_lagged(trace["context_tokens"].to_numpy(float), n_lags=N_LAGS)


X, y = windows("conversation")
cut = int(0.7 * len(y))
X_train, y_train = X[:cut], y[:cut]
tests = {
    "conversation, later": (X[cut + N_LAGS :], y[cut + N_LAGS :]),
    "code (shift)": windows("code"),
}

# %%
# Methods
# -------
# The same linear predictor is trained on the squared error, on the cost of the decision, and on the
# worst distribution near a diffusion model, with both searches. The mean of the lags, which learns
# nothing, is the baseline to beat.

problem = ProvisioningProblem()
linear = {"hidden_layer_sizes": (), "random_state": 0}
models = {
    "least squares": LinearRegression(),
    "decision-focused": DFLRegressor(problem, **linear),
    "3D-Learning, tilted": DiffusionDRODFLRegressor(problem, radius=0.1, **linear),
    "3D-Learning, policy gradient": DiffusionDRODFLRegressor(
        problem, radius=0.1, search=PolicyGradientSearch(), **linear
    ),
}
for name, model in models.items():
    print(f"training: {name}")
    model.fit(X_train, y_train)

# %%
# Results
# -------
# Total regret as a share of the total cost of the best decisions in hindsight.

table = {
    name: {
        test: normalized_regret(y_test, model.predict(X_test), problem=problem)
        for test, (X_test, y_test) in tests.items()
    }
    for name, model in models.items()
}
table["mean of the lags"] = {
    test: normalized_regret(y_test, X_test.mean(axis=1), problem=problem)
    for test, (X_test, y_test) in tests.items()
}
print(pd.DataFrame(table).T.round(4))

# %%
# What the search found
# ---------------------

for name in list(models)[2:]:
    found = models[name].worst_case_
    print(
        f"{name}: regret {found.nominal_regret:.4f} under the nominal model, "
        f"{found.worst_regret:.4f} in the worst case"
    )
WorstCaseDisplay.from_estimator(models["3D-Learning, tilted"], random_state=0)
plt.show()
