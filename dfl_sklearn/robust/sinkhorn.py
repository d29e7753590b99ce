"""The Sinkhorn ball: Gaussian draws around the rows, of which the worse count more."""

import numpy as np
from scipy.optimize import brentq

from .._utils.checks import number, whole_number
from .._utils.memory import check_rows
from .._utils.powers import size_exponent
from .._utils.seeds import named_rng
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._perturbed_columns import check_columns, deviation, with_noise
from ._tilt import effective_sample_size
from .base import AmbiguitySet, RowLoss


class SinkhornBall(AmbiguitySet):
    r"""The training rows spread out by Gaussian noise, more of it where decisions cost more.

    The ball of the Sinkhorn distance, the Wasserstein distance of order 2 with entropic
    regularisation :math:`\epsilon`, with the transport cost :math:`\|\delta\|^2 / 2` on
    standardised columns. The largest mean loss is

    .. math:: \min_{\lambda > 0} \; \lambda \frac{\rho^2}{2} + E_x\, \lambda \epsilon
        \log E_{\xi \sim N(x, \epsilon I)}\, e^{l(\xi) / (\lambda \epsilon)}.

    Draws :math:`\xi` are made once in a fit, and weighted within each row by
    :math:`e^{l(\xi) / (\lambda \epsilon)}` at the best :math:`\lambda`, anew for every epoch. No
    slopes are needed, so that it works for whole decisions and any other problem. The context of a
    row does not change.

    Parameters
    ----------
    radius : float, default=0.1
        :math:`\rho`, in standard deviations of the columns. For a loss with a slope g everywhere
        the worst mean is the mean plus :math:`\rho \|g\|`, as with a :class:`WassersteinBall` of
        this radius. (:math:`\rho^2 / 2` is the radius of the paper, less its constant.) 0 is
        noise augmentation, with noise that stays the same.
    epsilon : float, default=0.01
        Variance of the noise, in squared standard deviations of the columns.
    n_draws : int, default=8
        Draws for each row.
    columns : {"both", "features", "target"}, default="both"
        Which columns get noise.

    Attributes
    ----------
    projected_share_ : float
        Share of the draws whose parameters were put into the problem's domain.

    See Also
    --------
    WassersteinBall : Rows that move along the slope of their regret.
    GaussianNoise : Noise of equal weight.

    Notes
    -----
    The mean of few draws under the logarithm is biased low (Jensen): the worst mean found is too
    small, by less for more draws. All weight of a row on the worst of its m draws is a divergence
    of :math:`\log m` at most, so that no more than :math:`\rho = \sqrt{2 \epsilon \log m}` is ever
    reached. The divergence recorded is the :math:`\rho` that was.

    References
    ----------
    Wang, Gao and Xie, "Sinkhorn distributionally robust optimization", 2021.

    Examples
    --------
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import SinkhornBall
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> model = DFLRegressor(
    ...     NewsvendorProblem(9, 1), ambiguity_set=SinkhornBall(0.1), random_state=0
    ... ).fit(X, y)
    >>> round(model.worst_case_.divergence, 6)
    0.1
    """

    _of_training = ("_draws", "_held_out_draws", "_problem", "_spread", "_weight")

    def __init__(
        self,
        radius: float = 0.1,
        epsilon: float = 0.01,
        n_draws: int = 8,
        *,
        columns: str = "both",
    ) -> None:
        self.radius = radius
        self.epsilon = epsilon
        self.n_draws = n_draws
        self.columns = columns

    @property
    def is_nominal(self) -> bool:
        """False: with radius 0 the rows have noise."""
        return False

    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Take up the training rows and draw around them."""
        number(self.radius, "radius", at_least=0)
        number(self.epsilon, "epsilon", above=0)
        whole_number(self.n_draws, "n_draws", at_least=1)
        check_columns(self.columns)
        width = rows.X.shape[1] + rows.y.shape[1]
        check_rows("n_draws", self.n_draws, 2.0 * len(rows) * width)
        super().set_nominal(rows, problem, seed, held_out)
        shares = rows.as_shares()
        self._problem = problem
        self._spread = [deviation(part, shares.weight) for part in (rows.X, rows.y)]
        self._draws, self.projected_share_ = self._drawn(shares, named_rng(seed, "draws"))
        self._held_out_draws = None
        if self._held_out is not None:
            rng = named_rng(seed, "draws held out")
            self._held_out_draws, _ = self._drawn(self._held_out, rng)
        self._weight = self._draws.weight

    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Weight the draws for the present predictor."""
        worst, divergence = self._worst(self._draws, row_loss)
        self._weight = worst.weight
        return worst, divergence

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the worst regret within the ball around the rows held out."""
        if self._held_out_draws is None:
            return None
        worst, _ = self._worst(self._held_out_draws, row_loss)
        return float(worst.weight @ row_loss(worst))

    def report(self, row_loss: RowLoss) -> dict[str, float]:
        """Return how many draws of equal weight the worst weights are worth (Kish)."""
        return {"effective_sample_size": effective_sample_size(self._weight)}

    def _drawn(self, rows: Rows, rng: np.random.Generator) -> tuple[Rows, float]:
        """Return draws around rows, those of a row one after the other, and the share put back."""
        each = np.repeat(np.arange(len(rows)), self.n_draws)
        drawn, put_back = with_noise(
            rows.take(each),
            np.sqrt(self.epsilon),
            self._spread,
            self.columns,
            self._problem,
            rng,
        )
        return drawn.replace(weight=drawn.weight / self.n_draws), put_back or 0.0

    def _worst(self, draws: Rows, row_loss: RowLoss) -> tuple[Rows, float]:
        loss = row_loss(draws).reshape(-1, self.n_draws)
        share = draws.weight.reshape(loss.shape)[:, 0] * self.n_draws
        conditional, divergence = tilt_within(loss, share, self.radius**2 / (2 * self.epsilon))
        weight = (share[:, None] * conditional).ravel()
        return draws.replace(weight=weight), float(np.sqrt(2 * self.epsilon * divergence))


@np.errstate(under="ignore")  # what is 0 by then counts as nothing
def tilt_within(loss: np.ndarray, share: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Return the worst weights of draws within each row, where rows share one divergence.

    They maximise the mean of ``share @ (p * loss).sum(axis=1)`` over weights p that sum to 1 in
    each row, with a mean divergence KL(p || 1 / m) of at most `radius`: p ~ exp(loss / tau), with
    one temperature for all rows.

    Parameters
    ----------
    loss : ndarray of shape (n, m)
    share : ndarray of shape (n,)
        Of the rows, summing to 1.
    radius : float
        In nats.

    Returns
    -------
    weights : ndarray of shape (n, m)
    divergence : float
        The mean divergence reached, in nats.
    """
    n_draws = loss.shape[1]
    loss = np.ldexp(loss, -size_exponent(loss, axis=None))  # neither unit nor level matters
    loss = loss - loss.max(axis=1, keepdims=True)
    spread = -float(loss.min())
    even = np.full(loss.shape, 1 / n_draws)
    if radius == 0 or spread == 0:
        return even, 0.0
    top = loss == 0
    farthest = float(share @ np.log(n_draws / top.sum(axis=1)))
    if radius >= farthest:
        return top / top.sum(axis=1, keepdims=True), farthest
    scaled = loss / spread

    def tilted(log_rate: float) -> tuple[np.ndarray, float]:
        rate = np.exp(log_rate)
        mass = np.exp(rate * scaled)
        total = mass.sum(axis=1)
        p = mass / total[:, None]
        return p, float(share @ (rate * (p * scaled).sum(axis=1) - np.log(total / n_draws)))

    if tilted(-40.0)[1] >= radius:
        return even, 0.0  # nothing that a float can tell from the weights themselves
    if tilted(40.0)[1] <= radius:
        return tilted(40.0)
    found = brentq(lambda rate: tilted(rate)[1] - radius, -40.0, 40.0, xtol=1e-13, rtol=1e-13)
    return tilted(found)
