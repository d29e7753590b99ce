"""Decision-focused learning: a net trained for the cost of the decision."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch, Tags
from sklearn.utils.validation import check_is_fitted, check_memory, validate_data
from skorch import NeuralNet
from torch import nn

from .._utils.all_or_nothing import all_or_nothing
from .._utils.holdout import is_given
from .._utils.rows import as_rows, check_total, refuse_dates, refuse_text
from .._utils.seeds import named_rng, named_seed, root_seed
from .._utils.sklearn_private import Interval, StrOptions, _check_sample_weight, _fit_context
from ..losses.base import DecisionLoss
from ..nets.construct import n_threads, on_cpu, pinned_threads
from ..nets.factories import MLPPredictor, NetFactory
from ..nets.trainer import forward
from ..problems.base import DecisionProblem
from ..robust.base import AmbiguitySet
from ..rows import Rows
from ._mixin import DecisionRegressorMixin
from ._net_fit import NetFit
from ._partial_fit import PartialFitMixin
from ._record import continued, early_end
from ._scaling import Scale
from ._warm_start import LastFit

_MIN_ROWS_TO_HOLD_OUT = 50  # with fewer, early_stopping="auto" watches the training rows
_MIN_ROWS_TO_RESCALE = 10  # with fewer, partial_fit keeps the standardisation of the last fit


class DFLRegressor(PartialFitMixin, DecisionRegressorMixin, BaseEstimator):
    """Train a predictor for the cost of the decision that follows from its prediction.

    A neural net (linear if so asked) predicts the parameters of a decision problem; its
    predictions go through a differentiable decision layer, and training pushes down a
    decision loss, by default the regret. `predict` returns the predicted parameters,
    `decide` the decisions. Features and targets are standardised inside, and undone in
    what is returned.

    Parameters
    ----------
    problem : DecisionProblem, default=None
        The problem in which the predictions are used. None is the squared-error problem,
        with which this is a least-squares net.
    loss : DecisionLoss, default=None
        The loss of a row. None is :class:`~dfl_sklearn.losses.SPOPlusLoss` where the cost is linear
        in the decision, and else :class:`~dfl_sklearn.losses.RegretLoss`.
    ambiguity_set : AmbiguitySet, default=None
        The distributions to be ready for. None trains for the rows as they are; otherwise
        training goes on from there, for the worst distribution in the set, searched anew in
        every epoch.
    nominal_weight : float, default=0.0
        Share of the real rows in that second part of training, in [0, 1]; 1 leaves it out.
    predictor : None, callable, NetFactory or skorch.NeuralNet, default=None
        The net. None is a multilayer perceptron with `hidden_layer_sizes`. A callable
        ``(n_in, n_out) -> torch.nn.Module`` builds any other, for example
        ``torch.nn.Linear``; an :class:`~dfl_sklearn.nets.LSTMPredictor` reads windows. An
        uninitialised skorch net brings its own optimiser, learning rate, batch size and
        callbacks (``predictor__lr`` is searchable); the loss is replaced, and settings that would
        have no effect, ``max_epochs`` for one, are refused. The net sees
        standardised features and its output is taken as standardised parameters.
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers where `predictor` is None; ``()`` is a linear model.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers where `predictor` is None.
    alpha : float, default=1e-4
        Strength of the L2 penalty on the weights (not the biases), divided by the total sample
        weight, as in :class:`sklearn.neural_network.MLPRegressor`. The loss it is added to is
        the mean decision loss as a share of the regret of the best constant decision.
    batch_size : int or "auto", default="auto"
        Rows in a mini-batch; "auto" is a tenth of the rows, between 32 and 256.
    learning_rate : {"constant", "adaptive"}, default="adaptive"
        With "adaptive", when the watched regret stops improving, the best weights are put
        back and the learning rate is divided by 5, three times before training stops. The
        kinks of decision losses keep a constant rate from settling.
    learning_rate_init : float, default=0.01
        Initial learning rate of Adam.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Improvement that counts, as a share of the regret of the best constant decision.
    n_iter_no_change : int, default=10
        Epochs without such an improvement before the learning rate falls or training stops.
        Robust training, which goes on from a trained net, waits for two fifths of them (for two
        searches at least) and cuts the learning rate once less.
    early_stopping : bool or "auto", default="auto"
        Whether to hold out `validation_fraction` of the distinct rows and watch the regret
        there rather than on the training rows. "auto" does so from 50 distinct rows on for
        every net but linear ones (no hidden layer, or ``torch.nn.Linear``). Rows that overlap
        in time leak into a random hold-out: give `X_val` and `y_val` to `fit` instead, which
        are then watched.
    validation_fraction : float, default=0.2
        Share of the distinct rows to hold out, in (0, 1).
    standardize : bool, default=True
        Whether features and targets are standardised for the net. False suits a net with
        units of its own.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit. The standardisation is that of the
        new rows. The predictions of linear nets and multilayer perceptrons do not change by that
        (unless they are more than 5 standard deviations away from the new rows: they then move
        there, with a warning); those of other nets do, with a warning.
    device : str or torch.device, default="cpu"
        Where to train. A fitted model pickles as a CPU model and loads anywhere.
    n_jobs : int, default=None
        Threads of torch during `fit` and `predict`; None is 1, -1 all cores. The same seed
        gives the same bits for the same number of threads.
    callbacks : list of skorch.callbacks.Callback, default=None
        Notified as in skorch's own training loop, and added to those of a skorch net given as
        `predictor`; ``net.history`` holds the columns of `history_`, and whether the watched
        regret is the best so far (``valid_regret_best``). Callbacks that score by themselves
        (``EpochScoring``) cannot be used.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights, the batches and the hold-out.
    verbose : bool or int, default=False
        Print a line per epoch, or every `verbose` epochs.

    Attributes
    ----------
    predictor_ : skorch.NeuralNet
        The trained net, in standardised units.
    history_ : pandas.DataFrame
        One row per epoch: ``train_loss`` (mean decision loss of the batches), the exact
        mean regret on the watched rows, ``valid_regret`` or, without held-out rows,
        ``train_regret``, in the problem's unit; ``learning_rate``; ``duration`` in seconds.
    ambiguity_set_ : AmbiguitySet
        The ambiguity set in its last state, where there is one. Held-out rows are dropped at the
        end of `fit`, and training rows are neither pickled nor copied, except in the pool of a
        :class:`~dfl_sklearn.robust.TiltedSearch`, from which the worst case is drawn.
    worst_case_ : Bunch
        Where there is an ambiguity set: the regret on the real rows and in the worst case, and
        the divergence reached, for the final weights. In `history_` they stand by epoch.
    n_iter_ : int
        Number of epochs run.
    best_epoch_ : int
        The epoch whose weights were kept: that of the lowest watched regret.
    x_scale_, y_scale_ : tuple (mean, scale) of ndarray
        Means and standard deviations used for the net, one entry per column.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    TwoStageRegressor : Fit any regressor for prediction, then decide.

    Notes
    -----
    Sample weights are exact: a row of weight 2 and the same row given twice lead to the same
    model for the same `random_state`, mini-batches and hold-out included. Training works on
    the distinct rows in sorted order, so that the order of the rows does not matter either.

    Interrupting `fit` (Ctrl-C) keeps the best weights so far, with a warning; in the first epoch,
    where there are none, it raises. A fit that raises leaves the last model as it was. A callback
    that stops, as :class:`skorch.callbacks.EarlyStopping` does, ends the part of training that it
    is called in, and not the fit.

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
        "problem": [DecisionProblem, None],
        "loss": [DecisionLoss, None],
        "ambiguity_set": [AmbiguitySet, None],
        "nominal_weight": [Interval(Real, 0, 1, closed="both")],
        "predictor": [None, callable, NeuralNet],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "relu", "tanh"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "standardize": ["boolean"],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "n_jobs": [Integral, None],
        "callbacks": [list, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    ambiguity_set_: AmbiguitySet
    best_epoch_: int
    n_iter_: int
    predictor_: NeuralNet
    history_: pd.DataFrame
    x_scale_: Scale
    y_scale_: Scale

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
    ) -> None:
        self.problem = problem
        self.loss = loss
        self.ambiguity_set = ambiguity_set
        self.nominal_weight = nominal_weight
        self.predictor = predictor
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
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

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> "DFLRegressor":
        """Train the predictor.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features; float32 stays float32 (and trains a float32 net).
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem.
        sample_weight : array-like of shape (n,), default=None
            Non-negative weights of the rows.
        X_val, y_val : array-like, default=None
            Held-out rows on which to watch the regret, for example later in time.
        sample_weight_val : array-like, default=None
            Non-negative weights of the held-out rows.

        Returns
        -------
        self : DFLRegressor

        Raises
        ------
        ValueError
            If the data are not finite, cannot be parameters of the problem (the message
            names the row), or if the predictor's width does not fit the problem.
        FloatingPointError
            If the loss becomes NaN or infinite; the message names the row.
        """
        goes_on = self.warm_start and hasattr(self, "predictor_")
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), goes_on=goes_on)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the parameters of the problem.

        Parameters
        ----------
        X : array-like of shape (n, p)

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            In the problem's units; 1-d if `y` was in `fit`.
        """
        check_is_fitted(self)
        refuse_dates(X, "X")
        features = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        inputs = torch.as_tensor(self.x_scale_.apply(features))
        parameter = next(self.predictor_.module_.parameters(), None)
        if parameter is not None:
            inputs = inputs.to(parameter.dtype)
        with pinned_threads(n_threads(self.n_jobs)):
            output = forward(self.predictor_, inputs).cpu().numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            y_hat = (output * self.y_scale_.scale + self.y_scale_.mean).astype(output.dtype)
        bad = np.flatnonzero(~np.isfinite(y_hat).all(axis=1))
        if len(bad):
            raise ValueError(
                f"The net has no finite prediction for row {bad[0]} of X, "
                f"{features[bad[0]].tolist()}: it is far from the rows of fit."
            )
        return y_hat[:, 0] if self._target_ndim == 1 else y_hat

    # -- the steps of fit --------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        held_out: tuple[Any, Any, Any],
        *,
        goes_on: bool,
        one_pass: bool = False,
    ) -> None:
        problem = self._resolve_problem()
        rows, target_ndim = self._check_rows(X, y, sample_weight, reset=not goes_on)
        if goes_on and rows.y.shape[1] != len(self.y_scale_.mean):
            raise ValueError(
                f"y has {rows.y.shape[1]} columns, but the model that "
                f"{'partial_fit' if one_pass else 'warm_start'} goes on from was fitted on "
                f"{len(self.y_scale_.mean)}."
            )
        problem.check_parameters(rows.y)
        seed = root_seed(self.random_state)
        if one_pass:
            seed = named_seed(seed, f"partial fit after epoch {self.n_iter_}")
            train, valid = rows.canonical(), None
        else:
            train, valid = self._split(rows, *held_out, seed, goes_on)
        follows = not one_pass or len(train.X) >= _MIN_ROWS_TO_RESCALE
        last = None
        if goes_on:
            last = LastFit(self.predictor_.module_, self.x_scale_, self.y_scale_, follows)
        scales = self._scales(train, last)
        ambiguity_set = self._robust_set()
        with torch.enable_grad():
            net_fit = NetFit(self, problem, train, valid, seed, scales)
            result = net_fit.run(
                last, ambiguity_set, check_memory(self._cache()), one_pass=one_pass
            )
        self.predictor_, (self.x_scale_, self.y_scale_) = result.net, scales
        self._target_ndim = target_ndim
        for name in ("ambiguity_set_", "worst_case_"):
            self.__dict__.pop(name, None)
        if ambiguity_set is not None and result.worst_case is not None:
            ambiguity_set.finish()
            self.ambiguity_set_ = ambiguity_set
            self.worst_case_ = Bunch(**result.worst_case)
        history, best_epoch = (self.history_, self.best_epoch_) if goes_on else (pd.DataFrame(), 0)
        self.history_, self.best_epoch_ = continued(history, best_epoch, result.trainings)
        self.n_iter_ = len(self.history_)
        self._warn(net_fit.remarks)
        lacks_worst = ambiguity_set is not None and result.worst_case is None
        end = early_end(
            *(result.trainings, self.n_iter_, self.best_epoch_),
            max_iter=None if one_pass else self.max_iter,
            lacks_worst=lacks_worst,
        )
        if end is not None:
            warnings.warn(end, ConvergenceWarning, stacklevel=5)

    def _warn(self, remarks: list[str]) -> None:
        """Tell the user what the fit has to say, and that `memory` could not be used."""
        given = self.__dict__.get("memory", getattr(self._make_ambiguity_set(), "memory", None))
        if given is not None and self.random_state is None:
            remarks.append(
                "memory is not used, because random_state is None: no two fits are alike then. Set "
                "random_state to keep what does not depend on the radius."
            )
        for remark in remarks:
            warnings.warn(remark, UserWarning, stacklevel=6)

    def _check_rows(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> tuple[Rows, int]:
        """Return validated rows and the number of dimensions of y."""
        refuse_dates(X, "X")
        refuse_text(y, "y")
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
            reset=reset,
        )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        check_total(weight, "sample_weight")
        return Rows(X, as_rows(y, "y"), weight), y.ndim

    def _split(
        self,
        rows: Rows,
        X_val: Any,
        y_val: Any,
        sample_weight_val: Any,
        seed: int,
        goes_on: bool,
    ) -> tuple[Rows, Rows | None]:
        """Return canonical training rows and, if any, the held-out rows."""
        train = rows.canonical()
        if len(train.X) < 2 and not goes_on:
            raise ValueError(
                f"A fit needs at least 2 distinct rows of positive weight, got n_samples="
                f"{len(train.X)}: nothing can be learnt from one."
            )
        if is_given(X_val, y_val, sample_weight_val):
            valid, _ = self._check_rows(X_val, y_val, sample_weight_val, reset=False)
            self._resolve_problem().check_parameters(valid.y)
            if valid.y.shape[1] != rows.y.shape[1]:
                raise ValueError(
                    f"y_val has {valid.y.shape[1]} columns and y has {rows.y.shape[1]}."
                )
            return train, valid.canonical()
        if not self._holds_out(len(train.X)):
            return train, None
        return train.split(self.validation_fraction, named_rng(seed, "hold-out"))

    def _resolve_predictor(self) -> Any:
        if self.predictor is None:
            return MLPPredictor(self.hidden_layer_sizes, self.activation)
        return self.predictor

    def _holds_out(self, n_distinct: int) -> bool:
        if self.early_stopping != "auto":
            return bool(self.early_stopping)
        predictor = self._resolve_predictor()
        is_linear = predictor is nn.Linear or (
            isinstance(predictor, NetFactory) and predictor.is_linear
        )
        return not is_linear and n_distinct >= _MIN_ROWS_TO_HOLD_OUT

    def _scales(self, train: Rows, last: LastFit | None) -> tuple[Scale, Scale]:
        """Return the scales of features and parameters, given those to go on from."""
        if not self.standardize:
            return Scale.identity(train.X.shape[1]), Scale.identity(train.y.shape[1])
        if last is not None:
            return last.scales_for(train)
        # A constant target is its mean: a scale of 0 keeps the net from adding to it.
        return Scale.of(train.X, train.weight), Scale.of(train.y, train.weight, of_constant=0.0)

    def _robust_set(self) -> AmbiguitySet | None:
        """Return a fresh ambiguity set to train for, None where it would change nothing."""
        ambiguity_set = self._make_ambiguity_set()
        if ambiguity_set is None or ambiguity_set.is_nominal or self.nominal_weight == 1:
            return None
        ambiguity_set = clone(ambiguity_set)
        if self.random_state is None and getattr(ambiguity_set, "memory", None) is not None:
            ambiguity_set.set_params(memory=None)  # no other fit would find what this one keeps
        return ambiguity_set

    def _cache(self) -> Any:
        """Return where to keep what does not depend on the radius."""
        return None

    def _make_ambiguity_set(self) -> AmbiguitySet | None:
        return self.ambiguity_set

    # -- scikit-learn ------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "predictor_" in state:
            state["predictor_"] = on_cpu(state["predictor_"])
        return state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self._resolve_problem().nonnegative
        return tags
