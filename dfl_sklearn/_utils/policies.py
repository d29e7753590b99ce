"""Estimators whose predictions are decisions rather than parameters."""

from typing import Any


def policy_in(estimator: Any) -> Any:
    """Return an estimator that predicts decisions: this one, or one among its parameters.

    Return None if there is none. `predict` then returns parameters.
    """
    if getattr(estimator, "predicts_decisions", False):
        return estimator
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        return None
    for value in estimator.get_params(deep=True).values():
        if not isinstance(value, type) and getattr(value, "predicts_decisions", False):
            return value
    return None


def refuse_policy(estimator: Any, owner: str, instead: str) -> None:
    """Raise a ValueError if an estimator's predictions would be taken for parameters.

    Parameters
    ----------
    estimator : estimator
    owner : str
        What would take the predictions for parameters.
    instead : str
        What to do instead, for the end of the message.
    """
    policy = policy_in(estimator)
    if policy is not None:
        what = type(policy).__name__
        within = "" if policy is estimator else f", inside a {type(estimator).__name__},"
        raise ValueError(
            f"{what}{within} predicts decisions, and {owner} would take them for predicted "
            f"parameters. {instead}"
        )
