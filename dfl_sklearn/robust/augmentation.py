"""Training on more rows than there are, without asking which are worst: two plain baselines."""

from typing import Any

from .._utils.checks import is_exactly, number, whole_number
from .._utils.memory import check_rows
from .._utils.seeds import named_rng
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._perturbed_columns import check_columns, deviation, with_noise
from .base import AmbiguitySet, RowLoss
from .diffusion import DiffusionBall
from .generator import DiffusionGenerator
from .search import WorstCaseSearch
from .tilted import TiltedSearch


class GaussianNoise(AmbiguitySet):
    """The training rows with Gaussian noise, drawn anew for every epoch.

    Noise augmentation, the simplest protection against a shift. Nothing is searched: the
    divergence reported is 0. A context gets no noise.

    Parameters
    ----------
    scale : float, default=0.1
        Standard deviation of the noise, in standard deviations of each column. 0 is the rows as
        they are.
    columns : {"both", "features", "target"}, default="both"
        Which columns get noise.

    Attributes
    ----------
    projected_share_ : float
        Share of the noisy parameters last drawn that were put into the problem's domain.

    See Also
    --------
    SinkhornBall : Noise with more weight where decisions cost more.
    NominalSamples : Rows of a diffusion model instead of noise.

    Examples
    --------
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import GaussianNoise
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> model = DFLRegressor(
    ...     NewsvendorProblem(9, 1), ambiguity_set=GaussianNoise(0.2), random_state=0
    ... ).fit(X, y)
    """

    _takes_no_losses = "moves or generates rows, which needs more than their losses"
    _of_training = ("_rows", "_problem", "_rng", "_spread")

    def __init__(self, scale: float = 0.1, *, columns: str = "both") -> None:
        self.scale = scale
        self.columns = columns

    @property
    def is_nominal(self) -> bool:
        """Whether there is no noise."""
        return is_exactly(self.scale, 0)

    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Take up the training rows and their spread."""
        number(self.scale, "scale", at_least=0)
        check_columns(self.columns)
        super().set_nominal(rows, problem, seed, held_out)
        self._rows = rows.as_shares()
        self._problem = problem
        self._rng = named_rng(seed, "noise")
        self._spread = [deviation(part, self._rows.weight) for part in (rows.X, rows.y)]
        self.projected_share_ = 0.0

    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Draw new noise; the predictor does not matter."""
        noisy, put_back = with_noise(
            self._rows, self.scale, self._spread, self.columns, self._problem, self._rng
        )
        if put_back is not None:
            self.projected_share_ = put_back
        return noisy, 0.0

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the plain regret on the rows held out: no worst case is searched for."""
        return super().held_out_regret(row_loss)


class NominalSamples(DiffusionBall):
    """Rows that a diffusion model of the training rows generates, without a worst case.

    What :class:`DiffusionBall` is at a radius of 0: it shows what the generated rows do by
    themselves. The released code of 3D-Learning calls it DML. Where the rows have a context, each
    sample is generated given that of a training row, drawn by weight.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of rows generated, once per fit.
    generator : DiffusionGenerator, default=None
        The nominal model; None is ``DiffusionGenerator()``.
    memory : str, joblib.Memory or None, default=None
        Where to keep fitted generators.

    Attributes
    ----------
    generator_ : DiffusionGenerator
        The fitted nominal model.
    projected_share_ : float
        Share of the generated rows that were put into the problem's domain.

    See Also
    --------
    DiffusionBall : The worst distribution near the same model.
    GaussianNoise : The training rows with noise.

    Examples
    --------
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionGenerator, NominalSamples
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> generator = DiffusionGenerator(hidden_layer_sizes=(16,), max_iter=1)
    >>> model = DFLRegressor(
    ...     NewsvendorProblem(9, 1),
    ...     ambiguity_set=NominalSamples(500, generator=generator),
    ...     hidden_layer_sizes=(),
    ...     tol=0.5,
    ...     n_iter_no_change=2,
    ...     random_state=0,
    ... ).fit(X, y)
    >>> model.worst_case_.divergence
    0.0
    """

    radius = 0.0

    def __init__(
        self,
        n_samples: int = 10_000,
        *,
        generator: DiffusionGenerator | None = None,
        memory: Any = None,
    ) -> None:
        self.n_samples = n_samples
        self.generator = generator
        self.memory = memory

    @property
    def search(self) -> WorstCaseSearch:  # type: ignore[override]
        """A pool that no radius tilts."""
        return TiltedSearch(self.n_samples, real_share=0.0)

    @property
    def is_nominal(self) -> bool:
        """False: the rows are generated, not the training rows."""
        return False

    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Fit the generator, or recall it, and draw the samples."""
        whole_number(self.n_samples, "n_samples", at_least=1)
        check_rows("n_samples", self.n_samples, 2 * (rows.X.shape[1] + rows.y.shape[1]))
        super().set_nominal(rows, problem, seed)
        AmbiguitySet.set_nominal(self, rows, problem, seed, held_out)

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the plain regret on the rows held out: no worst case is searched for."""
        return AmbiguitySet.held_out_regret(self, row_loss)
