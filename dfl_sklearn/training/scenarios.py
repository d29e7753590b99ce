"""The objective of scenario models: the cost of decisions over their scenarios."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.utils import _safe_indexing
from torch import nn

from .._utils.checks import whole_number
from .._utils.memory import check_rows
from ..learners.continued import ContinuedNet
from ..learners.scaling import Scale
from ..losses.base import DecisionLoss, RowLoss
from ..losses.regret import RegretLoss
from ..losses.score_function import ScoreFunctionLoss
from ..problems.base import DecisionProblem
from ..rows import Optimum, Rows
from ..scenarios._scenario_net import ScenarioNet
from .objective import Objective

_NUMBERS_AT_ONCE = 2**22  # numbers of scenarios in memory at the same time


class ScenarioObjective(Objective):
    """A problem, and a net of a scenario model: decisions are taken over its scenarios.

    Parameters
    ----------
    problem : DecisionProblem
    loss : RegretLoss, ScoreFunctionLoss or None
        Whether gradients go through the scenarios or through their density. None is the first where
        the problem has a `scenario_layer`, else the second.
    net : ScenarioNet
        Fitted.
    """

    def __init__(
        self, problem: DecisionProblem, loss: DecisionLoss | None, net: ScenarioNet
    ) -> None:
        super().__init__(problem, _loss_of(problem, loss))
        self.predictor = ContinuedNet(net)

    @property
    def net(self) -> ScenarioNet:
        """The net in training."""
        return self.predictor.latest

    @cached_property
    def row_loss(self) -> RowLoss:
        """The regret of decisions, as a function of the output of the net."""
        if isinstance(self.loss, RegretLoss):
            return self._through_scenarios(self.problem.scenario_layer(self.loss.smoothing))
        layer, rng = _layer_of(self.problem), np.random.default_rng(self.loss.random_state)
        if getattr(layer, "weights_have_slopes", False):
            return self._through_density(layer, rng)
        return self._through_sets(self.loss.n_samples, rng)

    def _through_scenarios(self, layer: nn.Module) -> RowLoss:
        def regret(
            conditions: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            values, weight = self.net.draws(conditions)
            decisions = layer(self._in_domain(values), weight, *_known(context))
            return self.problem.cost_rows(decisions, y, context) - optimum.cost

        return regret

    def _through_density(self, layer: Any, rng: np.random.Generator) -> RowLoss:
        # The slope of the regret in the weight of a draw is -v' K^-1 dg(z, y_m), with v the slope
        # of the cost in the decision, and K the matrix of the optimality conditions, which the
        # layer has. A change of p(y_m) changes that weight. Since weights sum to 1, a constant may
        # be subtracted: the mean of the other draws, which does not depend on y_m.
        def regret(
            conditions: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            S = max(2, self.net.n_scenarios)
            drawn = self._drawn(conditions, S, rng)
            with torch.enable_grad():
                share = torch.full_like(drawn[..., 0], 1.0 / S, requires_grad=True)
                decisions = layer(self._in_domain(drawn), share, *_known(context))
                cost = self.problem.cost_rows(decisions, y, context)
                (slopes,) = torch.autograd.grad(cost.sum(), share)
            pull = (slopes - slopes.mean(dim=1, keepdim=True)) / (S - 1)
            score = (pull * self.net.score_of(conditions, drawn, rng)).sum(dim=1)
            return cost.detach() - optimum.cost + (score - score.detach())

        return regret

    def _through_sets(self, K: int, rng: np.random.Generator) -> RowLoss:
        def regret(
            conditions: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            (B, d), S = y.shape, self.net.n_scenarios
            check_rows("n_samples", K, 4 * B * S * d)
            drawn = self._drawn(conditions, K * S, rng)
            rows = torch.arange(B, device=y.device).repeat_interleave(K)
            there = None if context is None else context[rows]
            sets = self._in_domain(drawn).reshape(B * K, S, d).cpu().numpy()
            known = None if there is None else there.cpu().numpy()
            found = self.problem.solve_scenarios(sets, np.full(sets.shape[:2], 1.0 / S), known)
            decisions = torch.as_tensor(found, dtype=y.dtype, device=y.device)
            cost = self.problem.cost_rows(decisions, y[rows], there).reshape(B, K)
            mean = cost.mean(dim=1)
            log_density = self.net.score_of(conditions, drawn, rng).reshape(B, K, S).sum(dim=2)
            score = ((cost - mean[:, None]) * log_density).sum(dim=1) / (K - 1)
            return mean - optimum.cost + (score - score.detach())

        return regret

    def _drawn(self, conditions: torch.Tensor, n: int, rng: np.random.Generator) -> torch.Tensor:
        with torch.no_grad():
            return self.net.sample(conditions.detach(), n, rng)

    def output_scale(self, rows: Rows, seed: int) -> Scale:
        """Return the identity scale, as the net works in the units of y."""
        return Scale.identity(self.net.n_conditions)

    def _in_domain(self, values: torch.Tensor) -> torch.Tensor:
        """Return scenarios (B, S, d) projected into the domain; moved ones have no slopes."""
        table = values.detach().cpu().numpy().reshape(-1, values.shape[-1])
        if not np.isfinite(table).all():
            raise FloatingPointError(
                "The net has drawn scenarios that are not finite: its weights have diverged. Lower "
                "learning_rate_init."
            )
        found = self.problem.project_parameters(table)[0].reshape(values.shape)
        inside = torch.as_tensor(found, dtype=values.dtype, device=values.device)
        return torch.where(inside == values, values, inside)

    def _decisions(self, y_hat: np.ndarray, rows: Rows) -> np.ndarray:
        """Return the decisions (n, k) over the scenarios for the output (n, c) of the net."""
        net, context, found = self.net, self.context_of(rows), []
        step = max(1, _NUMBERS_AT_ONCE // (net.n_scenarios * net.n_outputs))
        for start in range(0, len(y_hat), step):
            part = slice(start, min(start + step, len(y_hat)))
            with torch.no_grad():
                values, weight = net.draws(torch.as_tensor(y_hat[part]))
            found.append(
                self.problem.solve(
                    self._in_domain(values).numpy(),
                    context=None if context is None else _safe_indexing(context, part),
                    scenario_weight=weight.numpy(),
                )
            )
        return np.concatenate(found)


def _known(context: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    return () if context is None else (context,)


def _layer_of(problem: DecisionProblem) -> nn.Module | None:
    """Return the default scenario layer of a problem, or None."""
    try:
        return problem.scenario_layer()
    except (ValueError, NotImplementedError):
        return None


def _loss_of(problem: DecisionProblem, loss: DecisionLoss | None) -> Any:
    """Return the loss; the default is one for which the problem has slopes."""
    if loss is None:
        return ScoreFunctionLoss() if _layer_of(problem) is None else RegretLoss()
    if isinstance(loss, ScoreFunctionLoss):
        whole_number(loss.n_samples, "n_samples", at_least=2)
        whole_number(loss.random_state, "random_state", at_least=0)
    elif not isinstance(loss, RegretLoss):
        raise TypeError(
            f"loss={type(loss).__name__}() is for predictions of y, and the predictor is a "
            "scenario model: train it on RegretLoss(), through its scenarios, or on "
            "ScoreFunctionLoss(), through their density."
        )
    return loss
