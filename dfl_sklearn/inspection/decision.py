"""A picture of decisions over a run of rows, and of their cumulative regret."""

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


class DecisionDisplay:
    """Decisions against what came true, above their cumulative regret.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`; all
    arguments are then stored as attributes. Several models are compared by drawing on the
    same axes.

    Parameters
    ----------
    y_true : ndarray of shape (n,)
        Observed parameters.
    decisions : ndarray of shape (n,)
        Decisions made from predictions.
    best_decisions : ndarray of shape (n,)
        The best decision of each row.
    regret : ndarray of shape (n,)
        Cost of the decision less that of the best one.
    index : ndarray of shape (n,), default=None
        Where to draw the rows, times for example; None is their position.
    name : str, default=None
        What to call the model in the legend.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of 2 matplotlib.axes.Axes
        Decisions above, cumulated regret below.

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
    ) -> None:
        self.y_true = y_true
        self.decisions = decisions
        self.best_decisions = best_decisions
        self.regret = regret
        self.index = index
        self.name = name

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
            Fitted; it decides by :func:`dfl_sklearn.decide`.
        X : array-like of shape (n, p)
            Rows in the order in which to draw them.
        y : array-like of shape (n,)
            Observed parameters; a pandas index is used for the horizontal axis, unless it is out of
            order or has several levels.
        problem : DecisionProblem, default=None
            What is decided; None is the problem of the estimator, or of what is inside a Pipeline
            or a search.
        context : str, int, list, slice, mask or callable, default=None
            Columns of X that are context, for estimators that know none.
        name : str, default=None
            Name in the legend; None is the class of the estimator.
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Handed to matplotlib's `plot` for the model's lines.

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
        y_pred: ArrayLike,
        *,
        problem: DecisionProblem | None = None,
        context: Any = None,
        name: str | None = None,
        ax: Any = None,
        **line_kw: Any,
    ) -> "DecisionDisplay":
        """Draw the decisions that follow from predictions.

        Parameters
        ----------
        y_true : array-like of shape (n,)
            Observed parameters; a pandas index is used for the horizontal axis, unless it is out of
            order or has several levels.
        y_pred : array-like of shape (n,)
            Predicted parameters.
        problem : DecisionProblem, default=None
            What is decided; one number per row. None is the squared-error problem.
        context : array-like or DataFrame of shape (n, c), default=None
            Known data of each row.
        name : str, default=None
            Name in the legend.
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **line_kw : dict
            Handed to matplotlib's `plot` for the model's lines.

        Returns
        -------
        DecisionDisplay
        """
        problem = SquaredErrorProblem() if problem is None else problem
        observed, predicted = as_numpy_rows(y_true, "y_true"), as_numpy_rows(y_pred, "y_pred")
        if observed.shape != predicted.shape or observed.shape[1] != 1:
            raise ValueError(
                "A DecisionDisplay shows one parameter per row: y_true and y_pred must have "
                f"shape (n,), got {observed.shape} and {predicted.shape}."
            )
        if not len(observed):
            raise ValueError("y_true and y_pred have no rows to draw.")
        decisions = problem.solve(predicted, context=context)
        return cls._of(y_true, decisions, problem, context, name).plot(ax=ax, **line_kw)

    @classmethod
    def _of(
        cls, y: Any, decisions: Any, problem: DecisionProblem, context: Any, name: str | None
    ) -> "DecisionDisplay":
        """Return the display of decisions, not drawn."""
        observed = as_numpy_rows(y, "y_true")
        decisions = as_numpy_rows(decisions, "decisions")
        if observed.shape[1] != 1 or decisions.shape != observed.shape:
            raise ValueError(
                "A DecisionDisplay shows one parameter and one decision per row, of shape (n,); "
                f"got {observed.shape} and {decisions.shape}."
            )
        if not len(observed):
            raise ValueError("There are no rows to draw.")
        problem.check_parameters(observed)
        best = problem.optimum(observed, context=context)
        return cls(
            y_true=observed[:, 0],
            decisions=decisions[:, 0],
            best_decisions=best.decisions[:, 0],
            regret=problem.cost(decisions, observed, context=context) - best.cost,
            index=places(y),
            name=name,
        )

    def plot(self, ax: Any = None, **line_kw: Any) -> "DecisionDisplay":
        """Draw.

        Parameters
        ----------
        ax : array-like of 2 matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure. What is observed is drawn only on axes
            that are still empty.
        **line_kw : dict
            Handed to matplotlib's `plot` for the model's lines.

        Returns
        -------
        DecisionDisplay
            self, with `figure_` and `axes_`.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by="DecisionDisplay")
        if ax is None:
            _, ax = pyplot.subplots(
                2, 1, sharex=True, figsize=(9, 5.5), height_ratios=(2, 1), layout="constrained"
            )
        top, bottom = self.axes_ = np.asarray(ax, dtype=object).ravel()
        self.figure_ = top.figure
        x = np.arange(len(self.y_true)) if self.index is None else self.index
        if not top.has_data():
            top.fill_between(x, self.y_true, color="0.88", lw=0, label="observed")
            top.plot(x, self.best_decisions, color="0.35", lw=1.0, ls=":", label="best decision")
            top.set(ylabel="observed and decided")
            # Room for the legend above the highest peak.
            top.set_ylim(min(0.0, self.y_true.min()), 1.2 * max(self.y_true.max(), 1e-12))
            bottom.set(ylabel="cumulated regret", xlabel="row" if self.index is None else None)
        style = {"lw": 1.3, **line_kw}
        (line,) = top.plot(x, self.decisions, label=self.name or "decision", **style)
        style.setdefault("color", line.get_color())
        bottom.plot(x, np.cumsum(self.regret), label=self.name or "decision", **style)
        bottom.set_ylim(bottom=min(0.0, bottom.get_ylim()[0]))
        top.legend(loc="upper left", ncols=4, frameon=False)
        return self
