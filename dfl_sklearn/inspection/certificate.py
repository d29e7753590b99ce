"""A display of promised against realised costs."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils.innermost import innermost
from .._utils.optional import import_optional
from .._utils.rows import as_float, check_finite


class CertificateDisplay:
    """Promised costs of decisions against their realised costs.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`; all arguments are
    then stored as attributes. In the upper plot each row is a point; where the realised cost
    exceeds the promised one, it is above the diagonal. The lower plot shows the share of promises
    kept in groups of rows, in ascending order of the promised cost: promises that hold on average
    may fail where the promised cost is low or high.

    Parameters
    ----------
    promised, realised : ndarray of shape (n,)
        Promised and realised costs.
    confidence_level : float, default=None
        Probability with which promises should hold.
    n_bins : int, default=10
        Number of groups of equally many rows, for which the share of promises kept is drawn.
    name : str, default=None
        Name of the model in the legend.

    Attributes
    ----------
    coverage : float
        The share of rows in which the promise was kept.
    mean_promise, mean_cost : float
        Means of the promised and of the realised costs.
    coverage_of_bins : ndarray of shape (`n_bins`,)
        The share in each group, in ascending order of the promised cost.
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of 2 matplotlib.axes.Axes

    See Also
    --------
    dfl_sklearn.ConformalDecisions : An estimator that promises costs.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn import ConformalDecisions
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.inspection import CertificateDisplay
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(800, random_state=0)
    >>> model = ConformalDecisions(LinearRegression(), NewsvendorProblem(9, 1), scale="ridge")
    >>> model = model.fit(X[:400], y[:400])
    >>> display = CertificateDisplay.from_estimator(model, X[400:], y[400:])
    >>> display.coverage_of_bins.shape
    (10,)
    """

    def __init__(
        self,
        *,
        promised: np.ndarray,
        realised: np.ndarray,
        confidence_level: float | None = None,
        n_bins: int = 10,
        name: str | None = None,
    ) -> None:
        self.promised = promised
        self.realised = realised
        self.confidence_level = confidence_level
        self.n_bins = n_bins
        self.name = name

    @property
    def coverage(self) -> float:
        """The share of rows in which the promise was kept."""
        return float((self.realised <= self.promised).mean())

    @property
    def mean_promise(self) -> float:
        """The mean of the promised costs."""
        return float(self.promised.mean())

    @property
    def mean_cost(self) -> float:
        """The mean of the realised costs."""
        return float(self.realised.mean())

    @property
    def coverage_of_bins(self) -> np.ndarray:
        """The share of promises kept in groups of rows, in ascending order of the promised cost."""
        return np.array([kept.mean() for _, kept in self._bins()])

    def _bins(self) -> list[tuple[np.ndarray, np.ndarray]]:
        order = np.argsort(self.promised, kind="stable")
        parts = np.array_split(order, min(self.n_bins, len(order)))
        return [(self.promised[p], self.realised[p] <= self.promised[p]) for p in parts]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        n_bins: int = 10,
        name: str | None = None,
        ax: Any = None,
        **scatter_kw: Any,
    ) -> "CertificateDisplay":
        """Draw the promises of a fitted estimator.

        Parameters
        ----------
        estimator : ConformalDecisions
            A fitted estimator, also in a Pipeline or a search.
        X : array-like of shape (n, p)
            Rows that the estimator was neither fitted nor calibrated on.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        n_bins : int, default=10
            Number of groups of equally many rows, for which the share of promises kept is drawn.
        name : str, default=None
            Name in the legend; None is the class of the wrapped estimator.
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **scatter_kw : dict
            Passed to matplotlib's `scatter`.

        Returns
        -------
        CertificateDisplay

        Raises
        ------
        TypeError
            If the estimator does not promise costs.
        """
        inner, reaches = innermost(estimator)
        if not hasattr(inner, "certificate"):
            raise TypeError(
                f"{type(inner).__name__} promises no cost: put ConformalDecisions around it."
            )
        found = inner.certificate(reaches(X), y)
        return cls.from_predictions(
            found.promised,
            found.realised,
            confidence_level=inner.confidence_level,
            n_bins=n_bins,
            name=type(inner.estimator).__name__ if name is None else name,
            ax=ax,
            **scatter_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        promised: ArrayLike,
        realised: ArrayLike,
        *,
        confidence_level: float | None = None,
        n_bins: int = 10,
        name: str | None = None,
        ax: Any = None,
        **scatter_kw: Any,
    ) -> "CertificateDisplay":
        """Draw promised costs from any source.

        Parameters
        ----------
        promised, realised : array-like of shape (n,)
            Promised and realised costs.
        confidence_level : float, default=None
            Probability with which promises should hold; None draws no line.
        n_bins : int, default=10
            Number of groups of equally many rows, for which the share of promises kept is drawn.
        name : str, default=None
            Name in the legend.
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **scatter_kw : dict
            Passed to matplotlib's `scatter`.

        Returns
        -------
        CertificateDisplay
        """
        costs = as_float(promised, "promised"), as_float(realised, "realised")
        if costs[0].ndim != 1 or costs[0].shape != costs[1].shape or not len(costs[0]):
            raise ValueError(
                "promised and realised must both have shape (n,), with at least one row, got "
                f"{costs[0].shape} and {costs[1].shape}."
            )
        if isinstance(n_bins, bool) or not isinstance(n_bins, (int, np.integer)) or n_bins < 1:
            raise ValueError(f"n_bins must be a whole number of at least 1, got {n_bins!r}.")
        for each, what in zip(costs, ("promised", "realised"), strict=True):
            check_finite(each, what)
        display = cls(
            promised=costs[0],
            realised=costs[1],
            confidence_level=confidence_level,
            n_bins=int(n_bins),
            name=name,
        )
        return display.plot(ax=ax, **scatter_kw)

    def plot(self, ax: Any = None, **scatter_kw: Any) -> "CertificateDisplay":
        """Draw.

        Parameters
        ----------
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure. The diagonal and the level are drawn only on
            axes that are still empty.
        **scatter_kw : dict
            Passed to matplotlib's `scatter`.

        Returns
        -------
        CertificateDisplay
            self, with `figure_` and `axes_`.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by="CertificateDisplay")
        if ax is None:
            _, ax = pyplot.subplots(
                2, 1, sharex=True, figsize=(6, 6.5), height_ratios=(3, 1), layout="constrained"
            )
        top, bottom = self.axes_ = np.asarray(ax, dtype=object).ravel()
        self.figure_ = top.figure
        if not top.has_data():
            ends = [min(self.promised.min(), self.realised.min()), self.promised.max()]
            top.plot(ends, ends, color="0.35", lw=1.0, ls=":", label="as promised")
            top.set(ylabel="realised cost")
            bottom.set(xlabel="promised cost", ylabel="kept", ylim=(0, 1.05))
            if self.confidence_level is not None:
                bottom.axhline(self.confidence_level, color="0.35", lw=1.0, ls=":")
        label = f"{self.name or 'decisions'}, {self.coverage:.0%} kept"
        style = {"s": 12, "alpha": 0.6, **scatter_kw}
        points = top.scatter(self.promised, self.realised, label=label, **style)
        middle = [float(np.median(promised)) for promised, _ in self._bins()]
        color = points.get_facecolor()[0]
        bottom.plot(middle, self.coverage_of_bins, marker="o", ms=4, lw=1.2, color=color)
        top.legend(loc="upper left", frameon=False)
        return self
