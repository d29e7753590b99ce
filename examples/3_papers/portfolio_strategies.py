"""
==================================================
Portfolio strategies: weighted by their past costs
==================================================

Several strategies are available, and it is not known which will do well in the future. Lam
("Ensembling portfolio strategies for long-term investments", arXiv:2406.03652) combines strategies
by the wealth that they have earned, without assumptions on the market, after Cover ("Universal
portfolios", 1991). :class:`~dfl_sklearn.ExpertMixture` combines them by what their decisions have
cost, including a charge for risk. The returns of the paper cannot be redistributed. Here they are
generated, with a decade in which crises are six times as frequent.

Run it with ``python examples/3_papers/portfolio_strategies.py``; about ten seconds on one core.
"""

# %%
# Six strategies
# --------------
# The cost of a portfolio is its negative return plus a charge for its variance. A fixed portfolio z
# is best for the returns :math:`\lambda \Sigma z`, so a constant prediction leads to it.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor, ExpertMixture
from dfl_sklearn.datasets import make_portfolio, portfolio_covariance
from dfl_sklearn.problems import PortfolioProblem

covariance = portfolio_covariance(5)
problem = PortfolioProblem(covariance, risk_aversion=0.5)


def fixed(shares):
    """Return a regressor whose predictions lead to these shares."""
    returns = problem.risk_aversion * covariance @ np.asarray(shares)
    return DummyRegressor(strategy="constant", constant=returns)


net = {"hidden_layer_sizes": (), "random_state": 0}
strategies = [
    ("safe asset", fixed([1, 0, 0, 0, 0])),
    ("equal shares", fixed([0.2] * 5)),
    ("mean returns", DummyRegressor()),
    ("least squares", LinearRegression()),
    ("decision-focused", DFLRegressor(problem, **net)),
    ("3D-Learning", DiffusionDRODFLRegressor(problem, radius=0.3, **net)),
]
X, y = make_portfolio(240, random_state=0)
model = ExpertMixture(strategies, problem).fit(X, y)
names = [name for name, _ in strategies]

# %%
# Thirty years
# ------------
# The first and the third decade are like the training months. In the second, about three months in
# ten are crises. Each month is decided with weights from the costs of the months before.
YEARS = {"before": None, "crises": {"crisis": 0.3}, "after": None}


def thirty_years(seed):
    """Return the features and the returns of 360 months."""
    decades = [
        make_portfolio(120, shift=shift, random_state=1000 * seed + i)
        for i, shift in enumerate(YEARS.values(), start=1)
    ]
    return [np.concatenate(part) for part in zip(*decades, strict=True)]


def play(seed):
    """Return what was played, and how much each strategy and both mixtures grow in each month."""
    X, y = thirty_years(seed)
    played = model.progressive(X, y)
    each = [problem.solve(expert.predict(X)) for expert in model.experts_]
    growth = pd.DataFrame({name: (z * y).sum(axis=1) for name, z in zip(names, each, strict=True)})
    growth["mixture"] = (played.decisions * y).sum(axis=1)
    growth = 1 + growth / 100
    growth["mixture by wealth"] = by_wealth(growth[names].to_numpy())
    return played, growth


def by_wealth(growth, n_mixtures=2000):
    """Return how the wealth grows that starts in equal parts in many constant mixtures."""
    shares = np.random.default_rng(0).dirichlet(np.ones(growth.shape[1]), n_mixtures)
    wealth = np.cumprod(growth @ shares.T, axis=0).mean(axis=1)
    return wealth / np.concatenate([[1.0], wealth[:-1]])


played, growth = play(seed=0)
wealth = growth.cumprod()

# %%
# Five years into the decade of crises most weight is on the safe asset. Afterwards it moves back to
# other strategies.
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
years, colors = np.arange(360) / 12, plt.cm.tab10.colors[: len(names)]
areas = left.stackplot(years, played.weights.T, labels=names, colors=colors)
left.set(xlabel="year", ylabel="weight of the strategy", xlim=(0, 30), ylim=(0, 1))
right.set_prop_cycle(color=colors)
right.plot(years, wealth[names], lw=1)
lines = right.plot(years, wealth["mixture"], color="black", lw=2, label="mixture")
lines += right.plot(years, wealth["mixture by wealth"], "k--", label="mixture by wealth")
crises = right.axvspan(10, 20, color="0.9", zorder=0, label="decade of crises")
right.set(xlabel="year", ylabel="wealth", xlim=(0, 30), yscale="log")
fig.legend(handles=[*areas, *lines, crises], loc="outside lower center", ncols=5)
plt.show()

# %%
# Over twenty streams
# -------------------
# The table shows the means over twenty such streams: the monthly cost in percent (less is better),
# and the wealth at the end (geometric mean). In each decade some strategy costs less than the
# mixture, but not always the same one, and the mixture does not know beforehand which. Over all
# thirty years the mixture has the lowest mean cost, though in most single streams one strategy is
# better. Wealth ignores the charge for risk; by wealth, least squares is clearly the best. The
# mixture by wealth is guaranteed to come within a factor of :math:`(T + 1)^{m-1}` of the best
# constant mixture of m strategies. For T = 360 months this bound is loose: the mixture is still
# spread over all six strategies.
rows = []
for seed in range(20):
    played, growth = play(seed)
    costs = pd.DataFrame(played.expert_cost, columns=names).assign(mixture=played.cost)
    decades = costs.groupby(np.repeat(list(YEARS), 120), sort=False).mean()
    rows.append(
        pd.concat(
            [decades.T, costs.mean().rename("all"), np.log(growth).sum().rename("wealth")], axis=1
        )
    )
table = sum(rows) / len(rows)
table["wealth"] = np.exp(table["wealth"])
print(table.round(3).to_string())

won = sum(row["all"].idxmin() == "mixture" for row in rows)
print(f"The mixture costs less than each single strategy in {won} of {len(rows)} streams.")
