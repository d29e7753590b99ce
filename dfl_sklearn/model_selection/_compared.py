"""Checks of what is compared: estimators, the problem they share, and further test rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._utils.checks import instance_hint
from .._utils.innermost import innermost_unfitted
from .._utils.rows import as_numpy_rows, check_finite, column_names, refuse_other_order
from .._utils.sklearn_private import _num_samples, _routing_enabled
from .._utils.wrapping import takes_weights
from ..problems.base import DecisionProblem
from ._trials import HeldOutRows, noted

INCUMBENT = "incumbent"


def checked_estimators(
    estimators: Any, *, has_weights: bool, has_incumbent: bool
) -> dict[str, Any]:
    """Return estimators by name, or raise an error that names the one that cannot be compared."""
    wanted = "estimators must be a dict or a list of (name, estimator)"
    pairs = list(estimators.items()) if isinstance(estimators, Mapping) else estimators
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise ValueError(f"{wanted}, at least one, got {estimators!r}.")
    named: dict[str, Any] = {}
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise ValueError(f"{wanted}, got {pair!r} in it.")
        name, estimator = pair
        if name in named:
            raise ValueError(f"Two of the estimators are called {name!r}.")
        if name == INCUMBENT and has_incumbent:
            raise ValueError(
                f"An estimator is called {name!r}, which is the name of the decisions given as "
                "incumbent=. Give it another name."
            )
        decides = hasattr(estimator, "predict") or hasattr(estimator, "decide")
        if isinstance(estimator, type) or not (hasattr(estimator, "fit") and decides):
            raise ValueError(f"{wanted}; {name!r} is {estimator!r}, which is not an estimator.")
        named[name] = estimator
    frozen = {name: _is_frozen(each) for name, each in named.items()}
    if len({*frozen.values()}) > 1:
        fixed, fitted = (next(n for n, f in frozen.items() if f == kind) for kind in (True, False))
        raise ValueError(
            f"{fixed!r} holds a frozen model and {fitted!r} is fitted anew for each split: the "
            "frozen one may have seen the rows that it is tested on. Compare frozen models with "
            "each other, on rows that none of them has seen, or give all of them unfitted."
        )
    for name, each in named.items():
        if has_weights and not (takes_weights(each) or _routing_enabled() or frozen[name]):
            raise ValueError(
                f"sample_weight was given, but {name!r}, {type(each).__name__}, does not take it "
                "in fit. (Weights for a step of a Pipeline are routed with "
                "sklearn.set_config(enable_metadata_routing=True).)"
            )
    return named


def _is_frozen(estimator: Any) -> bool:
    parts = [estimator]
    if hasattr(estimator, "get_params"):
        parts.extend(estimator.get_params(deep=True).values())
    return any(isinstance(each, FrozenEstimator) for each in parts)


def common_problem(named: Mapping[str, Any], problem: DecisionProblem | None) -> DecisionProblem:
    """Return the problem that defines costs: the one given, or that of the estimators."""
    if problem is not None:
        if not isinstance(problem, DecisionProblem):
            raise TypeError(
                f"problem must be a DecisionProblem instance, got {problem!r}."
                f"{instance_hint(problem)}"
            )
        return problem
    found: dict[str, DecisionProblem] = {}
    for name, each in named.items():
        inner = innermost_unfitted(each)
        own = getattr(inner, "problem", None)
        if own is None and hasattr(inner, "_resolve_problem"):
            own = inner._resolve_problem()
        if own is not None:
            found[name] = own
    if not found:
        raise ValueError("None of the estimators has a decision problem: give one as problem=.")
    first, *others = found
    for name in others:
        if not _same(found[first], found[name]):
            raise ValueError(
                f"{first!r} and {name!r} have different problems, {found[first]!r} and "
                f"{found[name]!r}: costs must be measured in one. Give it as problem=."
            )
    return found[first]


def _same(one: Any, other: Any) -> bool:
    """Return whether two parameters are the same: of one type, with the same values."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if hasattr(one, "get_params") and hasattr(other, "get_params"):
        mine, its = one.get_params(deep=False), other.get_params(deep=False)
        return mine.keys() == its.keys() and all(_same(mine[key], its[key]) for key in mine)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    try:
        return bool(np.array_equal(one, other))
    except (TypeError, ValueError):
        return False


def observed_rows(y: Any, problem: DecisionProblem, name: str) -> np.ndarray:
    """Return observed parameters (n, d), checked."""
    observed = as_numpy_rows(y, name)
    if not len(observed):
        raise ValueError(f"{name} has no rows.")
    check_finite(observed, name)
    problem.check_parameters(observed)
    return observed


def decisions_taken(incumbent: Any, n_rows: int) -> np.ndarray:
    """Return the decisions that were really taken, (n, k)."""
    taken = as_numpy_rows(incumbent, "incumbent")
    if len(taken) != n_rows:
        raise ValueError(
            f"incumbent has {len(taken)} rows and X has {n_rows}: give the decision that was "
            "taken for each row."
        )
    check_finite(taken, "incumbent")
    return taken


def shift_rows(shifts: Any, X: Any, y: Any, problem: DecisionProblem) -> list[HeldOutRows]:
    """Return the further test sets, with the columns of X and y."""
    wanted = "shifts must be a dict of names to (X, y)"
    if not isinstance(shifts, Mapping) or not shifts:
        raise ValueError(f"{wanted}, got {shifts!r}.")
    found, n_outputs = [], as_numpy_rows(y, "y").shape[1]
    for name, pair in shifts.items():
        if not (isinstance(name, str) and isinstance(pair, tuple) and len(pair) == 2):
            raise ValueError(f"{wanted}, got {name!r}: {pair!r}.")
        X_shift, what = pair[0], f"the shift {name!r}"
        with noted(f"In y of {what}."):
            y_shift = observed_rows(pair[1], problem, f"y of {what}")
            refuse_other_order(pair[1], f"y of {what}", column_names(y), "in y")
        rows = _num_samples(X_shift)
        if rows != len(y_shift):
            raise ValueError(f"X of {what} has {rows} rows and y has {len(y_shift)}.")
        if y_shift.shape[1] != n_outputs:
            raise ValueError(f"y of {what} has {y_shift.shape[1]} columns and y has {n_outputs}.")
        _check_columns(X_shift, X, what)
        found.append(HeldOutRows(name, what, X_shift, y_shift, np.arange(rows)))
    return found


def _check_columns(X_shift: Any, X: Any, what: str) -> None:
    """Raise a ValueError that names columns which X or a shift has and the other lacks."""
    own, its = column_names(X), column_names(X_shift)
    if own is not None and its is not None and own != its:
        missing, other = ([e for e in a if e not in b] for a, b in ((own, its), (its, own)))
        differ = f"it lacks {missing} and has {other} in addition"
        if not missing and not other:
            differ = "they are in another order"
        raise ValueError(f"X of {what} has other columns than X: {differ}.")
    width, its_width = (
        each.shape[1:] if hasattr(each, "shape") else np.shape(each[0]) for each in (X, X_shift)
    )
    if width != its_width:
        raise ValueError(f"X of {what} has rows of shape {its_width}, and X of shape {width}.")
