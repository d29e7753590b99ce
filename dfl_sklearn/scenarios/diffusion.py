"""Scenarios from a diffusion model of parameters given features."""

import warnings
from contextlib import nullcontext
from copy import copy, deepcopy
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_memory, validate_data

from .._utils.all_or_nothing import all_or_nothing
from .._utils.checks import whole_number
from .._utils.convergence import collected_doubts
from .._utils.interrupts import interrupts_are_passed_on
from .._utils.params import NestedParamsMixin
from .._utils.progress import part, reporting
from .._utils.rows import as_rows, check_total, refuse_unfit_table, refuse_unfit_target
from .._utils.seeds import named_rng, named_seed, root_seed
from .._utils.sklearn_private import HasMethods, Interval, _check_sample_weight, _fit_context
from ..learners.scaling import Scale
from ..robust._fitted_once import fitted_once, seeded
from ..robust._quasi_random import quasi_normal
from ..robust.denoisers import MLPDenoiser
from ..robust.generator import DiffusionGenerator
from ..rows import Rows
from ._diffusion_net import DiffusionNet
from ._trainable import TrainableScenarios
from .base import Scenarios


class DiffusionScenarios(NestedParamsMixin, TrainableScenarios):
    r"""What a diffusion model of y given x generates.

    It is a :class:`~dfl_sklearn.robust.DiffusionGenerator` of y with x as its context. Scenarios
    are made from the same noise at every x, so that decisions at two places differ because of x and
    not by chance. The noise is a Sobol sequence: a few scenarios then represent the distribution
    better than independent draws do.

    Parameters
    ----------
    generator : DiffusionGenerator, default=None
        The model; None is ``DiffusionGenerator()``. Where it has no denoiser, that is
        :class:`~dfl_sklearn.robust.MLPDenoiser` with a `gain`.
    n_scenarios : int, default=100
        Scenarios of each row, of equal weight.
    n_estimators : int, default=1
        Number of generators that are fitted, each from a seed of its own. They make
        the scenarios together, each an equal part of them.
    memory : str, joblib.Memory or None, default=None
        Where to keep fitted generators, so that one is fitted once per training set, whatever
        number of scenarios is asked of it. Not used, with a warning, where neither `random_state`
        nor that of the generator is set.
    random_state : int, RandomState or None, default=None
        Seed of the noise and, where it has none of its own, of the generator.
    verbose : bool or int, default=False
        Print a line per epoch, or every `verbose` epochs, and after two seconds without one.

    Attributes
    ----------
    generators_ : list of DiffusionGenerator
        The fitted models of y, with x as their context.
    generator_ : DiffusionGenerator
        The first of them.
    n_scenarios_ : int
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    ResidualScenarios : The prediction of any regressor plus its errors.
    LocalScenarios : Training rows near x, by a forest or by neighbours.

    Notes
    -----
    With few rows the net finds nothing that a Gaussian does not have, and training keeps it at
    that: scenarios are then those of a linear regression with correlated errors of the same size
    everywhere. Hundreds of rows are needed for more, the more of them the more columns there are.

    Columns of y that are whole numbers stay so, and functions of x are exact. Sample weights are
    exact: weight 2 is the row twice.

    References
    ----------
    "Diffusion-DFL" (ICLR 2026) decides over such draws, and trains the model for the decision.

    Examples
    --------
    >>> from dfl_sklearn import TwoStageRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionGenerator
    >>> from dfl_sklearn.scenarios import DiffusionScenarios
    >>> X, y = make_newsvendor(random_state=0)
    >>> scenarios = DiffusionScenarios(DiffusionGenerator(max_iter=20), random_state=0)
    >>> model = TwoStageRegressor(scenarios, NewsvendorProblem(9, 1)).fit(X, y)
    >>> model.predict_scenarios(X[:3]).values.shape
    (3, 100, 1)
    """

    _parameter_constraints: dict = {
        "generator": [DiffusionGenerator, None],
        "n_scenarios": [Interval(Integral, 1, None, closed="left")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "memory": [str, HasMethods(["cache"]), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        generator: DiffusionGenerator | None = None,
        *,
        n_scenarios: int = 100,
        n_estimators: int = 1,
        memory: Any = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.generator = generator
        self.n_scenarios = n_scenarios
        self.n_estimators = n_estimators
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> "DiffusionScenarios":
        """Fit the generators to rows of features and parameters.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Numbers.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Non-negative weights of the rows.

        Returns
        -------
        self : DiffusionScenarios
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or y hold other things than finite numbers; if there is but one distinct row; if
            there are fewer scenarios than generators.
        """
        self._check_numbers()
        refuse_unfit_target(y, "y")
        table, y = self._checked(X, y=y, multi_output=True, y_numeric=True)
        weight = _check_sample_weight(
            sample_weight, table, dtype=np.float64, ensure_non_negative=True
        )
        check_total(weight, "sample_weight")
        self._fit_rows(Rows(table, as_rows(y, "y").astype(np.float64), weight), stacklevel=5)
        self.is_vector_ = np.ndim(y) == 1
        return self

    def _check_numbers(self) -> None:
        if self.n_scenarios < self.n_estimators:
            raise ValueError(
                f"n_scenarios={self.n_scenarios} are made by n_estimators={self.n_estimators} "
                "generators, each of which makes one at least."
            )

    def _fit_rows(self, checked: Rows, stacklevel: int) -> None:
        table = checked.X.astype(np.float64)
        rows = Rows.of_table(checked.y, checked.weight, table).canonical()
        seed = root_seed(self.random_state)
        first = seeded(self.generator, seed)
        if first.denoiser is None:
            first.set_params(denoiser=MLPDenoiser(first.hidden_layer_sizes, gain=True))
        is_seeded = self.random_state is not None or (
            self.generator is not None and self.generator.random_state is not None
        )
        if self.memory is not None and not is_seeded:
            warnings.warn(
                "memory is not used, because random_state is None: no two fits are alike then. Set "
                "random_state to keep the generator.",
                UserWarning,
                stacklevel=stacklevel,
            )
        memory = check_memory(self.memory if is_seeded else None)
        own = root_seed(first.random_state)
        others = [
            clone(first).set_params(random_state=named_seed(own, f"generator {j}") % 2**32)
            for j in range(1, self.n_estimators)
        ]
        self.generators_: list[DiffusionGenerator] = []
        with reporting(self.verbose), collected_doubts() as doubts:
            for j, each in enumerate((first, *others), start=1):
                with part(f"generator {j} of {self.n_estimators}") if others else nullcontext():
                    try:
                        found = fitted_once(each, rows, memory, may_end_early=True)
                    except KeyboardInterrupt:
                        if interrupts_are_passed_on() or not self.generators_:
                            raise
                        doubts.add(
                            "The fit was interrupted (Ctrl-C); the generators before are kept."
                        )
                        found = None
                if found is not None:
                    self.generators_.append(found)
                self._was_interrupted = found is None or found.was_interrupted_
                if self._was_interrupted:
                    break
        doubts.warn(stacklevel)
        self._seed = seed
        self.n_scenarios_, self.n_outputs_ = self.n_scenarios, checked.y.shape[1]

    # -- training for decisions --------------------------------------------------------

    def _holds_out(self, n_distinct: int) -> bool:
        return False  # the generator holds rows out by itself

    def fit_rows(self, train: Rows, valid: Rows | None) -> None:
        """Fit the generator to rows, checked, of which it holds some out by itself."""
        sampler = "ode" if self.generator is None else self.generator.sampler
        if self.n_estimators > 1:
            raise ValueError(
                f"n_estimators={self.n_estimators} of DiffusionScenarios does not work where it is "
                "trained for decisions: one generator is. Set it to 1."
            )
        if sampler != "ode":
            raise ValueError(
                f"sampler={sampler!r} of the generator does not work where DiffusionScenarios are "
                'trained for decisions, through the steps of the sampler "ode". Set that one.'
            )
        self._check_numbers()
        self.n_features_in_ = train.X.shape[1]
        self._fit_rows(train, stacklevel=7)
        if next(self.generator_.denoiser_.parameters(), None) is None:
            raise ValueError(
                f"The generator of DiffusionScenarios has no net to train for decisions after "
                f"{len(train)} distinct rows: 30 are needed with a denoiser of one's own."
            )
        self._x_scale = Scale.of(train.X, train.weight)

    def net_to_train(self) -> DiffusionNet:
        """Return the net of the generator, with the noise of the scenarios."""
        rng = named_rng(named_seed(self._seed, "scenarios 0"), "base noise")
        width = self.generator_._coordinates.n_coordinates
        noise = quasi_normal(self.n_scenarios, width, rng)
        return DiffusionNet(self.generator_, self._x_scale, noise, self.n_outputs_)

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        """Take up weights of the net, in a generator that is not the one kept in memory."""
        generator = copy(self.generator_)
        own = {name.removeprefix("denoiser."): value for name, value in state.items()}
        denoiser = deepcopy(generator.denoiser_)
        denoiser.load_state_dict(own)
        generator.denoiser_ = denoiser
        self.generators_ = [generator]

    @property
    def generator_(self) -> DiffusionGenerator:
        """The first generator of the last fit."""
        check_is_fitted(self)
        return self.generators_[0]

    def sample(self, X: Any, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw y for each row anew, independently: of the distribution, not of its scenarios.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        n_samples : int, default=1
            Draws of each row.
        random_state : int, RandomState or None, default=None
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n, n_samples, d)
            Draws of the parameters, in their units.
        """
        (X,) = self._conditions(X)
        n_samples = whole_number(n_samples, "n_samples", at_least=1)
        seed = root_seed(random_state)
        given = np.repeat(X, n_samples, axis=0)
        n_members = len(self.generators_)
        member = named_rng(seed, "generators").integers(n_members, size=len(given))
        found = np.empty((len(given), self.n_outputs_))
        for j, each in enumerate(self.generators_):
            some = member == j
            if some.any():
                seed_of_draws = named_seed(seed, f"draws {j}") % 2**32
                found[some] = each.sample(int(some.sum()), seed_of_draws, context=given[some])
        return _finite(found.reshape(len(X), n_samples, -1), X)

    def _checked(self, X: Any, **params: Any) -> Any:
        """Return X, and y in `fit`, validated; say what to do with text."""
        refuse_unfit_table(X, "X")
        try:
            return validate_data(self, X, dtype=np.float64, order="C", **params)
        except ValueError as error:
            if "could not convert string to float" not in str(error):
                raise
            raise ValueError(
                f"X must hold numbers: {error}. Encode such columns by a step before, as in "
                "make_pipeline(make_column_transformer((OneHotEncoder(), columns), "
                'remainder="passthrough"), DiffusionScenarios()).'
            ) from error

    def _conditions(self, X: Any) -> tuple[np.ndarray]:
        check_is_fitted(self)
        return (self._checked(X, reset=False),)

    def _scenarios(self, X: np.ndarray) -> Scenarios:
        shares = np.array_split(np.arange(self.n_scenarios_), len(self.generators_))
        values = [
            each._common_draws(X, len(share), named_seed(self._seed, f"scenarios {j}"))
            for j, (each, share) in enumerate(zip(self.generators_, shares, strict=True))
        ]
        weight = np.full((len(X), self.n_scenarios_), 1.0 / self.n_scenarios_)
        return Scenarios(_finite(np.concatenate(values, axis=1), X), weight)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _finite(values: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return draws (n, m, d), or raise a ValueError that shows a row without finite ones."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    if len(bad):
        raise ValueError(
            f"The diffusion model has no finite scenarios for the row "
            f"{X[bad[0]].tolist()} of X: it is far from the rows of fit."
        )
    return values
