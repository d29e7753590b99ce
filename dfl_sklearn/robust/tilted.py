"""The exact worst distribution near a generator, on a pool of its samples."""

from collections.abc import Callable

import numpy as np
from joblib import Memory

from .._utils.checks import number, whole_number
from .._utils.convergence import doubt
from .._utils.memory import check_rows
from .._utils.once import compute_once
from .._utils.progress import say
from .._utils.seeds import named_rng, named_seed
from ..rows import Rows
from ._contexts import ContextPool
from ._tilt import MIN_EFFECTIVE, effective_sample_size, tilt
from .generator import DiffusionGenerator
from .search import TableLoss, WorstCaseSearch

_WATCHED_SHARE = 0.5  # size of the watched pool, as a share of the training pool


class TiltedSearch(WorstCaseSearch):
    r"""Weight a pool of nominal rows by the exponential of their regret.

    Among all distributions within `radius` nats of a nominal one, the one with the largest mean
    regret is :math:`P^* \propto P_0 \exp(r / \tau)`. On a pool of nominal rows it is a weighting,
    and the size of the pool is the only approximation. The nominal distribution is a mixture of the
    generator and the training rows: training rows are exact but few, generated ones are many.

    Where the rows have a context, a generated row takes that of a training row, drawn by weight,
    and training rows keep theirs. The weighting may raise the share of a context: where regrets are
    larger for some contexts, these are more frequent in the worst distribution. On held-out rows
    the worst case is watched with the contexts of these rows.

    Parameters
    ----------
    n_pool : int, default=10_000
        Number of samples drawn from the generator, once per fit.
    real_share : float, default=0.3
        Weight of the training rows in the nominal distribution, in [0, 1); 0 is the generator
        alone. More than `n_pool` training rows are represented by a random `n_pool` of them.

    Attributes
    ----------
    pool_ : ndarray of shape (m, p)
        The generated rows, and the training rows where `real_share` is above 0. Pickled models
        contain them.
    pool_context_ : ndarray of shape (m, c) or None
        Their contexts.
    weight_ : ndarray of shape (m,)
        Weights of the last worst distribution.
    effective_sample_size_ : float
        Effective sample size of these weights; small where the radius is too large for the pool.

    See Also
    --------
    PolicyGradientSearch : The search of the paper, which changes the generator.
    DiffusionBall : Takes a search as a parameter.

    Examples
    --------
    Among all distributions within 0.5 nats of a standard normal one, the one with the largest mean
    is normal with a mean of 1:

    >>> import numpy as np
    >>> from dfl_sklearn.robust import DiffusionGenerator, TiltedSearch
    >>> from dfl_sklearn.rows import Rows
    >>> Z = np.random.default_rng(0).normal(size=(500, 1))
    >>> generator = DiffusionGenerator(hidden_layer_sizes=(16,), max_iter=1, random_state=0).fit(Z)
    >>> search = TiltedSearch(n_pool=2000)
    >>> search.set_nominal(generator, Rows.of_table(Z, np.full(500, 1 / 500)), seed=0)
    >>> worst, divergence = search.search(lambda rows: rows.X[:, 0], radius=0.5)
    >>> bool(abs(worst.weight @ worst.X[:, 0] - 1.0) < 0.1), round(divergence, 6)
    (True, 0.5)
    """

    def __init__(self, n_pool: int = 10_000, real_share: float = 0.3) -> None:
        self.n_pool = n_pool
        self.real_share = real_share

    def set_nominal(
        self,
        generator: DiffusionGenerator,
        real: Rows,
        seed: int,
        held_out: Rows | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Draw the pool, and another one to watch the worst case on."""
        whole_number(self.n_pool, "n_pool", at_least=1)
        number(self.real_share, "real_share", at_least=0, below=1)
        width = sum(each.shape[1] for each in real.arrays)
        check_rows("n_pool", self.n_pool, 2 * width)  # drawn and joined: two copies
        known = ("pool", generator, *real.arrays, real.weight)

        def generated(n: int, pool_seed: int, context: np.ndarray | None) -> np.ndarray:
            given = {} if context is None else {"context": context}
            return compute_once(
                memory,
                (*known, n, pool_seed, context),
                lambda: generator.sample(n, random_state=pool_seed, **given),
                warns=False,  # the fit of the generator has already warned
            )

        self._nominal = self._mixture(generated, self.n_pool, named_seed(seed, "pool"), real)
        self.pool_, self.pool_context_ = self._nominal.X, self._nominal.context
        self.weight_ = self._nominal.weight
        self._held_out = None
        if held_out is not None:
            n_watched = max(1, int(_WATCHED_SHARE * self.n_pool))
            self._held_out = self._mixture(
                generated, n_watched, named_seed(seed, "held out"), held_out
            )
        self.effective_sample_size_ = effective_sample_size(self.weight_)
        self._divergence = 0.0
        self._warned = False

    def search(self, table_loss: TableLoss, radius: float) -> tuple[Rows, float]:
        """Weight the pool for the present predictor."""
        self.weight_, divergence = tilt(table_loss(self._nominal), self._nominal.weight, radius)
        self._divergence = divergence
        self.effective_sample_size_ = effective_sample_size(self.weight_)
        if self.effective_sample_size_ < MIN_EFFECTIVE and not self._warned:
            self._warned = True
            doubt(
                f"At radius={radius} the worst case has an effective sample size of only "
                f"{self.effective_sample_size_:.1f} of {len(self.pool_)} rows. Lower the radius, "
                "raise n_pool, or lower real_share where the training rows are few.",
                stacklevel=2,
            )
        return self._nominal.replace(weight=self.weight_), divergence

    def held_out_regret(self, table_loss: TableLoss, radius: float) -> float:
        """Return the regret of the worst weights of a pool that is not trained on."""
        pool = self._nominal if self._held_out is None else self._held_out
        losses = table_loss(pool)
        return float(tilt(losses, pool.weight, radius)[0] @ losses)

    def nominal(self) -> Rows:
        """Return the pool with its nominal weights."""
        return self._nominal

    def row_divergence(self) -> float:
        """Return the divergence of the weights, which is that of the rows."""
        return self._divergence

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Resample the pool by its weights."""
        drawn = rng.choice(len(self.pool_), size=n, p=self.weight_)
        return self._nominal.take(drawn).replace(weight=np.full(n, 1.0 / n))

    def _mixture(
        self,
        generated: Callable[[int, int, np.ndarray | None], np.ndarray],
        n: int,
        seed: int,
        real: Rows,
    ) -> Rows:
        """Return `n` rows of the generator and real ones, weighted by their shares."""
        weight = np.full(n, (1.0 - self.real_share) / n)
        context = ContextPool(real).draw(n, named_rng(seed, "contexts"))
        table = generated(n, seed, context)
        say(f"{n} rows drawn from the generator")
        if self.real_share == 0:
            return Rows.of_table(table, weight, context)
        if len(real) > n:
            drawn = named_rng(seed, "real rows").choice(len(real), size=n, p=real.weight)
            real = real.take(drawn).replace(weight=np.full(n, 1.0 / n))
        return Rows.of_table(
            np.concatenate([table, real.X]),
            np.concatenate([weight, self.real_share * real.weight]),
            None if context is None else np.concatenate([context, real.context]),
        )
