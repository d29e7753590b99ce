"""Scenarios of any scenario model, including models of transformed targets."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.compose import TransformedTargetRegressor

_ROUNDING = 1e-9  # by which an increasing transform may fall, as a share of its range


def predicts_scenarios(model: Any) -> bool:
    """Return whether a model predicts scenarios beside their mean."""
    return hasattr(model, "predict_scenarios")


def scenario_parts(model: Any, X: Any) -> Iterator[tuple[slice, Any]]:
    """Yield slices of the rows of X with their scenarios, as many at once as memory allows."""
    if hasattr(model, "iter_scenarios"):
        yield from model.iter_scenarios(X)
    else:
        scenarios = model.predict_scenarios(X)
        yield slice(0, len(scenarios.values)), scenarios


def values_and_weight(given: Any, weight: Any, name: str) -> tuple[Any, Any]:
    """Return the values and weights of Scenarios; anything else as it is, with the weights given.

    Raises
    ------
    ValueError
        If scenarios come with weights of their own and others are given.
    """
    values, own = getattr(given, "values", None), getattr(given, "weight", None)
    if not (isinstance(values, np.ndarray) and isinstance(own, np.ndarray) and values.ndim == 3):
        return given, weight
    if weight is not None:
        raise ValueError(
            f"{name} holds scenarios with their weights: leave scenario_weight= out, or give "
            "scenarios.values."
        )
    return values, own


class BackTransformed:
    """The scenarios of a TransformedTargetRegressor in the units of y.

    Parameters
    ----------
    estimator : TransformedTargetRegressor
        Fitted.
    inner : scenario model
        The last step of its regressor.
    reaches : callable
        Transforms X to the features that `inner` is given.
    maker : scenario model
        The model that makes the scenarios which `inner` returns.

    Raises
    ------
    ValueError
        If some y were said to be lower bounds, which the transform turns into upper ones.
    """

    def __init__(
        self,
        estimator: "TransformedTargetRegressor",
        inner: Any,
        reaches: Callable[[Any], Any],
        maker: Any,
    ) -> None:
        self._estimator = estimator
        self._inner, self._reaches = inner, reaches
        self.scenario_model = getattr(maker, "scenario_model", maker)
        # Of y, whose single column does not reach the regressor as one.
        self.is_vector_ = getattr(estimator, "_training_dim", 2) == 1
        self.risk = getattr(inner, "risk", None)
        self._bounded_targets = self._in_units_of_y(maker)

    def _in_units_of_y(self, maker: Any) -> np.ndarray | None:
        """Return the targets, increasing, of a model some of whose targets are lower bounds."""
        given = getattr(maker, "_bounded_targets", None)
        if given is None:
            return None
        back = self._estimator.transformer_.inverse_transform(given[:, None])
        found = np.asarray(back, dtype=np.float64).ravel()
        falls = np.flatnonzero(np.diff(found) < -_ROUNDING * np.ptp(found))
        if not len(falls):
            return found
        i = int(falls[0])
        name = type(self.scenario_model).__name__
        raise ValueError(
            f"censored says that some y are lower bounds, and the transform around {name} is not "
            f"increasing: it takes y = {found[i]:.6g} to {given[i]:.6g} and the smaller y = "
            f"{found[i + 1]:.6g} to {given[i + 1]:.6g}, so that lower bounds become upper ones. "
            "Take an increasing transform, such as the logarithm."
        )

    def iter_scenarios(self, X: Any) -> Iterator[tuple[slice, Any]]:
        """Yield slices of the rows with their scenarios."""
        for rows, scenarios in scenario_parts(self._inner, self._reaches(X)):
            yield rows, self._back(scenarios, rows.start)

    def predict_scenarios(self, X: Any) -> Any:
        """Return the scenarios of all rows."""
        return self._back(self._inner.predict_scenarios(self._reaches(X)))

    def _back(self, scenarios: Any, first_row: int = 0) -> Any:
        values = scenarios.values
        flat = values.reshape(-1, values.shape[-1])
        table = np.asarray(self._estimator.transformer_.inverse_transform(flat))
        bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
        if len(bad):
            i, s = divmod(int(bad[0]), values.shape[1])
            raise ValueError(
                f"The inverse transform of TransformedTargetRegressor takes scenario {s} of row "
                f"{first_row + i} of X, {values[i, s].tolist()}, to {table[bad[0]].tolist()}. Take "
                "one that is defined for all numbers, or LocalScenarios, of values that have been "
                "observed."
            )
        return replace(scenarios, values=table.reshape(values.shape))
