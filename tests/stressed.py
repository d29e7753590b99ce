"""Quick stress tests of a line that orders for a newsvendor."""

from sklearn.linear_model import LinearRegression, QuantileRegressor

from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.model_selection import stress_test
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator

PROBLEM = NewsvendorProblem(9, 1)
QUICK = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=8, max_iter=2)
X, Y = make_newsvendor(240, random_state=0)
X_FIT, Y_FIT, X_NEW, Y_NEW = X[:120], Y[:120], X[120:], Y[120:]
LINE = LinearRegression().fit(X_FIT, Y_FIT)
QUANTILE = QuantileRegressor(quantile=0.9, alpha=0).fit(X_FIT, Y_FIT)


def stressed(estimator=LINE, X=X_NEW, y=Y_NEW, **params):
    """Return the quick stress test of a model, with other parameters where they are given."""
    usual = {"problem": PROBLEM, "generator": QUICK, "n_samples": 2000, "random_state": 0}
    return stress_test(estimator, X, y, **{**usual, **params})
