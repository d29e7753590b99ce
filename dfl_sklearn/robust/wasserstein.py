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
_ROUNDING = 1e-6  # of a distance, as rows in float32 have it


class WassersteinBall(AmbiguitySet):
    r"""The training rows, perturbed by at most `radius` in the root mean square.

    The ball of the Wasserstein distance of order 2 around the rows, with the transport cost
    :math:`\|\delta\|^2` on standardised columns. Rows move along the slope of their regret, by
    steps in proportion to it, which is the worst case to first order (Gao, Chen and Kleywegt):
    the mean plus :math:`\rho \sqrt{E \|\nabla r\|_*^2}`. Slopes are taken anew where the rows have
    come to. The context of a row does not change.

    Parameters
    ----------
    radius : float, default=0.1
        :math:`\rho`, the root mean square of the distances that rows move, in standard deviations
        of their columns. 0 is the rows as they are.
    norm : {"l2", "l1", "linf"}, default="l2"
        Norm of a move. "l1" moves one column of a row, "linf" all alike.
    columns : {"both", "features", "target"}, default="both"
        Which columns may change.
    n_steps : int, default=3
        How often slopes are taken; the best of the moves met is kept.

    Attributes
    ----------
    rows_ : Rows
        The training rows, equal ones merged and sorted; as `perturbed_`, not in a pickled or copied
        model.
    perturbed_ : Rows
        What they have become for the final predictor.
    projected_share_ : float
        Share of the perturbed parameters that were put back into the problem's domain.

    See Also
    --------
    SinkhornBall : Without slopes, for decisions that jump.
    KLBall : Weights rows instead of moving them.

    Notes
    -----
    The slopes are those of the problem's decision layer, with its own smoothing or, where it has
    none, that of a :class:`~dfl_sklearn.losses.RegretLoss`. Without a layer, as with predicted
    weights or whole plans, take a set that weighs rows, such as :class:`KLBall`.

    Decisions that jump have no slope: the ball is of use with decision layers that are smooth, or
    with decisions that are continuous in the prediction. At a kink the regret has two slopes. The
    row follows the one that is computed there, which need not be the steeper one.

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
        """Take up the training rows and their spread."""
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
        """Return the regret on the rows held out, perturbed as the training rows are."""
        if self._held_out is None:
            return None
        perturbed, _, _ = self._worst(self._held_out, row_loss)
        return float(perturbed.weight @ row_loss(perturbed))

    def _worst(self, rows: Rows, row_loss: RowLoss) -> tuple[Rows, float, float]:
        """Return the costliest perturbed rows met, their distance, and the share put back."""
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
        """Return rows perturbed by `step` and put into the domain, their distance, and that share.

        A domain that is not convex, or rows in float32, may take a row further than its step: then
        all steps are shortened, until the distance is within the radius.
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
        """Return the root mean square of how far rows have been perturbed, put back as they are."""
        parts = []
        pairs = ((rows.X, perturbed.X), (rows.y, perturbed.y))
        for (before, after), unit in zip(pairs, self._unit, strict=True):
            # What must not change, or does not vary, has no unit, and has not been perturbed.
            by = after.astype(np.float64) - before
            parts.append(np.divide(by, unit, out=np.zeros_like(by), where=unit > 0))
        length = self._length(np.concatenate(parts, axis=1))
        return float(np.sqrt(rows.weight @ length**2))

    def _step(self, slope: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the moves (n, p + d) with root mean square `radius` along which regret rises most.

        Row i moves in the direction of its dual norm, by a length in proportion to that norm.
        """
        slope = np.ldexp(slope, -size_exponent(slope, axis=None))  # their unit does not matter
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
