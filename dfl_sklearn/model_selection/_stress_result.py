"""The result of a stress test: levels of regret, the rows behind them, and moved columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._utils.checks import whole_number
from ._stressed_model import Outcome
from ._table_form import TableForm

if TYPE_CHECKING:
    from ..robust import DiffusionGenerator


@dataclass(frozen=True, eq=False, repr=False)
class StressTestResult:
    """The regret of models under the worst distributions near a diffusion model.

    :func:`stress_test` returns such an object. It can be pickled. It holds no real rows, except for
    the columns of the context, which generated rows take from real ones.

    Attributes
    ----------
    generator : DiffusionGenerator
        The fitted model of the rows. Pass it to another :func:`stress_test` to avoid a new fit.
    radii : tuple of float
        The radii in nats, as given.
    estimators : tuple of str
        Names of the models.
    projected_share : float
        Share of the generated rows whose parameters were projected into the problem's domain.
    group_regret : DataFrame or None
        Mean regret of each model in each group of the real rows, and the total weight of the group,
        which is its number of rows where no weights are given.

    See Also
    --------
    stress_test : Make the result.
    dfl_sklearn.inspection.StressTestDisplay : Draw it.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.model_selection import stress_test
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionGenerator
    >>> X, y = make_newsvendor(600, random_state=0)
    >>> result = stress_test(
    ...     LinearRegression().fit(X[:300], y[:300]),
    ...     X[300:],
    ...     y[300:],
    ...     problem=NewsvendorProblem(9, 1),
    ...     radius=0.1,
    ...     generator=DiffusionGenerator(max_iter=10),
    ...     n_samples=2000,
    ...     random_state=0,
    ... )
    >>> bool((result.to_frame()["worst"] > result.to_frame()["nominal"]).all())
    True
    >>> rows = result.worst_rows(3)
    >>> bool((rows["y"] > rows["decision"]).all())  # orders were too small there
    True
    """

    generator: "DiffusionGenerator"
    radii: tuple[float, ...]
    estimators: tuple[str, ...]
    projected_share: float
    group_regret: pd.DataFrame | None
    _levels: pd.DataFrame
    _form: TableForm
    _values: np.ndarray
    _y: np.ndarray
    _y_names: list[Any]
    _outcomes: Mapping[str, Outcome]
    _weights: Mapping[str, np.ndarray]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(estimators={list(self.estimators)}, radii={list(self.radii)}, "
            f"n_samples={len(self._values)})"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the levels of regret, with a line for each model and radius.

        Returns
        -------
        DataFrame
            The columns are ``estimator`` and ``radius``; the mean regret on the given rows
            (``real``), under the generator (``nominal``) and under the worst distribution within
            the radius of it (``worst``); the ``divergence`` reached and the
            ``effective_sample_size``; the largest mean regret over weightings of the given rows
            (``real_cvar``, ``real_kl``, ``real_chi_square`` and ``real_total_variation``); and with
            groups, ``worst_group`` and ``worst_group_regret``.
        """
        return self._levels.copy()

    def worst_weight(
        self, *, radius: float | None = None, estimator: str | None = None
    ) -> np.ndarray:
        """Return the weights (n_samples,) of the generated rows in the worst distribution.

        Parameters
        ----------
        radius : float, default=None
            One of `radii`; None is the largest.
        estimator : str, default=None
            Name of the model; not needed where there is only one.

        Returns
        -------
        ndarray of shape (n_samples,)
            The weights, which sum to 1.
        """
        return self._weights[self._name(estimator)][self._place(radius)].copy()

    def worst_rows(
        self, n: int = 10, *, radius: float | None = None, estimator: str | None = None
    ) -> pd.DataFrame:
        """Return the generated rows that make up most of the worst regret.

        Parameters
        ----------
        n : int, default=10
            Number of rows. Those with the largest product of weight and regret are returned.
        radius : float, default=None
            One of `radii`; None is the largest.
        estimator : str, default=None
            Name of the model; not needed where there is only one.

        Returns
        -------
        DataFrame
            The columns of X and y in their units, with the model's decision, its cost and regret,
            and the weight of the row.
        """
        whole_number(n, "n", at_least=1)
        name = self._name(estimator)
        weight, outcome = self._weights[name][self._place(radius)], self._outcomes[name]
        order = np.argsort(-weight * outcome.regret, kind="stable")[:n]
        k = outcome.decisions.shape[1]
        decision = ["decision"] if k == 1 else [f"decision{j}" for j in range(k)]
        more = [*self._y_names, *decision, "cost", "regret", "weight"]
        values = [
            *self._y[order].T,
            *outcome.decisions[order].T,
            *(outcome.cost[order], outcome.regret[order], weight[order]),
        ]
        rows = pd.DataFrame(self._form.back(self._values[order]))
        rows.columns = pd.Index(self._form.columns)
        for label, column in zip(more, values, strict=True):
            rows[_unlike(label, rows.columns)] = column
        return rows

    def moved_columns(
        self, *, radius: float | None = None, estimator: str | None = None
    ) -> pd.DataFrame:
        """Return in which columns the worst distribution differs from the nominal one.

        Parameters
        ----------
        radius : float, default=None
            One of `radii`; None is the largest.
        estimator : str, default=None
            Name of the model; not needed where there is only one.

        Returns
        -------
        DataFrame
            A line for each column of X and y, those that moved most first: ``shift``, the change of
            the mean in nominal standard deviations; ``spread``, the standard deviation as a
            multiple of the nominal one; and both means. For a constant column, shift and spread are
            0 and 1. A column of words has a line for each word, whose mean is its share.
        """
        weight = self.worst_weight(radius=radius, estimator=estimator)
        labels, features = self._form.measured(self._values)
        table = np.concatenate([features, self._y], axis=1)
        varies = table.max(axis=0) > table.min(axis=0)
        means = np.where(varies, table.mean(axis=0), table[0])
        spreads = np.where(varies, table.std(axis=0), 1.0)
        excess = (table - means) / spreads
        shift = weight @ excess
        spread = np.sqrt(weight @ (excess - shift) ** 2)
        for each in self._y_names:
            labels.append(_unlike(each, labels))
        found = pd.DataFrame(
            {
                "shift": np.where(varies, shift, 0.0),
                "spread": np.where(varies, spread, 1.0),
                "nominal_mean": means,
                "worst_mean": np.where(varies, means + shift * spreads, means),
            },
            index=pd.Index(labels, name="column"),
        )
        return found.iloc[np.argsort(-found["shift"].abs().to_numpy(), kind="stable")]

    def _place(self, radius: float | None) -> int:
        if radius is None:
            return int(np.argmax(self.radii))
        if radius not in self.radii:
            raise ValueError(f"radius={radius!r} was not tested; radii are {list(self.radii)}.")
        return self.radii.index(radius)

    def _name(self, estimator: str | None) -> str:
        if estimator is None and len(self.estimators) == 1:
            return self.estimators[0]
        if estimator not in self.estimators:
            raise ValueError(
                f"estimator must be one of {list(self.estimators)}, got {estimator!r}."
            )
        return estimator


def _unlike(label: Any, taken: Any) -> Any:
    """Return a label that no other column has, by appending underscores."""
    while label in taken:
        label = f"{label}_"
    return label
