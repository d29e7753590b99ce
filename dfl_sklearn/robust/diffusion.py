"""The ambiguity set of 3D-Learning: the distributions near a diffusion model of the rows."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_memory

from .._utils.checks import number
from .._utils.progress import say_if_due
from .._utils.recent import Recent
from .._utils.seeds import named_seed
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._fitted_once import fitted_once, seeded
from .base import AmbiguitySet, RowLoss
from .generator import DiffusionGenerator
from .search import TableLoss, WorstCaseSearch
from .tilted import TiltedSearch


class DiffusionBall(AmbiguitySet):
    """The distributions that lie within a radius of a diffusion model of the training rows.

    The model is fitted to the rows (features and parameters together), and its neighbourhood
    is searched for the distribution with the largest regret. Unlike a ball around the rows
    themselves, it contains rows that were never observed; unlike perturbed rows, these are
    realistic.

    Where the rows have a context, the model is conditional on it. The context itself is not
    generated: every generated row takes that of a training row.

    Parameters
    ----------
    radius : float, default=0.1
        Radius of the set, in nats unless the search says otherwise. 0 is the nominal distribution
        alone.
    generator : DiffusionGenerator, default=None
        The nominal model; None is ``DiffusionGenerator()``.
    search : WorstCaseSearch, default=None
        The search for the worst distribution. None is :class:`TiltedSearch`;
        :class:`PolicyGradientSearch` is that of the paper.
    memory : str, joblib.Memory or None, default=None
        Where to cache fitted generators, so that one is fitted only once per training set, for
        all radii and also with several workers.

    Attributes
    ----------
    generator_ : DiffusionGenerator
        The fitted nominal model.
    search_ : WorstCaseSearch
        The search in its last state.
    projected_share_ : float
        Share of the last worst rows that were projected into the problem's domain. Where the
        search weights a pool, it is a share of the pool, real rows included.

    See Also
    --------
    dfl_sklearn.DiffusionDRODFLRegressor : The estimator that has these parameters.
    NominalSamples : The model's rows without a search.
    KLBall : Weightings of the training rows instead of generated ones.

    References
    ----------
    Wen, Fan and Yang, "3D-Learning", arXiv:2602.02943.

    Examples
    --------
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionBall, DiffusionGenerator, TiltedSearch
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> generator = DiffusionGenerator(hidden_layer_sizes=(16,), max_iter=1)
    >>> model = DFLRegressor(
    ...     NewsvendorProblem(9, 1),
    ...     ambiguity_set=DiffusionBall(
    ...         0.1, generator=generator, search=TiltedSearch(n_pool=1000)
    ...     ),
    ...     hidden_layer_sizes=(),
    ...     tol=0.5,
    ...     n_iter_no_change=2,
    ...     random_state=0,
    ... ).fit(X, y)
    >>> bool(model.worst_case_.worst_regret > model.worst_case_.nominal_regret)
    True
    """

    _takes_no_losses = "moves or generates rows, which needs more than their losses"

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

    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Fit the generator, or recall it, and start the search."""
        number(self.radius, "radius", at_least=0, may_be_infinite=True)
        for name, kind in (("generator", DiffusionGenerator), ("search", WorstCaseSearch)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise ValueError(f"{name} must be a {kind.__name__} or None, got {value!r}.")
        super().set_nominal(rows, problem, seed)  # the search stores the held-out rows
        self._problem = problem
        self._n_features = rows.X.shape[1]
        self._recent = Recent()
        real = _table(rows)
        memory = check_memory(self.memory)
        self.generator_ = fitted_once(
            seeded(self.generator, seed), real.replace(weight=rows.weight), memory
        )
        self.search_ = clone(self.search) if self.search is not None else TiltedSearch()
        self.search_.set_nominal(
            self.generator_,
            real,
            named_seed(seed, "search"),
            None if held_out is None else _table(held_out),
            memory,
        )
        self.projected_share_ = 0.0

    @property
    def refresh_every(self) -> int:
        """Epochs of training between two searches, as defined by the search."""
        return self.search_.refresh_every

    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Search for the worst rows for the present predictor."""
        worst, divergence = self.search_.search(self._table_loss(row_loss), self.radius)
        rows, self.projected_share_ = self._split(worst)
        return rows, divergence

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the worst-case regret on generated rows that are not trained on."""
        return self.search_.held_out_regret(self._table_loss(row_loss), self.radius)

    def report(self, row_loss: RowLoss) -> dict[str, float]:
        """Return the divergence of the rows, the regret under the nominal model, and shares."""
        nominal = self.search_.nominal()
        nominal_regret = float(nominal.weight @ self._table_loss(row_loss)(nominal))
        say_if_due(f"nominal regret {nominal_regret:.6g}")
        return {
            "row_divergence": self.search_.row_divergence(),
            "nominal_regret": nominal_regret,
            "effective_sample_size": self.search_.effective_sample_size_,
            "projected_share": self.projected_share_,
        }

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
        return self._of_equal_weight(self.search_.sample(n, rng))

    def nominal(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw `n` rows of the nominal distribution, near which the worst one is searched.

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
        nominal = self.search_.nominal()
        return self._of_equal_weight(
            nominal.take(rng.choice(len(nominal), size=n, p=nominal.weight))
        )

    def finish(self) -> None:
        """Drop what only training needs, in the search as well."""
        super().finish()
        self._recent = Recent()  # it stores rows
        self.search_.finish()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out cached rows."""
        state = super().__getstate__()
        return state | {"_recent": Recent()} if "_recent" in state else state

    def _table_loss(self, row_loss: RowLoss) -> TableLoss:
        return lambda rows: row_loss(self._split(rows)[0])

    def _split(self, rows: Rows) -> tuple[Rows, float]:
        """Split a table into features and projected parameters, with the share projected.

        The same table gives the same arrays, by which training recognises rows whose best
        decisions are already known. The context is passed on unchanged.
        """
        X, y, share = self._recent.get((rows.X,), lambda: self._projected(rows.X))
        return rows.replace(X=X, y=y), share

    def _of_equal_weight(self, rows: Rows) -> Rows:
        X, y, _ = self._projected(rows.X)
        return Rows(X, y, np.ones(len(rows)), rows.context)

    def _projected(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        y, share = self._problem.project_parameters(table[:, self._n_features :])
        return table[:, : self._n_features], y, share


def _table(rows: Rows) -> Rows:
    table = np.concatenate([rows.X, rows.y], axis=1).astype(np.float64)
    return Rows.of_table(table, rows.as_shares().weight, rows.context)
