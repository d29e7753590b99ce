"""
=====================
A network of your own
=====================

:class:`~dfl_sklearn.estimators.DFLRegressor` trains a multilayer perceptron by default. With the
parameter ``predictor`` it trains another network: one of this package, or one that your own
function builds.
"""

# %%
# Windows of a demand trace, split in order of time.
import matplotlib.pyplot as plt
import pandas as pd
from torch import nn

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_lagged, make_llm_trace
from dfl_sklearn.learners import LSTMPredictor
from dfl_sklearn.metrics import normalized_regret
from dfl_sklearn.problems import ProvisioningProblem

problem = ProvisioningProblem()
X, y = make_lagged(make_llm_trace(n_bins=1440, random_state=0)["context_tokens"], n_lags=12)
X_train, y_train = X[:720], y[:720]
X_val, y_val = X[732:912], y[732:912]
X_test, y_test = X[924:], y[924:]

# %%
# A network of the package
# ------------------------
# :class:`~dfl_sklearn.learners.LSTMPredictor` reads a row as a window, the oldest value first.
lstm = DFLRegressor(problem, predictor=LSTMPredictor(hidden_size=16), max_iter=80, random_state=0)


# %%
# A function that builds a module
# -------------------------------
# The function gets the number of features and the number of outputs. This network starts from the
# last value and learns how to correct it. Its inputs are standardised features, and its outputs are
# standardised targets.
class Correction(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.change = nn.Sequential(nn.Linear(n_in, 16), nn.Tanh(), nn.Linear(16, n_out))

    def forward(self, window):
        return window[:, -1:] + self.change(window)


correction = DFLRegressor(problem, predictor=Correction, max_iter=80, random_state=0)

# %%
# Your own training parameters
# ----------------------------
# The learning rate, the batch size, the device and all other settings of training are parameters of
# the estimator. Here a linear model, ``torch.nn.Linear`` itself, is trained with a larger learning
# rate.
linear = DFLRegressor(
    problem,
    predictor=nn.Linear,
    learning_rate_init=0.05,
    batch_size=64,
    max_iter=80,
    random_state=0,
)

# %%
# Training and results
# --------------------
# ``history_`` is a DataFrame with one row per epoch; the epoch with the lowest regret on the
# validation rows is kept.
models = {"LSTM": lstm, "last value + correction": correction, "linear": linear}
for model in models.values():
    model.fit(X_train, y_train, X_val=X_val, y_val=y_val)

colours = dict(zip(models, ["#2a6f97", "#d1603d", "#6a994e"], strict=True))
fig, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
for name, model in models.items():
    history = model.history_
    ax.plot(history["epoch"], 1e3 * history["valid_regret"], color=colours[name], label=name)
    best = history.set_index("epoch")["valid_regret"][model.best_epoch_]
    ax.plot(model.best_epoch_, 1e3 * best, "o", color=colours[name])
ax.set(xlabel="epoch", ylabel="regret on validation rows\n(cost x 1000)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, title="dot: weights that are kept")
plt.show()

# %%
# Normalised regret on the test rows, compared with that of the mean of the lags, which learns
# nothing:
regrets = {
    name: normalized_regret(y_test, model.predict(X_test), problem=problem)
    for name, model in models.items()
}
regrets["mean of the lags"] = normalized_regret(y_test, X_test.mean(axis=1), problem=problem)
pd.Series(regrets, name="normalised regret").round(4).to_frame()

# %%
# A larger network is not necessarily better. Try simple predictors first.
