"""Metrics of decisions made from predictions, and scorers for model selection."""

from ._metrics import (
    d2_regret_score,
    decision_cost,
    infeasible_share,
    normalized_regret,
    regret,
)
from ._scenarios import crps, energy_score
from ._scorers import (
    make_decision_cost_scorer,
    make_infeasible_share_scorer,
    make_regret_scorer,
)

__all__ = [
    "crps",
    "d2_regret_score",
    "decision_cost",
    "energy_score",
    "infeasible_share",
    "make_decision_cost_scorer",
    "make_infeasible_share_scorer",
    "make_regret_scorer",
    "normalized_regret",
    "regret",
]
