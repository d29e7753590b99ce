"""One fit of a net on a decision loss: from canonical rows to trained weights."""

import math
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from joblib import Memory
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks.scoring import ScoringBase
from torch import nn

from .._utils.once import compute_once
from .._utils.recent import Recent
from .._utils.rounding import is_rounding
from .._utils.seeds import named_rng, named_seed, root_seed
from ..losses import RegretLoss, default_loss
from ..losses.base import DecisionLoss, RowLoss
from ..nets.construct import (
    build_module,
    check_monitors,
    check_output_width,
    forked_generator,
    n_threads,
    pinned_threads,
    resolve_device,
    uses_global_generator,
)
from ..nets.given_net import check_module_of, check_settings, has_listeners
from ..nets.rows import Batches, as_batch
from ..nets.trainer import (
    BatchCriterion,
    NonFiniteLossError,
    PredictorNet,
    Stopping,
    Training,
    forward,
    train,
)
from ..problems.base import DecisionProblem, NonFiniteCostError
from ..robust.base import AmbiguitySet
from ..rows import Optimum, Rows
from ._robust_fit import WorstCaseBatches
from ._scaling import Scale
from ._warm_start import LastFit, take_up

if TYPE_CHECKING:
    from .dfl import DFLRegressor

_N_CUTS = 3  # of an adaptive learning rate
_N_ROBUST_CUTS = 2  # where training goes on from a trained net
_N_OPTIMA = 8  # arrays of parameters whose best decisions are remembered
_ROBUST_PATIENCE = 0.4  # there, as a share of n_iter_no_change


class FitResult(NamedTuple):
    """A trained net, what happened in each stage, and the worst case it ended with."""

    net: NeuralNet
    trainings: list[Training]
    worst_case: dict[str, float] | None


def _parts(rows: Rows) -> tuple[Any, ...]:
    """Return what a cached result depends on."""
    return (*rows.arrays, rows.weight)


class _InterruptedError(Exception):
    """Training on the real rows was interrupted: its weights are used but not remembered."""

    def __init__(self, state: dict[str, torch.Tensor], training: Training) -> None:
        super().__init__()
        self.state, self.training = state, training


class NetFit:
    """The moving parts of one `fit`, which live no longer than it does.

    Parameters
    ----------
    params : DFLRegressor
        Read for its parameters; never written to.
    problem : DecisionProblem
    train, valid : Rows
        `valid` may be None; the training rows are then watched.
    seed : int
    scales : pair of Scale
        Of the features and of the parameters.
    """

    def __init__(
        self,
        params: "DFLRegressor",
        problem: DecisionProblem,
        train: Rows,
        valid: Rows | None,
        seed: int,
        scales: tuple[Scale, Scale],
    ) -> None:
        self.params, self.problem, self.seed = params, problem, seed
        self.device = resolve_device(params.device)
        self.dtype = torch.as_tensor(train.X[:0]).dtype
        self.train, self.valid = train, valid
        # Sets may move the features alone: the rows have the same best decisions then.
        self._optima = Recent(_N_OPTIMA, by_value=True)
        self.remarks: list[str] = []  # for the user, once the model is there
        self.scales, self.x_scale = scales, scales[0]
        self.rows = self.tensors(train)
        self.total_weight = float(train.weight.sum())
        self.watched = self.rows if valid is None else self.tensors(valid)
        self.monitored = "train_regret" if valid is None else "valid_regret"
        self.y_mean, self.y_scale = (self.exactly(each) for each in scales[1])
        self.null_regret = self._null_regret(train)
        self.loss = params.loss or default_loss(problem)
        self.row_loss = self.loss.bind(problem)

    def run(
        self,
        start: LastFit | None,
        ambiguity_set: AmbiguitySet | None = None,
        memory: Memory | None = None,
        *,
        one_pass: bool = False,
    ) -> FitResult:
        """Train and return the net fit for prediction.

        Parameters
        ----------
        start : LastFit or None
            Weights to go on from.
        ambiguity_set : AmbiguitySet or None
            Not started. Where given, the net trained on the real rows is then trained for the
            worst distribution in the set.
        memory : joblib.Memory or None
            Where to keep the net trained on the real rows.
        one_pass : bool, default=False
            Whether to train for one epoch, and to take its weights whatever they are.
        """
        predictor = self.params._resolve_predictor()
        seed = named_seed(self.seed, "net")
        fork = uses_global_generator(predictor)
        with (
            pinned_threads(n_threads(self.params.n_jobs)),
            forked_generator(seed, self.device) if fork else nullcontext(),
        ):
            parts = self._parts(predictor, start)
            try:
                state, trainings = compute_once(
                    memory, parts, lambda: self._nominal(seed, start, one_pass)
                )
                if fork:
                    # Whether the first part was computed or recalled must not be told apart.
                    torch.manual_seed(named_seed(self.seed, "robust net"))
                net = self._net(predictor, seed)
                net.module_.load_state_dict(state)
                if ambiguity_set is None:
                    return FitResult(self._trimmed(net), trainings, None)
                return self._robust(net, trainings, ambiguity_set)
            except _InterruptedError as stopped:
                net = self._net(predictor, seed)
                net.module_.load_state_dict(stopped.state)
                return FitResult(self._trimmed(net), [stopped.training], None)

    def _nominal(
        self, seed: int, start: LastFit | None, one_pass: bool
    ) -> tuple[dict[str, torch.Tensor], list[Training]]:
        """Train on the real rows."""
        predictor = self.params._resolve_predictor()
        net = self._net(predictor, seed)
        start_value = math.inf
        if start is not None:
            start_value = take_up(self, net, start)
        elif getattr(predictor, "starts_trained", False):
            start_value = self.regret(net, self.watched)
        stopping = self._stopping(self.monitored, self.params.n_iter_no_change, _N_CUTS)
        if one_pass:
            stopping.max_epochs, start_value = 1, math.inf
        batch_size = net.batch_size if net.batch_size > 0 else len(self.rows)
        order = torch.Generator().manual_seed(named_seed(self.seed, "batches"))
        training = self._train(
            net,
            Batches(self.rows, batch_size, order),
            lambda: {self.monitored: self.regret(net, self.watched)},
            stopping,
            start_value,
        )
        state = {name: value.cpu() for name, value in net.module_.state_dict().items()}
        if training.outcome == "interrupted":
            raise _InterruptedError(state, training)  # not to be remembered as the result
        return state, [training]

    def _robust(
        self, net: NeuralNet, trainings: list[Training], ambiguity_set: AmbiguitySet
    ) -> FitResult:
        """Train on for the worst distribution in the set."""
        self.row_loss = self._loss_of_its_own("robust loss").bind(self.problem)
        try:
            ambiguity_set.set_nominal(
                self.train, self.problem, named_seed(self.seed, "ambiguity set"), self.valid
            )
            batches = WorstCaseBatches(
                self,
                net,
                ambiguity_set,
                self.params.nominal_weight,
                None if self.params.batch_size == "auto" else int(self.params.batch_size),
                torch.Generator().manual_seed(named_seed(self.seed, "robust batches")),
            )
        except KeyboardInterrupt:
            stopped = Training(outcome="interrupted")
            return FitResult(self._trimmed(net), [*trainings, stopped], None)
        patience = max(
            math.ceil(_ROBUST_PATIENCE * self.params.n_iter_no_change),
            2 * ambiguity_set.refresh_every,
        )
        training = self._train(
            net,
            batches,
            batches.after_epoch,
            self._stopping("objective", patience, _N_ROBUST_CUTS),
            batches.numbers["objective"],
        )
        numbers = batches.numbers
        try:  # of the weights that are kept, those of an interrupted training as well
            numbers = batches.refresh() | ambiguity_set.report(batches.row_loss)
        except KeyboardInterrupt:
            training.outcome = "interrupted"
        return FitResult(self._trimmed(net), [*trainings, training], numbers)

    def _train(
        self, net: NeuralNet, batches: Any, monitor: Any, stopping: Stopping, start_value: float
    ) -> Training:
        try:
            return train(net, batches, monitor, stopping, self._report, start_value=start_value)
        except NonFiniteLossError as error:
            raise FloatingPointError(self._explain(net, error)) from error

    # -- the net -----------------------------------------------------------------------

    def _parts(self, predictor: Any, start: LastFit | None) -> tuple[Any, ...] | None:
        """Return all that the net trained on the real rows depends on.

        None where it is not to be recalled: it goes on from other weights, or callbacks want to
        hear of its training.
        """
        params = self.params
        if start is not None or params.callbacks or has_listeners(predictor):
            return None
        valid = () if self.valid is None else _parts(self.valid)
        names = (
            *("alpha", "batch_size", "learning_rate", "learning_rate_init", "max_iter", "tol"),
            *("n_iter_no_change", "standardize", "loss"),
        )
        return (
            *("predictor", predictor, self.problem, _parts(self.train), valid, self.seed),
            *(getattr(params, name) for name in names),
            *(str(self.device), n_threads(params.n_jobs), str(self.dtype)),
        )

    def _net(self, predictor: Any, seed: int) -> NeuralNet:
        params, n_in, n_out = self.params, self.rows.X.shape[1], self.rows.y.shape[1]
        # By class and argument: skorch refuses a finished module where there was a class.
        callbacks = list(params.callbacks or [])
        if any(isinstance(each, ScoringBase) for each in callbacks):
            raise ValueError(
                "callbacks has one that scores by itself (EpochScoring or BatchScoring), which "
                "cannot see the rows; history_ has the regret of each epoch."
            )
        own = predictor.callbacks if isinstance(predictor, NeuralNet) else None
        check_monitors([*callbacks, *(own or [])], self.monitored)
        criterion = {"criterion": BatchCriterion, "criterion__function": self._batch_loss}
        if isinstance(predictor, NeuralNet):
            net = clone(predictor)
            check_settings(net, str(self.device))
            # Progress is reported by this package, not once more by the net.
            net.set_params(**criterion, train_split=None, device=str(self.device), verbose=0)
            if callbacks:
                own = [] if net.callbacks in (None, "disable") else net.callbacks
                net.callbacks = [*own, *callbacks]
        else:
            net = PredictorNet(
                build_module(predictor, n_in, n_out, seed),
                **criterion,
                optimizer=torch.optim.Adam,
                optimizer__weight_decay=params.alpha / self.total_weight,
                optimizer__param_groups=[("*bias*", {"weight_decay": 0.0})],
                lr=params.learning_rate_init,
                batch_size=self._batch_size(),
                train_split=None,
                callbacks=callbacks,
                device=str(self.device),
                verbose=0,
            )
        net.initialize()
        if isinstance(predictor, NeuralNet):
            check_module_of(net)
        net.module_.to(self.dtype)
        check_output_width(net, self.rows.X, n_out)
        return net

    def _loss_of_its_own(self, stage: str) -> DecisionLoss:
        """Return the loss with a seed of its own, where it has one.

        What it draws then does not depend on whether the stage before was computed or recalled.
        """
        loss = clone(self.loss)
        if "random_state" in loss.get_params(deep=False):
            seed = named_seed(root_seed(loss.random_state), stage) % 2**32
            loss.set_params(random_state=seed)
        return loss

    def _batch_size(self) -> int:
        if self.params.batch_size == "auto":
            return int(np.clip(len(self.rows) // 10, 32, 256))
        return int(self.params.batch_size)

    def _stopping(self, monitored: str, patience: int, n_cuts: int) -> Stopping:
        params = self.params
        return Stopping(
            monitored=monitored,
            max_epochs=params.max_iter,
            tol=params.tol * self.null_regret,
            patience=patience,
            n_cuts=n_cuts if params.learning_rate == "adaptive" else 0,
        )

    @staticmethod
    def _trimmed(net: NeuralNet) -> NeuralNet:
        """Drop what only training needs: optimiser, callbacks, the bound loss, the history."""
        net.criterion = nn.Identity
        del net.criterion__function
        net.history = type(net.history)()
        net.trim_for_prediction()
        return net

    # -- numbers -----------------------------------------------------------------------

    def _batch_loss(self, output: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        rows = self._row_losses(output, batch)
        if not rows.requires_grad:
            raise ValueError(
                f"{type(self.loss).__name__} for {type(self.problem).__name__} does not depend on "
                "the predictions: torch has nothing to differentiate. A loss or a decision layer "
                "that leaves torch (.detach(), .numpy()) needs a gradient of its own, see "
                "dfl_sklearn.layers.differentiate_rows."
            )
        # Weights have mean 1, so that the gradient is that of the weighted mean in expectation.
        return (batch["weight"] * rows).mean() / self.null_regret

    def _row_losses(self, output: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        y_hat = self.in_units(output)
        optimum = Optimum(batch["best_decision"], batch["best_cost"])
        losses = self.row_loss(y_hat, batch["y"], optimum)
        if losses.shape != optimum.cost.shape:
            raise ValueError(
                f"{type(self.loss).__name__} must return one number per "
                f"row, shape {tuple(optimum.cost.shape)}, got {tuple(losses.shape)}."
            )
        return losses

    def regret(self, net: NeuralNet, rows: Rows) -> float:
        """Return the exact weighted mean regret on rows."""
        return float(np.average(self.row_regret(net, rows), weights=rows.weight.cpu().numpy()))

    def row_regret(self, net: NeuralNet, rows: Rows) -> np.ndarray:
        """Return the exact regret (n,) of the net's decisions; NaN where it predicts such."""
        y_hat = self.predicted(net, rows)
        known = np.isfinite(y_hat).all(axis=1)
        regret = np.full(len(y_hat), np.nan)
        if known.any():
            y, best = rows.y.cpu().numpy()[known], rows.optimum.cost.cpu().numpy()[known]
            try:
                regret[known] = self.problem.cost(self.problem.solve(y_hat[known]), y) - best
            except NonFiniteCostError as error:
                regret[known] = error.costs - best  # training says so
        return regret

    def relaxed_regret(
        self, net: NeuralNet, X: torch.Tensor, y: torch.Tensor, optimum: Optimum
    ) -> torch.Tensor:
        """Return the regret (n,) through the decision layer, with its graph, from net's inputs.

        The best cost follows y through the layer as well. With the best decision held still its
        slope would be the same (Danskin), but for kinks at that very decision.
        """
        layer, regret = self._relaxation
        best_cost = self.problem.cost_rows(layer(y), y)
        y_hat = self.in_units(net.module_(X))
        return regret(y_hat, y, optimum._replace(cost=best_cost))

    @cached_property
    def _relaxation(self) -> tuple[nn.Module, RowLoss]:
        """The decision layer and the regret through it, set up once where slopes are wanted."""
        return self.problem.decision_layer(), RegretLoss().bind(self.problem)

    def predicted(self, net: NeuralNet, rows: Rows) -> np.ndarray:
        """Return the net's predictions (n, d), in the problem's units."""
        return self.in_units(forward(net, rows.X)).cpu().numpy()

    def in_units(self, output: torch.Tensor) -> torch.Tensor:
        """Return the problem's parameters, float64, for the output of the net."""
        return output.to(torch.float64) * self.y_scale + self.y_mean

    def _null_regret(self, train: Rows) -> float:
        """Return the mean regret of the best constant decision, the unit of tol and the loss.

        Where there is none, or rounding errors alone, it is the mean size of the best costs.
        """
        if not Scale.of(train.y, train.weight, of_constant=0.0).scale.any():
            return 1.0  # parameters that differ by rounding errors at most
        best, weight = self.rows.optimum.cost.cpu().numpy(), train.weight
        few, most = np.arange(len(train.y)), self.problem.most_scenarios
        if most is not None and most < len(few):
            few = named_rng(self.seed, "scenarios of the unit").choice(few, most, replace=False)
        constant = self.problem.solve(train.y[None, few], scenario_weight=weight[few])
        paid = self.problem.cost(constant, train.y)
        regret = float(np.average(paid - best, weights=weight))
        if regret > 0 and not is_rounding(regret, paid, best, weight=weight):
            return regret
        return float(np.average(np.abs(best), weights=weight)) or 1.0

    def tensors(self, rows: Rows) -> Rows:
        try:
            best = self._optima.get((rows.y,), lambda: self.problem.optimum(rows.y))
        except NonFiniteCostError as error:
            i = int(np.flatnonzero(~np.isfinite(error.costs))[0])
            raise FloatingPointError(
                f"{type(self.problem).__name__} gave a cost of {error.costs[i]} to the best "
                f"decision of a row with X = {rows.X[i].tolist()} and y = {rows.y[i].tolist()}."
            ) from error
        scaled = Rows(
            X=self.x_scale.apply(rows.X),
            y=rows.y,
            weight=rows.weight / rows.weight.mean(),
            optimum=best,
        )
        return scaled.to(self.device, self.dtype)

    def exactly(self, values: np.ndarray) -> torch.Tensor:
        """Return numbers in float64, as decisions, costs and regrets are, on the net's device."""
        return torch.as_tensor(values, dtype=torch.float64, device=self.device)

    # -- words -------------------------------------------------------------------------

    def _report(self, record: dict[str, float]) -> None:
        every = int(self.params.verbose)
        epoch = int(record["epoch"])
        if every and (epoch == 1 or epoch % every == 0):
            numbers = (f"{name} {value:.6g}" for name, value in record.items() if name != "epoch")
            print(f"epoch {epoch:4d}  " + "  ".join(numbers))

    def _explain(self, net: NeuralNet, error: NonFiniteLossError) -> str:
        """Say whether a row or the learning rate is to blame; the net is at its best weights."""
        _, batch = as_batch(self.rows)
        losses = self._row_losses(forward(net, self.rows.X), batch)
        bad = torch.nonzero(~torch.isfinite(losses))
        if len(bad) == 0:
            return (
                f"{error} The weights of the net have diverged: lower learning_rate_init"
                f"={self.params.learning_rate_init}."
            )
        i = int(bad[0])
        return (
            f"{error} {type(self.problem).__name__} gave {float(losses[i])} for the row with "
            f"y = {self.rows.y[i].tolist()}; its standardised features are "
            f"{self.rows.X[i].tolist()}."
        )
