"""The interface of searches for the worst distribution near a diffusion model."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from joblib import Memory
from sklearn.base import BaseEstimator

from ..rows import Rows
from .generator import DiffusionGenerator

TableLoss = Callable[[Rows], np.ndarray]
"""Regret (n,) of the present predictor on rows (n, p) of the generator's table."""


class WorstCaseSearch(BaseEstimator, ABC):
    """Base class of searches for the worst distribution within a radius of a generator.

    Rows are those of the generator's table (:meth:`Rows.of_table`): features and parameters side
    by side, with positive weights that sum to 1. Where the real rows have a context, every row has
    one: a row is generated given the context of a real row, drawn by weight.

    Attributes
    ----------
    refresh_every : int
        Epochs of training between two searches.
    effective_sample_size_ : float
        Effective sample size of the last worst rows.

    See Also
    --------
    TiltedSearch : The default search.
    PolicyGradientSearch : The search of the paper.
    DiffusionBall : Takes a search as a parameter.

    Examples
    --------
    The costliest of a thousand generated rows, as many as make the divergence equal the radius:

    >>> import numpy as np
    >>> from dfl_sklearn.robust import DiffusionGenerator, WorstCaseSearch
    >>> from dfl_sklearn.rows import Rows
    >>> class CostliestRows(WorstCaseSearch):
    ...     def set_nominal(self, generator, real, seed, held_out=None, memory=None):
    ...         drawn = generator.sample(2000, random_state=seed)
    ...         share = np.full(1000, 1 / 1000)
    ...         self.pool_ = Rows.of_table(drawn[:1000], share)
    ...         self.apart_ = Rows.of_table(drawn[1000:], share)
    ...
    ...     def search(self, table_loss, radius):
    ...         self.worst_ = self._costliest(self.pool_, table_loss, radius)
    ...         self.effective_sample_size_ = float(len(self.worst_))
    ...         return self.worst_, self.row_divergence()
    ...
    ...     def held_out_regret(self, table_loss, radius):
    ...         return float(table_loss(self._costliest(self.apart_, table_loss, radius)).mean())
    ...
    ...     def nominal(self):
    ...         return self.pool_
    ...
    ...     def row_divergence(self):
    ...         return float(np.log(1000 / len(self.worst_)))
    ...
    ...     def sample(self, n, rng):
    ...         return self.worst_.take(rng.integers(len(self.worst_), size=n)).as_shares()
    ...
    ...     def _costliest(self, rows, table_loss, radius):
    ...         n = int(np.ceil(1000 * np.exp(-radius)))
    ...         return rows.take(np.argsort(-table_loss(rows))[:n]).as_shares()
    >>> Z = np.random.default_rng(0).normal(size=(100, 1))
    >>> generator = DiffusionGenerator(hidden_layer_sizes=(16,), max_iter=1, random_state=0).fit(Z)
    >>> search = CostliestRows()
    >>> search.set_nominal(generator, Rows.of_table(Z, np.full(100, 1 / 100)), seed=0)
    >>> worst, divergence = search.search(lambda rows: rows.X[:, 0], radius=np.log(10))
    >>> len(worst), round(divergence, 3)
    (100, 2.303)
    """

    refresh_every: int = 1
    effective_sample_size_: float
    _of_training: ClassVar[tuple[str, ...]] = ("_held_out",)
    _held_out: Any = None

    @abstractmethod
    def set_nominal(
        self,
        generator: DiffusionGenerator,
        real: Rows,
        seed: int,
        held_out: Rows | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Store a fitted generator, and the rows it was fitted on, at the start of a fit.

        `memory` may cache what depends on these alone, and not on the radius.

        Parameters
        ----------
        generator : DiffusionGenerator
            The fitted nominal model.
        real : Rows
            The rows it was fitted on, as rows of its table.
        seed : int
            Seed of all randomness in the search.
        held_out : Rows, default=None
            Rows that training watches.
        memory : joblib.Memory, default=None
            May cache what depends on the generator and the rows alone, and not on the radius.
        """

    @abstractmethod
    def search(self, table_loss: TableLoss, radius: float) -> tuple[Rows, float]:
        """Return the worst rows of the table for the present predictor, and their divergence.

        Parameters
        ----------
        table_loss : callable
            ``table_loss(rows)`` returns the regret (n,) of the present predictor on such rows.
        radius : float
            Largest divergence from the nominal distribution, in the unit of the search.

        Returns
        -------
        rows : Rows
            The worst rows, with weights that sum to 1.
        divergence : float
            Their divergence, in the unit of the radius.
        """

    @abstractmethod
    def held_out_regret(self, table_loss: TableLoss, radius: float) -> float:
        """Return the mean regret of the worst case on rows that :meth:`search` did not return.

        Parameters
        ----------
        table_loss : callable
            ``table_loss(rows)`` returns the regret (n,) of the present predictor on such rows.
        radius : float
            Largest divergence from the nominal distribution, in the unit of the search.

        Returns
        -------
        float
            The mean regret, in the unit of the cost.
        """

    @abstractmethod
    def nominal(self) -> Rows:
        """Return rows of the nominal distribution, to compare the worst case with.

        Returns
        -------
        Rows
            Rows with weights that sum to 1.
        """

    @abstractmethod
    def row_divergence(self) -> float:
        """Return the Kullback-Leibler divergence of the worst rows from the nominal, in nats.

        It may be exact or estimated. Searches may limit different divergences; this one is
        always that of the distribution of one row, so that searches can be compared.

        Returns
        -------
        float
            The divergence, in nats.
        """

    def finish(self) -> None:
        """Drop what only training needs; called at the end of a fit."""
        for name in self._of_training:
            self.__dict__.pop(name, None)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in self._of_training}

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw `n` rows of the last worst distribution.

        Parameters
        ----------
        n : int
            Number of rows.
        rng : numpy.random.Generator
            Generator of the random numbers.

        Returns
        -------
        Rows
            Rows of equal weight.
        """
