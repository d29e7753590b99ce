"""The interface of ambiguity sets: which weighted rows to train on next."""

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

        Where decisions do not change smoothly, it is the slope for the relaxed decision.
        """


class AmbiguitySet(NestedParamsMixin, BaseEstimator, ABC):
    """Base class of ambiguity sets: sets of distributions to prepare for.

    A set is an object with parameters. `fit` clones it, calls :meth:`set_nominal` once with the
    training rows, and then :meth:`worst_case` whenever the predictor has changed. The result may be
    reweighted, perturbed, additional or generated rows; training takes any of these.

    Training rows are not pickled: a stored or copied set has no attributes that are
    :class:`Rows`, nor those named in `_not_stored`. At the end of `fit` the held-out rows
    and the attributes named in `_of_training` are dropped as well.

    See Also
    --------
    KLBall : A set of weightings of the rows.
    WassersteinBall : A set of perturbations of the rows.
    DiffusionBall : A set of distributions near a diffusion model.

    Examples
    --------
    A set with a single distribution, in which demand has grown:

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
    """Whether :meth:`worst_case` uses slopes of the regret."""
    least_patience: ClassVar[int] = 0
    """Least number of epochs without progress before training slows down or stops."""
    _takes_no_losses: ClassVar[str] = ""  # why a set of the package has no worst_weights
    _where_few_rows_count: ClassVar[str] = "Make the set smaller."  # the advice of a warning
    _of_training: ClassVar[tuple[str, ...]] = ()
    _not_stored: ClassVar[tuple[str, ...]] = ()
    _held_out: Rows | None = None

    def set_columns(
        self, names: Sequence[str] | None, as_given: Callable[[Rows], np.ndarray]
    ) -> None:
        """Store the form of X as the user gave it; estimators call this before `set_nominal`.

        Parameters
        ----------
        names : sequence of str or None
            Names of the columns of X, where it has names.
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
        """Store the training rows (in canonical form, with positive weights) of a new fit.

        `held_out` are the rows that training watches, if any: nothing may be learnt from them, but
        :meth:`held_out_regret` may use them. State is kept in attributes with a trailing
        underscore. An override must call this method of the base class, which stores `held_out`.
        Rows may have a context, which must be passed on unchanged.

        Parameters
        ----------
        rows : Rows
            The training rows.
        problem : DecisionProblem
            The problem in which predictions are used.
        seed : int
            Seed of all randomness in the set.
        held_out : Rows, default=None
            Rows that training watches, from which nothing may be learnt.
        """
        self._held_out = None if held_out is None else held_out.as_shares()

    @abstractmethod
    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Return the worst rows for the present predictor, whose regret is `row_loss`.

        Rows are recognised by their arrays. Return new arrays where X or y change, and the same
        ones where they do not, so that the best decisions are computed only once. The context of a
        row must not be changed.

        Parameters
        ----------
        row_loss : callable
            ``row_loss(rows)`` returns the regret (n,) of the present predictor on rows.

        Returns
        -------
        rows : Rows
            The worst rows in the units of the data, with weights that are 0 or more and sum to 1;
            estimators check them.
        divergence : float
            Divergence from the nominal distribution, in the unit of the set's radius.
        """

    def worst_regret(self, rows: Rows, loss: np.ndarray) -> float:
        """Return the worst regret, for rows that :meth:`worst_case` has returned and their losses.

        Training watches it where no rows are held out. The base class returns the weighted mean.

        Parameters
        ----------
        rows : Rows
            The rows that :meth:`worst_case` has returned.
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

        A flexible net overfits the worst-case rows; the regret on held-out rows is used for early
        stopping. The base class weights these rows by :meth:`worst_weights`. For a set without that
        method it returns their mean regret, which is right for a set without a search; a fit warns,
        unless the set has a method of its own that returns the same. Where None is returned,
        training watches the mean regret as well.

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
        """Return the worst weights for given losses, where a set needs nothing but losses.

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
            The weights, which sum to 1.

        Raises
        ------
        TypeError
            If the set moves, generates or groups rows, or has no such method.
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
        """Return numbers about the last worst case, which are added to ``worst_case_``.

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
        """Raise an error that says why an attribute is missing in a stored set."""
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name in ("rows_", "perturbed_", *self._not_stored, *self._of_training):
            message += ": it belongs to the training rows, which exist during `fit` only; a "
            message += "stored or copied set does not hold them"
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
