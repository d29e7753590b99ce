"""A display of a comparison: differences with intervals, over time, and under shifts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .._utils.optional import import_optional
from ..model_selection import DecisionComparison
from ._places import places, short_dates
from ._style import line_style, refuse_other_labels, with_choices


class DecisionComparisonDisplay:
    """Differences in cost to a reference: intervals, cumulative sums, and costs under shifts.

    It is recommended to use :meth:`from_result`; all arguments are then stored as attributes.

    Parameters
    ----------
    names : list of str
        Names of the m estimators, or the incumbent, that are compared with the reference.
    reference : str
        Name of the estimator, or "incumbent", that the others are compared with.
    difference, low, high : ndarray of shape (m,)
        Differences in mean cost, and the ends of their intervals.
    confidence_level : float
        Probability that an interval contains the true difference.
    cumulated : ndarray of shape (n, m)
        Cumulative sums of weighted differences over the held-out rows, in the order of X.
    index : ndarray of shape (n,), default=None
        Positions of the rows on the axis, for example times; None is the row numbers.
    shift_costs : dict of str to (float, float), default=None
        Mean cost on the held-out rows and largest mean cost under a shift, by name, including the
        reference. None without shifts.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of 2 or 3 matplotlib.axes.Axes
        Intervals, cumulative differences and, with shifts, the cost without a shift against the
        cost under the worst one.

    See Also
    --------
    dfl_sklearn.model_selection.compare_decisions : Make the comparison.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression, QuantileRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.inspection import DecisionComparisonDisplay
    >>> from dfl_sklearn.model_selection import compare_decisions
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(200, random_state=0)
    >>> found = compare_decisions(
    ...     {"mean": LinearRegression(), "quantile": QuantileRegressor(quantile=0.9, alpha=0)},
    ...     *(X, y),
    ...     problem=NewsvendorProblem(9, 1),
    ... )
    >>> display = DecisionComparisonDisplay.from_result(found)
    >>> display.names, len(display.axes_)
    (['quantile'], 2)
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        reference: str,
        difference: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        confidence_level: float,
        cumulated: np.ndarray,
        index: np.ndarray | None = None,
        shift_costs: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.names = names
        self.reference = reference
        self.difference = difference
        self.low = low
        self.high = high
        self.confidence_level = confidence_level
        self.cumulated = cumulated
        self.index = index
        self.shift_costs = shift_costs

    @classmethod
    def from_result(
        cls,
        result: DecisionComparison,
        *,
        reference: str | None = None,
        ax: Any = None,
        **line_kw: Any,
    ) -> "DecisionComparisonDisplay":
        """Draw the result of :func:`~dfl_sklearn.model_selection.compare_decisions`.

        Parameters
        ----------
        result : DecisionComparison
            Comparison of two or more estimators, or of one and an incumbent.
        reference : str, default=None
            Name to compare with; None is the reference of the comparison.
        ax : array-like of 2 or 3 matplotlib.axes.Axes, default=None
            Where to draw, three where there are shifts; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot` for the cumulative differences.

        Returns
        -------
        DecisionComparisonDisplay
        """
        reference = result.reference if reference is None else reference
        table = result.differences(reference)
        if not len(table):
            raise ValueError(f"There is nothing to draw except {reference!r}.")
        counted = (result.block >= 0) & (result.weight > 0)
        names = list(table.index)
        costs = result.costs[counted]
        differences = costs[names].to_numpy() - costs[[reference]].to_numpy()
        index = None if isinstance(result.costs.index, pd.RangeIndex) else places(costs)
        shift_costs = None
        if result.shift_costs is not None:
            mean, worst = (result.to_frame()[key] for key in ("mean_cost", "worst_shift_cost"))
            shift_costs = {
                name: (float(mean[name]), float(worst[name]))
                for name in mean.index
                if np.isfinite(worst[name])
            }
        display = cls(
            names=names,
            reference=reference,
            difference=table["difference"].to_numpy(),
            low=table["low"].to_numpy(),
            high=table["high"].to_numpy(),
            confidence_level=result.confidence_level,
            cumulated=np.cumsum(result.weight[counted, None] * differences, axis=0),
            index=index,
            shift_costs=shift_costs or None,
        )
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> "DecisionComparisonDisplay":
        """Draw.

        Parameters
        ----------
        ax : array-like of 2 or 3 matplotlib.axes.Axes, default=None
            Where to draw, three where there are shifts; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot` for the cumulative differences.

        Returns
        -------
        DecisionComparisonDisplay
            self, with `figure_` and `axes_`.
        """
        pyplot = import_optional(
            "matplotlib.pyplot", extra="plot", needed_by="DecisionComparisonDisplay"
        )
        n_axes = 2 if self.shift_costs is None else 3
        if ax is None:
            size = (4.5 * n_axes, 3.6)
            _, ax = pyplot.subplots(1, n_axes, figsize=size, layout="constrained")
        self.axes_ = np.asarray(ax, dtype=object).ravel()
        if len(self.axes_) != n_axes:
            raise ValueError(f"ax must hold {n_axes} axes, got {len(self.axes_)}.")
        self.figure_ = self.axes_[0].figure
        styles: dict[str, dict[str, Any]] = {self.reference: {"color": "0.35", "marker": "o"}}
        for j, name in enumerate(self.names):
            styles[name] = line_style(j, marker=True)
        self._draw_intervals(self.axes_[0], styles)
        self._draw_cumulated(self.axes_[1], styles, line_kw)
        if self.shift_costs is not None:
            self._draw_shifts(self.axes_[2], styles)
        return self

    def _draw_intervals(self, ax: Any, styles: Mapping[str, dict[str, Any]]) -> None:
        refuse_other_labels(ax, self.names, "models")
        ax.axvline(0.0, color="0.7", lw=0.8, zorder=0)
        for j, name in enumerate(self.names):
            reach = [[self.difference[j] - self.low[j]], [self.high[j] - self.difference[j]]]
            style = {**styles[name], "ls": ""}
            ax.errorbar(self.difference[j], j, xerr=reach, capsize=3, **style)
        ax.set(
            yticks=range(len(self.names)),
            yticklabels=self.names,
            ylim=(len(self.names) - 0.5, -0.5),
            xlabel=f"mean cost less that of {self.reference}\n"
            f"({100 * self.confidence_level:g} % intervals)",
        )

    def _draw_cumulated(
        self, ax: Any, styles: Mapping[str, dict[str, Any]], line_kw: dict[str, Any]
    ) -> None:
        x = np.arange(len(self.cumulated)) if self.index is None else self.index
        ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        for j, name in enumerate(self.names):
            style = {**styles[name], "marker": "", "label": name}
            ax.plot(x, self.cumulated[:, j], **with_choices(style, line_kw))
        short_dates(ax, np.asarray(x))
        ax.set(
            xlabel="row held out" if self.index is None else None,
            ylabel=f"cumulated cost less that of {self.reference}",
        )
        ax.legend(frameon=False)

    def _draw_shifts(self, ax: Any, styles: Mapping[str, dict[str, Any]]) -> None:
        for name, place in (self.shift_costs or {}).items():
            ax.plot(*place, label=name, **{**styles[name], "ls": ""})
            ax.annotate(name, place, xytext=(4, 4), textcoords="offset points")
        ax.set(xlabel="mean cost without a shift", ylabel="mean cost under the worst shift")
