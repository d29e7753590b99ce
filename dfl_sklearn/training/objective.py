"""The objective of training: a decision loss, and the regret that is watched."""

from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from torch import nn

from .._utils.recent import Recent
from .._utils.rounding import is_rounding
from .._utils.row_numbers import named_rows
from .._utils.seeds import named_rng, named_seed, root_seed
from ..learners.scaling import Scale
from ..losses import RegretLoss, default_loss
from ..losses.base import DecisionLoss, RowLoss
from ..problems._average import averaged_decisions
from ..problems._no_cost import NoCostError
from ..problems._outputs import NonFiniteCostError
from ..problems.base import DecisionProblem
from ..problems.constant import constant_decisions
from ..rows import Optimum, Rows
from ._torch_costs import is_for_numpy_alone, numpy_costs_error

_MOST_OF_UNIT = 256  # rows with a context whose regret determines the unit of the loss
_MOST_CHECKED = 64  # rows whose best decisions are costed in other rows
_N_OPTIMA = 8  # arrays of parameters whose best decisions are cached


class Objective:
    """A problem and the loss that a predictor is trained on, in the units of the problem.

    Predictions are float64, as decisions, costs and regrets are.

    Parameters
    ----------
    problem : DecisionProblem
    loss : DecisionLoss or None
        None is the problem's own (:func:`~dfl_sklearn.losses.default_loss`).

    Attributes
    ----------
    unit : float
        The mean regret of the best constant decision, which losses are divided by; see
        :meth:`measure`.
    predictor : NetFactory or None
        The net, where the objective defines it.
    """

    predictor: Any = None

    def __init__(self, problem: DecisionProblem, loss: DecisionLoss | None = None) -> None:
        self.problem = problem
        self.loss = default_loss(problem) if loss is None else loss
        self.unit = 1.0
        self._scale: np.ndarray | None = None
        # Sets may perturb only features: the rows then have the same best decisions.
        self._optima = Recent(_N_OPTIMA, by_value=True)
        self._constants = Recent(1)

    @cached_property
    def row_loss(self) -> RowLoss:
        """The loss bound to the problem."""
        if self._scale is None:
            return self.loss.bind(self.problem)
        return self.loss.bind_scaled(self.problem, self._scale)

    def reseeded(self, stage: str) -> "Objective":
        """Return the objective with its own seed for a stage, where the loss draws numbers.

        The draws then do not depend on whether the previous stage was computed or cached.
        """
        loss = clone(self.loss)
        if "random_state" in loss.get_params(deep=False):
            seed = named_seed(root_seed(loss.random_state), stage) % 2**32
            loss.set_params(random_state=seed)
        other = copy(self)
        other.loss = loss
        other.__dict__.pop("row_loss", None)
        return other

    # -- of rows -----------------------------------------------------------------------

    def solved(self, rows: Rows) -> Rows:
        """Return rows with their best decisions.

        Errors call the rows by their numbers, where they have any, and by their values elsewhere.

        Raises
        ------
        FloatingPointError
            If the best decision of a row has no finite cost.
        """
        known = (rows.y,) if rows.context is None else (rows.y, rows.context)

        def described(i: int) -> str:
            names = ("y", "context")
            return " and ".join(
                f"{name} = {each[i].tolist()}" for name, each in zip(names, known, strict=False)
            )

        try:
            with named_rows(rows.number, len(rows), described):
                best = self._optima.get(
                    known, lambda: self.problem.optimum(rows.y, context=self.context_of(rows))
                )
        except NonFiniteCostError as error:
            i = int(np.flatnonzero(~np.isfinite(error.costs))[0])
            raise FloatingPointError(
                f"{type(self.problem).__name__} gave a cost of {error.costs[i]} to the best "
                f"decision of a row with X = {rows.X[i].tolist()} and y = {rows.y[i].tolist()}."
            ) from error
        return rows.replace(optimum=best)

    def context_of(self, rows: Rows) -> Any:
        """Return the context of rows as the problem's public methods take it."""
        return context_table(self.problem, rows.context)

    def check_costs(self, rows: Rows) -> None:
        """Raise an error where decisions that are best for one row have no cost in another.

        Predictions lead to such decisions as well, and training would fail at the first of them.
        """
        if self.problem._has_every_cost:
            return
        some = rows.take(np.unique(np.linspace(0, len(rows) - 1, _MOST_CHECKED).astype(int)))
        others = some.replace(y=np.roll(some.y, 1, axis=0))
        try:
            there, decisions = np.arange(len(some)), self._best(others)
        except (ValueError, RuntimeError):
            there, decisions = self._best_one_by_one(others)
        if not len(there):
            return
        some, others = some.take(there), others.take(there)
        try:
            self.problem.cost(decisions, some.y, context=self.context_of(some))
        except NoCostError as error:
            raise self._without_cost(error, others.y, some.y) from error

    def _best(self, rows: Rows) -> np.ndarray:
        return self.problem.solve(rows.y, context=self.context_of(rows))

    def _best_one_by_one(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers and best decisions of those rows that have one.

        In the context of another row, some rows have no feasible decision.
        """
        there, decisions = [], []
        for i in range(len(rows)):
            try:
                decisions.append(self._best(rows.take([i]))[0])
                there.append(i)
            except (ValueError, RuntimeError):
                continue
        return np.array(there, dtype=int), np.array(decisions)

    def _without_cost(self, error: NoCostError, predicted: Any, y: Any) -> NoCostError:
        """Return an error about a decision for a row of predictions under the same row of y."""
        i = error.row_number
        return NoCostError.at(
            i,
            error.what,
            f"{error.remedy} Or fit a regressor by TwoStageRegressor, which needs no cost, with a "
            "margin on its predictions.",
            f"Training computes the costs of decisions made from predictions, and decisions of "
            f"{type(self.problem).__name__} may have no cost: the one for y = "
            f"{predicted[i].tolist()} {error.what} where y = {y[i].tolist()} comes true.",
        )

    def measure(self, rows: Rows, seed: int) -> None:
        """Set the unit: the mean regret of the best constant decision on solved rows.

        Where that regret is 0 up to rounding errors, or where that decision has no cost, the unit
        is the mean absolute cost of the best decisions. Losses that need the scale of y get that of
        these rows.
        """
        self._scale = Scale.of(rows.y, rows.weight).scale
        if not Scale.of(rows.y, rows.weight, of_constant=0.0).scale.any():
            return  # parameters that differ by rounding errors at most
        try:
            of, constant = self._constant(rows, seed)
            some = rows.take(of)
            paid = self.problem.cost(constant, some.y, context=self.context_of(some))
        except NoCostError:
            some, paid = rows, rows.optimum.cost
        best, weight = np.asarray(some.optimum.cost), some.weight
        regret = float(np.average(paid - best, weights=weight))
        if regret > 0 and not is_rounding(regret, paid, best, weight=weight):
            self.unit = regret
        else:
            self.unit = float(np.average(np.abs(best), weights=weight)) or 1.0

    def targets(self, rows: Rows) -> np.ndarray:
        """Return the targets (n, k) that the output of the net estimates, in the problem's units.

        Warm starts compare predictions with them.
        """
        return rows.y

    def output_scale(self, rows: Rows, seed: int) -> Scale:
        """Return the scale of the output of a net that is fitted afresh."""
        # A constant target is predicted by its mean: a scale of 0 removes the net's output.
        return Scale.of(rows.y, rows.weight, of_constant=0.0)

    def _constant(self, rows: Rows, seed: int) -> tuple[Any, np.ndarray]:
        """Return an index of rows, and the decisions that are best for them without features.

        Without a context there is a single decision.
        """
        return self._constants.get((rows.y, rows.weight), lambda: self._find_constant(rows, seed))

    def _find_constant(self, rows: Rows, seed: int) -> tuple[Any, np.ndarray]:
        few, most = np.arange(len(rows)), self.problem.most_scenarios
        if most is not None and most < len(few):
            few = named_rng(seed, "scenarios of the unit").choice(few, most, replace=False)
        y, weight = rows.y[few], rows.weight[few]
        if rows.context is None:
            return slice(None), constant_decisions(self.problem, y, weight, None)
        of = np.arange(len(rows))
        if len(of) > _MOST_OF_UNIT:  # each row has its own decision, which takes long
            of = named_rng(seed, "rows of the unit").choice(len(rows), _MOST_OF_UNIT, False)
        context = self.context_of(rows.take(of))
        return of, constant_decisions(self.problem, y, weight, context)

    def regret(self, y_hat: np.ndarray, rows: Rows) -> np.ndarray:
        """Return the exact regret (n,) of decisions made from predictions (n, d).

        Predictions of the members of an ensemble are (K, n, d), and the regret is that of their
        joint decision. It is NaN where a prediction is not finite, and NaN or infinite where a cost
        is.
        """
        known = np.isfinite(y_hat).all(axis=-1)
        if known.ndim == 2:
            known = known.all(axis=0)
        found = np.full(len(known), np.nan)
        if known.any():
            # Nearly always all of them, which need not be copied.
            some = rows if known.all() else rows.take(torch.as_tensor(known).to(rows.y.device))
            y, best = some.y.cpu().numpy(), some.optimum.cost.cpu().numpy()
            try:
                decisions = self._decisions(y_hat[..., known, :], some)
                cost = self.problem.cost(decisions, y, context=self.context_of(some))
                found[known] = cost - best
            except NonFiniteCostError as error:
                found[known] = error.costs - best  # training raises the error
            except NoCostError as error:
                raise self._without_cost(error, _one_of(y_hat[..., known, :]), y) from error
        return found

    def _decisions(self, y_hat: np.ndarray, rows: Rows) -> np.ndarray:
        """Return the decisions (n, k) from the output of a net, (n, d) or (K, n, d)."""
        context = self.context_of(rows)
        if y_hat.ndim == 2:
            return self.problem.solve(y_hat, context=context)
        return averaged_decisions(self.problem, y_hat, context)

    # -- of batches --------------------------------------------------------------------

    def losses(self, y_hat: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss (B,) of each row of a batch."""
        optimum = Optimum(batch["best_decision"], batch["best_cost"])
        context = (batch["context"],) if "context" in batch else ()
        try:
            losses = self.row_loss(y_hat, batch["y"], optimum, *context)
        except NoCostError as error:
            raise self._without_cost(error, y_hat, batch["y"]) from error
        except (TypeError, RuntimeError, AttributeError, ValueError) as error:
            known = optimum.decisions, batch["y"], batch.get("context")
            if is_for_numpy_alone(self.problem, *known):
                raise numpy_costs_error(self.problem, error) from error
            raise
        if losses.shape != optimum.cost.shape:
            raise ValueError(
                f"{type(self.loss).__name__} must return one number per "
                f"row, shape {tuple(optimum.cost.shape)}, got {tuple(losses.shape)}."
            )
        return losses

    def mean_loss(self, y_hat: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted mean loss of a batch, in units of `unit`."""
        losses = self.losses(y_hat, batch)
        if not losses.requires_grad:
            raise ValueError(
                f"{type(self.loss).__name__} for {type(self.problem).__name__} does not depend on "
                "the predictions: torch has nothing to differentiate. A loss or a decision layer "
                "that leaves torch (.detach(), .numpy()) needs its own gradient, see "
                "dfl_sklearn.layers.differentiate_rows."
            )
        # Weights have mean 1, so that the gradient is that of the weighted mean in expectation.
        share = batch["weight"] / (self.unit * len(losses))
        return (share * losses).sum()

    def relaxed_regret(self, y_hat: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Return the regret (n,) through the decision layer, with its graph.

        It is for predictions (n, d), or (K, n, d) of the members of an ensemble, as in
        :meth:`regret`. The best cost is differentiated in y through the layer as well. With a
        constant best decision its slope would be the same (Danskin's theorem), except for kinks at
        that decision.
        """
        layer, regret = self._relaxation
        context = () if rows.context is None else (rows.context,)
        best_cost = self.problem.cost_rows(layer(rows.y, *context), rows.y, *context)
        if y_hat.ndim == 3 and self.problem.decision_average == "decisions":
            decisions = torch.stack([layer(each, *context) for each in y_hat]).mean(dim=0)
            return self.problem.cost_rows(decisions, rows.y, *context) - best_cost
        y_hat = y_hat if y_hat.ndim == 2 else y_hat.mean(dim=0)
        return regret(y_hat, rows.y, rows.optimum._replace(cost=best_cost), *context)

    @cached_property
    def _relaxation(self) -> tuple[nn.Module, RowLoss]:
        """The decision layer and the regret through it, set up once where slopes are needed.

        Where the problem has no default smoothing, that of the loss is used, if it has one.
        """
        try:
            return self.problem.decision_layer(), RegretLoss().bind(self.problem)
        except ValueError:
            smoothing = self.loss.smoothing if isinstance(self.loss, RegretLoss) else None
            if smoothing is None:
                raise
            layer = self.problem.decision_layer(smoothing)
            return layer, RegretLoss(smoothing).bind(self.problem)

    def check_slopes(self, owner: str) -> None:
        """Raise an error, which names who needs slopes, unless regrets have slopes."""
        try:
            _ = self._relaxation
        except (ValueError, NotImplementedError) as error:
            name = type(self.problem).__name__
            raise ValueError(
                f"{owner} moves rows along the slopes of their regret, which are those of a "
                f"decision layer, and {name} has none here, whatever the loss. Use a set that "
                f"weights rows (KLBall, CVaR). The error of {name} about its layer: {error}"
            ) from error


def context_table(problem: DecisionProblem, context: Any) -> Any:
    """Return an arranged context (n, c) as the public methods of the problem take it."""
    if context is None:
        return None
    values = context.cpu().numpy() if isinstance(context, torch.Tensor) else context
    columns = problem.context_columns()
    if columns and isinstance(columns[0], str):
        return pd.DataFrame(values[:, : len(columns)], columns=columns)
    return values


def _one_of(y_hat: np.ndarray) -> np.ndarray:
    """Return predictions (n, d): for the members of an ensemble (K, n, d), their mean."""
    return y_hat if y_hat.ndim == 2 else y_hat.mean(axis=0)
