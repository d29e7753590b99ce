"""A display of the decisions for consecutive rows, and their cumulative regret."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._decide import decided
from .._utils.context_columns import Selection
from .._utils.optional import import_optional
from .._utils.rows import as_numpy_rows
from ..problems.base import DecisionProblem
from ..problems.closed_form import SquaredErrorProblem
from ._places import places
from ._style import line_style, reach_zero, with_choices

_MOST = 12  # most outputs in a figure


class DecisionDisplay:
    """Decisions and observed parameters, with the cumulative regret below.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`; all
    arguments are then stored as attributes. Several models are compared by drawing on the
    same axes.

    Parameters
    ----------
    y_true : ndarray of shape (n,) or (n, d)
        Observed parameters.
    decisions : ndarray of shape (n,) or (n, d)
        Decisions, one for each parameter.
    best_decisions : ndarray of shape (n,) or (n, d)
        The best decision of each row.
    regret : ndarray of shape (n,)
        Cost of the decision less that of the best one.
    index : ndarray of shape (n,), default=None
        Positions of the rows on the axis, for example times; None is the row numbers.
    name : str, default=None
        Name of the model in the legend.
    names : sequence of str, default=None
        Names of the d outputs, such as products.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of d + 1 matplotlib.axes.Axes
        Decisions, one plot for each output, and the cumulative regret below.

    See Also
    --------
    ScenarioDisplay : Scenarios and the decisions over them.
    dfl_sklearn.metrics.regret : The mean regret as a number.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn.datasets import make_lagged, make_llm_trace
    >>> from dfl_sklearn.inspection import DecisionDisplay
    >>> from dfl_sklearn.problems import ProvisioningProblem
    >>> trace = make_llm_trace(300, random_state=0)
    >>> X, y = make_lagged(trace["context_tokens"], n_lags=7)
    >>> model = LinearRegression().fit(X[:200], y[:200])
    >>> display = DecisionDisplay.from_estimator(
    ...     model, X[200:], y[200:], problem=ProvisioningProblem()
    ... )
    >>> display.regret.shape
    (93,)
    """

    def __init__(
        self,
        *,
        y_true: np.ndarray,
        decisions: np.ndarray,
        best_decisions: np.ndarray,
        regret: np.ndarray,
        index: np.ndarray | None = None,
        name: str | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.y_true = y_true
        self.decisions = decisions
        self.best_decisions = best_decisions
        self.regret = regret
        self.index = index
        self.name = name
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        problem: DecisionProblem | None = None,
        context: Selection = None,
        name: str | None = None,
        ax: Any = None,
        **line_kw: Any,
    ) -> "DecisionDisplay":
        """Draw the decisions of a fitted estimator.

        Parameters
        ----------
        estimator : regressor
            A fitted estimator; it decides by :func:`dfl_sklearn.decide`.
        X : array-like of shape (n, p)
            Features of the rows, in the order in which to draw them.
        y : array-like of shape (n,) or (n, d)
            Observed parameters. A pandas index is used for the horizontal axis, unless it is not in
            order or has several levels; column names are used for the outputs.
        problem : DecisionProblem, default=None
            The problem to decide; None is the problem of the estimator, also inside a Pipeline or a
            search.
        context : str, int, list, slice, mask or callable, default=None
            Columns of X that are context, for estimators that have none.
        name : str, default=None
            Name in the legend; None is the class of the estimator.
        ax : array-like of d + 1 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot` for the model's lines.

        Returns
        -------
        DecisionDisplay
        """
        found = decided(estimator, X, problem, context)
        name = type(estimator).__name__ if name is None else name
        display = cls._of(y, found.decisions, found.problem, found.context, name)
        return display.plot(ax=ax, **line_kw)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike | None = None,
        *,
        decisions: ArrayLike | None = None,
        problem: DecisionProblem | None = None,
        context: Any = None,
        name: str | None = None,
        ax: Any = None,
        **line_kw: Any,
    ) -> "DecisionDisplay":
        """Draw the decisions made from predictions, or decisions that were taken.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, d)
            Observed parameters. A pandas index is used for the horizontal axis, unless it is not in
            order or has several levels; column names are used for the outputs.
        y_pred : array-like of shape (n,) or (n, d), default=None
            Predicted parameters.
        decisions : array-like of shape (n,) or (n, d), default=None
            Decisions instead of `y_pred`, such as those that were really taken.
        problem : DecisionProblem, default=None
            The problem to decide, with one decision for each parameter. None is the squared-error
            problem.
        context : array-like or DataFrame of shape (n, c), default=None
            Known data of each row.
        name : str, default=None
            Name in the legend.
        ax : array-like of d + 1 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Passed to matplotlib's `plot` for the model's lines.

        Returns
        -------
        DecisionDisplay
        """
        problem = SquaredErrorProblem() if problem is None else problem
        if (y_pred is None) == (decisions is None):
            raise ValueError("Give either y_pred or decisions.")
        if decisions is None:
            predicted = as_numpy_rows(y_pred, "y_pred")
            shape = as_numpy_rows(y_true, "y_true").shape
            if predicted.shape != shape:
                raise ValueError(
                    "y_true and y_pred must have the same shape, (n,) or (n, d); got "
                    f"{shape} and {predicted.shape}."
                )
            if not len(predicted):
                raise ValueError("y_true and y_pred have no rows to draw.")
            decisions = problem.solve(predicted, context=context)
        return cls._of(y_true, decisions, problem, context, name).plot(ax=ax, **line_kw)

    @classmethod
    def _of(
        cls, y: Any, decisions: Any, problem: DecisionProblem, context: Any, name: str | None
    ) -> "DecisionDisplay":
        """Return the display of decisions, without drawing it."""
        observed = as_numpy_rows(y, "y_true")
        decisions = as_numpy_rows(decisions, "decisions")
        if decisions.shape != observed.shape:
            raise ValueError(
                "A DecisionDisplay shows one decision for each parameter, such as an order for "
                f"each demand; got parameters of shape {observed.shape} and decisions of shape "
                f"{decisions.shape}."
            )
        if not len(observed):
            raise ValueError("There are no rows to draw.")
        if observed.shape[1] > _MOST:
            raise ValueError(
                f"A DecisionDisplay shows {_MOST} outputs at most, got {observed.shape[1]}."
            )
        problem.check_parameters(observed)
        best = problem.optimum(observed, context=context)
        paid = problem.cost(decisions, observed, context=context)
        if np.isinf(paid).any():
            raise ValueError(
                f"Row {np.flatnonzero(np.isinf(paid))[0]} has a decision that is not feasible; its "
                "regret cannot be drawn."
            )
        one = observed.shape[1] == 1
        return cls(
            y_true=observed[:, 0] if one else observed,
            decisions=decisions[:, 0] if one else decisions,
            best_decisions=best.decisions[:, 0] if one else best.decisions,
            regret=paid - best.cost,
            index=places(y),
            name=name,
            names=[str(each) for each in y.columns] if hasattr(y, "columns") else None,
        )

    def plot(self, ax: Any = None, **line_kw: Any) -> "DecisionDisplay":
        """Draw.

        Parameters
        ----------
        ax : array-like of d + 1 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure. Observed parameters are drawn only on axes that
            are still empty. The vertical axes grow with what is added, unless you have set their
            limits.
        **line_kw : dict
            Passed to matplotlib's `plot` for the model's lines.

        Returns
        -------
        DecisionDisplay
            self, with `figure_` and `axes_`.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by="DecisionDisplay")
        shown = (self.y_true, self.decisions, self.best_decisions)
        observed, decided_, best = (each.reshape(len(each), -1) for each in shown)
        d = observed.shape[1]
        if ax is None:
            _, ax = pyplot.subplots(
                d + 1,
                1,
                sharex=True,
                figsize=(9, 3.7 + 1.8 * d),
                height_ratios=[2] * d + [1 if d == 1 else 1.5],
                layout="constrained",
            )
        self.axes_ = np.asarray(ax, dtype=object).ravel()
        if len(self.axes_) != d + 1:
            raise ValueError(
                f"ax must hold {d + 1} axes, one for each output and one for the regret, got "
                f"{len(self.axes_)}."
            )
        *tops, bottom = self.axes_
        self.figure_ = bottom.figure
        x = np.arange(len(observed)) if self.index is None else self.index
        number = len(bottom.lines)
        style = with_choices({"lw": 1.3, **line_style(number)}, line_kw)
        label = self.name or "decision"
        for j, top in enumerate(tops):
            if not top.has_data():
                top.fill_between(x, observed[:, j], color="0.88", lw=0, label="observed")
                top.plot(x, best[:, j], color="0.35", lw=1.0, ls=":", label="best decision")
                name = None if self.names is None else self.names[j]
                top.set(ylabel=name if d > 1 else "observed and decided")
            top.plot(x, decided_[:, j], **{"label": label, **style})
            reach_zero(top, room=1.2)  # for the legend above the highest peak
        if not bottom.has_data():
            bottom.set(ylabel="cumulative regret", xlabel="row" if self.index is None else None)
        bottom.plot(x, np.cumsum(self.regret), **{"label": label, **style})
        reach_zero(bottom)
        tops[0].legend(loc="upper left", ncols=4, frameon=False)
        return self
