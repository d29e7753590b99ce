"""A diffusion model of the rows of a table."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from .._utils.all_or_nothing import all_or_nothing
from .._utils.checks import whole_number
from .._utils.convergence import doubt
from .._utils.memory import check_rows
from .._utils.params import NestedParamsMixin
from .._utils.progress import part, reporting, say
from .._utils.rows import check_total
from .._utils.seeds import named_rng, named_seed, root_seed
from .._utils.sklearn_private import Interval, StrOptions, _check_sample_weight, _fit_context
from .._utils.tables import refuse_unfit_table
from .._utils.threads import pinned_threads
from ..learners.construct import (
    device_or_cpu,
    forked_generator,
    n_threads,
    resolve_device,
)
from ..learners.patience import Stopping
from ..rows import Rows
from ._conditional_draws import ConditionalDraws
from ._contexts import ContextColumns, checked_context
from ._denoising import CoordinateRows, evidence_lower_bound, mean_noise_error
from ._fitting import (
    Coordinates,
    TrainingOptions,
    fitted_denoiser,
    measured_noise,
    measured_rows,
)
from ._given_columns import GivenColumns, JointCoordinates, velocity_net
from ._given_context import TableCoordinates
from ._quasi_random import quasi_normal
from ._reverse import ReverseChain
from ._sampling import drawn, drawn_from_common_noise, respaced_for
from ._schedule import NoiseSchedule
from .denoisers import ConvDenoiser, MLPDenoiser


class DiffusionGenerator(NestedParamsMixin, DensityMixin, BaseEstimator):
    """A diffusion model of the rows of a table, for small data and one core.

    It learns the joint distribution of the rows and generates new rows from it. Rows are mapped to
    coordinates in which a Gaussian table is standard normal, and the net learns only what differs
    from a Gaussian: an untrained net generates the Gaussian with the mean and the shrunk covariance
    of the rows (after the compression of heavy tails, see below). To avoid overfitting small
    tables, training stops when the loss on held-out rows no longer improves.

    With a `context`, known columns such as a price or a capacity, it learns the distribution of a
    row given its context. `sample` then generates one row for each context that it is given. The
    context itself is not generated.

    With `given_columns` in `fit`, one net learns both the distribution of whole rows and that of
    the other columns given these. In half of the training draws the given columns have no noise,
    and an input of the net says so. `sample` then generates whole rows or, for given values of
    these columns, the other columns.

    Parameters
    ----------
    denoiser : MLPDenoiser, ConvDenoiser, callable or None, default=None
        The net. None is an :class:`MLPDenoiser` with `hidden_layer_sizes`, and with ``gain=True``
        if `fit` gets `given_columns`. A callable ``n_columns -> torch.nn.Module`` builds any module
        with ``forward(z, time)``, (B, d) and (B,) -> (B, d), that predicts the velocity
        ``sqrt(abar) eps - sqrt(1 - abar) z_0``. It is trained, and generates, in float32;
        `score_samples` and `denoising_loss` convert it to float64. Here d = `n_columns` counts the
        model's coordinates, one for each column that is neither constant nor an affine function of
        others. With a context, those of the context come after those of the row, and the outputs
        for them are ignored. With given columns, theirs come first, scaled as those of a context
        are; then the others; and last an input that is 1 where columns are given, else 0.
    hidden_layer_sizes : sequence of int, default=(128, 128)
        Widths of the hidden layers where `denoiser` is None.
    schedule : {"cosine", "linear"}, default="cosine"
        Noise schedule.
    n_steps : int, default=100
        Number of noise levels T.
    sampling_steps : int or None, default=None
        Number of steps of `sample`, at most `n_steps`. None is 15 for the sampler "ode", and
        `n_steps` for the others.
    sampler : {"ode", "ddpm", "ddim"}, default="ode"
        "ode" solves the ordinary differential equation of the probability flow (Song et al., 2021)
        by steps of second order (Zhang and Chen, 2023), which are exact for a Gaussian. "ddpm" adds
        noise at every reverse step but the last. "ddim" (Song, Meng and Ermon, 2021) solves the
        same equation by steps of first order, and needs more of them.
    batch_size : int, default=256
        Rows in a mini-batch.
    learning_rate_init : float, default=5e-3
        Initial learning rate of Adam. It is divided by 5 once, when the held-out loss stops
        improving. The weights of the fitted net are a moving average over about 100 steps.
    max_iter : int, default=300
        Largest number of epochs. Small tables are repeated within an epoch as often as fits into
        4,096 rows. Of more than 65,536 rows, an epoch uses a random 65,536.
    tol : float, default=1e-3
        The least decrease of the held-out loss that counts as an improvement.
    n_iter_no_change : int, default=10
        Number of epochs without such an improvement after which the learning rate is reduced or, if
        it has been, training stops.
    validation_fraction : float, default=0.2
        Share of the distinct rows held out, in (0, 1).
    device : str or torch.device, default="cpu"
        Where the net is trained and rows are generated. The fitted net is stored on the CPU.
    n_jobs : int, default=None
        Number of threads of torch; None is 1, -1 all cores.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights, the batches, the noise and the hold-out.
    verbose : bool or int, default=False
        Print a line per epoch, or every `verbose` epochs, and whenever two seconds have passed
        without one.

    Attributes
    ----------
    denoiser_ : torch.nn.Module
        The trained net, in the model's coordinates.
    history_ : pandas.DataFrame
        One row per epoch, with the columns `epoch`, `train_loss`, `valid_loss` (of the held-out
        rows), `learning_rate` and `duration` (in seconds). Empty if the rows were too few for a
        net.
    n_iter_ : int
        Number of epochs, and 1 if the rows were too few for a net.
    was_interrupted_ : bool
        Whether Ctrl-C ended the training. The best weights until then are kept.
    shrinkage_ : float
        Weight of the identity in the correlation matrix of the Gaussian part, from 0 to 1. It is
        large where there are few rows for the number of columns and the columns are hardly
        correlated. With a context, or with given columns, it is that of the residuals.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where Z has string column names.

    See Also
    --------
    DiffusionBall : Distributions near such a model.
    dfl_sklearn.scenarios.DiffusionScenarios : Scenarios of y given x from such a model.

    Notes
    -----
    Heavy-tailed columns are compressed by an asinh. Constant columns stay constant in generated
    rows, and columns that are affine functions of others stay so. This does not hold for the sum of
    several heavy-tailed columns, which is no longer affine after the compression; and with no more
    rows than columns, it holds for copies only. Columns of integers are rounded and, if they have
    at most 20 values, take only these values. With fewer than 30 distinct rows no net is trained,
    and the model is the shrunk Gaussian.

    A row with weight 2 counts exactly as the same row twice.

    With a context, the coordinates are the whitened residuals of a ridge regression on it. If rows
    and contexts are jointly Gaussian, the untrained net generates their conditional distribution.
    The penalty of the regression maximises the marginal likelihood of each column (MacKay, 1992),
    so that slopes which are only noise are shrunk to almost 0. Columns that are affine functions of
    the context stay so in generated rows, unless there are hardly more distinct rows than context
    columns. A context that is the same in all rows has no effect.

    Given columns have coordinates of their own, and the other columns have those that they would
    have with the given columns as a context. The untrained net therefore generates a Gaussian and
    its conditional distributions.

    References
    ----------
    Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", 2020. The model is the nominal
    model of Wen, Fan and Yang, "3D-Learning", arXiv:2602.02943, with a perceptron in place of their
    image model.

    Song et al., "Score-based generative modeling through stochastic differential equations", 2021;
    Zhang and Chen, "Fast sampling of diffusion models with exponential integrator", 2023;
    Song, Meng and Ermon, "Denoising diffusion implicit models", 2021; Nichol and Dhariwal,
    "Improved denoising diffusion probabilistic models", 2021 (the cosine schedule).

    MacKay, "Bayesian interpolation", Neural Computation 4, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.robust import DiffusionGenerator
    >>> Z = np.random.default_rng(0).normal(size=(200, 2)) @ [[1.0, 0.8], [0.0, 0.6]]
    >>> model = DiffusionGenerator(random_state=0, max_iter=20).fit(Z)
    >>> model.sample(5, random_state=0).shape
    (5, 2)

    Demand given a price:

    >>> price = np.linspace(1.0, 2.0, 200)[:, None]
    >>> demand = 10.0 - 3.0 * price + Z[:, :1]
    >>> model = DiffusionGenerator(random_state=0, max_iter=20).fit(demand, context=price)
    >>> drawn = model.sample(500, random_state=0, context=np.full((500, 1), 1.2))
    >>> bool(abs(drawn.mean() - 6.4) < 0.3)
    True

    One model of price and demand, which also generates demand given a price:

    >>> rows = np.hstack([price, demand])
    >>> model = DiffusionGenerator(random_state=0, max_iter=20).fit(rows, given_columns=[0])
    >>> model.sample(5, random_state=0).shape
    (5, 2)
    >>> drawn = model.sample(500, random_state=0, given=np.full((500, 1), 1.2))
    >>> bool((drawn[:, 0] == 1.2).all()), bool(abs(drawn[:, 1].mean() - 6.4) < 0.3)
    (True, True)
    """

    _parameter_constraints: dict = {
        "denoiser": [None, MLPDenoiser, ConvDenoiser, callable],
        "hidden_layer_sizes": ["array-like"],
        "schedule": [StrOptions({"cosine", "linear"})],
        "n_steps": [Interval(Integral, 2, None, closed="left")],
        "sampling_steps": [None, Interval(Integral, 2, None, closed="left")],
        "sampler": [StrOptions({"ode", "ddpm", "ddim"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "device": [str, torch.device],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        denoiser: Any = None,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        schedule: str = "cosine",
        n_steps: int = 100,
        sampling_steps: int | None = None,
        sampler: str = "ode",
        batch_size: int = 256,
        learning_rate_init: float = 5e-3,
        max_iter: int = 300,
        tol: float = 1e-3,
        n_iter_no_change: int = 10,
        validation_fraction: float = 0.2,
        device: str | torch.device = "cpu",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.denoiser = denoiser
        self.hidden_layer_sizes = hidden_layer_sizes
        self.schedule = schedule
        self.n_steps = n_steps
        self.sampling_steps = sampling_steps
        self.sampler = sampler
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(
        self,
        Z: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        context: ArrayLike | None = None,
        given_columns: Any = None,
    ) -> "DiffusionGenerator":
        """Fit the model to the rows of a table.

        Parameters
        ----------
        Z : array-like of shape (n, p)
            Rows to learn the distribution of.
        y : None
            Not used.
        sample_weight : array-like of shape (n,), default=None
            Non-negative weights of the rows.
        context : array-like of shape (n, c) or (n,), default=None
            Known columns of each row, on which the distribution of the row is conditioned. The
            other methods then need a context with the same columns.
        given_columns : str, int, list, slice or mask, default=None
            The columns of Z whose values :meth:`sample` may be given; some but not all. By name or
            position, as in :class:`sklearn.compose.ColumnTransformer`. Not with a context.

        Returns
        -------
        self : DiffusionGenerator
            The fitted model.

        Raises
        ------
        ValueError
            If Z, the weights or the context are not finite or have the wrong shape; if there are
            fewer than 2 distinct rows of positive weight; if both a context and `given_columns` are
            given, or `given_columns` are not some of the columns.

        Warns
        -----
        ConvergenceWarning
            If training was interrupted by Ctrl-C.
        """
        rows = self._checked_rows(Z, sample_weight, context, given_columns)
        seed = root_seed(self.random_state)
        self._coordinates: Coordinates
        if self._given_columns is None:
            self._coordinates = TableCoordinates.fit(rows.X, rows.weight, rows.context)
        else:
            self._coordinates = JointCoordinates.fit(rows.X, rows.weight, self._given_columns)
        self.shrinkage_ = self._coordinates.shrinkage
        self._noise = NoiseSchedule.make(self.schedule, self.n_steps)
        device = resolve_device(self.device)
        is_custom = callable(self.denoiser)
        with (
            reporting(self.verbose),
            part("generator"),
            pinned_threads(n_threads(self.n_jobs)),
            forked_generator(named_seed(seed, "denoiser"), device) if is_custom else nullcontext(),
        ):
            self.denoiser_, training = fitted_denoiser(
                self._recipe(), rows, self._coordinates, self._noise, self._options(), seed, device
            )
            noise, measured = self._noise, measured_rows(rows, self._coordinates, seed)
            self._noise = measured_noise(self._chain(noise), measured, seed)
            if self._given_columns is not None:
                chain = self._chain(noise, conditional=True)
                self._noise_of_rest = measured_noise(chain, measured.conditional(), seed)
            say(f"fitted in {len(training.history)} epochs")
        self.history_ = pd.DataFrame(training.history)
        self.n_iter_ = max(len(training.history), 1)
        self.was_interrupted_ = training.outcome == "interrupted"
        if self.was_interrupted_:
            doubt(
                f"Training of the diffusion model was interrupted in epoch "
                f"{len(training.history) + 1}; its best weights so far are kept.",
                stacklevel=4,
            )
        return self

    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        context: ArrayLike | None = None,
        given: ArrayLike | None = None,
    ) -> np.ndarray:
        """Generate rows.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState or None, default=None
            Seed of this sample; the fitted model does not change.
        context : array-like of shape (n_samples, c), default=None
            The context of each row, needed where the model was fitted with one.
        given : array-like of shape (n_samples, g), default=None
            Values of the `given_columns` of the fit, in their order. They are returned unchanged,
            and the other columns are generated given them. None generates whole rows.

        Returns
        -------
        ndarray of shape (n_samples, p)
            In the units of the rows seen in `fit`.

        Raises
        ------
        ValueError
            If the context is missing, has another shape than (n_samples, c), or is given although
            the model was fitted without one; if `given` has the wrong shape, or the model was
            fitted without `given_columns`; if so many samples do not fit into memory.
        """
        check_is_fitted(self)
        whole_number(n_samples, "n_samples", at_least=1)
        d, k = self._coordinates.n_coordinates, self._coordinates.n_known
        check_rows("n_samples", n_samples, max(2 * d, d + self.n_features_in_) + k)
        if given is not None:
            coordinates, x = self._joint_coordinates(), self._checked_given(given, n_samples)
            chain = self._conditional_chain()
            u = torch.as_tensor(coordinates.of_given.forward(x), device=chain.device)
            d = coordinates.rest.n_coordinates
            return coordinates.joined(x, self._drawn(chain, n_samples, d, u, random_state))
        at = checked_context(self._context_columns, context, n_samples, "sample")
        chain = self._chain(self._respaced(self._noise))
        known = self._known(at, chain.device)
        return self._coordinates.inverse(self._drawn(chain, n_samples, d, known, random_state), at)

    def _common_draws(self, context: np.ndarray, n_draws: int, seed: int) -> np.ndarray:
        """Return draws (n, n_draws, p) of rows for each context (n, c).

        All rows share the same quasi-random noise.
        """
        chain = self._chain(self._respaced(self._noise))
        known = self._known(context, chain.device)
        assert known is not None
        rng = named_rng(seed, "base noise")
        noise = quasi_normal(n_draws, self._coordinates.n_coordinates, rng)
        with pinned_threads(n_threads(self.n_jobs)), torch.no_grad():
            z = drawn_from_common_noise(chain, noise, known, seed, self.sampler)
        there = np.repeat(context, n_draws, axis=0)
        rows = self._coordinates.inverse(z.reshape(len(there), noise.shape[1]), there)
        return rows.reshape(len(context), n_draws, rows.shape[1])

    def _drawn(
        self,
        chain: ReverseChain,
        n_samples: int,
        d: int,
        known: torch.Tensor | None,
        random_state: Any,
    ) -> np.ndarray:
        """Return `n_samples` draws of a chain, with `d` coordinates each."""
        seed = named_seed(root_seed(random_state), "sample")
        with (
            reporting(self.verbose),
            pinned_threads(n_threads(self.n_jobs)),
            torch.no_grad(),
        ):
            return drawn(chain, n_samples, d, known, seed, self.sampler)

    def score_samples(
        self, Z: ArrayLike, context: ArrayLike | None = None, *, conditional: bool = False
    ) -> np.ndarray:
        """Return a lower bound of the log density of each row, in nats.

        It is the evidence lower bound of the diffusion, estimated with the same noise for every
        row, so that equal rows get equal values. The density is that of the columns that are
        neither constant nor affine functions of others. If the model was fitted with a context, it
        is the density of a row given its context, over the columns that are not affine functions of
        the context either.

        Parameters
        ----------
        Z : array-like of shape (n, p)
            Rows with the columns seen in `fit`.
        context : array-like of shape (n, c), default=None
            Needed where the model was fitted with one.
        conditional : bool, default=False
            Whether the density is that of the other columns given the `given_columns` of the fit.

        Returns
        -------
        ndarray of shape (n,)
            In nats.

        Raises
        ------
        ValueError
            If Z or the context has the wrong shape, or a context is missing or given where there
            was none in `fit`; if `conditional` is True and the model has no `given_columns`.
        """
        check_is_fitted(self)
        noise = self._noise
        if conditional:
            log_det, noise = self._joint_coordinates().conditional_log_det, self._noise_of_rest
        chain = self._chain(noise, torch.float64, conditional=conditional)
        rows, found = self._rows(Z, context, chain.device, "score_samples")
        found = found.conditional() if conditional else found
        generator = torch.Generator().manual_seed(0)
        with pinned_threads(n_threads(self.n_jobs)), torch.no_grad():
            bound = evidence_lower_bound(chain, found.z, found.known, generator).cpu().numpy()
        if conditional:
            return bound + log_det(rows.X)
        return bound + self._coordinates.log_det(rows.X, rows.context)

    def score(self, Z: ArrayLike, y: Any = None, context: ArrayLike | None = None) -> float:
        """Return the mean of :meth:`score_samples` over the rows, in nats.

        Parameters
        ----------
        Z : array-like of shape (n, p)
            Rows with the columns seen in `fit`.
        y : None
            Not used.
        context : array-like of shape (n, c), default=None
            Needed where the model was fitted with one.

        Returns
        -------
        float
            The larger, the better.
        """
        return float(self.score_samples(Z, context).mean())

    def denoising_loss(
        self,
        Z: ArrayLike,
        sample_weight: ArrayLike | None = None,
        context: ArrayLike | None = None,
    ) -> float:
        """Return J, the mean squared error of the predicted noise, over noise levels and rows.

        ``J = E || eps - eps_theta(z_t, t) ||^2``, estimated with the same noise for every row.

        Parameters
        ----------
        Z : array-like of shape (n, p)
            Rows with the columns seen in `fit`.
        sample_weight : array-like of shape (n,), default=None
            Non-negative weights of the rows.
        context : array-like of shape (n, c), default=None
            Needed where the model was fitted with one.

        Returns
        -------
        float
            Summed over the model's coordinates, and averaged over noise levels and rows.

        Raises
        ------
        ValueError
            If an input has the wrong shape or is not valid, or a context is missing or given where
            there was none in `fit`.
        """
        check_is_fitted(self)
        chain = self._chain(self._noise, torch.float64)
        rows, (z, _, known, _) = self._rows(Z, context, chain.device, "denoising_loss")
        weight = _check_sample_weight(
            sample_weight, rows.X, dtype=np.float64, ensure_non_negative=True
        )
        with pinned_threads(n_threads(self.n_jobs)), torch.no_grad():
            errors = mean_noise_error(chain, z, known, torch.Generator().manual_seed(0))
        return float(np.average(errors, weights=weight))

    # -- the steps of fit --------------------------------------------------------------

    def _checked_rows(
        self, Z: ArrayLike, sample_weight: ArrayLike | None, context: Any, given_columns: Any
    ) -> Rows:
        """Return the distinct rows of `fit`, and store which columns are context or given."""
        refuse_unfit_table(Z, "Z")
        table = validate_data(self, Z, dtype=np.float64)
        weight = _check_sample_weight(
            sample_weight, table, dtype=np.float64, ensure_non_negative=True
        )
        check_total(weight, "sample_weight")
        self._context_columns: ContextColumns | None = None
        self._given_columns: GivenColumns | None = None
        known = None
        if given_columns is not None:
            if context is not None:
                raise ValueError(
                    "A fit takes context= or given_columns=, not both: put the context into "
                    "columns of Z, and name these in given_columns= as well."
                )
            self._given_columns = GivenColumns.of(given_columns, Z, table.shape[1])
        if context is not None:
            self._context_columns, known = ContextColumns.of(context, len(table))
        rows = Rows.of_table(table, weight, known).canonical()
        if len(rows.X) < 2:
            raise ValueError(
                "A fit needs at least 2 distinct rows of positive weight, got n_samples=1."
            )
        return rows

    def _recipe(self) -> Any:
        """Return the recipe, or the callable, that builds the net."""
        if self.denoiser is not None:
            return self.denoiser
        return MLPDenoiser(self.hidden_layer_sizes, gain=self._given_columns is not None)

    def _options(self) -> TrainingOptions:
        return TrainingOptions(
            self.learning_rate_init,
            self.batch_size,
            self.validation_fraction,
            Stopping("valid_loss", self.max_iter, self.tol, self.n_iter_no_change, n_reductions=1),
        )

    # -- rows and coordinates ----------------------------------------------------------

    def _rows(
        self, Z: ArrayLike, context: ArrayLike | None, device: torch.device, method: str
    ) -> tuple[Rows, CoordinateRows]:
        """Return the checked rows, and their coordinates."""
        table = validate_data(self, Z, dtype=np.float64, reset=False)
        given = checked_context(self._context_columns, context, len(table), method)
        rows = Rows.of_table(table, np.ones(len(table)), given)
        return rows, CoordinateRows.of(rows, self._coordinates, device)

    def _known(self, given: np.ndarray | None, device: torch.device) -> torch.Tensor | None:
        known = self._coordinates.known(given)
        return None if known is None else torch.as_tensor(known, device=device)

    def _joint_coordinates(self) -> JointCoordinates:
        """Return the coordinates of a model with given columns; raise if it has none."""
        if self._given_columns is None:
            raise ValueError(
                "No columns may be given to this generator: fit it with given_columns= first."
            )
        assert isinstance(self._coordinates, JointCoordinates)
        return self._coordinates

    def _checked_given(self, given: ArrayLike, n_samples: int) -> np.ndarray:
        self._joint_coordinates()
        assert self._given_columns is not None
        return self._given_columns.values(given, n_samples)

    # -- chains ------------------------------------------------------------------------

    def _respaced(self, noise: NoiseSchedule) -> NoiseSchedule:
        """Return the noise schedule of the steps of `sample`."""
        return respaced_for(noise, self.sampler, self.sampling_steps)

    def _chain(
        self,
        schedule: NoiseSchedule,
        net_dtype: torch.dtype | None = None,
        *,
        conditional: bool = False,
    ) -> ReverseChain:
        """Return the reverse chain of whole rows, or of the rest given the given columns."""
        net = partial(velocity_net, n_given=self._coordinates.n_given, conditional=conditional)
        device = device_or_cpu(self.device)
        return ReverseChain.on(device, self.denoiser_, schedule, net_dtype, net)

    def _conditional_chain(self) -> ReverseChain:
        """Return the chain by which :meth:`sample` generates the columns that are not given."""
        return self._chain(self._respaced(self._noise_of_rest), conditional=True)

    def _conditional_draws(self, denoiser: nn.Module, device: torch.device) -> ConditionalDraws:
        """Return draws given a context as functions of the weights of a net like `denoiser_`."""
        assert isinstance(self._coordinates, TableCoordinates)
        steps = self._respaced(self._noise)
        return ConditionalDraws(self._coordinates, denoiser, steps, device)
