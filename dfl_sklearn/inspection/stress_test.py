"""A display of a stress test: regret against the radius, and the columns that move."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .._utils.checks import whole_number
from .._utils.optional import import_optional
from ._style import line_style, refuse_other_labels, with_choices


class StressTestDisplay:
    """Worst-case regret against the radius, and the columns that the worst distribution moves.

    It is recommended to use :meth:`from_result`; all arguments are then stored as attributes.

    Parameters
    ----------
    levels : DataFrame
        Table with the columns ``estimator``, ``radius``, ``real``, ``nominal`` and ``worst``, as
        returned by ``StressTestResult.to_frame``.
    shifts : dict of str to Series
        For each model, the shifts of columns in nominal standard deviations. The columns must be
        the same for all models, in the order in which to draw them.
    radius : float
        The radius of these shifts.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of 2 matplotlib.axes.Axes
        Regret on the left: a line for the worst case, which starts at the nominal regret, and a
        dashed line for the mean on the real rows. Shifts on the right.

    See Also
    --------
    dfl_sklearn.model_selection.stress_test : Make the test.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.inspection import StressTestDisplay
    >>> from dfl_sklearn.model_selection import stress_test
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionGenerator
    >>> X, y = make_newsvendor(600, random_state=0)
    >>> result = stress_test(
    ...     LinearRegression().fit(X[:300], y[:300]),
    ...     X[300:],
    ...     y[300:],
    ...     problem=NewsvendorProblem(9, 1),
    ...     generator=DiffusionGenerator(max_iter=10),
    ...     random_state=0,
    ... )
    >>> display = StressTestDisplay.from_result(result)
    >>> display.shifts["LinearRegression"].index[0]
    'y'
    """

    def __init__(
        self, *, levels: pd.DataFrame, shifts: Mapping[str, pd.Series], radius: float
    ) -> None:
        self.levels = levels
        self.shifts = shifts
        self.radius = radius

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        radius: float | None = None,
        estimator: str | None = None,
        n_columns: int = 8,
        ax: Any = None,
        **line_kw: Any,
    ) -> "StressTestDisplay":
        """Draw the result of a stress test.

        Parameters
        ----------
        result : StressTestResult
            The result of :func:`~dfl_sklearn.model_selection.stress_test`.
        radius : float, default=None
            The radius at which to draw the shifts; None is the largest.
        estimator : str, default=None
            Name of the only model to draw; None draws all.
        n_columns : int, default=8
            Number of columns to draw: those that move most under any of the models.
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot` for the worst regret.

        Returns
        -------
        StressTestDisplay
        """
        whole_number(n_columns, "n_columns", at_least=1)
        radius = max(result.radii) if radius is None else radius
        names = result.estimators if estimator is None else (result._name(estimator),)
        shifts = pd.DataFrame(
            {name: result.moved_columns(radius=radius, estimator=name)["shift"] for name in names}
        )
        most = np.argsort(-shifts.abs().max(axis=1).to_numpy(), kind="stable")[:n_columns]
        chosen = shifts.iloc[most]
        display = cls(
            levels=result.to_frame(),
            shifts={name: chosen[name] for name in names},
            radius=radius,
        )
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> "StressTestDisplay":
        """Draw.

        Parameters
        ----------
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot` for the worst regret.

        Returns
        -------
        StressTestDisplay
            self, with `figure_` and `axes_`.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by="StressTestDisplay")
        if ax is None:
            _, ax = pyplot.subplots(
                1, 2, figsize=(10, 4), width_ratios=(3, 2), layout="constrained"
            )
        self.axes_ = np.asarray(ax, dtype=object).ravel()
        if len(self.axes_) != 2:
            raise ValueError(f"ax must hold 2 axes, got {len(self.axes_)}.")
        left, right = self.axes_
        self.figure_ = left.figure
        height = 0.8 / len(self.shifts)
        columns = next(iter(self.shifts.values())).index
        refuse_other_labels(right, list(columns), "columns")
        for j, (name, shift) in enumerate(self.shifts.items()):
            own = self.levels[self.levels["estimator"] == name].sort_values("radius")
            radii, worst = own["radius"].to_numpy(), own["worst"].to_numpy()
            if radii[0] > 0:
                radii = np.concatenate([[0.0], radii])
                worst = np.concatenate([[own["nominal"].iloc[0]], worst])
            style = with_choices({**line_style(j, marker=True), "label": name}, line_kw)
            left.plot(radii, worst, **style)
            left.axhline(own["real"].iloc[0], ls="--", lw=1, color=style["color"])
            places = np.arange(len(shift)) + (j - (len(self.shifts) - 1) / 2) * height
            right.barh(places, shift.to_numpy(), height, color=style["color"], label=name)
        left.set(xlabel="radius, nats", ylabel="mean regret")
        left.plot([], [], ls="--", lw=1, color="0.4", label="real rows")
        left.legend(frameon=False)
        right.axvline(0, color="0.2", lw=0.8)
        right.set_yticks(np.arange(len(columns)), [str(each) for each in columns])
        right.yaxis.set_inverted(True)
        right.set_xlabel(f"shift at radius {self.radius:g}, standard deviations")
        return self
