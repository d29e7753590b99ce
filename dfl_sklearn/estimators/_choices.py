"""What parameters that take an object of the package can be, for errors."""

from collections.abc import Callable
from importlib import import_module
from inspect import isabstract
from typing import Any, NamedTuple

from .._utils.checks import instance_hint


class _Choice(NamedTuple):
    """The module of the classes that fit, their base, and what else they must be."""

    module: str
    base: str
    fits: Callable[[type, type], bool] = lambda kind, base: True


CHOICES = {
    "problem": _Choice("dfl_sklearn.problems", "DecisionProblem"),
    "loss": _Choice("dfl_sklearn.losses", "DecisionLoss"),
    "ambiguity_set": _Choice("dfl_sklearn.robust", "AmbiguitySet"),
    "risk": _Choice(
        "dfl_sklearn.robust",
        "AmbiguitySet",
        lambda kind, base: kind.worst_weights is not base.worst_weights,  # type: ignore[attr-defined]
    ),
}


def what_fits(name: str, value: Any) -> str:
    """Say what a parameter can be, and how to make it where a class was given."""
    choice = CHOICES[name]
    module = import_module(choice.module)
    base = getattr(module, choice.base)
    kinds = [getattr(module, each) for each in module.__all__]
    names = sorted(
        kind.__name__
        for kind in kinds
        if isinstance(kind, type)
        and issubclass(kind, base)
        and not isabstract(kind)
        and choice.fits(kind, base)
    )
    if isinstance(value, type) and issubclass(value, base) and choice.fits(value, base):
        return instance_hint(value).strip()
    return f"Choose from {choice.module}: {', '.join(names)}."
