"""Decision-focused fine-tuning: correct the predictions of any regressor for the decision."""

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.validation import check_is_fitted

from .._utils.all_or_nothing import all_or_nothing
from .._utils.context_columns import Selection
from .._utils.convergence import collected_doubts
from .._utils.cross_fit import predicted
from .._utils.hidden_scenarios import warn_of_unused_scenarios
from .._utils.holdout import is_given
from .._utils.interrupts import interrupts_are_passed_on, passing_interrupts_on
from .._utils.progress import part, reporting, say
from .._utils.rows import as_rows, column_names
from .._utils.seeds import root_seed
from .._utils.sklearn_private import (
    HasMethods,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from .._utils.tables import refuse_series, refuse_unfit_table
from .._utils.wrapping import WrappingMixin
from ..learners.scaling import Scale
from ..losses.base import DecisionLoss
from ..problems.base import DecisionProblem
from ..robust.base import AmbiguitySet
from ._correction import CorrectionInputs, dense, saying_what_is_read
from ._correction_fit import (
    held_out_gain,
    refuse_log_loss,
    unfitted_correction,
    warn_of_zeros,
)
from ._correction_rows import (
    checked_held_out,
    cross_fitted_rows,
    numbered_as_given,
    train_and_valid,
)
from ._mixin import DecisionRegressorMixin
from .dfl import DFLRegressor


class DFFRegressor(WrappingMixin, DecisionRegressorMixin, BaseEstimator):
    r"""Fine-tune any regressor for decisions, inside a trust region around its predictions.

    The regressor (the backbone), for example a forest, a boosting model, a pipeline or a simulator,
    is fitted as usual and not changed afterwards. A small net, the correction, multiplies each of
    its predictions by a factor between :math:`1 - \epsilon` and :math:`1 + \epsilon` (or adds to
    it, see `trust_region`). It is trained on a decision loss, with cross-fitted predictions of the
    backbone, and is not used if it does not lower the regret on held-out rows.

    Parameters
    ----------
    estimator : regressor
        The backbone: any scikit-learn regressor, including a Pipeline. Give one that is already
        fitted as ``FrozenEstimator(regressor)``, and fit this class on rows it has not seen.
    problem : DecisionProblem, default=None
        The problem in which the predictions are used; None is the squared-error problem.
    epsilon : float, default=0.5
        Radius of the trust region, between 0 and 1. With 0 there is no correction.
    trust_region : {"relative", "absolute"}, default="relative"
        What `epsilon` is a share of: the prediction itself, or the standard deviation of the
        backbone's errors on rows it has not seen, column by column. Use "absolute" for parameters
        near 0, which a factor hardly changes.
    inputs : {"both", "X", "predictions"}, default="both"
        What the correction depends on: features and predictions, features alone or predictions
        alone. With "predictions", X may be anything that the backbone takes, for example a table
        with text or a list of dictionaries. (Equal dictionaries count as different rows.)
    loss : DecisionLoss, default=None
        The loss of a row. None is :class:`~dfl_sklearn.losses.SPOPlusLoss` where the cost is linear
        in the decision, and else :class:`~dfl_sklearn.losses.RegretLoss`.
        :class:`~dfl_sklearn.losses.LogLoss` is refused, because corrected predictions need not be
        probabilities.
    ambiguity_set : AmbiguitySet, default=None
        Distributions of features, predictions and parameters. Where given, the correction is also
        trained for the worst distribution in the set. None trains on the rows as they are.
    nominal_weight : float, default=0.0
        Share of the real rows in training for the worst case; see :class:`DFLRegressor`.
    cv : int or splitter, default=5
        Folds of the cross-fitted predictions; a number makes random folds. A splitter may leave
        some rows in no fold, as :class:`sklearn.model_selection.TimeSeriesSplit` does with the
        first ones. The correction does not learn from these rows. For groups give the splits
        themselves, ``list(GroupKFold().split(X, y, groups))``, and `X_val` of other groups to
        `fit`. Not used with a frozen backbone, which is not fitted again.
    min_gain : float, default=1.0
        The correction is used if it lowers the mean regret on held-out rows by more than this
        number of standard errors (of the paired differences). With few rows 2 is safer.
    hidden_layer_sizes : sequence of int, default=(16,)
        Widths of the hidden layers of the correction; the paper has three of 32.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.
    n_estimators : int, default=1
        Number of corrections that are trained side by side, as the nets of :class:`DFLRegressor`.
    alpha : float, default=1e-4
        Strength of the L2 penalty on the correction, as in :class:`DFLRegressor`.
    batch_size : int or "auto", default="auto"
        Rows in a mini-batch; "auto" is a tenth of the rows, between 32 and 256.
    learning_rate : {"constant", "adaptive"}, default="adaptive"
        As in :class:`DFLRegressor`.
    learning_rate_init : float, default=0.01
        Initial learning rate of Adam.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Smallest improvement that counts, as a share of the regret of the best constant decision.
    n_iter_no_change : int, default=10
        Epochs without such an improvement before the learning rate falls or training stops.
    validation_fraction : float, default=0.2
        Share of the distinct rows to hold out, in (0, 1). Their regret is used for early stopping
        and then to compare the correction with the backbone. This makes the correction look a
        little better than it is; see `min_gain`. Rows that overlap in time leak into a random
        hold-out: give `X_val` and `y_val` to `fit` instead.
    device : str or torch.device, default="cpu"
        Where to train the correction.
    n_jobs : int, default=None
        Threads of torch; None is 1, -1 all cores.
    callbacks : list of skorch.callbacks.Callback, default=None
        As in :class:`DFLRegressor`.
    random_state : int, RandomState or None, default=None
        Seed of the folds, the hold-out, the initial weights and the batches. The backbone has its
        own seed.
    verbose : bool or int, default=False
        Whether to print a line per epoch, or every `verbose` epochs, and after two seconds without
        one.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). By name or position, as in
        :class:`sklearn.compose.ColumnTransformer`.
    context_is_feature : bool, default=True
        Whether the backbone and the correction see these columns as well.

    Attributes
    ----------
    estimator_ : regressor
        The backbone, fitted on all rows.
    corrector_ : DFLRegressor
        The trained correction, whose inputs are features and predictions side by side. With
        ``epsilon=0`` this attribute, `held_out_regret_` and `residual_scale_` do not exist. If the
        fit was interrupted before the comparison, this one and `held_out_regret_` do not.
    fell_back_ : bool
        Whether predictions are those of the backbone, because correcting them did not help on the
        held-out rows, because ``epsilon=0``, or because the fit was interrupted before the
        comparison.
    held_out_regret_ : Bunch
        Mean regret on the held-out rows, in the problem's unit: ``backbone`` without and
        ``corrected`` with the correction, and the ``standard_error`` of their difference.
    residual_scale_ : ndarray of shape (d,)
        Standard deviation of the errors of the backbone's cross-fitted predictions, on the rows
        that the correction is trained on; in units of `y`.
    n_iter_ : int
        Number of epochs that the correction was trained for. ``corrector_.history_`` has one row
        per epoch.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    DFLRegressor : Train a net for the decision from the start.
    TwoStageRegressor : The backbone alone, with decisions and a score.

    Notes
    -----
    With the relative trust region, the corrected predictions :math:`\tilde y` of a row stay near
    the backbone's predictions :math:`\hat y`:

    .. math:: |\tilde y_j - \hat y_j| \le \epsilon |\hat y_j|, \qquad
       \cos(\tilde y, \hat y) \ge \sqrt{1 - \epsilon^2}, \qquad
       \mathrm{RMSE}(\tilde y) \le \mathrm{RMSE}(\hat y) + \epsilon \|\hat y\| / \sqrt d .

    References
    ----------
    "DFF: decision-focused fine-tuning for smarter predict-then-optimize with limited data",
    arXiv:2501.01874. The absolute trust region and the comparison on held-out rows are not from
    this paper.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from dfl_sklearn import DFFRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> forest = RandomForestRegressor(50, min_samples_leaf=5, random_state=0)
    >>> model = DFFRegressor(forest, NewsvendorProblem(9, 1), random_state=0).fit(X, y)
    >>> model.fell_back_
    False
    >>> moved = model.predict(X) / model.predict_backbone(X)
    >>> bool((abs(moved - 1) <= 0.5 + 1e-12).all())
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "epsilon": [Interval(Real, 0, 1, closed="both")],
        "trust_region": [StrOptions({"relative", "absolute"})],
        "inputs": [StrOptions({"both", "X", "predictions"})],
        "cv": ["cv_object"],
        "min_gain": [Interval(Real, 0, None, closed="left")],
        **{
            name: DFLRegressor._parameter_constraints[name]
            for name in (
                *("problem", "loss", "ambiguity_set", "nominal_weight", "hidden_layer_sizes"),
                "n_estimators",
                *("activation", "alpha", "batch_size", "learning_rate", "learning_rate_init"),
                *("max_iter", "tol", "n_iter_no_change", "validation_fraction", "device"),
                *("n_jobs", "callbacks", "random_state", "verbose", "context"),
                "context_is_feature",
            )
        },
    }

    corrector_: DFLRegressor

    def __init__(
        self,
        estimator: BaseEstimator,
        problem: DecisionProblem | None = None,
        *,
        epsilon: float = 0.5,
        trust_region: str = "relative",
        inputs: str = "both",
        loss: DecisionLoss | None = None,
        ambiguity_set: AmbiguitySet | None = None,
        nominal_weight: float = 0.0,
        cv: Any = 5,
        min_gain: float = 1.0,
        hidden_layer_sizes: Sequence[int] = (16,),
        activation: str = "relu",
        n_estimators: int = 1,
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate: str = "adaptive",
        learning_rate_init: float = 0.01,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        validation_fraction: float = 0.2,
        device: str | torch.device = "cpu",
        n_jobs: int | None = None,
        callbacks: Iterable[Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        context: Selection = None,
        context_is_feature: bool = True,
    ) -> None:
        self.estimator = estimator
        self.problem = problem
        self.epsilon = epsilon
        self.trust_region = trust_region
        self.inputs = inputs
        self.loss = loss
        self.ambiguity_set = ambiguity_set
        self.nominal_weight = nominal_weight
        self.cv = cv
        self.min_gain = min_gain
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
        self.validation_fraction = validation_fraction
        self.device = device
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose
        self.context = context
        self.context_is_feature = context_is_feature

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        **fit_params: Any,
    ) -> "DFFRegressor":
        """Fit the backbone, then the correction of its cross-fitted predictions.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, which must be numbers unless ``inputs="predictions"``.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem.
        sample_weight : array-like of shape (n,), default=None
            Non-negative weights of the rows. They are passed to every `fit` of the backbone, which
            must take them unless it is frozen. The correction and the comparison use them as well.
        X_val, y_val : array-like, default=None
            Held-out rows, for example later in time, for early stopping and for the comparison with
            the backbone. None holds out `validation_fraction` of the rows.
        sample_weight_val : array-like, default=None
            Non-negative weights of the held-out rows.
        **fit_params : dict
            Passed to the backbone's `fit`; by metadata routing where this is enabled.

        Returns
        -------
        self : DFFRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If `y` cannot be parameters of the problem, if the backbone does not predict one number
            per column of `y`, or if X is not numeric where the correction depends on it.
        TypeError
            If X is sparse.
        FloatingPointError
            If the loss becomes NaN or infinite.
        """
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), fit_params)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the parameters of the problem, corrected for the decision.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Predicted parameters, in units of `y`. With several corrections they are the mean of the
            corrected predictions.
        """
        return self._corrected(X, self.predict_backbone(X))

    def predict_members(self, X: Any) -> np.ndarray:
        """Predict the parameters of the problem with each of the corrections.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n_estimators, n) or (n_estimators, n, d)
            Corrected predictions, in units of `y`. Where the model fell back to the backbone, they
            are the backbone's alone, of shape (1, n) or (1, n, d).
        """
        backbone = self.predict_backbone(X)
        if self.fell_back_:
            return backbone[None]
        inputs = self._inputs.stacked(X, backbone.reshape(len(backbone), -1))
        return self.corrector_.predict_members(inputs).reshape(-1, *backbone.shape)

    @property
    def _n_members(self) -> int:  # type: ignore[override]
        return 1 if self.fell_back_ else self.corrector_._n_members

    def predict_backbone(self, X: Any) -> np.ndarray:
        """Return the predictions of the backbone.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Predicted parameters, in units of `y`.
        """
        check_is_fitted(self)
        rows = predicted(self.estimator_, self._seen(dense(X)), self._n_outputs)
        return rows[:, 0] if self._target_ndim == 1 else rows

    def correction(self, X: Any) -> np.ndarray:
        """Return what the correction adds to the backbone's predictions, in units of `y`.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Differences; 0 where the model fell back to the backbone.
        """
        backbone = self.predict_backbone(X)
        return self._corrected(X, backbone) - backbone

    def trust_radius(self, X: Any) -> np.ndarray:
        """Return how far each prediction of the backbone may be moved, in units of `y`.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Non-negative distances.

        Raises
        ------
        AttributeError
            If the fit was interrupted before the errors of the backbone were known, and the trust
            region is absolute.
        """
        backbone = self.predict_backbone(X)
        epsilon, trust_region = self._trust
        if trust_region == "relative" or epsilon == 0:
            return epsilon * np.abs(backbone)
        if "residual_scale_" not in self.__dict__:
            raise AttributeError(
                "The fit was interrupted before errors of the backbone were known."
            )
        size = self.residual_scale_[0] if self._target_ndim == 1 else self.residual_scale_
        return np.broadcast_to(epsilon * size, backbone.shape).copy()

    def _corrected(self, X: Any, backbone: np.ndarray) -> np.ndarray:
        """Return the corrected predictions, given those of the backbone."""
        if self.fell_back_:
            return backbone
        inputs = self._inputs.stacked(X, backbone.reshape(len(backbone), -1))
        return self.corrector_.predict(inputs).reshape(backbone.shape)

    # -- the steps of fit --------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        held_out: tuple[Any, Any, Any],
        fit_params: dict[str, Any],
    ) -> None:
        target: np.ndarray = self._validate_target(y)
        if self.inputs != "predictions":
            with saying_what_is_read(self.inputs):
                refuse_unfit_table(X, "X")
        refuse_series(X, "X")
        X, _ = indexable(dense(X), target)
        problem = self._resolve_problem()
        problem.check_parameters(target)
        refuse_log_loss(self.loss)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)
        weight = _check_sample_weight(
            sample_weight, target, dtype=np.float64, ensure_non_negative=True
        )
        held_out = checked_held_out(self, *held_out, as_rows(target, "y").shape[1])
        seed = root_seed(self.random_state)
        for name in ("corrector_", "held_out_regret_", "residual_scale_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        self._context_columns = self._find_context(X)
        seen = self._seen(X)
        with reporting(self.verbose), collected_doubts(of_others=True) as doubts:
            with part("backbone"), passing_interrupts_on():
                params = self._fit_wrapped(seen, target, sample_weight, fit_params)
                if not isinstance(self.estimator, FrozenEstimator):
                    say("fitted")
            warn_of_unused_scenarios(self, stacklevel=5)
            self._note_columns(X)
            self._target_ndim, self._n_outputs = target.ndim, as_rows(target, "y").shape[1]
            self._inputs = CorrectionInputs(
                self.inputs, column_names(X), self._context_columns, self._n_outputs
            )
            self.n_iter_, self.fell_back_ = 0, True
            self._trust = self.epsilon, self.trust_region
            if self.epsilon == 0:
                predicted(self.estimator_, seen, self._n_outputs)  # or an error that says why not
            else:
                try:
                    self._fit_correction(X, target, weight, params, held_out, seed)
                except KeyboardInterrupt:
                    if interrupts_are_passed_on():
                        raise
                    self.n_iter_, self.fell_back_ = 0, True
                    for name in ("corrector_", "held_out_regret_"):
                        self.__dict__.pop(name, None)
                    doubts.add(
                        "The fit was interrupted (Ctrl-C) before it was known whether a correction "
                        "is of use: predictions are those of the backbone."
                    )
        doubts.warn(stacklevel=5)

    def _fit_correction(
        self,
        X: Any,
        target: np.ndarray,
        weight: np.ndarray,
        params: dict[str, Any],
        held_out: tuple[Any, Any, Any],
        seed: int,
    ) -> None:
        """Fit the correction of cross-fitted predictions, and compare on rows held out."""
        rows = cross_fitted_rows(self, X, target, weight, params, seed)
        train, valid = train_and_valid(self, rows, held_out, seed)
        # Without the held-out rows, which are to show whether the correction helps.
        predictions = self._inputs.predictions(train.X)
        errors = train.y - predictions
        self.residual_scale_ = Scale.of(errors, train.weight, of_constant=0.0).scale
        if self.trust_region == "relative":
            warn_of_zeros(predictions, stacklevel=6)
        with part("correction"), numbered_as_given(train, valid, is_given(*held_out)):
            self.corrector_ = unfitted_correction(self, train, seed).fit(
                train.X, train.y, train.weight, valid.X, valid.y, valid.weight
            )
        self.n_iter_ = self.corrector_.n_iter_
        corrected = self.corrector_.predict_members(valid.X)
        with numbered_as_given(valid, valid, False):
            found = held_out_gain(self._inputs, self._resolve_problem(), valid, corrected)
        gain = found.pop("gain")
        self.held_out_regret_ = found
        self.fell_back_ = not gain > self.min_gain * found.standard_error

    # -- scikit-learn ------------------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of `fit` metadata to the backbone, and of the weights used here."""
        return super().get_metadata_routing().add_self_request(self)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.allow_nan &= self.inputs == "predictions"
        return tags
