"""`fit`, `partial_fit` and `predict` of the regressors with a net."""

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Bunch, Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, check_memory, validate_data
from skorch import NeuralNet
from torch import nn

from .._utils.all_or_nothing import all_or_nothing
from .._utils.context_columns import CONTEXT
from .._utils.convergence import collected_doubts
from .._utils.holdout import is_given
from .._utils.members import member_mean
from .._utils.progress import reporting
from .._utils.rows import as_rows, check_total, refuse_unfit_target
from .._utils.seeds import named_rng, named_seed, root_seed
from .._utils.sklearn_private import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from .._utils.tables import refuse_unfit_table
from .._utils.target_columns import check_target_columns, keep_target_columns
from .._utils.threads import pinned_threads
from ..learners.construct import n_threads, on_cpu, resolve_device
from ..learners.ensemble import n_members
from ..learners.factories import MLPPredictor, NetFactory
from ..learners.net import NetUnits
from ..learners.scaling import Scale
from ..learners.trainer import forward
from ..losses.base import DecisionLoss
from ..problems.base import DecisionProblem
from ..robust.base import AmbiguitySet
from ..rows import Rows
from ..training.fit import StagedFit
from ..training.objective import Objective
from ..training.options import TrainingOptions
from ..training.record import continued, early_end
from ..training.warm_start import LastFit
from ._fit_tasks import epoch_tasks, fit_task
from ._mixin import DecisionRegressorMixin

MIN_ROWS_TO_HOLD_OUT = 50  # with fewer, early_stopping="auto" watches the training rows
_MIN_ROWS_TO_RESCALE = 10  # with fewer rows, partial_fit keeps the last standardisation


def _has_no_ambiguity_set(estimator: Any) -> bool:
    """Return True where there is no ambiguity set; raise an AttributeError otherwise."""
    if estimator.ambiguity_set is None:
        return True
    raise AttributeError(
        f"{type(estimator).__name__} has no partial_fit where it trains for the worst case: the "
        "worst distribution near a few new rows is not the worst one near all rows. Use fit, with "
        "warm_start=True to go on from the last weights."
    )


class NetRegressor(CallbackSupportMixin, DecisionRegressorMixin, BaseEstimator):
    """Base class of regressors whose predictor is a net trained for decisions.

    A subclass has the parameters named in `_parameter_constraints` and an `ambiguity_set`.
    """

    _parameter_constraints: dict = {
        "problem": [DecisionProblem, None],
        "loss": [DecisionLoss, None],
        "nominal_weight": [Interval(Real, 0, 1, closed="both")],
        "predictor": [None, callable, NeuralNet],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "relu", "tanh"})],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
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
        "context": CONTEXT,
        "context_is_feature": ["boolean"],
    }

    ambiguity_set: AmbiguitySet | None
    ambiguity_set_: AmbiguitySet
    best_epoch_: int
    n_estimators: int = 1  # of subclasses without such a parameter
    n_iter_: int
    _n_parameters: int
    predictor_: NeuralNet
    history_: pd.DataFrame
    x_scale_: Scale
    y_scale_: Scale

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
    ) -> Any:
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
            Held-out rows on which to watch the regret, for example later in time. Where they are
            not given, `early_stopping` determines whether training rows are held out.
        sample_weight_val : array-like, default=None
            Non-negative weights of the held-out rows.

        Returns
        -------
        self : object
            This estimator.

        Raises
        ------
        ValueError
            If the data are not finite or cannot be parameters of the problem; the message names
            the row. If there are fewer than 2 distinct rows. If the number of outputs of the
            predictor does not fit the problem. If a decision may have no cost because it violates a
            constraint without a penalty: training watches the regret, whatever the loss. Before
            training, the best decisions of up to 64 rows are therefore tried in other rows.
        FloatingPointError
            If the loss becomes NaN or infinite; the message shows the row that is the cause, or the
            learning rate if there is none.
        """
        goes_on = self.warm_start and hasattr(self, "predictor_")
        with fit_task(self, X, y):
            self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), goes_on=goes_on)
        return self

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
            nets they are the mean of their predictions.

        Raises
        ------
        ValueError
            If X is not finite, or a prediction is not, because the row is far from those of `fit`.
        """
        return member_mean(self.predict_members(X))

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Predict the parameters of the problem with each of the nets.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n_estimators, n) or (n_estimators, n, d)
            Predicted parameters of each net, in the problem's units.
        """
        y_hat, dtype = self._output(X)
        y_hat = y_hat.astype(dtype)
        return y_hat[..., 0] if self._target_ndim == 1 else y_hat

    def _output(self, X: ArrayLike) -> tuple[np.ndarray, np.dtype]:
        """Return the outputs (K, n, k) of the nets in the problem's units, and their type."""
        check_is_fitted(self)
        refuse_unfit_table(X, "X")
        types = [np.float64, np.float32]
        features = validate_data(self, X, dtype=types, order="C", reset=False)
        columns = self._context_columns
        seen = features if columns is None else features[:, columns.inputs]
        inputs = torch.as_tensor(self.x_scale_.apply(seen))
        parameter = next(self.predictor_.module_.parameters(), None)
        if parameter is not None:
            inputs = inputs.to(parameter.dtype)
        with pinned_threads(n_threads(self.n_jobs)):
            output = forward(self.predictor_, inputs).cpu().numpy()
        output = output.reshape(-1, *output.shape[-2:])
        with np.errstate(over="ignore", invalid="ignore"):
            found = output * self.y_scale_.scale + self.y_scale_.mean
            bad = np.flatnonzero(~np.isfinite(found.astype(output.dtype)).all(axis=(0, 2)))
        if len(bad):
            raise ValueError(
                f"The net's prediction for row {bad[0]} of X, {features[bad[0]].tolist()}, is not "
                "finite: the row is far from those of fit."
            )
        return found, output.dtype

    @available_if(_has_no_ambiguity_set)
    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Train on new rows for one epoch, going on from the present weights.

        The first call is a `fit`. Later calls hold no rows out, and keep the weights at the end of
        the epoch even if the regret has increased. Adam starts again with `learning_rate_init`.
        With 10 or more distinct new rows the standardisation becomes theirs, as with `warm_start`.
        With fewer it stays as it is, except that scales grow, to at most twice their size, where
        new rows are far away.

        With an ambiguity set this method does not exist: the worst distribution near a few new rows
        is not the worst one near all rows.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features of the new rows.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem.
        sample_weight : array-like of shape (n,), default=None
            Non-negative weights of the rows.

        Returns
        -------
        self : object
            This estimator.

        Raises
        ------
        ValueError
            As in `fit`. If `y`, the columns of X that the net sees, or `n_estimators` differ in
            number from those of the last fit.
        FloatingPointError
            If the loss becomes NaN or infinite.
        """
        goes_on = hasattr(self, "predictor_")
        nothing = (None, None, None)
        with fit_task(self, X, y):
            self._fit(X, y, sample_weight, nothing, goes_on=goes_on, one_pass=goes_on)
        return self

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
        self._check_options(goes_on=goes_on, one_pass=one_pass)
        problem = self._resolve_problem()
        seen_before = self._seen_columns() if goes_on else None
        rows, target_ndim = self._check_rows(X, y, sample_weight, reset=not goes_on)
        if goes_on and self._seen_columns() != seen_before:
            raise ValueError(
                f"The model that {'partial_fit' if one_pass else 'warm_start'} goes on from sees "
                f"the columns {seen_before} of X, but with context={self.context!r} and "
                f"context_is_feature={self.context_is_feature} the new one would see "
                f"{self._seen_columns()}. Set these parameters as they were, or fit a clone."
            )
        if goes_on and rows.y.shape[1] != self._n_parameters:
            raise ValueError(
                f"y has {rows.y.shape[1]} columns, but the model that "
                f"{'partial_fit' if one_pass else 'warm_start'} goes on from was fitted on "
                f"{self._n_parameters}."
            )
        if goes_on and self._n_members != self.n_estimators:
            raise ValueError(
                f"The model that {'partial_fit' if one_pass else 'warm_start'} goes on from has "
                f"{self._n_members} nets, and n_estimators={self.n_estimators} asks for others. "
                "Set it as it was, or fit a clone."
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
        device, dtype = resolve_device(self.device), torch.as_tensor(train.X[:0]).dtype
        columns = self._context_columns
        with reporting(self.verbose), collected_doubts() as doubts, torch.enable_grad():
            is_over = self._prepare(
                train.replace(number=None),
                None if valid is None else valid.replace(number=None),
                seed,
            )
            objective = self._objective(problem, rows.y.shape[1])
            units = NetUnits(self._scales(train, last, objective, seed), dtype, device, columns)
            ambiguity_set = self._worst_case_set()
            if ambiguity_set is not None:
                ambiguity_set.set_columns(self._names_as_given(), self._as_given)
            options = TrainingOptions.of(self).with_callbacks(epoch_tasks(self))
            staged = StagedFit(
                objective.predictor or self._resolve_predictor(),
                objective,
                *(train, valid, units, options, seed),
                valid_is_given=is_given(*held_out),
            )
            result = staged.run(
                last, ambiguity_set, self._memory(), one_pass=one_pass, is_over=is_over
            )
        self.predictor_, (self.x_scale_, self.y_scale_) = result.net, units.scales
        self._target_ndim, self._n_parameters = target_ndim, rows.y.shape[1]
        for name in ("ambiguity_set_", "worst_case_", "estimator_"):
            self.__dict__.pop(name, None)
        if ambiguity_set is not None and result.worst_case is not None:
            ambiguity_set.finish()
            self.ambiguity_set_ = ambiguity_set
            self.worst_case_ = Bunch(**result.worst_case)
        history, best_epoch = (self.history_, self.best_epoch_) if goes_on else (pd.DataFrame(), 0)
        self.history_, self.best_epoch_ = continued(history, best_epoch, result.trainings)
        self.n_iter_ = len(self.history_)
        self._finish()
        self._warn([*self._remarks_on_context(), *staged.remarks])
        lacks_worst = ambiguity_set is not None and result.worst_case is None
        end = early_end(
            *(result.trainings, self.n_iter_, self.best_epoch_),
            max_iter=None if one_pass else self.max_iter,
            lacks_worst=lacks_worst,
        )
        if end is not None:
            doubts.add(end)
        doubts.warn(stacklevel=5)

    @property
    def _n_members(self) -> int:  # type: ignore[override]
        return n_members(self.predictor_.module_)

    def _seen_columns(self) -> list[int]:
        """Return the positions of the columns of X that the predictor sees."""
        columns = self.__dict__.get("_context_columns")
        return list(range(self.n_features_in_)) if columns is None else columns.inputs

    def _remarks_on_context(self) -> list[str]:
        """Return a warning where the predictor mistakes the context for other columns."""
        columns, predictor = self._context_columns, self._resolve_predictor()
        kind = getattr(predictor, "columns_are", None)
        if columns is None or not columns.is_feature or kind is None:
            return []
        return [
            f"{type(predictor).__name__} takes the columns of X for {kind}, and the columns of "
            "the context are among them. Set context_is_feature=False, or use another predictor."
        ]

    def _warn(self, remarks: list[str]) -> None:
        """Warn of the remarks of the fit, and where `memory` could not be used."""
        given = getattr(self, "memory", getattr(self.ambiguity_set, "memory", None))
        if given is not None and self.random_state is None:
            remarks.append(
                "memory is not used, because random_state is None and no two fits are alike then. "
                "Set random_state to keep what does not depend on the radius."
            )
        for remark in remarks:
            warnings.warn(remark, UserWarning, stacklevel=6)

    def _check_rows(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, is_trained_on: bool = True
    ) -> tuple[Rows, int]:
        """Return validated rows and the number of dimensions of y."""
        refuse_unfit_table(X, "X")
        refuse_unfit_target(y, "y")
        if is_trained_on and reset:
            keep_target_columns(self, y)
        else:
            check_target_columns(self, y, "y" if is_trained_on else "y_val")
        if is_trained_on:
            self._context_columns = self._find_context(X)
        else:
            self._check_context(X, "X_val")
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            order="C",  # so that a data frame gives the same bits
            multi_output=True,
            y_numeric=True,
            reset=reset,
        )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        check_total(weight, "sample_weight")
        columns = self._context_columns
        features, context = (X, None) if columns is None else columns.split(X)
        number = np.arange(len(X))
        return Rows(features, as_rows(y, "y"), weight, context, number=number), y.ndim

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
            valid, _ = self._check_rows(
                X_val, y_val, sample_weight_val, reset=False, is_trained_on=False
            )
            self._resolve_problem().check_parameters(valid.y)
            if valid.y.shape[1] != rows.y.shape[1]:
                raise ValueError(
                    f"y_val has {valid.y.shape[1]} columns and y has {rows.y.shape[1]}."
                )
            return train, valid.canonical()
        if not self._holds_out(len(train.X)):
            return train, None
        return train.split(self.validation_fraction, named_rng(seed, "hold-out"))

    def _names_as_given(self) -> Any:
        """Return the names of the columns that `_as_given` returns, None for none."""
        return getattr(self, "feature_names_in_", None)

    def _as_given(self, rows: Rows) -> np.ndarray:
        """Return X of rows with the columns that the user gave, in their order."""
        columns = self._context_columns
        return rows.X if columns is None else columns.joined(rows.X, rows.context)

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
        return not is_linear and n_distinct >= MIN_ROWS_TO_HOLD_OUT

    def _check_options(self, *, goes_on: bool, one_pass: bool) -> None:
        """Raise an error about parameters that do not go together, before the data are checked."""

    def _finish(self) -> None:
        """Pass the trained net to other attributes that hold it, besides `predictor_`."""

    def _prepare(self, train: Rows, valid: Rows | None, seed: int) -> bool:
        """Fit what the objective needs on canonical rows; return whether that was interrupted."""
        return False

    def _objective(self, problem: DecisionProblem, n_parameters: int) -> Objective:
        return Objective(problem, self.loss)

    def _scales(
        self, train: Rows, last: LastFit | None, objective: Objective, seed: int
    ) -> tuple[Scale, Scale]:
        """Return the scales of features and of the net's output, given those to go on from."""
        if last is not None or not self.standardize:
            train = train.replace(y=objective.targets(train))
        if self._context_columns is not None:
            train = train.replace(X=self._context_columns.seen(train.X, train.context))
        if not self.standardize:
            return Scale.identity(train.X.shape[1]), Scale.identity(train.y.shape[1])
        if last is not None:
            return last.scales_for(train)
        return Scale.of(train.X, train.weight), objective.output_scale(train, seed)

    def _worst_case_set(self) -> AmbiguitySet | None:
        """Return a fresh ambiguity set to train for, or None where it would change nothing."""
        ambiguity_set = self.ambiguity_set
        if ambiguity_set is None or ambiguity_set.is_nominal or self.nominal_weight == 1:
            return None
        ambiguity_set = clone(ambiguity_set)
        if self.random_state is None and getattr(ambiguity_set, "memory", None) is not None:
            ambiguity_set.set_params(memory=None)  # no other fit could use what this one stores
        return ambiguity_set

    def _memory(self) -> Any:
        """Return the cache for what does not depend on the ambiguity set."""
        return check_memory(None if self.random_state is None else getattr(self, "memory", None))

    # -- scikit-learn ------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # a copy, not the estimator's own dict
        if "predictor_" in state:
            state["predictor_"] = on_cpu(state["predictor_"])
        return state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self._resolve_problem().nonnegative
        return tags
