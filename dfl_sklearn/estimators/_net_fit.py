"""One fit of a net on a decision loss: from canonical rows to trained weights."""

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet
from torch import nn

from .._utils.canonical import CanonicalRows
from .._utils.seeds import named_seed
from ..losses.base import Optimum
from ..losses.regret import RegretLoss
from ..nets.construct import (
    build_module,
    check_output_width,
    forked_generator,
    n_threads,
    pinned_threads,
    resolve_device,
    uses_global_generator,
)
from ..nets.factories import MLPPredictor
from ..nets.rows import Batches, TrainingRows
from ..nets.trainer import (
    BatchCriterion,
    NonFiniteLossError,
    PredictorNet,
    Stopping,
    Training,
    forward,
    train,
)
from ..problems.base import DecisionProblem

if TYPE_CHECKING:
    from .dfl import DFLRegressor

_N_CUTS = 3  # of an adaptive learning rate


class NetFit:
    """The moving parts of one `fit`, which live no longer than it does.

    Parameters
    ----------
    params : DFLRegressor
        Read for its parameters and its standardisation; never written to.
    problem : DecisionProblem
    train, valid : CanonicalRows
        `valid` may be None; the training rows are then watched.
    seed : int
    """

    def __init__(
        self,
        params: "DFLRegressor",
        problem: DecisionProblem,
        train: CanonicalRows,
        valid: CanonicalRows | None,
        seed: int,
    ) -> None:
        self.params, self.problem, self.seed = params, problem, seed
        self.device = resolve_device(params.device)
        self.dtype = torch.as_tensor(train.X[:0]).dtype
        self.rows = self._tensors(train)
        self.total_weight = float(train.weight.sum())
        self.watched = self.rows if valid is None else self._tensors(valid)
        self.monitored = "train_regret" if valid is None else "valid_regret"
        self.y_mean, self.y_scale = (self._tensor(each) for each in params.y_scale_)
        self.null_regret = self._null_regret(train)
        self.row_loss = (params.loss or RegretLoss()).bind(problem)

    def run(self, start: nn.Module | None) -> tuple[NeuralNet, Training]:
        """Train, from the weights of `start` if given, and return the net fit for prediction."""
        params = self.params
        predictor = params.predictor
        if predictor is None:
            predictor = MLPPredictor(params.hidden_layer_sizes, params.activation)
        seed = named_seed(self.seed, "net")
        fork = uses_global_generator(predictor)
        with (
            pinned_threads(n_threads(params.n_jobs)),
            forked_generator(seed, self.device) if fork else nullcontext(),
        ):
            net = self._net(predictor, seed)
            if start is not None:
                net.module_.load_state_dict(start.state_dict())
            batch_size = net.batch_size if net.batch_size > 0 else len(self.rows)
            order = torch.Generator().manual_seed(named_seed(self.seed, "batches"))
            batches = Batches(self.rows, batch_size, order)
            try:
                training = train(
                    net,
                    batches,
                    lambda: {self.monitored: self._regret(net)},
                    self._stopping(),
                    self._report,
                    start_value=math.inf if start is None else self._regret(net),
                )
            except NonFiniteLossError as error:
                raise FloatingPointError(self._explain(net, error)) from error
        return self._trimmed(net), training

    # -- the net -----------------------------------------------------------------------

    def _net(self, predictor: Any, seed: int) -> NeuralNet:
        params, n_in, n_out = self.params, self.rows.X.shape[1], self.rows.y.shape[1]
        # By class and argument: skorch refuses a finished module where there was a class.
        criterion = {"criterion": BatchCriterion, "criterion__function": self._batch_loss}
        if isinstance(predictor, NeuralNet):
            net = clone(predictor)
            if net.get_params_for("criterion"):
                raise ValueError(
                    "The skorch net given as predictor sets criterion__ parameters, but its "
                    "criterion is replaced by the decision loss. Remove them."
                )
            # Progress is reported by this package, not once more by the net.
            net.set_params(**criterion, train_split=None, device=str(self.device), verbose=0)
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
                callbacks=None if params.callbacks is None else list(params.callbacks),
                device=str(self.device),
                verbose=0,
            )
        net.initialize()
        net.module_.to(self.dtype)
        check_output_width(net, self.rows.X, n_out)
        return net

    def _batch_size(self) -> int:
        if self.params.batch_size == "auto":
            return int(np.clip(len(self.rows) // 10, 32, 256))
        return int(self.params.batch_size)

    def _stopping(self) -> Stopping:
        params = self.params
        return Stopping(
            monitored=self.monitored,
            max_epochs=params.max_iter,
            tol=params.tol * self.null_regret,
            patience=params.n_iter_no_change,
            n_cuts=_N_CUTS if params.learning_rate == "adaptive" else 0,
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
        # Weights have mean 1, so that the gradient is that of the weighted mean in expectation.
        return (batch["weight"] * rows).mean() / self.null_regret

    def _row_losses(self, output: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        y_hat = output * self.y_scale + self.y_mean
        return self.row_loss(y_hat, batch["y"], Optimum(batch["best_decision"], batch["best_cost"]))

    def _regret(self, net: NeuralNet) -> float:
        """Return the exact mean regret on the watched rows."""
        rows = self.watched
        y_hat = (forward(net, rows.X) * self.y_scale + self.y_mean).cpu().numpy()
        if not np.isfinite(y_hat).all():
            return math.nan
        y, best = rows.y.cpu().numpy(), rows.best_cost.cpu().numpy()
        excess = self.problem.cost(self.problem.solve(y_hat), y) - best
        return float(np.average(excess, weights=rows.weight.cpu().numpy()))

    def _null_regret(self, train: CanonicalRows) -> float:
        """Return the mean regret of the best constant decision, the unit of tol and the loss."""
        constant = self.problem.solve(train.y[None], scenario_weight=train.weight)
        excess = self.problem.cost(constant, train.y) - self.rows.best_cost.cpu().numpy()
        regret = float(np.average(excess, weights=train.weight))
        return regret if regret > 0 else 1.0

    def _tensors(self, rows: CanonicalRows) -> TrainingRows:
        best = self.problem.optimum(rows.y)
        return TrainingRows(
            X=self._tensor(self.params.x_scale_.apply(rows.X)),
            y=self._tensor(rows.y),
            weight=self._tensor(rows.weight / rows.weight.mean()),
            best_decision=self._tensor(best.decisions),
            best_cost=self._tensor(best.cost),
        )

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)

    # -- words -------------------------------------------------------------------------

    def _report(self, record: dict[str, float]) -> None:
        every = int(self.params.verbose)
        epoch = int(record["epoch"])
        if every and (epoch == 1 or epoch % every == 0):
            print(
                f"epoch {epoch:4d}  train_loss {record['train_loss']:.6g}  "
                f"{self.monitored} {record[self.monitored]:.6g}  "
                f"learning_rate {record['learning_rate']:.3g}  {record['duration']:.2f} s"
            )

    def _explain(self, net: NeuralNet, error: NonFiniteLossError) -> str:
        """Say whether a row or the learning rate is to blame; the net is at its best weights."""
        _, batch = self.rows.take()
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
