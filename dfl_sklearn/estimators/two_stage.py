"""Predict first, then decide: the classical baseline."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.all_or_nothing import all_or_nothing
from .._utils.context_columns import CONTEXT, Selection
from .._utils.hidden_scenarios import warn_of_hidden_scenarios
from .._utils.innermost import innermost, innermost_unfitted, shaped_for
from .._utils.progress import reporting
from .._utils.scenario_models import predicts_scenarios, scenario_parts
from .._utils.sklearn_private import HasMethods, StrOptions, _fit_context
from .._utils.wrapping import WrappingMixin
from ..problems._over_scenarios import decide_over_scenarios
from ..problems._scenario_weights import normalised_weight
from ..problems.base import DecisionProblem
from ..robust._answers import worst_weights_of
from ..robust.base import AmbiguitySet
from ..robust.decisions import WorstCaseDecisions, best_costs, decide_for_worst
from ._mixin import DecisionRegressorMixin

_WIDE = 0.01  # gaps above it are warned of


class TwoStageRegressor(WrappingMixin, DecisionRegressorMixin, BaseEstimator):
    """Fit any regressor for prediction, then decide from its predictions.

    This is the baseline that decision-focused learning has to beat. The wrapped regressor knows
    nothing of the decision; this class adds `decide` and a score in terms of regret. Where the
    regressor is a scenario model, or a Pipeline that ends with one, decisions are taken over its
    scenarios. They then minimise the mean cost or, with `risk`, the largest mean cost over the
    scenario weights that `risk` allows.

    Parameters
    ----------
    estimator : regressor
        Any scikit-learn regressor, a Pipeline included. One that predicts a single output
        is fitted once per column of a 2-d `y`.
    problem : DecisionProblem, default=None
        The problem in which the predictions are used; None is the squared-error problem.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). By name or position, as in
        :class:`sklearn.compose.ColumnTransformer`.
    context_is_feature : bool, default=True
        Whether the wrapped regressor sees these columns as well.
    risk : AmbiguitySet, default=None
        Set of scenario weights; decisions are taken for the worst weights in it.
        :class:`~dfl_sklearn.robust.CVaR` decides for the mean over the costliest share `alpha` of
        the scenarios (0.2 is a fifth), :class:`~dfl_sklearn.robust.KLBall` and
        :class:`~dfl_sklearn.robust.ChiSquareBall` for the worst weights within a divergence.
        Ambiguity sets that move or generate rows cannot weight scenarios.
    risk_of : {"cost", "regret"}, default="cost"
        What `risk` weights scenarios by: their cost, or their regret, which is the cost less that
        of the best decision for the scenario alone. With "regret", a scenario in which every
        decision is costly has no more weight than others. The best decision of each scenario is
        then computed whenever decisions are taken. Without `risk` both lead to the same decision.
    verbose : bool, default=False
        Whether to print every two seconds how many rows have been decided over scenarios.

    Attributes
    ----------
    estimator_ : regressor
        The fitted regressor.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    DFLRegressor : Train the predictor on the cost of the decisions.
    dfl_sklearn.scenarios.ResidualScenarios : Scenarios from any regressor and its residuals.
    dfl_sklearn.scenarios.LocalScenarios : Scenarios from a forest, neighbours or a kernel.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.estimators import TwoStageRegressor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> model = TwoStageRegressor(LinearRegression(), NewsvendorProblem(9, 1)).fit(X, y)
    >>> model.decide(X[:3]).shape
    (3,)

    Over scenarios:

    >>> from dfl_sklearn.scenarios import ResidualScenarios
    >>> several = ResidualScenarios(LinearRegression())
    >>> better = TwoStageRegressor(several, NewsvendorProblem(9, 1)).fit(X, y)
    >>> bool(better.score(X, y) > model.score(X, y))
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "problem": [DecisionProblem, None],
        "context": CONTEXT,
        "context_is_feature": ["boolean"],
        "risk": [AmbiguitySet, None],
        "risk_of": [StrOptions({"cost", "regret"})],
        "verbose": ["boolean"],
    }

    # Weights in `fit` are passed to the wrapped regressor; `score` uses its own.
    __metadata_request__fit = {"sample_weight": UNUSED}

    def __init__(
        self,
        estimator: BaseEstimator,
        problem: DecisionProblem | None = None,
        *,
        context: Selection = None,
        context_is_feature: bool = True,
        risk: AmbiguitySet | None = None,
        risk_of: str = "cost",
        verbose: bool = False,
    ) -> None:
        self.estimator = estimator
        self.problem = problem
        self.context = context
        self.context_is_feature = context_is_feature
        self.risk = risk
        self.risk_of = risk_of
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, **fit_params: Any
    ) -> "TwoStageRegressor":
        """Fit the regressor on observed parameters.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, in the form that the wrapped regressor takes.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows, passed to the `fit` of the wrapped regressor, which must take them.
        **fit_params : dict
            Passed to the wrapped regressor's `fit`, by metadata routing where enabled.

        Returns
        -------
        self : TwoStageRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If `y` cannot be parameters of the problem; the message names the row. If `risk` is
            given and the regressor does not predict scenarios.
        TypeError
            If `risk` moves or generates rows.
        """
        if self.risk is not None:
            self._check_risk(self.risk)
        y = self._validate_target(y)
        self._resolve_problem().check_parameters(y)
        self._context_columns = self._find_context(X)
        with reporting(self.verbose, by_time=True):
            self._fit_wrapped(self._seen(X), y, sample_weight, fit_params)
        self._note_columns(X)
        inner = innermost(self.estimator_)[0]
        warn_of_hidden_scenarios(inner, stacklevel=4)
        self._refuse_risk_of_a_point(inner)
        return self

    @staticmethod
    def _check_risk(risk: AmbiguitySet) -> None:
        """Raise an error if an ambiguity set cannot weight scenarios."""
        worst_weights_of(risk, np.array([0.0, 1.0]), np.full(2, 0.5))

    def _refuse_risk_of_a_point(self, inner: Any) -> None:
        if self.risk is not None and not predicts_scenarios(inner):
            raise ValueError(
                f"risk= weights scenarios, and {type(inner).__name__} predicts a point. Make "
                f"scenarios from its errors, by ResidualScenarios({type(inner).__name__}(...))."
            )

    def _unfitted(self, y: Any) -> Any:
        if predicts_scenarios(innermost_unfitted(self.estimator)):
            return clone(self.estimator)  # it predicts all outputs together, or raises an error
        return super()._unfitted(y)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the parameters of the problem.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Predicted parameters.
        """
        check_is_fitted(self)
        return self.estimator_.predict(self._seen(X))

    @available_if(
        lambda self: predicts_scenarios(
            innermost_unfitted(self.__dict__.get("estimator_", self.estimator))
        )
    )
    def predict_scenarios(self, X: Any) -> Any:
        """Predict scenarios, where the regressor is a scenario model.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        Scenarios
            ``values`` of shape (n, S, d) and ``weight`` of shape (n, S), as the scenario model
            returns them. Before decisions are taken over them, they are projected into the domain
            of the problem.
        """
        check_is_fitted(self)
        inner, reaches = innermost(self.estimator_)
        return inner.predict_scenarios(reaches(self._seen(X)))

    def decide(self, X: Any, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the decisions for the rows of X.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, to be used instead of the columns of X that are context.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row: ``problem.solve(predict(X))`` or, where the regressor predicts
            scenarios, the best decision over them.

        Warns
        -----
        UserWarning
            If more than a tenth of the numbers were outside the domain of the problem and were
            projected into it. If a decision for `risk` may cost more than 1 % above the best one,
            or if no bound on that is known.
        """
        check_is_fitted(self)
        inner, reaches = innermost(self.estimator_)
        self._refuse_risk_of_a_point(inner)
        if not predicts_scenarios(inner):
            return super().decide(X, context=context)
        if self.risk is None or self.risk.is_nominal:
            known = self.context_of(X) if context is None else context
            with reporting(self.verbose, by_time=True):
                return self._decide_over(inner, reaches(self._seen(X)), known)
        found = self.worst_case_decisions(X, context=context)
        if (found.gap > _WIDE).any():
            i = int(found.gap.argmax())
            warnings.warn(
                f"The decision of row {i} for {type(self.risk).__name__} is within "
                f"{found.gap[i]:.1%} of the best one, and no tighter bound is known. "
                "worst_case_decisions(X).gap holds the bound for each row.",
                UserWarning,
                stacklevel=2,
            )
        elif np.isnan(found.gap).any():
            warnings.warn(
                f"How good the decisions for {type(self.risk).__name__} are is not known: "
                f"{type(self._resolve_problem()).__name__} does not solve for scenarios exactly, "
                "and other decisions may be better by any amount.",
                UserWarning,
                stacklevel=2,
            )
        return shaped_for(inner, found.decisions)

    def worst_case_decisions(
        self, X: Any, *, context: ArrayLike | None = None
    ) -> WorstCaseDecisions:
        """Return the decisions for `risk`, their worst cost, and how far they may be from the best.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, to be used instead of the columns of X that are context.

        Returns
        -------
        WorstCaseDecisions
            ``decisions`` of shape (n, k). ``worst_cost`` of shape (n,): the largest mean cost over
            the scenario weights that `risk` allows. ``gap`` of shape (n,): the most by which
            another decision may be better, as a share of the mean absolute cost. With
            ``risk_of="regret"`` costs are regrets.

        Raises
        ------
        ValueError
            If `risk` is None.
        """
        check_is_fitted(self)
        if self.risk is None:
            raise ValueError("There is no worst case without risk=, such as CVaR(alpha=0.2).")
        problem, risk = self._resolve_problem(), self.risk
        inner, reaches = innermost(self.estimator_)
        self._refuse_risk_of_a_point(inner)
        known = self.context_of(X) if context is None else context
        parts: list[WorstCaseDecisions] = []

        def solve(values: np.ndarray, weight: np.ndarray, context: Any) -> np.ndarray:
            there = problem.context_rows(context, len(values))
            shares = normalised_weight(weight, *values.shape[:2])
            problem._check_parameter_array(values)
            less = best_costs(problem, values, there) if self.risk_of == "regret" else None
            found = decide_for_worst(problem, values, shares, risk, context=there, offset=less)
            parts.append(found)
            return parts[-1].decisions

        scenarios = scenario_parts(inner, reaches(self._seen(X)))
        with reporting(self.verbose, by_time=True):
            decisions = decide_over_scenarios(problem, scenarios, known, solve)
        worst = np.concatenate([each.worst_cost for each in parts])
        return WorstCaseDecisions(decisions, worst, np.concatenate([each.gap for each in parts]))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata: of `fit` to the wrapped regressor, of `score` here."""
        return super().get_metadata_routing().add_self_request(self)
