"""The base class of scenario models that are nets, with a maximum-likelihood fit."""

from abc import abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.all_or_nothing import all_or_nothing
from .._utils.checks import whole_number
from .._utils.convergence import doubt
from .._utils.progress import part, reporting
from .._utils.rows import as_rows, check_finite, check_total, refuse_unfit_target
from .._utils.seeds import named_rng, named_seed, root_seed
from .._utils.sklearn_private import Interval, StrOptions, _check_sample_weight, _fit_context
from .._utils.tables import refuse_unfit_table
from .._utils.target_columns import keep_target_columns
from .._utils.threads import pinned_threads
from ..learners.batches import Batches
from ..learners.construct import n_threads, resolve_device
from ..learners.factories import NetFactory
from ..learners.net import NetLearner, NetUnits
from ..learners.patience import Stopping
from ..learners.scaling import Scale
from ..learners.trainer import NonFiniteLossError, forward
from ..rows import Rows
from ._scenario_net import LikelihoodNet
from ._trainable import TrainableScenarios
from .base import Scenarios

_MIN_ROWS_TO_HOLD_OUT = 50  # with fewer, early_stopping="auto" watches the training rows
_N_REDUCTIONS = 3  # times that the learning rate is divided
_AT_ONCE = 2**20  # numbers of a sample that are drawn together


class NetScenarios(TrainableScenarios):
    """Base class of scenario models whose scenarios come from a net, a :class:`LikelihoodNet`.

    A subclass has the parameters named in `_parameter_constraints` and defines `_recipe`.
    :class:`~dfl_sklearn.DFLRegressor` continues to train the net, on the cost of decisions.
    """

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "relu", "tanh"})],
        "n_scenarios": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "device": [str, torch.device],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    hidden_layer_sizes: Sequence[int]
    activation: str
    n_scenarios: int
    alpha: float
    batch_size: int | str
    learning_rate_init: float
    max_iter: int
    tol: float
    n_iter_no_change: int
    early_stopping: bool | str
    validation_fraction: float
    device: str | torch.device
    n_jobs: int | None
    random_state: Any
    verbose: bool | int
    net_: LikelihoodNet
    x_scale_: Scale

    @abstractmethod
    def _recipe(self, rows: Rows, seed: int) -> tuple[NetFactory, int]:
        """Return a factory of nets, given all rows, and the number of their conditions."""

    @_fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Fit the net by maximum likelihood.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features; float32 stays float32 (and trains a float32 net).
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Non-negative weights of the rows.

        Returns
        -------
        self : object
            This estimator.

        Raises
        ------
        ValueError
            If the data are not finite, or the distribution cannot have such y; the message names
            the cell.
        """
        refuse_unfit_table(X, "X")
        refuse_unfit_target(y, "y")
        keep_target_columns(self, y)
        types = [np.float64, np.float32]
        X, y = validate_data(self, X, y, dtype=types, order="C", multi_output=True, y_numeric=True)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        check_total(weight, "sample_weight")
        target = as_rows(y, "y").astype(np.float64)
        self._check_target(target)
        rows, seed = Rows(X, target, weight).canonical(), root_seed(self.random_state)
        if len(rows) < 2:
            raise ValueError(
                "A fit needs at least 2 distinct rows of positive weight, got n_samples="
                f"{len(rows)}: nothing can be learnt from one."
            )
        train, valid = rows, None
        if self._holds_out(len(rows)):
            train, valid = rows.split(self.validation_fraction, named_rng(seed, "hold-out"))
        self._fit_rows(train, valid, seed)
        self.is_vector_ = np.ndim(y) == 1
        return self

    def _holds_out(self, n_distinct: int) -> bool:
        if self.early_stopping != "auto":
            return bool(self.early_stopping)
        return np.size(self.hidden_layer_sizes) > 0 and n_distinct >= _MIN_ROWS_TO_HOLD_OUT

    def fit_rows(self, train: Rows, valid: Rows | None) -> None:
        """Fit the net to checked canonical rows, and watch it on other rows if there are any."""
        self.n_features_in_ = train.X.shape[1]
        self._fit_rows(train, valid, root_seed(self.random_state))

    def net_to_train(self) -> LikelihoodNet:
        """Return the net."""
        return self.net_

    def take_up(self, state: dict[str, torch.Tensor]) -> None:
        """Set the weights of the net."""
        self.net_.load_state_dict(state)

    def _fit_rows(self, train: Rows, valid: Rows | None, seed: int) -> None:
        of_all = train if valid is None else _together(train, valid)
        factory, n_out = self._recipe(of_all, named_seed(seed, "scenarios"))
        scales = Scale.of(train.X, train.weight), Scale.identity(n_out)
        dtype = torch.as_tensor(train.X[:0]).dtype
        units = NetUnits(scales, dtype, resolve_device(self.device))
        rows = units.rows(train)
        watched, name = (rows, "train_nll") if valid is None else (units.rows(valid), "valid_nll")
        auto = int(np.clip(len(train) // 10, 32, 256))
        with (
            reporting(self.verbose),
            part("likelihood"),
            torch.enable_grad(),
            pinned_threads(n_threads(self.n_jobs)),
        ):
            learner = NetLearner(
                *(factory, rows, units),
                seeds=[named_seed(seed, "net")],
                monitored=name,
                callbacks=(),
                weight_decay=self.alpha / float(train.weight.sum()),
                lr=self.learning_rate_init,
                batch_size=auto if self.batch_size == "auto" else self.batch_size,
            )
            net: LikelihoodNet = learner.net.module_

            def loss(conditions: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
                share = batch["weight"] / len(conditions)
                return (share * net.fit_loss(conditions, batch["y"])).sum()

            def nll() -> float:
                conditions = units.parameters(forward(learner.net, watched.X))
                with torch.no_grad():
                    found = -net.log_density(conditions, watched.y[:, None])[:, 0]
                return float(np.average(found.cpu().numpy(), weights=watched.weight.cpu().numpy()))

            generator = torch.Generator().manual_seed(named_seed(seed, "batches"))
            batches = Batches(rows, learner.batch_size(len(rows)), generator)
            tol = self.tol * train.y.shape[1]
            stopping = Stopping(name, self.max_iter, tol, self.n_iter_no_change, _N_REDUCTIONS)
            try:
                training = learner.train(*(loss, batches, lambda: {name: nll()}, stopping, nll()))
            except NonFiniteLossError as error:
                raise FloatingPointError(
                    f"{error} The weights of the net have diverged, or the numbers in y differ too "
                    f"much in size: lower learning_rate_init={self.learning_rate_init}."
                ) from error
        self.net_, self.x_scale_ = net.cpu().eval(), scales[0]
        self.n_scenarios_, self.n_outputs_ = net.n_scenarios, net.n_outputs
        self.history_ = pd.DataFrame(training.history)
        self.n_iter_ = max(len(training.history), 1)
        self._was_interrupted = training.outcome == "interrupted"
        if training.outcome in ("max_iter", "interrupted"):
            why = f"stopped at max_iter={self.max_iter} epochs before the likelihood had settled."
            if self._was_interrupted:
                why = f"was interrupted (Ctrl-C) in epoch {self.n_iter_ + 1}; the best is kept."
            doubt(f"Training {why}", stacklevel=5)

    def log_likelihood(self, X: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Return the log density of each row of y given x, in nats.

        Columns that were constant in `fit` are left out. Values with a positive probability, such
        as zeros, enter by the logarithm of that probability.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.

        Returns
        -------
        ndarray of shape (n,)
            The log density, in nats.
        """
        check_is_fitted(self)
        (conditions,) = self._conditions(X)
        target = as_rows(y, "y").astype(np.float64)
        if target.shape != (len(conditions), self.n_outputs_):
            raise ValueError(
                f"y must have shape ({len(conditions)}, {self.n_outputs_}), got {target.shape}."
            )
        check_finite(target, "y")
        self._check_target(target)
        with pinned_threads(n_threads(self.n_jobs)), torch.no_grad():
            rows = torch.as_tensor(conditions), torch.as_tensor(target)[:, None]
            return self.net_.log_density(*rows)[:, 0].numpy()

    def sample(self, X: ArrayLike, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw y for each row from the distribution itself, not from its scenarios.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        n_samples : int, default=1
            Number of draws for each row.
        random_state : int, RandomState or None, default=None
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n, n_samples, d)
            Draws of the parameters, in their units.
        """
        check_is_fitted(self)
        n_samples = whole_number(n_samples, "n_samples", at_least=1)
        rng = np.random.default_rng(root_seed(random_state))
        (conditions,) = self._conditions(X)
        step = max(1, _AT_ONCE // (n_samples * self.n_outputs_))
        with pinned_threads(n_threads(self.n_jobs)), torch.no_grad():
            parts = [
                self.net_.sample(torch.as_tensor(conditions[i : i + step]), n_samples, rng).numpy()
                for i in range(0, len(conditions), step)
            ]
        return np.concatenate(parts)

    def _conditions(self, X: Any) -> tuple[np.ndarray]:
        refuse_unfit_table(X, "X")
        types = [np.float64, np.float32]
        features = validate_data(self, X, dtype=types, order="C", reset=False)
        return (self._conditions_of(features),)

    def _conditions_of(self, features: np.ndarray) -> np.ndarray:
        """Return the output of the net (n, n_conditions) for checked features, in float64."""
        inputs = torch.as_tensor(self.x_scale_.apply(features))
        inputs = inputs.to(next(self.net_.parameters()).dtype)
        with pinned_threads(n_threads(self.n_jobs)), torch.no_grad():
            parts = [self.net_(part) for part in inputs.split(1 << 16)]
        found = torch.cat(parts).to(torch.float64).numpy()
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            raise ValueError(
                f"The net has no finite distribution for row {bad[0]} of X, "
                f"{features[bad[0]].tolist()}: the row is far from those of fit."
            )
        return found

    def _scenarios(self, conditions: np.ndarray) -> Scenarios:
        with pinned_threads(n_threads(self.n_jobs)), torch.no_grad():
            values, weight = self.net_.draws(torch.as_tensor(conditions))
        return Scenarios(values.numpy(), weight.numpy())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _together(first: Rows, second: Rows) -> Rows:
    arrays = zip((first.X, first.y, first.weight), (second.X, second.y, second.weight), strict=True)
    return Rows(*(np.concatenate(each) for each in arrays))
