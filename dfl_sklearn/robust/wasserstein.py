"""The Wasserstein ball: rows perturbed so that the present decisions cost more."""

import numpy as np

from .._utils.checks import number, option, whole_number
from .._utils.powers import size_exponent
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._perturbed_columns import check_columns, deviation
from .base import AmbiguitySet, RowLoss

_NORMS = ("l1", "l2", "linf")
_N_SHORTER = 20
_ROUNDING = 1e-6  # rounding of a distance, for rows in float32


class WassersteinBall(AmbiguitySet):
    r"""The training rows, perturbed by at most `radius` in the root mean square.

    This is the ball of the Wasserstein distance of order 2 around the rows, with the transport cost
    :math:`\|\delta\|^2` on standardised columns. Rows move along the gradient of their regret, by
    distances proportional to its norm. To first order this is the worst case (Gao, Chen and
    Kleywegt), with the mean regret plus :math:`\rho \sqrt{E \|\nabla r\|_*^2}`. Gradients are
    computed again at the perturbed rows. The context of a row does not change.

    Parameters
    ----------
    radius : float, default=0.1
        :math:`\rho`, the root mean square of the distances that rows move, in standard deviations
        of their columns. 0 leaves the rows as they are.
    norm : {"l2", "l1", "linf"}, default="l2"
        Norm of a move. "l1" moves one column of a row, "linf" moves all by the same amount.
    columns : {"both", "features", "target"}, default="both"
        Which columns may change.
    n_steps : int, default=3
        How often gradients are computed; the costliest of the perturbations is kept.

    Attributes
    ----------
    rows_ : Rows
        The training rows, with equal ones merged and sorted. Pickled or copied models have neither
        these nor `perturbed_`.
    perturbed_ : Rows
        The perturbed rows for the final predictor.
    projected_share_ : float
        Share of the perturbed parameters that were projected into the problem's domain.

    See Also
    --------
    SinkhornBall : A similar set without gradients, for decisions that jump.
    KLBall : Weightings of the rows, which do not move.

    Notes
    -----
    Gradients go through the problem's decision layer, with its own smoothing or, where it has
    none, that of a :class:`~dfl_sklearn.losses.RegretLoss`. For problems without a layer, such as
    those with predicted weights or integer plans, use a set that weights rows, such as
    :class:`KLBall`.

    Decisions that jump have no gradient: the ball works with smooth decision layers, or with
    decisions that are continuous in the prediction. At a kink the regret has two slopes; the row
    follows the one that is computed there, which may not be the steeper one.

    References
    ----------
    Gao, Chen and Kleywegt, "Wasserstein distributionally robust optimization and variation
    regularization", 2022. Esfahani and Kuhn, "Data-driven distributionally robust optimization
    using the Wasserstein metric", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import WassersteinBall
    >>> X, y = make_newsvendor(200, random_state=0)
    >>> model = DFLRegressor(
    ...     NewsvendorProblem(9, 1),
    ...     ambiguity_set=WassersteinBall(0.2, columns="target"),
    ...     hidden_layer_sizes=(),
    ...     random_state=0,
    ... ).fit(X, y)
    >>> ball = model.ambiguity_set_
    >>> distance = (ball.perturbed_.y - ball.rows_.y)[:, 0] / y.std()
    >>> round(float(np.sqrt((distance**2).mean())), 3)
    0.2
    """

    needs_slopes = True
    _takes_no_losses = "moves or generates rows, which needs more than their losses"
    _of_training = ("_problem", "_unit")

    def __init__(
        self, radius: float = 0.1, *, norm: str = "l2", columns: str = "both", n_steps: int = 3
    ) -> None:
        self.radius = radius
        self.norm = norm
        self.columns = columns
        self.n_steps = n_steps

    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Store the training rows and the standard deviations of their columns."""
        number(self.radius, "radius", at_least=0)
        option(self.norm, "norm", _NORMS)
        whole_number(self.n_steps, "n_steps", at_least=1)
        check_columns(self.columns)
        super().set_nominal(rows, problem, seed, held_out)
        self.rows_ = rows.as_shares()
        self._problem = problem
        self._unit = (
            deviation(rows.X, self.rows_.weight) * (self.columns != "target"),
            deviation(rows.y, self.rows_.weight) * (self.columns != "features"),
        )
        self.perturbed_, self.projected_share_ = self.rows_, 0.0

    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Perturb the training rows for the present predictor."""
        self.perturbed_, distance, self.projected_share_ = self._worst(self.rows_, row_loss)
        return self.perturbed_, distance

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the regret on the held-out rows, perturbed as the training rows are."""
        if self._held_out is None:
            return None
        perturbed, _, _ = self._worst(self._held_out, row_loss)
        return float(perturbed.weight @ row_loss(perturbed))

    def _worst(self, rows: Rows, row_loss: RowLoss) -> tuple[Rows, float, float]:
        """Return the costliest perturbed rows, their distance, and the share that was projected."""
        best, best_regret, distance, share = rows, rows.weight @ row_loss(rows), 0.0, 0.0
        perturbed = rows
        for _ in range(self.n_steps):
            slopes = [
                slope * unit
                for slope, unit in zip(row_loss.gradient(perturbed), self._unit, strict=True)
            ]
            step = self._step(np.concatenate(slopes, axis=1), rows.weight)
            perturbed, reached, put_back = self._perturbed(rows, step)
            if reached > self.radius:
                break
            regret = rows.weight @ row_loss(perturbed)
            if regret > best_regret:
                best, best_regret, distance, share = perturbed, regret, reached, put_back
        return best, distance, share

    def _perturbed(self, rows: Rows, step: np.ndarray) -> tuple[Rows, float, float]:
        """Return projected rows perturbed by `step`, their distance, and the share projected.

        With a domain that is not convex, or rows in float32, a row may end further away than its
        step. Then all steps are shortened until the distance is within the radius.
        """
        for _ in range(_N_SHORTER):
            in_X, in_y = np.split(step, [rows.X.shape[1]], axis=1)
            X, y, put_back = rows.X, rows.y, 0.0
            if self.columns != "target":
                X = (X + self._unit[0] * in_X).astype(X.dtype)
            if self.columns != "features":
                y, put_back = self._problem.project_parameters(y + self._unit[1] * in_y)
            perturbed = rows.replace(X=X, y=y)
            distance = self._distance(rows, perturbed)
            if distance <= self.radius * (1.0 + _ROUNDING):
                return perturbed, min(distance, self.radius), put_back
            step = step * (self.radius / distance * (1.0 - _ROUNDING))
        return perturbed, distance, put_back

    def _distance(self, rows: Rows, perturbed: Rows) -> float:
        """Return the root mean square of the distances that rows moved, after the projection."""
        parts = []
        pairs = ((rows.X, perturbed.X), (rows.y, perturbed.y))
        for (before, after), unit in zip(pairs, self._unit, strict=True):
            # Columns that must not change, or do not vary, have no unit and were not perturbed.
            by = after.astype(np.float64) - before
            parts.append(np.divide(by, unit, out=np.zeros_like(by), where=unit > 0))
        length = self._length(np.concatenate(parts, axis=1))
        return float(np.sqrt(rows.weight @ length**2))

    def _step(self, slope: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the moves (n, p + d) of root mean square `radius` that raise the regret most.

        Row i moves in the direction that attains its dual norm, by a length proportional to it.
        """
        slope = np.ldexp(slope, -size_exponent(slope, axis=None))  # moves do not depend on units
        size = np.abs(slope)
        if self.norm == "l2":
            dual = np.sqrt((size**2).sum(axis=1))
            direction = slope / np.where(dual > 0, dual, 1.0)[:, None]
        elif self.norm == "linf":
            dual, direction = size.sum(axis=1), np.sign(slope)
        else:
            dual = size.max(axis=1)
            steepest = np.arange(slope.shape[1]) == size.argmax(axis=1)[:, None]
            direction = np.where(steepest, np.sign(slope), 0.0)
        total = np.sqrt(weight @ dual**2)
        if total == 0:
            return np.zeros_like(slope)
        return self.radius * (dual / total)[:, None] * direction

    def _length(self, step: np.ndarray) -> np.ndarray:
        """Return the norm of each row's move."""
        order = {"l1": 1, "l2": 2, "linf": np.inf}[self.norm]
        return np.linalg.norm(step, ord=order, axis=1)
