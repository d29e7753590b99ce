"""A display of the worst case: its rows, and the distribution of their regret."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from .._utils.checks import whole_number
from .._utils.innermost import innermost
from .._utils.optional import import_optional
from .._utils.rounding import mean_and_spread
from .._utils.seeds import named_rng, root_seed
from ._style import color_of


class WorstCaseDisplay:
    """Rows of the nominal model and of the worst case, and the regret of both.

    It is recommended to use :meth:`from_estimator`; all arguments are then stored as
    attributes.

    Parameters
    ----------
    nominal, worst : ndarray of shape (n, 2)
        One feature and one parameter of rows drawn from the nominal model and from the worst
        distribution.
    nominal_regret, worst_regret : ndarray of shape (n,)
        Regret of the estimator's decisions on them.
    names : tuple of 2 str
        Names of the two columns.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of 2 matplotlib.axes.Axes
        Rows on the left, the distribution of their regret on the right.

    See Also
    --------
    dfl_sklearn.DiffusionDRODFLRegressor : The estimator whose worst case is shown.
    StressTestDisplay : The worst case of any fitted model.

    Examples
    --------
    >>> from dfl_sklearn import DiffusionDRODFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.inspection import WorstCaseDisplay
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionGenerator
    >>> X, y = make_newsvendor(300, random_state=0)
    >>> model = DiffusionDRODFLRegressor(
    ...     NewsvendorProblem(9, 1),
    ...     radius=0.2,
    ...     generator=DiffusionGenerator(max_iter=10),
    ...     hidden_layer_sizes=(),
    ...     random_state=0,
    ... ).fit(X, y)
    >>> display = WorstCaseDisplay.from_estimator(model, random_state=0)
    >>> bool(display.worst_regret.mean() > display.nominal_regret.mean())
    True
    """

    def __init__(
        self,
        *,
        nominal: np.ndarray,
        worst: np.ndarray,
        nominal_regret: np.ndarray,
        worst_regret: np.ndarray,
        names: tuple[str, str],
    ) -> None:
        self.nominal = nominal
        self.worst = worst
        self.nominal_regret = nominal_regret
        self.worst_regret = worst_regret
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        feature: int | None = None,
        output: int = 0,
        n_samples: int = 1000,
        ax: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> "WorstCaseDisplay":
        """Draw the worst case of a fitted estimator.

        Parameters
        ----------
        estimator : DiffusionDRODFLRegressor, Pipeline or search
            An estimator fitted with a radius above 0. For a Pipeline the features are those of its
            last step.
        feature : int or None, default=None
            The feature on the horizontal axis. None is the one whose mean moves most in the worst
            case, in nominal standard deviations.
        output : int, default=0
            The parameter on the vertical axis.
        n_samples : int, default=1000
            Number of rows drawn from each distribution.
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        random_state : int, RandomState or None, default=None
            Seed of the draws.

        Returns
        -------
        WorstCaseDisplay
        """
        check_is_fitted(estimator)
        estimator, _ = innermost(estimator)
        if not hasattr(type(estimator), "sample_worst_case"):
            raise ValueError(
                f"{type(estimator).__name__} has no worst case: give a fitted "
                "DiffusionDRODFLRegressor. stress_test finds the worst case of any other model."
            )
        whole_number(n_samples, "n_samples", at_least=2)
        whole_number(output, "output", at_least=0)
        seed = root_seed(random_state)
        X_worst, y_worst = estimator.sample_worst_case(n_samples, random_state=seed % 2**32)
        rows = estimator.ambiguity_set_.nominal(n_samples, named_rng(seed, "nominal"))
        if output >= rows.y.shape[1]:
            raise ValueError(f"output={output}, but y has {rows.y.shape[1]} columns.")
        X_nominal = estimator._as_given(rows)
        n_columns = X_nominal.shape[1]
        if feature is not None and whole_number(feature, "feature", at_least=0) >= n_columns:
            raise ValueError(f"feature={feature}, but X has {n_columns} columns.")
        names = getattr(estimator, "feature_names_in_", None)
        regrets, parameters = [], []
        problem = estimator._resolve_problem()
        for X, y in ((X_nominal, rows.y), (X_worst, y_worst.reshape(n_samples, -1))):
            table = X if names is None else pd.DataFrame(X, columns=names)
            decisions, context = estimator.decide(table), estimator.context_of(table)
            best = problem.optimal_cost(y, context=context)
            regrets.append(problem.cost(decisions, y, context=context) - best)
            parameters.append(y[:, output])
        if feature is None:
            _, spread = mean_and_spread(X_nominal, np.ones(len(X_nominal)))
            moved = np.abs(X_worst.mean(axis=0) - X_nominal.mean(axis=0))
            feature = int(np.argmax(moved / np.where(spread > 0, spread, np.inf)))
        display = cls(
            nominal=np.column_stack([X_nominal[:, feature], parameters[0]]),
            worst=np.column_stack([X_worst[:, feature], parameters[1]]),
            nominal_regret=regrets[0],
            worst_regret=regrets[1],
            names=(
                f"feature {feature}" if names is None else str(names[feature]),
                "y" if rows.y.shape[1] == 1 else f"y {output}",
            ),
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> "WorstCaseDisplay":
        """Draw.

        Parameters
        ----------
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        WorstCaseDisplay
            self, with `figure_` and `axes_`.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by="WorstCaseDisplay")
        if ax is None:
            _, ax = pyplot.subplots(
                1, 2, figsize=(10, 4), width_ratios=(3, 2), layout="constrained"
            )
        left, right = self.axes_ = np.asarray(ax, dtype=object).ravel()
        self.figure_ = left.figure
        left.scatter(*self.nominal.T, s=8, color="0.8", label="nominal")
        shown = left.scatter(
            *self.worst.T, s=8, c=self.worst_regret, cmap="viridis_r", label="worst case"
        )
        self.figure_.colorbar(shown, ax=left, label="regret")
        left.set(xlabel=self.names[0], ylabel=self.names[1])
        left.legend(frameon=False)
        bins = np.histogram_bin_edges(
            np.concatenate([self.nominal_regret, self.worst_regret]), bins=40
        )
        for values, color, name in (
            (self.nominal_regret, "0.6", "nominal"),
            (self.worst_regret, color_of(0), "worst case"),
        ):
            label = f"{name}, mean {values.mean():.3g}"
            right.hist(values, bins, histtype="step", color=color, lw=1.5, label=label)
        right.set(xlabel="regret", ylabel="rows", yscale="log")
        right.legend(frameon=False)
        return self
