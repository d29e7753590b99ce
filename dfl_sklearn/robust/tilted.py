"""The worst distribution near a generator, exactly, on a pool of its samples."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._utils.seeds import named_seed
from ._tilt import effective_sample_size, tilt
from .generator import DiffusionGenerator
from .search import SearchResult, TableLoss, WorstCaseSearch

_MIN_EFFECTIVE = 30.0


class TiltedSearch(WorstCaseSearch):
    r"""Weight a pool of nominal samples by the exponential of their regret.

    Over all distributions within `radius` nats of the generator's, the one with the largest
    mean regret is :math:`P^* \sim P_0 \exp(r / \tau)`. On a pool drawn from the generator it is
    a weighting, with no approximation but the pool's size.

    Parameters
    ----------
    n_pool : int, default=10_000
        Number of samples drawn from the generator, once per fit.

    Attributes
    ----------
    pool_ : ndarray of shape (n_pool, p)
        The samples.
    weight_ : ndarray of shape (n_pool,)
        Weights of the worst distribution last found.
    effective_sample_size_ : float
        How many equal weights they are worth; small where the radius asks too much of the pool.
    """

    def __init__(self, n_pool: int = 10_000) -> None:
        self.n_pool = n_pool

    def start(
        self, generator: DiffusionGenerator, table: np.ndarray, weight: np.ndarray, seed: int
    ) -> None:
        """Draw the pool."""
        self.pool_ = generator.sample(self.n_pool, random_state=named_seed(seed, "pool"))
        self.weight_ = np.full(self.n_pool, 1.0 / self.n_pool)
        self.effective_sample_size_ = float(self.n_pool)
        self._divergence = 0.0
        self._warned = False

    def search(self, table_loss: TableLoss, radius: float) -> SearchResult:
        """Weight the pool for the present predictor."""
        nominal = np.full(self.n_pool, 1.0 / self.n_pool)
        self.weight_, divergence = tilt(table_loss(self.pool_), nominal, radius)
        self._divergence = divergence
        self.effective_sample_size_ = effective_sample_size(self.weight_)
        if self.effective_sample_size_ < _MIN_EFFECTIVE and not self._warned:
            self._warned = True
            warnings.warn(
                f"At radius={radius} the worst case rests on an effective sample of only "
                f"{self.effective_sample_size_:.1f} of {self.n_pool} rows. Lower the radius or "
                "raise n_pool.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return SearchResult(self.pool_, self.weight_, divergence)

    def nominal(self) -> np.ndarray:
        """Return the pool."""
        return self.pool_

    def row_divergence(self) -> float:
        """Return the divergence of the weights, which is that of the rows."""
        return self._divergence

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Resample the pool by its weights."""
        return self.pool_[rng.choice(self.n_pool, size=n, p=self.weight_)]
