"""A picture of what robustness costs and buys: cost against the radius."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from .._utils.convergence import collected_doubts
from .._utils.interrupts import passing_interrupts_on
from .._utils.optional import import_optional
from .._utils.progress import part
from ..metrics import make_decision_cost_scorer


class RadiusCurveDisplay:
    """Mean cost of decisions against the radius, on data like the training data and others.

    It is recommended to use :meth:`from_estimator`; all arguments are then stored as
    attributes.

    Parameters
    ----------
    radii : ndarray of shape (r,)
    costs : dict of str to ndarray of shape (r,)
        Mean cost on each test set.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
    """

    def __init__(self, *, radii: np.ndarray, costs: Mapping[str, np.ndarray]) -> None:
        self.radii = radii
        self.costs = costs

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        tests: Mapping[str, tuple[ArrayLike, ArrayLike]],
        radii: Sequence[float] = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2),
        ax: Any = None,
        **line_kw: Any,
    ) -> "RadiusCurveDisplay":
        """Fit a clone of the estimator for each radius and draw what its decisions cost.

        Parameters
        ----------
        estimator : DiffusionDRODFLRegressor
            Give it a `memory`, so that what does not depend on the radius is computed once.
        X : array-like of shape (n, p)
        y : array-like of shape (n,) or (n, d)
            The training rows.
        tests : dict of str to (X, y)
            Test sets by name, for example the later part of the data and shifted ones.
        radii : sequence of float, default=(0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Handed to matplotlib's `plot`.

        Returns
        -------
        RadiusCurveDisplay
            Ctrl-C ends the fits, and leaves the radii before.

        Warns
        -----
        ConvergenceWarning
            One of all fits that did not converge.
        """
        scorer = make_decision_cost_scorer(estimator._resolve_problem())
        costs: dict[str, list[float]] = {name: [] for name in tests}
        done: list[float] = []
        with collected_doubts(of_others=True) as doubts:
            for radius in radii:
                try:
                    with part(f"radius={radius:g}"), passing_interrupts_on():
                        model = clone(estimator).set_params(radius=radius).fit(X, y)
                except KeyboardInterrupt:
                    if not done:
                        raise
                    doubts.add(f"Interrupted (Ctrl-C) in the fit for radius={radius:g}.")
                    break
                for name, (X_test, y_test) in tests.items():
                    costs[name].append(-scorer(model, X_test, y_test))
                done.append(radius)
        doubts.warn(stacklevel=2)
        display = cls(
            radii=np.asarray(done, dtype=float),
            costs={name: np.asarray(values) for name, values in costs.items()},
        )
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> "RadiusCurveDisplay":
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Handed to matplotlib's `plot`.

        Returns
        -------
        RadiusCurveDisplay
            self, with `figure_` and `ax_`.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by="RadiusCurveDisplay")
        if ax is None:
            _, ax = pyplot.subplots(figsize=(6, 4), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        for name, values in self.costs.items():
            ax.plot(self.radii, values, label=name, **{"marker": "o", "ms": 4, **line_kw})
        ax.set(xlabel="radius", ylabel="mean cost of the decisions")
        ax.legend(frameon=False)
        return self
