"""Scenarios from a net that predicts a distribution: a mixture, or one Gaussian."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import Tags

from .._utils.rows import raise_at
from .._utils.sklearn_private import Interval, StrOptions
from ..learners.factories import NetFactory
from ..rows import Rows
from ._components import Components, Gaussians, ZeroInflatedLognormals
from ._mixture_net import MixtureFactory, n_conditions
from ._net_scenarios import NetScenarios


class _OfComponents(NetScenarios):
    """A net for the selector and the parameters of components."""

    _n_components: int
    _alignment: float = 0.0

    def _components(self, rows: Rows) -> Components:
        raise NotImplementedError

    def _recipe(self, rows: Rows, seed: int) -> tuple[NetFactory, int]:
        components, K = self._components(rows), self._n_components
        factory = MixtureFactory(
            *(self.hidden_layer_sizes, self.activation, components, K),
            *(self.n_scenarios, self._alignment, seed),
        )
        return factory, n_conditions(components, K)


class MixtureScenarios(_OfComponents):
    r"""A net that predicts a mixture of a few distributions for every x.

    The density of y is :math:`\sum_k \pi_k(x)\, p_k(y \mid x)`. The selector :math:`\pi` holds the
    probabilities of the components. The component is the same for all outputs of a row, which makes
    the outputs dependent; given the component they are independent.

    Parameters
    ----------
    n_components : int, default=3
        Number of components K.
    family : {"gaussian", "lognormal"}, default="gaussian"
        Distribution of the components. "lognormal" is for y of 0 or more where zeros occur, such as
        sales or claims: an output is either 0 or lognormal.
    alignment : float, default=0.0
        Weight of a term in the loss that aligns the selector with the components that are
        likeliest for the observed y: the divergence of :math:`\pi` from
        :math:`p_k(y) / \sum_j p_j(y)`. It keeps all components in use. With 0 the fit is maximum
        likelihood.
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers of the net; with ``()`` all parameters are linear in x.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.
    n_scenarios : int, default=100
        Number of scenarios for each row, divided equally among the components.
    alpha : float, default=1e-4
        Strength of the L2 penalty on the weights (not the biases), divided by the total sample
        weight.
    batch_size : int or "auto", default="auto"
        Number of rows in a mini-batch; "auto" is a tenth of the rows, between 32 and 256.
    learning_rate_init : float, default=0.01
        Initial learning rate of Adam. It is divided by 5 where the likelihood stops improving,
        three times before training stops.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest improvement that counts, in nats per output.
    n_iter_no_change : int, default=10
        Epochs without such an improvement before the learning rate falls or training stops.
    early_stopping : bool or "auto", default="auto"
        Whether to hold out `validation_fraction` of the distinct rows and watch the likelihood
        there. "auto" does so from 50 distinct rows on where there are hidden layers.
    validation_fraction : float, default=0.2
        Share of the distinct rows to hold out, in (0, 1).
    device : str or torch.device, default="cpu"
        Where to train. A fitted model predicts on the CPU.
    n_jobs : int, default=None
        Threads of torch; None is 1, -1 all cores.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights, the batches, the hold-out, and the noise of the scenarios.
    verbose : bool or int, default=False
        Whether to print a line per epoch, or every `verbose` epochs, and after two seconds without
        one.

    Attributes
    ----------
    net_ : torch.nn.Module
        The fitted net, in standardised features.
    x_scale_ : tuple (mean, scale) of ndarray
        Means and standard deviations of the features.
    history_ : pandas.DataFrame
        One row per epoch: ``train_loss``, and the mean negative log likelihood of the rows watched,
        ``valid_nll`` or ``train_nll``, in nats.
    n_iter_ : int
        Number of epochs run.
    n_scenarios_ : int
        Number of scenarios for each row.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    GaussianScenarios : One normal distribution, with correlated outputs.
    dfl_sklearn.DFLRegressor : Continue to train the net on the cost of decisions.

    Notes
    -----
    Scenarios come from the same noise for all rows, a Latin hypercube. Equal rows therefore have
    equal scenarios, and differences between rows are not due to noise. `sample` draws from the
    distribution itself.

    No standard deviation is smaller than a hundredth of that of y (or of its logarithm). Otherwise
    a component could concentrate on a few equal rows, with an unbounded likelihood.

    References
    ----------
    Bishop, "Mixture density networks", 1994. Weng et al., "OptDist: learning optimal distribution
    for customer lifetime value prediction", CIKM 2024 (lognormal components, their selector and its
    alignment). Wang, Liu and Miao, "A deep probabilistic model for customer lifetime value
    prediction", 2019 (zero-inflated lognormal).

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.scenarios import MixtureScenarios
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> claims = np.where(rng.random(200) < 0.3, rng.lognormal(X[:, 0]), 0.0)
    >>> model = MixtureScenarios(
    ...     1, "lognormal", hidden_layer_sizes=(), random_state=0
    ... ).fit(X, claims)
    >>> scenarios = model.predict_scenarios(X)
    >>> bool(abs((scenarios.values == 0).mean() - (claims == 0).mean()) < 0.01)
    True
    """

    _parameter_constraints: dict = {
        **NetScenarios._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "family": [StrOptions({"gaussian", "lognormal"})],
        "alignment": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 3,
        family: str = "gaussian",
        *,
        alignment: float = 0.0,
        hidden_layer_sizes: Sequence[int] = (32, 32),
        activation: str = "relu",
        n_scenarios: int = 100,
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.01,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        device: str | torch.device = "cpu",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.n_components = n_components
        self.family = family
        self.alignment = alignment
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_scenarios = n_scenarios
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _n_components(self) -> int:  # type: ignore[override]
        return self.n_components

    @property
    def _alignment(self) -> float:  # type: ignore[override]
        return self.alignment

    def _components(self, rows: Rows) -> Components:
        return Gaussians(rows, 0) if self.family == "gaussian" else ZeroInflatedLognormals(rows)

    def _check_target(self, y: np.ndarray) -> None:
        if self.family == "lognormal" and (y < 0).any():
            remedy = 'Lognormal numbers are 0 or more: correct it, or set family="gaussian".'
            raise_at(y < 0, y, "y", "is negative", remedy)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.family == "lognormal"
        return tags


class GaussianScenarios(_OfComponents):
    r"""A net that predicts a normal distribution for every x, correlations included.

    :math:`y = \mu(x) + L(x)\, \varepsilon` with standard normal :math:`\varepsilon`, fitted by
    maximum likelihood.

    Parameters
    ----------
    rank : int or "full", default="full"
        Form of the covariance. "full" is any covariance, with a lower triangular L. A number is the
        sum of a diagonal and a matrix of that rank, which needs fewer predicted numbers for many
        outputs. 0 is a diagonal covariance, with independent outputs.
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers of the net; with ``()`` all parameters are linear in x.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.
    n_scenarios : int, default=100
        Number of scenarios for each row, of equal weight.
    alpha : float, default=1e-4
        Strength of the L2 penalty, as in :class:`MixtureScenarios`.
    batch_size : int or "auto", default="auto"
        Number of rows in a mini-batch; "auto" is a tenth of the rows, between 32 and 256.
    learning_rate_init : float, default=0.01
        Initial learning rate of Adam, which falls as in :class:`MixtureScenarios`.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest improvement that counts, in nats per output.
    n_iter_no_change : int, default=10
        Epochs without such an improvement before the learning rate falls or training stops.
    early_stopping : bool or "auto", default="auto"
        Whether to hold rows out, as in :class:`MixtureScenarios`.
    validation_fraction : float, default=0.2
        Share of the distinct rows to hold out, in (0, 1).
    device : str or torch.device, default="cpu"
        Where to train. A fitted model predicts on the CPU.
    n_jobs : int, default=None
        Threads of torch; None is 1, -1 all cores.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights, the batches, the hold-out, and the noise of the scenarios.
    verbose : bool or int, default=False
        Whether to print a line per epoch, or every `verbose` epochs.

    Attributes
    ----------
    net_ : torch.nn.Module
        The fitted net, in standardised features.
    x_scale_ : tuple (mean, scale) of ndarray
        Means and standard deviations of the features.
    history_ : pandas.DataFrame
        As in :class:`MixtureScenarios`.
    n_iter_ : int
        Number of epochs run.
    n_scenarios_ : int
        Number of scenarios for each row.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    MixtureScenarios : A mixture of several distributions, normal or lognormal with zeros.
    ResidualScenarios : Errors of a regressor, of any distribution.
    dfl_sklearn.DFLRegressor : Continue to train the net on the cost of decisions.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.scenarios import GaussianScenarios
    >>> X, y = make_newsvendor(n_products=3, random_state=0)
    >>> model = GaussianScenarios(hidden_layer_sizes=(), random_state=0).fit(X, y)
    >>> model.predict_scenarios(X[:2]).values.shape
    (2, 100, 3)
    """

    _parameter_constraints: dict = {
        **NetScenarios._parameter_constraints,
        "rank": [StrOptions({"full"}), Interval(Integral, 0, None, closed="left")],
    }

    _n_components = 1

    def __init__(
        self,
        *,
        rank: int | str = "full",
        hidden_layer_sizes: Sequence[int] = (32, 32),
        activation: str = "relu",
        n_scenarios: int = 100,
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.01,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        device: str | torch.device = "cpu",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.rank = rank
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_scenarios = n_scenarios
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _components(self, rows: Rows) -> Components:
        return Gaussians(rows, self.rank)
