"""A mixture of experts, weighted by the cost of their past decisions."""

from collections.abc import Sequence
from copy import deepcopy
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Bunch, Tags, get_tags
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from .._decide import decided
from .._utils.all_or_nothing import all_or_nothing
from .._utils.checks import whole_number
from .._utils.context_columns import CONTEXT, Selection
from .._utils.convergence import Doubts, collected_doubts
from .._utils.innermost import innermost
from .._utils.interrupts import passing_interrupts_on
from .._utils.members import weighted_mean
from .._utils.policies import policy_in
from .._utils.progress import part, reporting, say
from .._utils.rows import as_numpy_rows, check_finite, refuse_unfit_target
from .._utils.scenario_models import predicts_scenarios
from .._utils.seeds import named_rng, root_seed
from .._utils.sklearn_private import (
    _BaseComposition,
    _fit_context,
    _num_samples,
    _routing_enabled,
)
from .._utils.tables import naming_columns, refuse_series
from .._utils.target_columns import check_target_columns, keep_target_columns
from .._utils.wrapping import check_unused, regressor_for, takes_weights
from ..online.hedge import AdaHedge, Hedge, TrackingHedge, play
from ..online.switching import least_switching_cost
from ..problems.base import DecisionProblem
from ._mixin import DecisionRegressorMixin


class ExpertMixture(DecisionRegressorMixin, _BaseComposition):
    r"""Decide with several models, weighted by the cost of their past decisions.

    This is meant for models in service, where costs become known after each decision and show
    which model to trust. `fit` fits the models, called experts, which start with equal weights.
    `partial_fit` takes rows whose y has become known, in order of time, and moves weight to the
    experts that would have decided well. No knowledge of how the data will shift is needed.

    The decision of the mixture is the weighted mean of the experts' decisions or, where the
    problem's `decision_average` says so, the decision for their weighted mean prediction. If the
    mean prediction is needed but an expert does not predict points, because it is a policy or a
    scenario model, the expert with the largest weight decides.

    Parameters
    ----------
    experts : list of (str, regressor)
        Any regressors, estimators of this package or policies, by name. One that predicts a single
        output is fitted once per column of a 2-d `y`. Wrap models that are already fitted in
        :class:`sklearn.frozen.FrozenEstimator`.
    problem : DecisionProblem, default=None
        The problem to decide; None is the squared-error problem.
    tracking : bool, default=True
        Whether the best expert may change over time. True uses
        :class:`~dfl_sklearn.online.TrackingHedge`, which loses little where the best expert stays
        the same; False uses :class:`~dfl_sklearn.online.AdaHedge`.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). Experts with a context of their own
        must have the same one.
    n_jobs : int, default=None
        Number of experts that are fitted at the same time; None is 1, -1 all cores.
    verbose : bool, default=False
        Whether to print a line for each expert when it has been fitted or has decided, and also
        after two seconds without a line.

    Attributes
    ----------
    experts_ : list of regressor
        The fitted experts.
    hedge_ : TrackingHedge or AdaHedge
        The algorithm that updates the weights from costs.
    weights_ : ndarray of shape (n_experts,)
        Present weights of the experts.
    n_rows_seen_ : int
        Number of rows from whose costs the weights have been learnt.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    dfl_sklearn.online.TrackingHedge : The weights alone, for losses of any kind.
    NaiveForecaster : Simple forecasts of a series as further experts.
    dfl_sklearn.model_selection.compare_decisions : Compare models on past rows.

    Notes
    -----
    If the cost is convex in the decision, a mean of decisions costs at most the mean of their
    costs. If weights are updated after every row, the total cost then exceeds that of the best
    expert by at most
    ``hedge_.over_copies.bound() + hedge_.plain.bound()``, or ``hedge_.bound()`` without tracking,
    which grows as the square root of the number of rows. Where decisions cannot be averaged, this
    holds only for the expected cost of :meth:`sample`.

    References
    ----------
    Cesa-Bianchi, Lugosi, "Prediction, learning, and games", 2006, chapters 2 and 5.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn import ExpertMixture
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> experts = [("line", LinearRegression()), ("much", DummyRegressor(strategy="quantile",
    ...     quantile=0.9))]
    >>> model = ExpertMixture(experts, NewsvendorProblem(9, 1)).fit(X[:200], y[:200])
    >>> model.weights_
    array([0.5, 0.5])
    >>> played = model.progressive(X[200:], y[200:])
    >>> bool(played.cost.sum() < played.expert_cost.sum(axis=0).mean())
    True
    """

    _parameter_constraints: dict = {
        "experts": [list],
        "problem": [DecisionProblem, None],
        "tracking": ["boolean"],
        "context": CONTEXT,
        "n_jobs": [Integral, None],
        "verbose": ["boolean"],
    }

    # Weights in `fit` are those of the experts; `score` uses its own.
    __metadata_request__fit = {"sample_weight": UNUSED}
    context_is_feature = True

    def __init__(
        self,
        experts: Sequence[tuple[str, BaseEstimator]],
        problem: DecisionProblem | None = None,
        *,
        tracking: bool = True,
        context: Selection = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.experts = experts
        self.problem = problem
        self.tracking = tracking
        self.context = context
        self.n_jobs = n_jobs
        self.verbose = verbose

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; those of the experts are named ``name__parameter``."""
        return self._get_params("experts", deep=deep)

    def set_params(self, **params: Any) -> "ExpertMixture":
        """Set parameters; ``name=regressor`` replaces an expert."""
        self._set_params("experts", **params)
        return self

    # -- learning ------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> "ExpertMixture":
        """Fit the experts, and give them equal weights.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, in the form that the experts take.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows, passed to the `fit` of the experts, which must take them; where
            metadata routing is enabled, to the experts that request them.

        Returns
        -------
        self : ExpertMixture
            The fitted estimator.

        Raises
        ------
        ValueError
            If names of experts are not unique, if `y` cannot be parameters of the problem, or if
            `sample_weight` is given and an expert does not take it.
        """
        names = self._checked_names()
        refuse_series(X, "X")
        refuse_unfit_target(y, "y")
        keep_target_columns(self, y)
        y = validate_data(self, X="no_validation", y=y, multi_output=True, y_numeric=True)
        self._resolve_problem().check_parameters(y)
        check_unused(X, y, sample_weight)
        self._context_columns = self._find_context(X)
        params = self._params_of_experts(sample_weight)
        self.experts_, doubts = [], Doubts()
        with reporting(self.verbose, by_time=True):
            fits = Parallel(n_jobs=self.n_jobs, return_as="generator")(
                delayed(_fitted)(name, each, X, y, params[name])
                for name, each in zip(names, self._unfitted, strict=True)
            )
            for name, (model, its_doubts) in zip(names, fits, strict=True):
                self.experts_.append(model)
                doubts.take_up(its_doubts, _part(name))
                with part(_part(name)):
                    say("fitted")
        doubts.warn(stacklevel=4)
        kind = TrackingHedge if self.tracking else AdaHedge
        self.hedge_: Hedge = kind(len(names))
        self.n_rows_seen_, self._fitted_names = 0, list(names)
        self._target_ndim, self._n_parameters = y.ndim, 1 if y.ndim == 1 else y.shape[1]
        self.__dict__.pop("feature_names_in_", None)
        for each in self.experts_:
            if hasattr(each, "feature_names_in_"):
                self.feature_names_in_ = each.feature_names_in_
        return self

    @all_or_nothing
    def partial_fit(self, X: Any, y: Any) -> "ExpertMixture":
        """Update the weights with the costs of the experts' decisions, row by row.

        Weights do not depend on how a stream is cut into calls, up to rounding errors in the
        experts' predictions. Experts are not fitted again. If `fit` has not been called before,
        the first call fits the experts on these rows and leaves the weights equal, because costs on
        training rows say nothing about which expert to trust.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features of the rows, in order of time.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of these rows.

        Returns
        -------
        self : ExpertMixture
            The estimator with its new weights.

        Raises
        ------
        ValueError
            If `y` cannot be parameters of the problem, or if the decision of an expert has no
            finite cost. The weights do not change then.
        """
        if "experts_" not in self.__dict__:
            return self.fit(X, y)
        costs = self._costs(self._expert_decisions(X), X, y)
        hedge = deepcopy(self.hedge_)
        play(hedge, costs)
        self.hedge_ = hedge
        self.n_rows_seen_ = self.n_rows_seen_ + len(costs)
        return self

    # -- deciding ------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """Predict the parameters: the weighted mean of the experts' predictions.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Predicted parameters.

        Raises
        ------
        ValueError
            If an expert is a policy, whose predictions are decisions.
        """
        check_is_fitted(self)
        for name, each in zip(self._fitted_names, self.experts_, strict=True):
            if policy_in(each) is not None:
                raise ValueError(
                    f"The expert {name!r} is a policy, which predicts decisions, not parameters. "
                    "Ask for decisions: decide(X)."
                )
        return weighted_mean(self._predictions(X), self.weights_)

    def decide(self, X: Any, *, context: Any = None) -> np.ndarray:
        """Return the decisions of the mixture under its present weights.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : None
            Not used: experts read their context from X.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row.

        Raises
        ------
        ValueError
            If `context` is given, or if experts decide different numbers of components.
        """
        check_is_fitted(self)
        if context is not None:
            raise ValueError(
                "decide takes no context= here: experts read it from X. Name its columns in "
                "ExpertMixture(context=...)."
            )
        kind = self._averages
        if kind == "leader":
            leader = self.experts_[int(self.weights_.argmax())]
            return decided(leader, X, self._resolve_problem(), self.context).decisions
        if kind == "predictions":
            return self._at_mean(X, self.weights_)
        return weighted_mean(self._expert_decisions(X), self.weights_)

    def sample(self, X: Any, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Decide each row with one expert, which is drawn with its weight as probability.

        The expected cost is the weighted mean of the experts' costs, even if decisions cannot be
        averaged.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        random_state : int, RandomState or None, default=None
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row.
        """
        check_is_fitted(self)
        decisions = self._expert_decisions(X)
        rng = named_rng(root_seed(random_state), "expert")
        drawn = rng.choice(len(self.experts_), size=decisions.shape[1], p=self.weights_)
        return decisions[drawn, np.arange(decisions.shape[1])]

    def progressive(self, X: Any, y: Any, *, delay: int = 1, max_switches: int = 10) -> Bunch:
        """Simulate decisions row by row, each with the weights learnt from the rows before.

        The mixture itself does not change; :meth:`partial_fit` with the same rows updates its
        weights as the simulation does.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Rows in order of time.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of these rows.
        delay : int, default=1
            Number of rows after which a cost becomes known: row t is decided with the costs of the
            rows up to t - `delay`.
        max_switches : int, default=10
            Largest number of switches in `switching_cost`.

        Returns
        -------
        Bunch
            ``decisions`` of shape (n,) or (n, k); their ``cost`` (n,); the ``weights``
            (n, n_experts) under which they were taken; ``expert_cost`` (n, n_experts);
            ``best_expert``, the name of the expert with the least total cost; ``regret``, the total
            cost less that of the best expert; ``switching_cost`` (`max_switches` + 1,), the least
            total cost of a sequence of experts with at most 0, 1, ... switches.

        Raises
        ------
        ValueError
            If `y` cannot be parameters of the problem, or if a decision has no finite cost.
        """
        check_is_fitted(self)
        whole_number(delay, "delay", at_least=1)
        whole_number(max_switches, "max_switches", at_least=0)
        decisions = self._expert_decisions(X)
        costs = self._costs(decisions, X, y)
        weights = play(deepcopy(self.hedge_), costs, delay)
        taken = self._mixed(X, weights, decisions)
        cost = self._costs(taken[None], X, y)[:, 0]
        total = costs.sum(axis=0)
        return Bunch(
            decisions=taken,
            cost=cost,
            weights=weights,
            expert_cost=costs,
            best_expert=self._fitted_names[int(total.argmin())],
            regret=float(cost.sum() - total.min()),
            switching_cost=least_switching_cost(costs, max_switches),
        )

    # -- parts ---------------------------------------------------------------------------

    @property
    def weights_(self) -> np.ndarray:
        """Present weights of the experts."""
        return self.hedge_.weight

    @property
    def _names(self) -> list[str]:
        return [name for name, _ in self.experts]

    @property
    def _unfitted(self) -> list[Any]:
        return [each for _, each in self.experts]

    def _checked_names(self) -> list[str]:
        wanted = "experts must be a list of (name, regressor), such as [('line', Ridge())]"
        if not self.experts:
            raise ValueError(f"{wanted}; it is empty.")
        for pair in self.experts:
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
                raise ValueError(f"{wanted}, got {pair!r} in it.")
            if not (hasattr(pair[1], "fit") and hasattr(pair[1], "predict")):
                raise ValueError(f"{wanted}; {pair[0]!r} is {pair[1]!r}, which is not a regressor.")
        self._validate_names(self._names)
        return self._names

    def _params_of_experts(self, sample_weight: ArrayLike | None) -> dict[str, dict[str, Any]]:
        """Return what goes to the `fit` of each expert, by name."""
        if sample_weight is None:
            return {name: {} for name in self._names}
        if _routing_enabled():
            routed = process_routing(self, "fit", sample_weight=sample_weight)
            return {name: routed[name].fit for name in self._names}
        for name, each in self.experts:
            if not takes_weights(each):
                raise ValueError(
                    f"sample_weight was given, but the expert {name!r}, {type(each).__name__}, "
                    "does not take it in fit. (Weights for a step of a Pipeline are routed with "
                    "sklearn.set_config(enable_metadata_routing=True).)"
                )
        return {name: {"sample_weight": sample_weight} for name in self._names}

    @property
    def _averages(self) -> str:
        """What is averaged: "decisions", "predictions", or nothing: the "leader" decides alone."""
        average = self._resolve_problem().decision_average
        if average == "decisions":
            return average
        inner = [innermost(each)[0] for each in self.experts_]
        is_point = [policy_in(each) is None and not predicts_scenarios(each) for each in inner]
        return average if all(is_point) else "leader"

    def _expert_decisions(self, X: Any) -> np.ndarray:
        """Return the decisions of each expert, (N, n) or (N, n, k)."""
        problem, found = self._resolve_problem(), []
        for name, each in zip(self._fitted_names, self.experts_, strict=True):
            with reporting(self.verbose, by_time=True), part(_part(name)):
                found.append(decided(each, X, problem, self.context).decisions)
                say(f"has decided for {_num_samples(X)} rows")
            one, first = (as_numpy_rows(z, "decisions").shape for z in (found[-1], found[0]))
            if one != first:
                raise ValueError(
                    f"The expert {name!r} decides {one[1]} numbers for each of {one[0]} rows, but "
                    f"{self._fitted_names[0]!r} decides {first[1]} for each of {first[0]}."
                )
        if any(each.ndim == 1 for each in found):
            return np.stack([each.reshape(len(each)) for each in found])
        return np.stack(found)

    def _costs(self, decisions: np.ndarray, X: Any, y: Any) -> np.ndarray:
        """Return the costs (n, N) of decisions (N, n) or (N, n, k)."""
        problem = self._resolve_problem()
        check_target_columns(self, y)
        y = as_numpy_rows(y, "y")
        check_finite(y, "y")
        problem.check_parameters(y)
        if len(y) != decisions.shape[1]:
            raise ValueError(f"X has {decisions.shape[1]} rows, and y has {len(y)}.")
        known = self.context_of(X)
        costs = np.stack([problem.cost(each, y, context=known) for each in decisions], axis=1)
        if not np.isfinite(costs).all():
            row, expert = (int(i) for i in np.argwhere(~np.isfinite(costs))[0])
            raise ValueError(
                f"The decision of the expert {self._fitted_names[expert]!r} in row {row} costs "
                f"{costs[row, expert]}, from which no weights can be learnt."
            )
        return costs

    def _predictions(self, X: Any) -> np.ndarray:
        """Return the predictions of each expert, (N, n) or (N, n, d) as y was."""
        refuse_series(X, "X")
        found = [as_numpy_rows(each.predict(X), "predictions") for each in self.experts_]
        for name, each in zip(self._fitted_names, found, strict=True):
            if each.shape[1] != self._n_parameters:
                raise ValueError(
                    f"The expert {name!r} predicts {each.shape[1]} numbers for a row, and y has "
                    f"had {self._n_parameters} in fit."
                )
        return np.stack([each[:, 0] if self._target_ndim == 1 else each for each in found])

    def _mixed(self, X: Any, weights: np.ndarray, decisions: np.ndarray) -> np.ndarray:
        """Return the decisions under weights (n, N), from those of the experts."""
        kind = self._averages
        if kind == "decisions":
            return weighted_mean(decisions, weights)
        if kind == "predictions":
            return self._at_mean(X, weights)
        rows = np.arange(decisions.shape[1])
        return decisions[weights.argmax(axis=1), rows]

    def _at_mean(self, X: Any, weights: np.ndarray) -> np.ndarray:
        """Return the decisions for the mean prediction under weights (N,) or (n, N)."""
        mean = weighted_mean(self._predictions(X), weights)
        return self._resolve_problem().solve(mean, context=self.context_of(X))

    @property
    def n_features_in_(self) -> int:
        """Number of features seen during fit."""
        for each in self.__dict__.get("experts_", ()):
            if hasattr(each, "n_features_in_"):
                return each.n_features_in_
        raise AttributeError("ExpertMixture is not fitted, or its experts have no n_features_in_.")

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the metadata routing: that of `fit` to the experts, that of `score` to itself.

        Returns
        -------
        MetadataRouter
            The metadata that the experts and `score` request.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        for name, each in self.experts:
            router.add(**{name: each}, method_mapping=mapping)
        return router

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = [get_tags(each).input_tags for _, each in self.experts]
        tags.input_tags.allow_nan = all(each.allow_nan for each in inner)
        tags.input_tags.sparse = all(each.sparse for each in inner)
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self._resolve_problem().nonnegative
        return tags


def _part(name: str) -> str:
    return f"expert {name!r}"


def _fitted(
    name: str, expert: Any, X: Any, y: np.ndarray, params: dict[str, Any]
) -> tuple[Any, Doubts]:
    """Return a fitted clone, and the convergence warnings of its fit."""
    with (
        part(_part(name)),
        passing_interrupts_on(),
        collected_doubts(of_others=True) as doubts,
        naming_columns(X),
    ):
        return regressor_for(clone(expert), y).fit(X, y, **params), doubts
