"""Planned and realised costs of rows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from .._utils.rows import as_numpy_rows
from ..problems.base import DecisionProblem
from .plans import Plans


@dataclass(frozen=True)
class Outcomes:
    """Rows with the plans of a model that has not seen them, and their outcomes.

    Attributes
    ----------
    X : array-like of shape (n, p)
    planned, realised : ndarray of shape (n,)
        Planned and realised costs of the plain decision.
    prediction : ndarray of shape (n, d) or None
    y : ndarray of shape (n, d)
    context : ndarray of shape (n, c) or None
    problem : DecisionProblem
    weight : ndarray of shape (n,)
    is_weighted : bool
        Whether weights were given.
    fold : ndarray of shape (n,)
        Rows of a fold were predicted by one model.
    """

    X: Any
    planned: np.ndarray
    realised: np.ndarray
    prediction: np.ndarray | None
    y: np.ndarray
    context: np.ndarray | None
    problem: DecisionProblem
    weight: np.ndarray
    is_weighted: bool
    fold: np.ndarray

    @classmethod
    def of(
        cls, plans: Plans, X: Any, y: np.ndarray, weight: np.ndarray | None, fold: int = 0
    ) -> "Outcomes":
        """Return the outcomes of plans."""
        n = len(plans.planned)
        return cls(
            X,
            plans.planned,
            plans.realised(y),
            plans.prediction,
            as_numpy_rows(y, "y").astype(np.float64, copy=False),
            plans.context_rows,
            plans.problem,
            np.ones(n) if weight is None else weight,
            weight is not None,
            np.full(n, fold),
        )

    @staticmethod
    def together(parts: list["Outcomes"], places: list[np.ndarray], X: Any) -> "Outcomes":
        """Return outcomes of several folds in the order of X; `places` holds their positions.

        Rows of no fold, and those of weight 0, are left out.
        """
        at = np.concatenate(places)
        order = np.argsort(at, kind="stable")

        def joined(name: str) -> Any:
            arrays = [getattr(each, name) for each in parts]
            return None if arrays[0] is None else np.concatenate(arrays)[order]

        names = ("planned", "realised", "prediction", "y", "context", "weight", "fold")
        whole = replace(parts[0], **{name: joined(name) for name in names})
        kept = np.flatnonzero(whole.weight > 0)
        return whole.take(kept, _safe_indexing(X, at[order][kept]))

    def take(self, rows: np.ndarray, X: Any) -> "Outcomes":
        """Return the outcomes of some rows, whose features are given."""
        names = ("planned", "realised", "y", "weight", "fold")
        parts = {name: getattr(self, name)[rows] for name in names}
        for name in ("prediction", "context"):
            whole = getattr(self, name)
            parts[name] = None if whole is None else whole[rows]
        return replace(self, X=X, **parts)

    @property
    def errors(self) -> np.ndarray:
        """Realised costs less planned ones."""
        return self.realised - self.planned

    @property
    def given_weight(self) -> np.ndarray | None:
        """The weights, or None where none were given."""
        return self.weight if self.is_weighted else None
