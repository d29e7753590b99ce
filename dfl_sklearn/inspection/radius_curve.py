"""A display of the price and gain of robustness: cost against the radius."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._utils.convergence import collected_doubts
from .._utils.innermost import innermost_unfitted
from .._utils.interrupts import passing_interrupts_on
from .._utils.optional import import_optional
from .._utils.progress import part
from ..metrics import make_decision_cost_scorer
from ._style import line_style, with_choices


class RadiusCurveDisplay:
    """Mean cost of decisions against the radius, on ordinary and on shifted data.

    It is recommended to use :meth:`from_estimator`; all arguments are then stored as
    attributes.

    Parameters
    ----------
    radii : ndarray of shape (r,)
        Radii of the ambiguity set.
    costs : dict of str to ndarray of shape (r,)
        Mean cost on each test set.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes

    See Also
    --------
    dfl_sklearn.model_selection.WithinPrice : Choose the largest radius within a price.
    dfl_sklearn.DiffusionDRODFLRegressor : An estimator with a radius.

    Examples
    --------
    >>> from dfl_sklearn import DiffusionDRODFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.inspection import RadiusCurveDisplay
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionGenerator, TiltedSearch
    >>> X, y = make_newsvendor(60, random_state=0)
    >>> model = DiffusionDRODFLRegressor(
    ...     NewsvendorProblem(9, 1),
    ...     search=TiltedSearch(n_pool=500),
    ...     generator=DiffusionGenerator(hidden_layer_sizes=(16,), max_iter=1),
    ...     hidden_layer_sizes=(),
    ...     tol=0.5,
    ...     n_iter_no_change=2,
    ...     random_state=0,
    ... )
    >>> shifted = make_newsvendor(60, shift={"level": 3.0}, random_state=1)
    >>> display = RadiusCurveDisplay.from_estimator(
    ...     model, X, y, tests={"shifted": shifted}, radii=[0.0, 0.2]
    ... )
    >>> bool(display.costs["shifted"][1] < display.costs["shifted"][0])
    True
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
        """Fit a clone of the estimator for each radius, and draw the costs of its decisions.

        Parameters
        ----------
        estimator : DiffusionDRODFLRegressor or Pipeline
            An estimator with a radius, or a Pipeline that ends with one. Set its `memory`, so that
            what does not depend on the radius is computed only once.
        X : array-like of shape (n, p)
            Features of the training rows.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the training rows.
        tests : dict of str to (X, y)
            Test sets by name, for example the later part of the data and shifted ones.
        radii : sequence of float, default=(0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
            Radii to fit with, in ascending order.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        RadiusCurveDisplay
            The display. Ctrl-C ends the fits; the radii finished before are drawn.

        Warns
        -----
        ConvergenceWarning
            If fits did not converge; one warning lists them all.
        """
        name = _radius_of(estimator)
        scorer = make_decision_cost_scorer(innermost_unfitted(estimator)._resolve_problem())
        costs: dict[str, list[float]] = {name: [] for name in tests}
        done: list[float] = []
        with collected_doubts(of_others=True) as doubts:
            for radius in radii:
                try:
                    with part(f"radius={radius:g}"), passing_interrupts_on():
                        model = clone(estimator).set_params(**{name: radius}).fit(X, y)
                except KeyboardInterrupt:
                    if not done:
                        raise
                    doubts.add(f"Interrupted (Ctrl-C) in the fit for radius={radius:g}.")
                    break
                for test, (X_test, y_test) in tests.items():
                    costs[test].append(-scorer(model, X_test, y_test))
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
            Passed to matplotlib's `plot`.

        Returns
        -------
        RadiusCurveDisplay
            self, with `figure_` and `ax_`.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by="RadiusCurveDisplay")
        if ax is None:
            _, ax = pyplot.subplots(figsize=(6, 4), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        for j, (name, values) in enumerate(self.costs.items()):
            style = with_choices(line_style(j, marker=True), line_kw)
            ax.plot(self.radii, values, **{"label": name, **style})
        ax.set(xlabel="radius", ylabel="mean cost of the decisions")
        ax.legend(frameon=False)
        return self


def _radius_of(estimator: Any) -> str:
    """Return the name of the radius among the parameters of an estimator or a Pipeline."""
    path, each = "", estimator
    while isinstance(each, Pipeline):
        name, each = each.steps[-1]
        path += f"{name}__"
    if "radius" not in each.get_params(deep=False):
        raise ValueError(
            f"{type(each).__name__} has no radius: give a DiffusionDRODFLRegressor, or a Pipeline "
            "that ends with one."
        )
    return path + "radius"
