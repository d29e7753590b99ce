"""A fan chart of scenarios for consecutive rows, with the decisions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._decide import decided
from .._utils.context_columns import Selection
from .._utils.innermost import innermost
from .._utils.optional import import_optional
from .._utils.rows import as_numpy_rows
from .._utils.scenario_models import predicts_scenarios
from ..problems.base import DecisionProblem
from ._places import places
from ._style import color_of, with_choices

_BANDS = ((0.05, 0.95), (0.25, 0.75))


class ScenarioDisplay:
    """Scenarios of each output, with the decisions and the observed parameters.

    It is recommended to use :meth:`from_estimator`; all arguments are then stored as attributes.

    Parameters
    ----------
    quantiles : ndarray of shape (n, 5, d)
        The quantiles 0.05, 0.25, 0.5, 0.75 and 0.95 of each row.
    decisions : ndarray of shape (n, k) or None
        Decisions, drawn where there is one for each output.
    y_true : ndarray of shape (n, d) or None
        Observed parameters.
    index : ndarray of shape (n,), default=None
        Positions of the rows on the axis, for example times; None is the row numbers.
    names : sequence of str, default=None
        Names of the outputs.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of d matplotlib.axes.Axes

    See Also
    --------
    dfl_sklearn.scenarios.ResidualScenarios : A scenario model.
    dfl_sklearn.metrics.crps : A score of scenarios.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn import TwoStageRegressor
    >>> from dfl_sklearn.datasets import make_capacity_newsvendor
    >>> from dfl_sklearn.inspection import ScenarioDisplay
    >>> from dfl_sklearn.problems import MultiProductNewsvendorProblem
    >>> from dfl_sklearn.scenarios import ResidualScenarios
    >>> X, y = make_capacity_newsvendor(200, random_state=0)
    >>> problem = MultiProductNewsvendorProblem([9, 6, 4, 3, 2, 1], 1, capacity=320)
    >>> model = TwoStageRegressor(ResidualScenarios(LinearRegression()), problem)
    >>> display = ScenarioDisplay.from_estimator(model.fit(X[:150], y[:150]), X[150:], y[150:])
    >>> len(display.axes_)
    6
    """

    def __init__(
        self,
        *,
        quantiles: np.ndarray,
        decisions: np.ndarray | None = None,
        y_true: np.ndarray | None = None,
        index: np.ndarray | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.quantiles = quantiles
        self.decisions = decisions
        self.y_true = y_true
        self.index = index
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        problem: DecisionProblem | None = None,
        context: Selection = None,
        names: Sequence[str] | None = None,
        ax: Any = None,
        **line_kw: Any,
    ) -> "ScenarioDisplay":
        """Draw the scenarios and decisions of a fitted estimator.

        Parameters
        ----------
        estimator : regressor
            A fitted scenario model, or a :class:`~dfl_sklearn.TwoStageRegressor` around one, also
            in a Pipeline or a search.
        X : array-like of shape (n, p)
            Features of the rows, in the order in which to draw them.
        y : array-like of shape (n,) or (n, d), default=None
            Observed parameters. A pandas index is used for the horizontal axis, unless it is not in
            order or has several levels; column names are used as titles.
        problem : DecisionProblem, default=None
            The problem to decide; None is the problem of the estimator. Without a problem no
            decisions are drawn.
        context : str, int, list, slice, mask or callable, default=None
            Columns of X that are context, for estimators that have none.
        names : sequence of str, default=None
            Titles, one for each output; None is the column names of y.
        ax : array-like of d matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot` for the decisions.

        Returns
        -------
        ScenarioDisplay

        Raises
        ------
        ValueError
            If the estimator does not predict scenarios.
        """
        inner, reaches = innermost(estimator)
        if not predicts_scenarios(inner):
            raise ValueError(
                f"{type(inner).__name__} predicts no scenarios: wrap a regressor in "
                "ResidualScenarios, or a forest in LocalScenarios."
            )
        scenarios = inner.predict_scenarios(reaches(X))
        levels = sorted({0.5, *(level for band in _BANDS for level in band)})
        decisions = None
        if problem is not None or getattr(inner, "problem", None) is not None:
            found = decided(estimator, X, problem, context)
            decisions = as_numpy_rows(found.decisions, "decisions")
        observed = None if y is None else as_numpy_rows(y, "y")
        shape = scenarios.values.shape[::2]
        if observed is not None and observed.shape != shape:
            raise ValueError(
                f"y must have shape {shape} as the scenarios do, got {observed.shape}."
            )
        if names is None and hasattr(y, "columns"):
            names = [str(each) for each in y.columns]  # type: ignore[union-attr]
        elif names is None and isinstance(getattr(y, "name", None), str):
            names = [y.name]  # type: ignore[union-attr]
        display = cls(
            quantiles=scenarios.quantiles(levels),
            decisions=decisions,
            y_true=observed,
            index=places(y, X),
            names=names,
        )
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> "ScenarioDisplay":
        """Draw.

        Parameters
        ----------
        ax : array-like of d matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot` for the decisions.

        Returns
        -------
        ScenarioDisplay
            self, with `figure_` and `axes_`.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by="ScenarioDisplay")
        n, _, d = self.quantiles.shape
        if ax is None:
            size = (9, 1.2 + 1.5 * d)
            _, ax = pyplot.subplots(d, 1, sharex=True, figsize=size, layout="constrained")
        self.axes_ = np.asarray(ax, dtype=object).ravel()
        if len(self.axes_) != d:
            raise ValueError(f"ax must hold {d} axes, one for each output, got {len(self.axes_)}.")
        if self.names is not None and len(self.names) != d:
            raise ValueError(f"names must be {d}, one for each output, got {len(self.names)}.")
        self.figure_ = self.axes_[0].figure
        x = np.arange(n) if self.index is None else self.index
        drawn = self.decisions is not None and self.decisions.shape[1] == d
        for j, one in enumerate(self.axes_):
            five = self.quantiles[:, :, j].T
            for (low, high), shade, share in (
                (five[[0, 4]], "0.9", "90 %"),
                (five[[1, 3]], "0.78", "50 %"),
            ):
                one.fill_between(x, low, high, color=shade, lw=0, label=f"{share} of the scenarios")
            one.plot(x, five[2], color="0.45", lw=0.9, label="median")
            if self.y_true is not None:
                one.plot(
                    x, self.y_true[:, j], ls="", marker=".", ms=4, color="0.1", label="came true"
                )
            if drawn:
                style = {"lw": 1.5, "color": color_of(0), "label": "decision"}
                one.plot(x, self.decisions[:, j], **with_choices(style, line_kw))  # type: ignore[index]
            if self.names is not None:
                one.set_ylabel(self.names[j])
        handles, labels = self.axes_[0].get_legend_handles_labels()
        self.figure_.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
        if self.index is None:
            self.axes_[-1].set_xlabel("row")
        return self
