"""A picture of a comparison: differences and their intervals, over time, and under shifts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._utils.optional import import_optional
from ..model_selection import DecisionComparison
from ._places import places


class DecisionComparisonDisplay:
    """Differences of cost to a reference: their intervals, how they add up, and what a shift costs.

    It is recommended to use :meth:`from_result`; all arguments are then stored as attributes.

    Parameters
    ----------
    names : list of str
        Of the m estimators, and of the incumbent, that are compared with the reference.
    reference : str
    difference, low, high : ndarray of shape (m,)
        Of the mean costs, and the ends of their intervals.
    confidence_level : float
    cumulated : ndarray of shape (n, m)
        Differences added up over the rows held out, in the order of X.
    index : ndarray of shape (n,)
        Where to draw the rows: times, for example, or their numbers.
    has_places : bool, default=False
        Whether `index` is more than the numbers of the rows.
    cost, worst_shift_cost : dict of str to float, default=None
        Mean cost on the rows held out, and the largest mean cost of a shift, of the reference as
        well. None without shifts.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of 2 or 3 matplotlib.axes.Axes
        Intervals, cumulated differences and, with shifts, the cost without a shift against that
        of the worst one.

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
        cost: np.ndarray | None = None,
        worst_shift_cost: np.ndarray | None = None,
    ) -> None:
        self.names = names
        self.reference = reference
        self.difference = difference
        self.low = low
        self.high = high
        self.confidence_level = confidence_level
        self.cumulated = cumulated
        self.index = index
        self.cost = cost
        self.worst_shift_cost = worst_shift_cost

    @classmethod
    def from_result(
        cls,
        result: DecisionComparison,
        *,
        reference: str | None = None,
        ax: Any = None,
        **line_kw: Any,
    ) -> "DecisionComparisonDisplay":
        """Draw what :func:`~dfl_sklearn.model_selection.compare_decisions` has returned.

        Parameters
        ----------
        result : DecisionComparison
            Of two or more estimators, or of one and an incumbent.
        reference : str, default=None
            What to compare with; None is the reference of the comparison.
        ax : array-like of 2 or 3 matplotlib.axes.Axes, default=None
            Where to draw, three where there are shifts; None makes a new figure.
        **line_kw : dict
            Handed to matplotlib's `plot` for the cumulated differences.

        Returns
        -------
        DecisionComparisonDisplay
        """
