"""A display of corrections of predictions, and of their effect on the regret."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils.checks import whole_number
from .._utils.innermost import innermost
from .._utils.optional import import_optional
from .._utils.rows import as_rows
from ..problems.base import DecisionProblem


class BiasCorrectionDisplay:
    """Corrections within their trust region, and the changes in regret that they cause.

    It is recommended to use :meth:`from_estimator`; all arguments are then stored as attributes.

    Parameters
    ----------
    backbone : ndarray of shape (n,)
        Predictions of one column before the correction.
    correction : ndarray of shape (n,)
        Corrections, which are added to the predictions.
    radius : ndarray of shape (n,)
        Largest possible absolute corrections.
    regret_change : ndarray of shape (n,)
        Regret of each row's decision after the correction of all columns, less that before.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of 2 matplotlib.axes.Axes
        Corrections on the left, changes in regret on the right.

    See Also
    --------
    dfl_sklearn.DFFRegressor : The estimator whose corrections are shown.
    DecisionDisplay : Decisions of any estimator and their regret.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn import DFFRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.inspection import BiasCorrectionDisplay
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> model = DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), random_state=0).fit(X, y)
    >>> display = BiasCorrectionDisplay.from_estimator(model, X, y)
    >>> bool((abs(display.correction) <= display.radius).all())
    True
    >>> bool(display.regret_change.mean() < 0)
    True
    """

    def __init__(
        self,
        *,
        backbone: np.ndarray,
        correction: np.ndarray,
        radius: np.ndarray,
        regret_change: np.ndarray,
    ) -> None:
        self.backbone = backbone
        self.correction = correction
        self.radius = radius
        self.regret_change = regret_change

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        problem: DecisionProblem | None = None,
        column: int = 0,
        ax: Any = None,
        **scatter_kw: Any,
    ) -> "BiasCorrectionDisplay":
        """Draw the corrections of a fitted :class:`~dfl_sklearn.DFFRegressor`.

        Parameters
        ----------
        estimator : DFFRegressor, Pipeline or search
            A fitted estimator.
        X : array-like of shape (n, p)
            Features of the rows, preferably rows that it has not seen.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        problem : DecisionProblem, default=None
            The problem to decide; None takes ``estimator.problem``.
        column : int, default=0
            The parameter to draw.
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **scatter_kw : dict
            Passed to matplotlib's `scatter`.

        Returns
        -------
        BiasCorrectionDisplay
        """
        estimator, reaches = innermost(estimator)
        if not hasattr(estimator, "predict_backbone"):
            raise ValueError(
                f"A {type(estimator).__name__} has no corrections: give a fitted DFFRegressor."
            )
        X = reaches(X)
        problem = estimator._resolve_problem() if problem is None else problem
        observed = as_rows(y, "y")
        whole_number(column, "column", at_least=0)
        if column >= observed.shape[1]:
            raise ValueError(f"column={column}, but y has {observed.shape[1]} columns.")
        problem.check_parameters(observed)
        before, after, radius = (
            as_rows(values, "predictions")
            for values in (
                estimator.predict_backbone(X),
                estimator.predict(X),
                estimator.trust_radius(X),
            )
        )
        context = estimator.context_of(X)
        paid = [
            problem.cost(problem.solve(each, context=context), observed, context=context)
            for each in (before, after)
        ]
        display = cls(
            backbone=before[:, column],
            correction=(after - before)[:, column],
            radius=radius[:, column],
            regret_change=paid[1] - paid[0],
        )
        return display.plot(ax=ax, **scatter_kw)

    def plot(self, ax: Any = None, **scatter_kw: Any) -> "BiasCorrectionDisplay":
        """Draw.

        Parameters
        ----------
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **scatter_kw : dict
            Passed to matplotlib's `scatter`.

        Returns
        -------
        BiasCorrectionDisplay
            self, with `figure_` and `axes_`.
        """
        pyplot = import_optional(
            "matplotlib.pyplot", extra="plot", needed_by="BiasCorrectionDisplay"
        )
        if ax is None:
            _, ax = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        self.axes_ = np.asarray(ax, dtype=object).ravel()
        if len(self.axes_) != 2:
            raise ValueError(f"ax must hold two axes, got {len(self.axes_)}.")
        left, right = self.axes_
        self.figure_ = left.figure
        order = np.argsort(self.backbone)
        x, reach = self.backbone[order], self.radius[order]
        left.fill_between(x, -reach, reach, color="0.9", lw=0, label="trust region")
        style = {"s": 8, "alpha": 0.6, "lw": 0, "label": "correction", **scatter_kw}
        left.scatter(self.backbone, self.correction, **style)
        left.set(xlabel="prediction of the backbone", ylabel="correction")
        left.legend(frameon=False, loc="upper left")
        share = np.divide(
            self.correction, self.radius, out=np.zeros_like(self.correction), where=self.radius > 0
        )
        drawn = right.has_data()
        right.scatter(share, self.regret_change, **{**style, "label": None})
        mean = self.regret_change.mean()
        right.axhline(mean, color="0.35", lw=1.0, ls=":", label=f"mean {mean:+.3g}")
        # Where all corrections have one sign, the other half of the axis would be empty.
        sides = (share < -0.05).any(), (share > 0.05).any()
        low, high = (True, True) if not any(sides) else sides
        xlim = -1.05 if low else -0.05, 1.05 if high else 0.05
        if drawn:
            shown = right.get_xlim()
            xlim = min(xlim[0], shown[0]), max(xlim[1], shown[1])
        right.set(
            xlim=xlim,
            xlabel="correction as a share of the radius",
            ylabel="change in regret",
        )
        right.legend(frameon=False)
        for each in (left, right):
            each.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        return self
