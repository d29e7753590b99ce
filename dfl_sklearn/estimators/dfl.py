"""Decision-focused learning: a net trained on the cost of the decision."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch import NeuralNet
from torch import nn

from .._utils.context_columns import Selection
from .._utils.seeds import named_seed
from .._utils.tables import refuse_unfit_table
from ..learners.factories import NetFactory
from ..losses.base import DecisionLoss
from ..problems.base import DecisionProblem
from ..robust.base import AmbiguitySet
from ..rows import Rows
from ..scenarios._trainable import TrainableScenarios
from ..scenarios.base import Scenarios
from ..scenarios.diffusion import DiffusionScenarios
from ..scenarios.mixture import GaussianScenarios, MixtureScenarios
from ..training.objective import Objective
from ..training.scenarios import ScenarioObjective
from ._net_regressor import MIN_ROWS_TO_HOLD_OUT, NetRegressor


class DFLRegressor(NetRegressor):
    """Train a predictor on the cost of the decisions made from its predictions.

    A neural net, which may be linear, predicts the parameters of a decision problem. Its
    predictions go through a differentiable decision layer, and training minimises a
    decision loss such as the regret. `predict` returns the predicted parameters,
    `decide` the decisions. Features and targets are standardised internally; predictions are
    returned in their original units.

    Parameters
    ----------
    problem : DecisionProblem, default=None
        The problem in which the predictions are used. None is the squared-error problem,
        with which this is a least-squares net.
    loss : DecisionLoss, default=None
        The loss of a row. None is :class:`~dfl_sklearn.losses.SPOPlusLoss` where the cost is linear
        in the decision, and else :class:`~dfl_sklearn.losses.RegretLoss`. A scenario model is
        trained on the regret of decisions over its scenarios. ``RegretLoss()`` differentiates
        through the scenarios, ``ScoreFunctionLoss()`` through their density; None is the first
        where the problem has a `scenario_layer`, and else the second.
    ambiguity_set : AmbiguitySet, default=None
        The distributions to prepare for. None trains on the rows as they are. With a set,
        training then goes on for the worst distribution in it, which is searched anew in every
        epoch.
    nominal_weight : float, default=0.0
        Share of the real rows in the loss of that second part of training, in [0, 1]; 1 leaves
        that part out.
    predictor : None, callable, NetFactory, skorch.NeuralNet or scenario model, default=None
        The net. None is a multilayer perceptron with `hidden_layer_sizes`. A callable
        ``(n_in, n_out) -> torch.nn.Module`` builds any other net, for example
        ``torch.nn.Linear``. An :class:`~dfl_sklearn.learners.LSTMPredictor` reads windows of a
        series. An uninitialised skorch net brings its own optimiser, learning rate, batch size and
        callbacks (``predictor__lr`` can be searched). Its loss is replaced, and settings that would
        have no effect, such as ``max_epochs``, are refused. The net sees standardised features,
        and its output is taken as standardised parameters.
        A scenario model that is a net, :class:`~dfl_sklearn.scenarios.MixtureScenarios`,
        :class:`~dfl_sklearn.scenarios.GaussianScenarios` or
        :class:`~dfl_sklearn.scenarios.DiffusionScenarios`, is first fitted by itself and then
        trained on the cost of the decisions over its scenarios; `decide` decides over them.
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers where `predictor` is None; ``()`` is a linear model.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers where `predictor` is None.
    n_estimators : int, default=1
        Number of nets that are trained side by side; five perceptrons take about twice the time of
        one. They differ by their initial weights and the order of their batches, and are trained
        independently. Where rows are held out, each also stops by itself. `predict` returns their
        mean; `decide` averages predictions or decisions, as the problem's `decision_average` says.
        With other modules than this package's perceptrons, the time is proportional to the number.
        A skorch net as `predictor` is refused.
    alpha : float, default=1e-4
        Strength of the L2 penalty on the weights (not the biases), divided by the total sample
        weight, as in :class:`sklearn.neural_network.MLPRegressor`. The loss it is added to is
        the mean decision loss as a share of the regret of the best constant decision.
    batch_size : int or "auto", default="auto"
        Number of rows in a mini-batch; "auto" is a tenth of the rows, between 32 and 256.
    learning_rate : {"constant", "adaptive"}, default="adaptive"
        With "adaptive", when the watched regret stops improving, training goes back to the best
        weights and divides the learning rate by 5, three times before it stops. With
        a constant rate the weights may oscillate around the kinks of a decision loss.
    learning_rate_init : float, default=0.01
        Initial learning rate of Adam.
    max_iter : int, default=200
        Largest number of epochs. An epoch is a pass over all rows, or over 262,144 of them where
        there are more.
    tol : float, default=1e-4
        Smallest improvement that counts, as a share of the regret of the best constant decision.
    n_iter_no_change : int, default=10
        Epochs without such an improvement before the learning rate falls or training stops.
        Robust training, which goes on from a trained net, waits for two fifths of this number (at
        least for two searches) and divides the learning rate once less.
    early_stopping : bool or "auto", default="auto"
        Whether to hold out `validation_fraction` of the distinct rows and watch the regret
        there rather than on the training rows. "auto" does so from 50 distinct rows on, except
        for linear nets (no hidden layer, or ``torch.nn.Linear``) that predict a point.
        Rows that overlap in time leak into a random hold-out: then give `X_val` and `y_val` to
        `fit`, on which the regret is watched instead.
    validation_fraction : float, default=0.2
        Share of the distinct rows to hold out, in (0, 1).
    standardize : bool, default=True
        Whether features and targets are standardised for the net. Use False for a net that works
        in the original units.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit. The standardisation is that of the
        new rows. This does not change the predictions of linear nets and multilayer perceptrons,
        unless they are more than 5 standard deviations away from the new rows: they are then moved
        there, with a warning. It does change those of other nets, with a warning.
    device : str or torch.device, default="cpu"
        Where to train. A fitted model pickles as a CPU model and loads anywhere.
    n_jobs : int, default=None
        Threads of torch during `fit` and `predict`; None is 1, -1 all cores. The same seed
        gives the same result to the last bit for the same number of threads.
    callbacks : list of skorch.callbacks.Callback, default=None
        They are notified as in skorch's own training loop, and added to those of a skorch net
        given as `predictor`. ``net.history`` holds the columns of `history_`, and whether the
        watched regret is the best so far (``valid_regret_best``). Callbacks that compute scores
        (``EpochScoring``) cannot be used.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights, the batches and the hold-out.
    verbose : bool or int, default=False
        Whether to print a line per epoch, or every `verbose` epochs, and after two seconds without
        one.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). By name or position, as in
        :class:`sklearn.compose.ColumnTransformer`. Ambiguity sets never change these columns.
    context_is_feature : bool, default=True
        Whether the net sees these columns as well.

    Attributes
    ----------
    predictor_ : skorch.NeuralNet
        The trained net, in standardised units. With several estimators its module holds all of
        them, and its outputs have shape (n_estimators, n, d).
    history_ : pandas.DataFrame
        One row per epoch: ``train_loss`` (mean decision loss of the batches), the exact
        mean regret on the watched rows, ``valid_regret`` or, without held-out rows,
        ``train_regret``, in the problem's unit; ``learning_rate``; ``duration`` in seconds. With
        several nets that stop by themselves, ``valid_regret`` is the mean over them and
        ``learning_rate`` is that of the first one.
    ambiguity_set_ : AmbiguitySet
        The ambiguity set in its last state, where there is one. Held-out rows are dropped at the
        end of `fit`. Training rows are neither pickled nor copied, except in the pool of a
        :class:`~dfl_sklearn.robust.TiltedSearch`, from which the worst case is drawn.
    scenario_model_ : ScenarioModel
        The trained scenario model, where `predictor` is one.
    worst_case_ : Bunch
        Where there is an ambiguity set: the regret on the real rows and in the worst case, and
        the divergence reached, for the final weights. `history_` holds them for each epoch.
    n_iter_ : int
        Number of epochs run.
    best_epoch_ : int
        The epoch whose weights were kept, which is that of the lowest watched regret. With several
        nets that stop by themselves, it is the last epoch in which one of them reached its lowest.
    x_scale_, y_scale_ : tuple (mean, scale) of ndarray
        Means and standard deviations by which columns are standardised for the net.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    TwoStageRegressor : Fit any regressor for prediction, then decide, also for a `risk`.

    Notes
    -----
    There is no `risk` here. A risk measure over what could happen at one x weights scenarios. It is
    the `risk` of :class:`TwoStageRegressor`; for scenarios that were trained here it is
    ``TwoStageRegressor(FrozenEstimator(model.scenario_model_), problem, risk=CVaR(alpha=0.2))``.
    A risk measure over rows, such as the mean regret of the costliest fifth of them, is an
    ambiguity set: ``ambiguity_set=CVaR(alpha=0.2)``.

    Sample weights are exact: for the same `random_state`, a row of weight 2 and the same row
    given twice lead to the same model, mini-batches and hold-out included. Training works on
    the distinct rows in sorted order, so that the order of the rows does not matter either.

    At the initial predictions of a net decisions may not change at all, as where every capacity
    is at its limit, so that no step changes the net. Its initial weights are then drawn again, up
    to three times; if this does not help, a warning says so.

    Interrupting `fit` (Ctrl-C) keeps the best weights so far, with a warning. In the first epoch,
    where there are none yet, it raises KeyboardInterrupt. A fit that raises an error leaves the
    last model as it was. A callback that stops training, such as
    :class:`skorch.callbacks.EarlyStopping`, ends the part of training in which it is called, and
    not the fit.

    Unpickling runs code, as with any scikit-learn model: load only files you trust.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.estimators import DFLRegressor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> model = DFLRegressor(NewsvendorProblem(9, 1), hidden_layer_sizes=(), random_state=0)
    >>> orders = model.fit(X, y).decide(X)
    >>> bool(0.85 < (y <= orders).mean() < 0.95)  # the 90 % quantile
    True
    """

    _parameter_constraints: dict = {
        **NetRegressor._parameter_constraints,
        "predictor": [
            *(None, callable, NeuralNet),
            *(MixtureScenarios, GaussianScenarios, DiffusionScenarios),
        ],
        "ambiguity_set": [AmbiguitySet, None],
    }

    scenario_model_: TrainableScenarios

    def __init__(
        self,
        problem: DecisionProblem | None = None,
        *,
        loss: DecisionLoss | None = None,
        ambiguity_set: AmbiguitySet | None = None,
        nominal_weight: float = 0.0,
        predictor: Callable[[int, int], nn.Module] | NetFactory | NeuralNet | None = None,
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
        self.loss = loss
        self.ambiguity_set = ambiguity_set
        self.nominal_weight = nominal_weight
        self.predictor = predictor
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
    def _is_of_scenarios(self) -> bool:
        """Whether the predictor is a scenario model; of a fitted estimator, whether it was."""
        if hasattr(self, "predictor_"):
            return hasattr(self, "scenario_model_")
        return isinstance(self.predictor, TrainableScenarios)

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
            estimators it is the mean of their predictions, with a scenario model the mean of its
            scenarios.
        """
        if not self._is_of_scenarios:
            return super().predict(X)
        check_is_fitted(self)
        return self.scenario_model_.predict(self._model_inputs(X))

    @available_if(lambda self: not self._is_of_scenarios)
    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Predict the parameters of the problem by each of the nets.

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

    @available_if(lambda self: self._is_of_scenarios)
    def predict_scenarios(self, X: ArrayLike) -> Scenarios:
        """Predict scenarios, where `predictor` is a scenario model.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        Scenarios
            ``values`` of shape (n, S, d) and ``weight`` of shape (n, S).
        """
        check_is_fitted(self)
        return self.scenario_model_.predict_scenarios(self._model_inputs(X))

    def decide(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the decisions for the rows of X: ``problem.solve(predict(X))``.

        With several estimators it is the decision for the mean prediction, or the mean of their
        decisions; the problem's `decision_average` says which. With a scenario model it is the
        decision with the least mean cost over its scenarios.

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
        if not self._is_of_scenarios:
            return super().decide(X, context=context)
        check_is_fitted(self)
        known = self.context_of(X) if context is None else context
        inputs = self._model_inputs(X)
        return self._decide_over(self.scenario_model_, inputs, known)

    # -- scenario models ---------------------------------------------------------------

    def _model_inputs(self, X: ArrayLike) -> np.ndarray:
        """Return the columns of X that the scenario model sees, checked."""
        refuse_unfit_table(X, "X")
        features = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        columns = self._context_columns
        return features if columns is None else features[:, columns.inputs]

    def _check_options(self, *, goes_on: bool, one_pass: bool) -> None:
        if isinstance(self.predictor, TrainableScenarios):
            self._refuse_beside_scenarios(goes_on=goes_on, one_pass=one_pass)
        self.__dict__.pop("scenario_model_", None)

    def _finish(self) -> None:
        if isinstance(self.predictor, TrainableScenarios):
            model = self.scenario_model_
            trained = self.predictor_.module_.state_dict()
            model.take_up({name: value.cpu() for name, value in trained.items()})
            model.is_vector_ = self._target_ndim == 1

    def _refuse_beside_scenarios(self, *, goes_on: bool, one_pass: bool) -> None:
        """Raise a ValueError about parameters that do not work with a scenario model."""
        name = type(self.predictor).__name__
        remedies = {
            "ambiguity_set": (
                self._worst_case_set() is not None,
                "Set it to None; TwoStageRegressor(risk=) decides for the worst of its scenarios",
            ),
            "n_estimators": (self.n_estimators > 1, "Set it to 1"),
            "warm_start": (self.warm_start, "Set it to False"),
            "standardize": (not self.standardize, "Set it to True"),
        }
        for parameter, (is_set, remedy) in remedies.items():
            if is_set:
                raise ValueError(
                    f"{parameter}={getattr(self, parameter)!r} does not work where the predictor "
                    f"is a scenario model, {name}. {remedy}."
                )
        if goes_on or one_pass:
            raise ValueError(f"partial_fit does not work with a scenario model, {name}: use fit.")

    def _prepare(self, train: Rows, valid: Rows | None, seed: int) -> bool:
        """Fit the scenario model by likelihood; return whether that was interrupted."""
        if not isinstance(self.predictor, TrainableScenarios):
            return False
        model = clone(self.predictor)
        model._validate_params()
        columns = self._context_columns

        def seen(rows: Rows) -> Rows:
            X = rows.X if columns is None else columns.seen(rows.X, rows.context)
            return Rows(X, rows.y, rows.weight)

        for rows in (train, valid):
            if rows is not None:
                model._check_target(rows.y)
        if model.random_state is None:
            model.random_state = named_seed(seed, "scenario model") % 2**32
        watched = valid if model._holds_out(len(train)) else None
        model.fit_rows(seen(train), None if watched is None else seen(watched))
        self.scenario_model_ = model
        return model._was_interrupted

    def _objective(self, problem: DecisionProblem, n_parameters: int) -> Objective:
        if isinstance(self.predictor, TrainableScenarios):
            return ScenarioObjective(problem, self.loss, self.scenario_model_.net_to_train())
        return super()._objective(problem, n_parameters)

    def _holds_out(self, n_distinct: int) -> bool:
        # A distribution has many parameters and can overfit, even where all are linear in x.
        if self.early_stopping == "auto" and isinstance(self.predictor, TrainableScenarios):
            return n_distinct >= MIN_ROWS_TO_HOLD_OUT
        return super()._holds_out(n_distinct)
