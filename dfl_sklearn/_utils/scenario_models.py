"""What any scenario model can be asked for, also one of transformed targets."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from sklearn.compose import TransformedTargetRegressor


def predicts_scenarios(model: Any) -> bool:
    """Return whether a model predicts scenarios beside their mean."""
    return hasattr(model, "predict_scenarios")


def scenario_parts(model: Any, X: Any) -> Iterator[tuple[slice, Any]]:
    """Yield slices of the rows of X with their scenarios, so many at once as memory allows."""
    if hasattr(model, "iter_scenarios"):
        yield from model.iter_scenarios(X)
    else:
        scenarios = model.predict_scenarios(X)
        yield slice(0, len(scenarios.values)), scenarios


class BackTransformed:
    """The scenarios of a TransformedTargetRegressor in the units of y.

    Parameters
    ----------
    estimator : TransformedTargetRegressor
        Fitted.
    inner : scenario model
        At the end of its regressor.
    reaches : callable
        What takes X to what that is given.
    is_vector : bool
        Whether y had one dimension.
    """

    def __init__(
        self,
        estimator: TransformedTargetRegressor,
        inner: Any,
        reaches: Callable[[Any], Any],
        is_vector: bool,
    ) -> None:
        self._estimator = estimator
        self._inner, self._reaches = inner, reaches
        self.is_vector_ = is_vector
        self.risk = getattr(inner, "risk", None)

    def iter_scenarios(self, X: Any) -> Iterator[tuple[slice, Any]]:
        """Yield the scenarios of some rows after the other."""
        for rows, scenarios in scenario_parts(self._inner, self._reaches(X)):
            yield rows, self._back(scenarios)

    def predict_scenarios(self, X: Any) -> Any:
        """Return the scenarios of all rows."""
        return self._back(self._inner.predict_scenarios(self._reaches(X)))

    def _back(self, scenarios: Any) -> Any:
        values = scenarios.values
        table = self._estimator.transformer_.inverse_transform(values.reshape(-1, values.shape[-1]))
        return replace(scenarios, values=table.reshape(values.shape))
