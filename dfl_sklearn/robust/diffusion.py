"""The ambiguity set of 3D-Learning: the distributions near a diffusion model of the rows."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_memory

from .._utils.canonical import CanonicalRows
from .._utils.once import compute_once
from .._utils.seeds import named_seed
from ..problems.base import DecisionProblem
from .base import AmbiguitySet, RowLoss, WorstCase
from .generator import DiffusionGenerator
from .search import WorstCaseSearch
from .tilted import TiltedSearch


class DiffusionBall(AmbiguitySet):
    """The distributions that lie within a radius of a diffusion model of the training rows.

    The model is fitted to the rows (features and parameters together), and its neighbourhood
    is searched for the distribution with the largest regret. Unlike a ball around the rows
    themselves it holds rows that were never seen, and unlike moved rows they are realistic.

    Parameters
    ----------
    radius : float, default=0.1
        In nats, unless the search says otherwise. 0 is the nominal distribution alone.
    generator : DiffusionGenerator, default=None
        The nominal model; None is ``DiffusionGenerator()``.
    search : WorstCaseSearch, default=None
        None is :class:`TiltedSearch`; :class:`PolicyGradientSearch` is the paper's.
    memory : str, joblib.Memory or None, default=None
        Where to keep fitted generators, so that one is fitted once per training set, whatever
        the radius, also by several workers.

    Attributes
    ----------
    generator_ : DiffusionGenerator
        The fitted nominal model.
    search_ : WorstCaseSearch
        The search in its last state.
    projected_share_ : float
        Share of the generated rows last looked at that were moved into the problem's domain.

    References
    ----------
    Wen, Fan and Yang, "3D-Learning", arXiv:2602.02943.
    """

    def __init__(
        self,
        radius: float = 0.1,
        *,
        generator: DiffusionGenerator | None = None,
        search: WorstCaseSearch | None = None,
        memory: Any = None,
    ) -> None:
        self.radius = radius
        self.generator = generator
        self.search = search
        self.memory = memory

    def start(self, rows: CanonicalRows, problem: DecisionProblem, seed: int) -> None:
        """Fit the generator, or recall it, and start the search."""
        if not self.radius >= 0:
            raise ValueError(f"radius must be at least 0, got {self.radius}.")
        self._problem = problem
        self._n_features = rows.X.shape[1]
        table = np.concatenate([rows.X, rows.y], axis=1).astype(np.float64)
        generator = clone(self.generator) if self.generator is not None else DiffusionGenerator()
        if generator.random_state is None:
            generator.set_params(random_state=named_seed(seed, "generator") % 2**32)
        self.generator_ = compute_once(
            check_memory(self.memory),
            ("generator", table, rows.weight, generator),
            lambda: _fitted_to_the_end(generator, table, rows.weight),
        )
        self.search_ = clone(self.search) if self.search is not None else TiltedSearch()
        self.search_.start(self.generator_, table, rows.weight, named_seed(seed, "search"))
        self.projected_share_ = 0.0
        self._last_table: np.ndarray | None = None

    @property
    def refresh_every(self) -> int:
        """Epochs of training between two searches, as the search wants it."""
        return self.search_.refresh_every

    def rows(self, row_loss: RowLoss) -> WorstCase:
        """Search for the worst rows for the present predictor."""

        def table_loss(table: np.ndarray) -> np.ndarray:
            return row_loss(self._split(table, np.ones(len(table))))

        found = self.search_.search(table_loss, self.radius)
        return WorstCase(self._split(found.table, found.weight), found.divergence)

    def report(self, row_loss: RowLoss) -> dict[str, float]:
        """Return the divergence of the rows, the regret under the nominal model, and shares."""
        nominal = self.search_.nominal()
        losses = row_loss(self._split(nominal, np.ones(len(nominal))))
        return {
            "row_divergence": self.search_.row_divergence(),
            "nominal_regret": float(losses.mean()),
            "effective_sample_size": self.search_.effective_sample_size_,
            "projected_share": self.projected_share_,
        }

    def sample(self, n: int, rng: np.random.Generator) -> CanonicalRows:
        """Draw `n` rows of the worst distribution last found."""
        return self._split(self.search_.sample(n, rng), np.ones(n))

    def nominal(self, n: int, seed: int) -> CanonicalRows:
        """Draw `n` rows of the nominal model."""
        return self._split(self.generator_.sample(n, random_state=seed), np.ones(n))

    def _split(self, table: np.ndarray, weight: np.ndarray) -> CanonicalRows:
        """Split a table into features and projected parameters, the same arrays for the same table.

        Training recognises rows that it has met by their arrays, and solves for their best
        decisions once.
        """
        if table is not self._last_table:
            y, self.projected_share_ = self._problem.project_parameters(
                table[:, self._n_features :]
            )
            self._last_split = table[:, : self._n_features], y
            self._last_table = table
        return CanonicalRows(*self._last_split, weight)


def _fitted_to_the_end(
    generator: DiffusionGenerator, table: np.ndarray, weight: np.ndarray
) -> DiffusionGenerator:
    """Fit, and pass an interruption on: half a generator must not be kept for later fits."""
    generator.fit(table, sample_weight=weight)
    if generator.was_interrupted_:
        raise KeyboardInterrupt
    return generator
