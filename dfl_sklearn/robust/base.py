"""The one protocol of ambiguity sets: which weighted rows to train on next."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.checks import is_exactly
from .._utils.params import NestedParamsMixin
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._answers import worst_weights_of


class RowLoss(Protocol):
    """The regret of the present predictor on any rows."""

    def __call__(self, rows: Rows) -> np.ndarray:
        """Return the exact regret (n,)."""

    def gradient(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the slope of each row's regret in its features (n, p) and parameters (n, d).

        That of the relaxed decision, where decisions do not change smoothly.
        """


class AmbiguitySet(NestedParamsMixin, BaseEstimator, ABC):
    """Base class of ambiguity sets: sets of distributions whose worst one is trained for.

    A set is a parameter object; `fit` clones it, calls :meth:`set_nominal` once with the training
    rows, and then :meth:`worst_case` whenever the predictor has changed. What it finds may reweight
    the rows, perturb them, add to them or generate others: training takes any of these.

    Rows of the data are not pickled: a stored or copied set has no attribute that is
    :class:`Rows`, nor those named in `_not_stored`. At the end of `fit` the held-out rows
    and what is named in `_of_training` are dropped as well.

    See Also
    --------
    KLBall : A set of weightings of the rows.
    WassersteinBall : A set of perturbations of the rows.
    DiffusionBall : A set of distributions near a diffusion model.

    Examples
    --------
    Demand that has grown, and nothing else:

    >>> import numpy as np
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import AmbiguitySet
    >>> from dfl_sklearn.rows import Rows
    >>> class Growth(AmbiguitySet):
    ...     def __init__(self, radius=0.1):
    ...         self.radius = radius
    ...
    ...     def set_nominal(self, rows, problem, seed, held_out=None):
    ...         super().set_nominal(rows, problem, seed, held_out)
    ...         self.grown_ = rows.replace(y=(1 + self.radius) * rows.y).as_shares()
    ...
    ...     def worst_case(self, row_loss):
    ...         return self.grown_, self.radius
    >>> growth = Growth(0.5)
    >>> rows = Rows(np.zeros((2, 1)), np.array([[10.0], [20.0]]), np.ones(2))
    >>> growth.set_nominal(rows, NewsvendorProblem(9, 1), seed=0)
    >>> worst, divergence = growth.worst_case(lambda rows: np.zeros(2))
    >>> worst.y.ravel(), worst.weight
    (array([15., 30.]), array([0.5, 0.5]))

    An estimator takes it as ``DFLRegressor(problem, ambiguity_set=Growth(0.5))``.
    """

    needs_slopes: ClassVar[bool] = False
    """Whether :meth:`worst_case` asks for slopes of the regret."""
    least_patience: ClassVar[int] = 0
    """Epochs without progress that training waits for at least, before it slows down or stops."""
    _takes_no_losses: ClassVar[str] = ""  # why a set of the package has no worst_weights
    _where_few_rows_count: ClassVar[str] = "Make the set smaller."  # what to do about it
    _of_training: ClassVar[tuple[str, ...]] = ()
    _not_stored: ClassVar[tuple[str, ...]] = ()
    _held_out: Rows | None = None

    def set_columns(
        self, names: Sequence[str] | None, as_given: Callable[[Rows], np.ndarray]
    ) -> None:
        """Take up how X looks as the user gave it; estimators call this before `set_nominal`.

        Parameters
        ----------
        names : sequence of str or None
            Those of the columns of X, where it has names.
        as_given : callable
            Returns X (n, p) of rows, context included, in the order in which the user gave it.
        """

    @abstractmethod
    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Take up the training rows (canonical, positive weights) of a new fit.

        `held_out` are the rows that training watches, where there are such: nothing is to be
        learnt from them, but :meth:`held_out_regret` may use them. State is kept in attributes
        with a trailing underscore. Call this method of the base class, which keeps `held_out`.
        Rows of either may have a context, which is to be handed on as it is.

        Parameters
        ----------
        rows : Rows
            The training rows.
        problem : DecisionProblem
            The problem in which predictions are used.
        seed : int
            Seed of all that is random in the set.
        held_out : Rows, default=None
            Rows that training watches, and that nothing is to be learnt from.
        """
        self._held_out = None if held_out is None else held_out.as_shares()

    @abstractmethod
    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Return the worst rows for the present predictor, whose regret is `row_loss`.

        Rows are recognised by their arrays: where X or y change, give new arrays, and where they
        do not, the same, so that their best decisions are found once. The context of a row is
        never changed.

        Parameters
        ----------
        row_loss : callable
            ``row_loss(rows)`` returns the regret (n,) of the present predictor on rows.

        Returns
        -------
        rows : Rows
            In the units of the data, with weights that are 0 or more and sum to 1; estimators check
            them.
        divergence : float
            Divergence from the nominal distribution, in the unit of the set's radius.
        """

    def worst_regret(self, rows: Rows, loss: np.ndarray) -> float:
        """Return the worst regret, of rows that :meth:`worst_case` has returned and their losses.

        It is watched where no rows are held out. The base class gives the weighted mean.

        Parameters
        ----------
        rows : Rows
            What :meth:`worst_case` has returned.
        loss : ndarray of shape (n,)
            Their regrets.

        Returns
        -------
        float
            In the unit of the cost.
        """
        return float(rows.weight @ loss)

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the worst regret on rows that training does not see, None where there are none.

        A flexible net overfits the worst rows; the regret on held-out rows is used for early
        stopping. The base class weights these by :meth:`worst_weights`. For a set without that
        method it gives their plain mean regret, as a set that searches for nothing needs it; where
        the set has not chosen that, by a method of its own which returns the same, a fit warns.
        Where None is returned training watches the plain regret, too.

        Parameters
        ----------
        row_loss : callable
            ``row_loss(rows)`` returns the regret (n,) of the present predictor on rows.

        Returns
        -------
        float or None
            In the unit of the cost.
        """
        rows = getattr(self, "_held_out", None)
        if rows is None:
            return None
        loss = row_loss(rows)
        if type(self).worst_weights is AmbiguitySet.worst_weights:
            return float(rows.weight @ loss)
        return float(worst_weights_of(self, loss, rows.weight) @ loss)

    def _watches_no_worst_case(self) -> bool:
        """Return whether nothing in the class says what its worst case costs on rows held out."""
        return (
            type(self).held_out_regret is AmbiguitySet.held_out_regret
            and type(self).worst_weights is AmbiguitySet.worst_weights
        )

    def worst_weights(self, loss: Any, weight: Any = None) -> np.ndarray:
        """Return the worst weights of losses; sets that see more than losses have none.

        A set that has this method can weight scenarios, as ``TwoStageRegressor(risk=...)``.

        Parameters
        ----------
        loss : array-like of shape (n,)
            Loss of each row or scenario, in any unit.
        weight : array-like of shape (n,), default=None
            Nominal weights; None is equal weights.

        Returns
        -------
        ndarray of shape (n,)
            They sum to 1.

        Raises
        ------
        TypeError
            Where the set moves, generates or groups rows, or has no such method.
        """
        name, can = type(self).__name__, "KLBall, ChiSquareBall, TotalVariationBall and CVaR can."
        if self._takes_no_losses:
            raise TypeError(f"{name} {self._takes_no_losses}: it cannot weight scenarios. {can}")
        raise TypeError(
            f"{name} has no method worst_weights(loss, weight), so it cannot weight scenarios. "
            "Write it if the worst weights follow from the losses and the nominal weights "
            f"alone. {can}"
        )

    def report(self, row_loss: RowLoss) -> dict[str, float]:
        """Return numbers about the worst case last found, which end up in ``worst_case_``.

        Parameters
        ----------
        row_loss : callable
            ``row_loss(rows)`` returns the regret (n,) of the final predictor on rows.

        Returns
        -------
        dict of str to float
            Empty in the base class.
        """
        return {}

    def finish(self) -> None:
        """Drop what only training needs; called at the end of a fit."""
        for name in ("_held_out", *self._of_training):
            self.__dict__.pop(name, None)

    def __getstate__(self) -> dict[str, Any]:
        dropped = {*self._of_training, *self._not_stored}
        return {
            name: value
            for name, value in super().__getstate__().items()
            if name not in dropped and not isinstance(value, Rows)
        }

    def __getattr__(self, name: str) -> Any:
        """Say why an attribute of the rows is missing in a stored set."""
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name in ("rows_", "perturbed_", *self._not_stored, *self._of_training):
            message += ": it belongs to the training rows, which are there in `fit`, and which a "
            message += "stored or copied set does not hold"
        raise AttributeError(message)

    @property
    def refresh_every(self) -> int:
        """Epochs of training between two searches."""
        return 1

    @property
    def is_nominal(self) -> bool:
        """Whether the set holds the nominal distribution alone; training does not use it then.

        In the base class that is at a parameter `radius` of 0. A set without one is never so.
        """
        return is_exactly(getattr(self, "radius", None), 0)
