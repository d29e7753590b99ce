"""Decision-focused learning for the worst-case distribution near a diffusion model."""

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from joblib import Memory
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from torch import nn

from .._utils.context_columns import Selection
from .._utils.seeds import named_rng, root_seed
from .._utils.sklearn_private import HasMethods, Interval, StrOptions
from ..learners.factories import NetFactory
from ..losses.base import DecisionLoss
from ..problems.base import DecisionProblem
from ..robust.base import AmbiguitySet
from ..robust.decisions import WorstCaseDecisions
from ..robust.diffusion import DiffusionBall
from ..robust.divergences import KLBall
from ..robust.generator import DiffusionGenerator
from ..robust.search import WorstCaseSearch
from ._flagship_scenarios import (
    OF_A_POINT,
    decides_from,
    joined_history,
    refuse_options_of_the_net,
    two_stage_model,
)
from ._net_regressor import NetRegressor


class DiffusionDRODFLRegressor(NetRegressor):
    r"""Train a predictor for the worst-case distribution near a diffusion model of the data.

    This is *3D-Learning* (Wen, Fan and Yang). A diffusion model is fitted to the training rows. Two
    steps then alternate: distributions near the model are searched for the one with the largest
    regret of the present predictor's decisions, and the predictor is trained on it. With the
    `radius` :math:`\rho` and the regret r:

    .. math:: \min_w \max_{P \in B_\rho(P_0)} E_{(x, y) \sim P}[r(w; x, y)]

    It is :class:`DFLRegressor` with a :class:`~dfl_sklearn.robust.DiffusionBall`, whose parameters
    are those of the estimator here, so that ``GridSearchCV(estimator, {"radius": [...]})`` works.

    In some problems no point prediction leads to the best decision, for example where several
    products share a capacity. ``decision="scenarios"`` then decides over S scenarios drawn from a
    diffusion model of y given x, for the worst-case weights p near equal ones:

    .. math:: \min_z \max_{KL(p \| 1/S) \le \rho} \sum_s p_s\, r(z, y_s),
        \quad y_s \sim P_0(y | x)

    That is :class:`TwoStageRegressor` with :class:`~dfl_sklearn.scenarios.DiffusionScenarios`, a
    :class:`~dfl_sklearn.robust.KLBall` and ``risk_of="regret"``. The only net that is trained is
    that of the generator.

    Parameters
    ----------
    problem : DecisionProblem, default=None
        The problem in which the predictions are used. None is the squared-error problem.
    decision : {"point", "scenarios"}, default="point"
        What decisions are made from: the prediction of a net that was trained for the worst case,
        or scenarios. With "scenarios", `search`, `predictor`, `loss`, `callbacks` and `warm_start`
        are refused, as are held-out rows in `fit`. The parameters used are `problem`,
        `n_scenarios`, `radius`, `generator`, `memory`, `n_estimators`, `device`, `random_state`,
        `verbose`, `context` and `context_is_feature`. The others have no effect.
    n_scenarios : int, default=100
        Number of scenarios of a row, with ``decision="scenarios"``.
    radius : float, default=0.1
        Largest divergence of the worst-case distribution from the nominal one, in nats unless the
        search says otherwise. The nominal distribution is that of the diffusion model, mixed with
        the real rows where the search does so. 0 is the non-robust fit. With
        ``decision="scenarios"`` it is the divergence of the worst-case weights of the scenarios
        from equal weights. Choose the radius by cross-validation on data that shift, or by the
        price that you are ready to pay where the data do not shift.
    search : WorstCaseSearch, default=None
        The search for the worst-case distribution. None is
        :class:`~dfl_sklearn.robust.TiltedSearch`, which is exact on a pool of samples.
        :class:`~dfl_sklearn.robust.PolicyGradientSearch` is that of the paper.
    predictor : None, callable, NetFactory or skorch.NeuralNet, default=None
        The net, as in :class:`DFLRegressor`.
    generator : DiffusionGenerator, default=None
        The nominal model; None is ``DiffusionGenerator()``.
    nominal_weight : float, default=0.3
        Share of the real rows in robust training, in [0, 1]; 1 is the non-robust fit. Rows from
        a diffusion model lack some detail of the real rows, which these bring into training.
    memory : str, joblib.Memory or None, default=None
        Where to cache the nominal model and the predictor trained on the real rows, which do not
        depend on the radius. Each is then computed only once per training set, for all radii and
        also with several workers. Not used, with a warning, where `random_state` is None or where
        something that the result depends on cannot be identified by its value. With callbacks the
        predictor is trained anew, so that they are called.
    loss : DecisionLoss, default=None
        The loss of a row. None is :class:`~dfl_sklearn.losses.SPOPlusLoss` where the cost is linear
        in the decision, and else :class:`~dfl_sklearn.losses.RegretLoss`.
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers where `predictor` is None; ``()`` is a linear model.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers where `predictor` is None.
    n_estimators : int, default=1
        Number of nets that are trained side by side, as in :class:`DFLRegressor`. The worst case is
        that of the decisions of all nets together. With ``decision="scenarios"`` it is the number
        of generators, which are fitted one after the other; each makes an equal part of the
        scenarios.
    alpha : float, default=1e-4
        Strength of the L2 penalty, as in :class:`DFLRegressor`.
    batch_size : int or "auto", default="auto"
        Rows in a mini-batch; "auto" is a tenth of the rows, between 32 and 256.
    learning_rate : {"constant", "adaptive"}, default="adaptive"
        As in :class:`DFLRegressor`.
    learning_rate_init : float, default=0.01
        Initial learning rate of Adam, in each of the two parts of training: on the real rows, and
        for the worst case.
    max_iter : int, default=200
        Largest number of epochs of each of the two parts of training. An epoch is at most 262,144
        rows.
    tol : float, default=1e-4
        Smallest improvement that counts, as a share of the regret of the best constant decision.
    n_iter_no_change : int, default=10
        Epochs without such an improvement before the learning rate falls or training stops.
        Robust training, which goes on from a trained net, waits for two fifths of this number (at
        least for two searches) and divides the learning rate once less.
    early_stopping : bool or "auto", default="auto"
        Whether to hold out rows on which the regret is watched, as in :class:`DFLRegressor`.
    validation_fraction : float, default=0.2
        Share of the distinct rows to hold out, in (0, 1).
    standardize : bool, default=True
        Whether features and targets are standardised for the net.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit, as in :class:`DFLRegressor`.
    device : str or torch.device, default="cpu"
        Where to train the predictor and, where `generator` is None, the nominal model.
    n_jobs : int, default=None
        Threads of torch for the predictor; None is 1, -1 all cores. The generator has its own
        `n_jobs`.
    callbacks : list of skorch.callbacks.Callback, default=None
        Notified in both parts of training.
    random_state : int, RandomState or None, default=None
        Seed of everything that is random in `fit`, except in a `loss` that draws random numbers,
        and in a `generator` with a seed of its own.
    verbose : bool or int, default=False
        Whether to print a line per epoch, or every `verbose` epochs, and after two seconds without
        one.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). By name or position, as in
        :class:`sklearn.compose.ColumnTransformer`. No ambiguity set changes them.
    context_is_feature : bool, default=True
        Whether the net sees these columns as well.

    Attributes
    ----------
    generator_ : DiffusionGenerator
        The nominal model.
    worst_case_ : Bunch
        Numbers for the final weights, with regrets in the problem's unit. ``train_regret`` or
        ``valid_regret``: the mean regret on the real rows. ``nominal_regret``: under the nominal
        distribution. ``worst_regret``: under the worst-case distribution found.
        ``valid_worst_regret``, where rows are held out: the same on rows not used for training.
        ``divergence``: that of the worst-case distribution, in the unit of the search.
        ``row_divergence``: the Kullback-Leibler divergence of its rows from the nominal ones, in
        nats; an estimate with the policy gradient. ``effective_sample_size``: that of its weights.
        ``projected_share``: the share of its rows that were moved into the problem's domain.
        ``objective``: the number that was watched in robust training. If their computation at the
        end of `fit` is interrupted, the numbers are those of the last epoch. Does not exist with
        ``decision="scenarios"``, where each row has its own worst case; see
        :meth:`worst_case_decisions`.
    ambiguity_set_ : DiffusionBall
        The ambiguity set in its last state. Like `worst_case_`, it does not exist after a fit that
        was non-robust, or interrupted before robust training.
    predictor_ : skorch.NeuralNet
        The trained net, in standardised units. With ``decision="point"`` alone, as are
        `ambiguity_set_`, `best_epoch_` and `x_scale_, y_scale_`.
    estimator_ : TwoStageRegressor
        The fitted model that predicts and decides, with ``decision="scenarios"`` alone.
    history_ : pandas.DataFrame
        One row per epoch of training on the real rows, and then of training for the worst case.
        With ``decision="scenarios"`` one row per epoch of each generator, whose number is in the
        column ``generator``.
    n_iter_ : int
        Number of epochs run; with ``decision="scenarios"`` the largest number of a generator.
    best_epoch_ : int
        The epoch whose weights were kept, as in :class:`DFLRegressor`.
    x_scale_, y_scale_ : tuple (mean, scale) of ndarray
        Means and standard deviations by which columns are standardised for the net.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    DFLRegressor : The same net without a worst case, or with another ambiguity set.
    dfl_sklearn.robust.DiffusionBall : The ambiguity set, for other estimators.
    dfl_sklearn.model_selection.WithinPrice : Choose the radius by what it may cost.
    dfl_sklearn.model_selection.stress_test : Find the worst-case distribution of any fitted model.

    References
    ----------
    Wen, Fan and Yang, "3D-Learning: diffusion-augmented distributionally robust decision-focused
    learning", arXiv:2602.02943. The tilted search is this package's.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.estimators import DiffusionDRODFLRegressor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> model = DiffusionDRODFLRegressor(
    ...     NewsvendorProblem(9, 1), radius=0.05, hidden_layer_sizes=(), random_state=0
    ... ).fit(X, y)
    >>> bool(model.worst_case_.worst_regret > model.worst_case_.train_regret)
    True

    Over scenarios:

    >>> model = DiffusionDRODFLRegressor(
    ...     NewsvendorProblem(9, 1), decision="scenarios", radius=0.05, random_state=0
    ... ).fit(X, y)
    >>> found = model.worst_case_decisions(X[:3])
    >>> bool((found.decisions[:, 0] == model.decide(X[:3])).all())
    True
    """

    _parameter_constraints: dict = {
        **NetRegressor._parameter_constraints,
        "decision": [StrOptions({"point", "scenarios"})],
        "n_scenarios": [Interval(Integral, 1, None, closed="left")],
        "radius": [Interval(Real, 0, None, closed="left")],
        "search": [WorstCaseSearch, None],
        "generator": [DiffusionGenerator, None],
        "memory": [str, HasMethods(["cache"]), None],
    }

    def __init__(
        self,
        problem: DecisionProblem | None = None,
        *,
        decision: str = "point",
        n_scenarios: int = 100,
        radius: float = 0.1,
        search: WorstCaseSearch | None = None,
        predictor: Callable[[int, int], nn.Module] | NetFactory | NeuralNet | None = None,
        generator: DiffusionGenerator | None = None,
        nominal_weight: float = 0.3,
        memory: str | Memory | None = None,
        loss: DecisionLoss | None = None,
        hidden_layer_sizes: Sequence[int] = (32, 32),
        activation: str = "relu",
        n_estimators: int = 1,
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate: str = "adaptive",
        learning_rate_init: float = 0.01,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        standardize: bool = True,
        warm_start: bool = False,
        device: str | torch.device = "cpu",
        n_jobs: int | None = None,
        callbacks: Iterable[Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        context: Selection = None,
        context_is_feature: bool = True,
    ) -> None:
        self.problem = problem
        self.decision = decision
        self.n_scenarios = n_scenarios
        self.radius = radius
        self.search = search
        self.predictor = predictor
        self.generator = generator
        self.nominal_weight = nominal_weight
        self.memory = memory
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_estimators = n_estimators
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.device = device
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose
        self.context = context
        self.context_is_feature = context_is_feature

    @property
    def ambiguity_set(self) -> AmbiguitySet:  # type: ignore[override]
        """A new ambiguity set with the parameters of the estimator."""
        if self.decision == "scenarios":
            return KLBall(self.radius)
        return DiffusionBall(
            self.radius,
            generator=self._own_generator(),
            search=self.search,
            memory=self._useful_memory(),
        )

    @property
    def generator_(self) -> DiffusionGenerator:
        """The nominal model of the last fit; with several generators, the first of them."""
        check_is_fitted(self)
        if self._is_over_scenarios:
            return self.estimator_.estimator_.generator_
        return self._ball().generator_

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the parameters of the problem.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Predicted parameters in the problem's units; 1-d if `y` was 1-d in `fit`. With several
            nets they are the mean of their predictions, and with ``decision="scenarios"`` the mean
            of the scenarios.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X) if self._is_over_scenarios else super().predict(X)

    @available_if(decides_from("point"))
    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Predict the parameters of the problem with each of the nets.

        Only with ``decision="point"``.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n_estimators, n) or (n_estimators, n, d)
            Predicted parameters of each net, in the problem's units.
        """
        return super().predict_members(X)

    @available_if(decides_from("scenarios"))
    def predict_scenarios(self, X: ArrayLike) -> Any:
        """Return the scenarios of each row.

        Only with ``decision="scenarios"``.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        Scenarios
            ``values`` of shape (n, n_scenarios, d) and ``weight`` of shape (n, n_scenarios).
        """
        check_is_fitted(self)
        return self.estimator_.predict_scenarios(X)

    def decide(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the decisions for the rows of X.

        With ``decision="point"`` these are the decisions for the prediction,
        ``problem.solve(predict(X))``. With several nets they are the decisions for the mean
        prediction, or the mean of the decisions of each net; the problem's `decision_average` says
        which. With ``decision="scenarios"`` they minimise the largest mean regret over the weights
        of the scenarios within the radius.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, to be used instead of the columns of X that are context.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row.
        """
        check_is_fitted(self)
        if self._is_over_scenarios:
            return self.estimator_.decide(X, context=context)
        return super().decide(X, context=context)

    @available_if(decides_from("scenarios"))
    def worst_case_decisions(
        self, X: ArrayLike, *, context: ArrayLike | None = None
    ) -> WorstCaseDecisions:
        """Return the decisions and their largest mean regret within the radius.

        Only with ``decision="scenarios"``.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, to be used instead of the columns of X that are context.

        Returns
        -------
        WorstCaseDecisions
            The result of :meth:`TwoStageRegressor.worst_case_decisions`: ``decisions`` of shape
            (n, k), their ``worst_cost`` of shape (n,), which is the largest mean regret, and the
            ``gap`` of shape (n,).
        """
        check_is_fitted(self)
        return self.estimator_.worst_case_decisions(X, context=context)

    @available_if(decides_from("point"))
    def sample_worst_case(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows of the worst-case distribution found in the last fit.

        Only with ``decision="point"``; over scenarios, each row has its own worst case.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState or None, default=None
            Seed of the draws.

        Returns
        -------
        X : ndarray of shape (n_samples, p)
            Features, in the units of the training rows.
        y : ndarray of shape (n_samples,) or (n_samples, d)
            Parameters, in the problem's units.

        Raises
        ------
        AttributeError
            If the last fit was over scenarios, was non-robust, or was interrupted before robust
            training.
        """
        rows = self._ball().sample(n_samples, named_rng(root_seed(random_state), "worst case"))
        return self._as_given(rows), rows.y[:, 0] if self._target_ndim == 1 else rows.y

    def _ball(self) -> DiffusionBall:
        check_is_fitted(self)
        if not hasattr(self, "ambiguity_set_"):
            raise AttributeError(
                "This model was fitted without a worst case, because radius=0 or nominal_weight=1, "
                "or because the fit was interrupted before that."
            )
        ball = self.ambiguity_set_
        assert isinstance(ball, DiffusionBall)
        return ball

    # -- over scenarios ----------------------------------------------------------------

    @property
    def _is_over_scenarios(self) -> bool:
        """Whether the last fit was one with ``decision="scenarios"``."""
        return "estimator_" in self.__dict__

    def __getattr__(self, name: str) -> Any:
        """Raise an error that says so where an attribute needs the other kind of `decision`."""
        if name in ("sample_worst_case", "predict_members"):
            decides_from("point")(self)
        if name in ("predict_scenarios", "worst_case_decisions"):
            decides_from("scenarios")(self)
        if name in OF_A_POINT and self._is_over_scenarios:
            decides_from("point")(self)
        return self.__getattribute__(name)  # raises the original error again

    @property
    def _n_members(self) -> int:  # type: ignore[override]
        return 1 if self._is_over_scenarios else super()._n_members

    def _own_generator(self) -> DiffusionGenerator:
        return DiffusionGenerator(device=self.device) if self.generator is None else self.generator

    def _useful_memory(self) -> Any:
        return None if self.random_state is None else self.memory

    @property
    def _fit(self) -> Callable[..., None]:
        """The method that fits: a property, so that warnings point to the user's line."""
        return self._fit_scenarios if self.decision == "scenarios" else super()._fit

    def _fit_scenarios(
        self, X: Any, y: Any, sample_weight: Any, held_out: tuple[Any, Any, Any], **_: Any
    ) -> None:
        refuse_options_of_the_net(self, held_out)
        rows, target_ndim = self._check_rows(X, y, sample_weight, reset=True)
        model = two_stage_model(self, self._own_generator(), self._useful_memory())
        fitted = model.fit(X, y, sample_weight=rows.weight)
        for name in OF_A_POINT:
            self.__dict__.pop(name, None)
        self.estimator_ = fitted
        self._target_ndim, self._n_parameters = target_ndim, rows.y.shape[1]
        generators = fitted.estimator_.generators_
        self.history_ = joined_history(generators)
        self.n_iter_ = max(each.n_iter_ for each in generators)
        self._warn([])
