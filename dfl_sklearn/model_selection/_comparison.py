"""The result of a comparison of decisions."""

import numpy as np
import pandas as pd

from .._utils.checks import number
from .._utils.rounding import is_rounding, real_difference
from ._paired import paired_mean, rows_to_tell_apart

_NOTHING = 1e-12  # best costs this small, relative to regrets, are rounding errors


class DecisionComparison:
    """The costs of the decisions of several estimators, row by row.

    :func:`compare_decisions` returns such an object. All arguments are stored as attributes. Its
    repr is the table of :meth:`to_frame`.

    Parameters
    ----------
    costs : DataFrame of shape (n, m)
        Cost of the decision of each estimator, and of the incumbent, for each row of X, with the
        index of X or y. NaN where a row was in no test set; the mean where it was in several.
    best_cost : Series of shape (n,)
        Cost of the best decision for each row in hindsight, NaN where it was in no test set.
    weight : ndarray of shape (n,)
        Sample weights, all 1 where none were given.
    block : ndarray of shape (n,)
        Number of the block of each row, -1 where it was in no test set.
    reference : str
        Name of the estimator, or "incumbent", that the others are compared with.
    confidence_level : float
        Probability that an interval contains the true difference.
    fit_seconds : Series of shape (m,)
        Mean time of a fit in seconds, on the core where it ran; NaN for the incumbent.
    shift_costs, shift_regrets : DataFrame of shape (m, n_shifts), default=None
        Mean cost and mean regret on each of the shifts, of models fitted on all rows.
    n_repeats : int, default=1
        Largest number of test sets that a row was in.
    interrupted : bool, default=False
        Whether Ctrl-C ended the comparison, so that rows or estimators are missing.

    Attributes
    ----------
    regrets : DataFrame of shape (n, m)
        Cost of each row's decision less that of the best one.
    n_blocks : int
        Number of blocks whose rows have a weight.

    See Also
    --------
    dfl_sklearn.inspection.DecisionComparisonDisplay : Draw it.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression, QuantileRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.model_selection import compare_decisions
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(200, random_state=0)
    >>> found = compare_decisions(
    ...     {"mean": LinearRegression(), "quantile": QuantileRegressor(quantile=0.9, alpha=0)},
    ...     *(X, y),
    ...     problem=NewsvendorProblem(9, 1),
    ... )
    >>> found.regrets.mean().round(2).to_dict()
    {'mean': 5.81, 'quantile': 3.46}
    """

    def __init__(
        self,
        *,
        costs: pd.DataFrame,
        best_cost: pd.Series,
        weight: np.ndarray,
        block: np.ndarray,
        reference: str,
        confidence_level: float,
        fit_seconds: pd.Series,
        shift_costs: pd.DataFrame | None = None,
        shift_regrets: pd.DataFrame | None = None,
        n_repeats: int = 1,
        interrupted: bool = False,
    ) -> None:
        self.costs = costs
        self.best_cost = best_cost
        self.weight = weight
        self.block = block
        self.reference = reference
        self.confidence_level = confidence_level
        self.fit_seconds = fit_seconds
        self.shift_costs = shift_costs
        self.shift_regrets = shift_regrets
        self.n_repeats = n_repeats
        self.interrupted = interrupted

    def __repr__(self) -> str:
        table = self.to_frame().dropna(axis=1, how="all")
        if "normalized_regret" in table:
            table = table.drop(columns="relative_regret", errors="ignore")
        times = "once" if self.n_repeats == 1 else f"{self.n_repeats} times"
        counted = int(self._counted.sum())
        what = (
            f"Decisions for {counted} of {len(self.costs)} rows, each held out {times}"
            f"{', interrupted' if self.interrupted else ''}. Differences to {self.reference!r}, "
            f"{100 * self.confidence_level:g} % intervals over "
            f"{'rows' if self.n_blocks == counted else f'{self.n_blocks} blocks'}:"
        )
        text = table.to_string(
            float_format=lambda x: f"{x:.4g}", formatters={"more_rows": _whole}, na_rep=""
        )
        return f"{what}\n{text}"

    @property
    def regrets(self) -> pd.DataFrame:
        """Cost of each row's decision less that of the best one."""
        return self.costs.sub(self.best_cost, axis=0)

    @property
    def n_blocks(self) -> int:
        """Number of blocks whose rows have a weight."""
        return len(np.unique(self.block[self._counted]))

    @property
    def _counted(self) -> np.ndarray:
        """Whether each row counts: it was in a test set, and has a weight."""
        return (self.block >= 0) & (self.weight > 0)

    def to_frame(self) -> pd.DataFrame:
        """Return the table, with a line for each estimator and for the incumbent.

        Returns
        -------
        DataFrame
            A table with the columns

            - ``mean_cost`` and ``mean_regret``, weighted, in the unit of the cost;
            - ``normalized_regret``, the total regret as a share of the total absolute cost of the
              best decisions; NaN where these cost nothing;
            - ``relative_regret``, the total regret as a share of that of the reference;
            - ``price``, the cost less that of the reference, as a share of the absolute cost of
              the reference;
            - ``difference``, ``low``, ``high`` and ``more_rows``, see :meth:`differences`;
            - ``fit_seconds``, the mean time of a fit;
            - ``worst_shift_cost`` and ``worst_shift_regret``, where there are shifts: the largest
              mean of a shift.
        """
        counted, reference = self._counted, self.reference
        weight, best = self.weight[counted], self.best_cost.to_numpy()[counted]
        costs = self.costs.to_numpy()[counted]
        names = pd.Index(self.costs.columns, name="estimator")
        cost = pd.Series(np.average(costs, axis=0, weights=weight), names)
        regret = pd.Series(np.average(costs - best[:, None], axis=0, weights=weight), names)
        scale = float(np.average(np.abs(best), weights=weight))
        table = pd.DataFrame({"mean_cost": cost, "mean_regret": regret})
        table["normalized_regret"] = _share(regret, scale)
        paid = self.costs[reference].to_numpy()[counted]
        none = is_rounding(regret[reference], paid, best, weight=weight)
        table["relative_regret"] = _share(regret, 0.0 if none else regret[reference])
        table["price"] = _share(cost - cost[reference], abs(cost[reference]))
        columns = ["difference", "low", "high", "more_rows"]
        table[columns] = self.differences()[columns].reindex(names)
        table.loc[reference, "difference"] = 0.0
        table["fit_seconds"] = self.fit_seconds
        if self.shift_costs is not None and self.shift_regrets is not None:
            table["worst_shift_cost"] = self.shift_costs.max(axis=1, skipna=False)
            table["worst_shift_regret"] = self.shift_regrets.max(axis=1, skipna=False)
        return table

    def differences(self, reference: str | None = None, *, power: float = 0.8) -> pd.DataFrame:
        r"""Return the differences in mean cost to a reference, with confidence intervals.

        Rows are paired: the difference of the two costs is taken row by row. High costs that all
        estimators share on hard rows therefore cancel.

        Parameters
        ----------
        reference : str, default=None
            Name of an estimator, or "incumbent"; None is the attribute ``reference``.
        power : float, default=0.8
            Probability that the interval excludes 0 with `more_rows` further rows, in [0.5, 1).

        Returns
        -------
        DataFrame
            A line for each estimator but the reference, with the columns

            - ``difference`` of the mean costs, negative where the estimator is cheaper than the
              reference;
            - ``standard_error``, from the means of the blocks;
            - ``degrees_of_freedom`` of its t distribution: the number of blocks minus 1, or fewer
              where blocks differ in weight;
            - ``low`` and ``high``, the ends of the confidence interval;
            - ``design_effect``, the factor by which more rows are needed than if rows were
              independent;
            - ``more_rows``, the number of further rows needed to distinguish the two.

        Notes
        -----
        Let :math:`m_b` be the mean of the differences in block b, :math:`a_b` its share of the
        weight, :math:`m = \sum_b a_b m_b`. The squared standard error is

        .. math:: e^2 = \sum_b \frac{a_b^2 (m_b - m)^2}{1 - a_b},

        which for blocks of equal size is the variance of their means divided by their number. In
        general it is the "CR2" estimate of Bell and McCaffrey for a mean, with their degrees of
        freedom.

        With n rows it equals :math:`D s^2 / n`, where :math:`s^2` is the variance of the paired
        differences of single rows and D the design effect, :math:`1 + (L - 1) \rho` for blocks of L
        rows of correlation :math:`\rho`. With r times as many rows in blocks like these it falls to
        :math:`e^2 / r`, so that an interval excludes 0 with the given probability where

        .. math:: |m| \sqrt{r} = (t_{1 - \alpha / 2} + t_{power}) e.

        ``more_rows`` is n (r - 1). It is 0 where the interval already excludes 0, and infinite
        where the two costs are equal. It assumes that the measured difference is the true one.
        Where the difference is within its error, take it as an order of magnitude only.
        """
        reference = self.reference if reference is None else reference
        if reference not in self.costs:
            raise ValueError(f"reference={reference!r} is none of {list(self.costs)}.")
        number(power, "power", at_least=0.5, below=1)
        counted = self._counted
        weight, level = self.weight[counted], self.confidence_level
        _, block = np.unique(self.block[counted], return_inverse=True)
        lines = {}
        for name in self.costs:
            if name == reference:
                continue
            difference = real_difference(*self.costs[[name, reference]].to_numpy()[counted].T)
            found = paired_mean(difference, weight, block, level)
            lines[name] = {
                "difference": found.mean,
                "standard_error": found.standard_error,
                "degrees_of_freedom": found.degrees_of_freedom,
                "low": found.low,
                "high": found.high,
                "design_effect": found.design_effect,
                "more_rows": rows_to_tell_apart(found, len(weight), level, power),
            }
        columns = [
            *("difference", "standard_error", "degrees_of_freedom", "low", "high"),
            *("design_effect", "more_rows"),
        ]
        table = pd.DataFrame.from_dict(lines, orient="index", columns=columns, dtype=float)
        return table.rename_axis("estimator")


def _whole(number: float) -> str:
    """Return a number of rows as text."""
    if np.isnan(number):
        return ""
    return "infinite" if np.isinf(number) else f"{number:,.0f}" if number < 1e9 else f"{number:.0e}"


def _share(values: pd.Series, whole: float) -> pd.Series:
    """Return values as a share of a whole, NaN where the whole is negligible."""
    nothing = whole <= _NOTHING * values.abs().max()
    return values * np.nan if nothing else values / whole
