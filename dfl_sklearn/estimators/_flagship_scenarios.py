"""The flagship over scenarios: what it is made of, and what it then lacks."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from .._utils.holdout import is_given
from .._utils.sklearn_private import _routing_enabled
from ..robust.divergences import KLBall
from ..robust.generator import DiffusionGenerator
from ..scenarios.diffusion import DiffusionScenarios
from .two_stage import TwoStageRegressor

# Parameters that concern the net of a point alone, and are None or False unless asked for.
_OF_THE_NET = ("search", "predictor", "loss", "callbacks", "warm_start")
# What a fit for a point leaves, and one over scenarios does not.
OF_A_POINT = (
    "predictor_",
    "x_scale_",
    "y_scale_",
    "best_epoch_",
    "ambiguity_set_",
    "worst_case_",
)


def two_stage_model(owner: Any, generator: DiffusionGenerator, memory: Any) -> TwoStageRegressor:
    """Return what predicts and decides over scenarios, with an owner's parameters; unfitted."""
    scenarios = DiffusionScenarios(
        generator,
        n_scenarios=owner.n_scenarios,
        n_estimators=owner.n_estimators,
        memory=memory,
        random_state=owner.random_state,
        verbose=owner.verbose,
    )
    if _routing_enabled():
        scenarios.set_fit_request(sample_weight=True)
    return TwoStageRegressor(
        scenarios,
        owner.problem,
        context=owner.context,
        context_is_feature=owner.context_is_feature,
        risk=KLBall(owner.radius),
        risk_of="regret",
    )


def joined_history(generators: Sequence[DiffusionGenerator]) -> pd.DataFrame:
    """Return the epochs of all generators, one after the other, and whose each is."""
    histories = [each.history_.assign(generator=j) for j, each in enumerate(generators)]
    return pd.concat(histories, ignore_index=True)


def refuse_options_of_the_net(owner: Any, held_out: tuple[Any, Any, Any]) -> None:
    """Raise a ValueError that names what would have no effect on a fit over scenarios."""
    refused = [name for name in _OF_THE_NET if getattr(owner, name)]
    refused += ["X_val"] if is_given(*held_out) else []
    if refused:
        raise ValueError(
            f'{", ".join(refused)} would have no effect: with decision="scenarios" no '
            'predictor is trained. Leave it out, or set decision="point".'
        )


def decides_from(decision: str) -> Callable[[Any], bool]:
    """Return what tells of an estimator whether it decides from a point, or from scenarios.

    It is that of the last fit, and before one that of the parameters. Where it is the other one,
    an AttributeError says so.
    """

    def check(owner: Any) -> bool:
        now = owner.decision
        if "estimator_" in vars(owner):
            now = "scenarios"
        elif "predictor_" in vars(owner):
            now = "point"
        if now == decision:
            return True
        where = "that of each row: worst_case_decisions(X)" if now == "scenarios" else "worst_case_"
        raise AttributeError(
            f'This needs decision="{decision}", and this model has decision="{now}". '
            f"The worst case is {where}."
        )

    return check
