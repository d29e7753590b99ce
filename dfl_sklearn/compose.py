"""Pipeline steps: predictions and decisions as transformers."""

from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from ._utils.all_or_nothing import all_or_nothing
from ._utils.context_columns import CONTEXT, ContextColumns, Selection
from ._utils.hidden_scenarios import warn_of_unused_scenarios
from ._utils.params import NestedParamsMixin
from ._utils.rows import as_rows
from ._utils.sklearn_private import HasMethods, Interval, _check_feature_names_in, _fit_context
from ._utils.tables import refuse_unfit_table
from ._utils.wrapping import WrappingMixin
from .metrics import d2_regret_score
from .problems.base import DecisionProblem
from .problems.closed_form import SquaredErrorProblem
from .problems.provisioning import ProvisioningProblem

__all__ = [
    "DecisionTransformer",
    "PredictionTransformer",
    "ProvisioningOptimizer",
    "keep_context",
]


class PredictionTransformer(WrappingMixin, TransformerMixin, BaseEstimator):
    """Turn a regressor into a transformer whose output is its predictions.

    Put before a :class:`DecisionTransformer`, it makes a Pipeline that goes from features
    to decisions.

    Parameters
    ----------
    estimator : regressor
        Any scikit-learn regressor. One that predicts a single output is fitted once per
        column of a 2-d `y`.

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
    DecisionTransformer : The step that follows, from predictions to decisions.
    dfl_sklearn.TwoStageRegressor : Both steps as one regressor, with a score.

    Notes
    -----
    ``fit_transform`` predicts the rows it was fitted on. A later step that *learns* from the
    predictions (a DecisionTransformer does not) would see predictions that are too good; then use
    :func:`sklearn.model_selection.cross_val_predict`.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from dfl_sklearn.compose import DecisionTransformer, PredictionTransformer
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> pipe = make_pipeline(
    ...     PredictionTransformer(LinearRegression()),
    ...     DecisionTransformer(NewsvendorProblem(9, 1)),
    ... )
    >>> pipe.fit(X, y).transform(X[:3]).shape
    (3, 1)
    """

    _parameter_constraints: dict = {"estimator": [HasMethods(["fit", "predict"])]}

    def __init__(self, estimator: BaseEstimator) -> None:
        self.estimator = estimator

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, **fit_params: Any
    ) -> "PredictionTransformer":
        """Fit the regressor.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features of the training rows.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows, passed to the `fit` of the regressor, which must take them.
        **fit_params : dict
            Passed to the regressor's `fit`, by metadata routing where enabled.

        Returns
        -------
        self : PredictionTransformer
            The fitted transformer.
        """
        target = self._validate_target(y)
        self._fit_wrapped(X, target, sample_weight, fit_params)
        warn_of_unused_scenarios(self, stacklevel=4)
        width = 1 if target.ndim == 1 else target.shape[1]
        self._output_names = _target_names(y) or _numbered("prediction", width)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Predict the parameters.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n, d)
            Predicted parameters.
        """
        check_is_fitted(self)
        return as_rows(self.estimator_.predict(X), "prediction")

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the predicted columns: those of `y`, or ``prediction0`` and so on.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen during fit.

        Returns
        -------
        ndarray of str of shape (d,)
            One name per column.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._output_names, dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _target_fits(transformer: "DecisionTransformer") -> bool:
    """Return True if there is a score; raise if `fit` saw a target of another width than X."""
    width = getattr(transformer, "_target_width", None)
    if width is not None and width != transformer._n_parameters:
        raise AttributeError(
            f"{type(transformer).__name__} has no score: it was fitted on "
            f"{transformer._n_parameters} predicted parameters and a target of {width} columns."
        )
    return True


class DecisionTransformer(NestedParamsMixin, TransformerMixin, BaseEstimator):
    """Turn predicted parameters into decisions.

    Parameters
    ----------
    problem : DecisionProblem, default=None
        The problem to decide. None is the squared-error problem, which returns the predictions.
    context : str, int, list, slice, mask or callable, default=None
        Columns that are not predicted parameters but context: known data of a row that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). Use :func:`keep_context` in earlier
        steps.

    Attributes
    ----------
    n_features_in_ : int
        Number of predicted parameters and columns of context.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X has string column names.

    See Also
    --------
    ProvisioningOptimizer : A transformer for capacities, with the constants as parameters.

    Examples
    --------
    >>> from dfl_sklearn.compose import DecisionTransformer
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> DecisionTransformer(NewsvendorProblem(9, 1)).fit_transform([[3.0], [-1.0]])
    array([[3.],
           [0.]])
    """

    _parameter_constraints: dict = {"problem": [DecisionProblem, None], "context": CONTEXT}

    def __init__(
        self, problem: DecisionProblem | None = None, *, context: Selection = None
    ) -> None:
        self.problem = problem
        self.context = context

    def _resolve_problem(self) -> DecisionProblem:
        return SquaredErrorProblem() if self.problem is None else self.problem

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> "DecisionTransformer":
        """Check the predicted parameters; nothing is learnt.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Predicted parameters.
        y : array-like or None, default=None
            Only its number of columns is used: `score` exists if it is that of X.

        Returns
        -------
        self : DecisionTransformer
            The transformer itself.
        """
        refuse_unfit_table(X, "X")
        given, problem = X, self._resolve_problem()
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        self._context_columns = ContextColumns.of(
            self.context,
            given,
            problem.context_columns(),
            is_feature=False,
            owner=type(self).__name__,
        )
        parameters, context = self._parts(given, X)
        # One solve gives the number of decisions of a row, and checks the number of columns.
        some = None if context is None else context[:1]
        first = problem.solve(parameters[:1], context=some)
        self._n_parameters = parameters.shape[1]
        self._n_decisions = first.shape[1]
        self._target_width = None if y is None else np.atleast_2d(np.asarray(y).T).shape[0]
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the decisions.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Predicted parameters.

        Returns
        -------
        ndarray of shape (n, k)
            One decision per row.
        """
        return self.decide(X)

    def decide(self, X: ArrayLike) -> np.ndarray:
        """Return the decisions, always as a NumPy array.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Predicted parameters.

        Returns
        -------
        ndarray of shape (n, k)
            One decision per row.
        """
        check_is_fitted(self)
        refuse_unfit_table(X, "X")
        parameters, context = self._validated(X)
        return self._resolve_problem().solve(parameters, context=context)

    def context_of(self, X: ArrayLike) -> Any:
        """Return the context of the rows of X, as the methods of the problem take it.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n, c), DataFrame or None
            The context; None where the parameter `context` is None.
        """
        check_is_fitted(self)
        columns = self._context_columns
        return None if columns is None else columns.table(X)

    @available_if(_target_fits)
    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the D2 regret score of the decisions from X for observed `y`.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Predicted parameters.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Sample weights.

        Returns
        -------
        float
            The score; see :func:`dfl_sklearn.metrics.d2_regret_score`.
        """
        check_is_fitted(self)
        parameters, context = self._validated(X)
        return d2_regret_score(
            as_rows(y, "y"),
            parameters,
            problem=self._resolve_problem(),
            sample_weight=sample_weight,
            context=context,
        )

    def _validated(self, X: Any) -> tuple[np.ndarray, Any]:
        """Return the predicted parameters among the columns of X, and the context."""
        return self._parts(X, validate_data(self, X, dtype=[np.float64, np.float32], reset=False))

    def _parts(self, given: Any, X: Any) -> tuple[np.ndarray, Any]:
        columns = self._context_columns
        if columns is None:
            return X, None
        return X[:, columns.others], columns.table(given)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the decisions.

        They are ``decision_NAME`` for the parameter called NAME where there is one decision per
        parameter, else ``decision0`` and so on.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the parameters, if they were not seen during fit.

        Returns
        -------
        ndarray of str of shape (k,)
            One name per column.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        if self._context_columns is not None:
            names = names[self._context_columns.others]
        if len(names) == self._n_decisions:
            return np.asarray([f"decision_{name}" for name in names], dtype=object)
        return np.asarray(_numbered("decision", self._n_decisions), dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_n_decisions")


class ProvisioningOptimizer(DecisionTransformer):
    """Turn predicted demand into capacity.

    This is a :class:`DecisionTransformer` for :class:`~dfl_sklearn.problems.ProvisioningProblem`,
    with the constants of the cost as its own parameters, so that they can be set and searched in a
    Pipeline. With its `score`, ``GridSearchCV`` around such a Pipeline ranks forecasts by the cost
    of the capacity they lead to. (For constants that differ by row, use a
    :class:`DecisionTransformer` with the problem itself.)

    Parameters
    ----------
    c_min, c_max : float, default=200, 400_000
        Smallest and largest capacity, in the unit of the demand.
    eta : float, default=0.7
        Weight of service against energy, in (0, 1).
    a : float, default=20
        How fast the value of service saturates.
    b : float, default=1.5
        Scale of the service term.
    e_active, e_idle : float, default=280/200, 100/200
        Energy of a unit of capacity in use, and of an idle one.

    Attributes
    ----------
    n_features_in_ : int
        Number of services.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X has string column names.

    See Also
    --------
    DecisionTransformer : The same for any problem.
    dfl_sklearn.problems.ProvisioningProblem : The problem, and the formula of its cost.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from dfl_sklearn.compose import PredictionTransformer, ProvisioningOptimizer
    >>> from dfl_sklearn.datasets import make_lagged, make_llm_trace
    >>> trace = make_llm_trace(300, random_state=0)
    >>> X, y = make_lagged(trace["context_tokens"], n_lags=7)
    >>> pipe = make_pipeline(PredictionTransformer(LinearRegression()), ProvisioningOptimizer())
    >>> pipe.set_output(transform="pandas").fit(X, y).transform(X).columns.tolist()
    ['decision_context_tokens']
    """

    _parameter_constraints: dict = {
        name: [Interval(Real, None, None, closed="neither")]
        for name in ("c_min", "c_max", "eta", "a", "b", "e_active", "e_idle")
    }

    context: Selection = None
    __init__ = ProvisioningProblem.__init__

    def _resolve_problem(self) -> DecisionProblem:
        return ProvisioningProblem(**self.get_params(deep=False))


def keep_context(transformer: Any, columns: Any) -> ColumnTransformer:
    """Transform all columns but the context, and pass the context on unchanged.

    A step of a Pipeline before the estimator changes all columns. A ``StandardScaler``, for
    example, also rescales capacities, and decisions would then keep to wrong limits. Use this
    function to wrap such a step: it leaves the context as it is and keeps the names of the columns.

    Parameters
    ----------
    transformer : transformer
        Transformer of the other columns, which may be a Pipeline. It must return dense arrays
        (``OneHotEncoder(sparse_output=False)``; a `sparse_threshold` is not enough) and have
        feature names (``get_feature_names_out``). It is cloned, and not changed itself.
    columns : str, int, list, slice, mask or callable
        Columns that are context, as in :class:`sklearn.compose.ColumnTransformer`.

    Returns
    -------
    ColumnTransformer
        An unfitted transformer. It takes and returns a DataFrame, with the context first.

    See Also
    --------
    DecisionTransformer : Reads the context at the end of a Pipeline.
    dfl_sklearn.problems.FromContext : Placeholder for a number that is a column of the context.
    sklearn.compose.ColumnTransformer : The class of the result, for other divisions of columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.preprocessing import StandardScaler
    >>> from dfl_sklearn.compose import keep_context
    >>> X = pd.DataFrame({"temperature": [10.0, 20.0], "capacity": [80.0, 120.0]})
    >>> keep_context(StandardScaler(), "capacity").fit_transform(X)
       capacity  temperature
    0      80.0         -1.0
    1     120.0          1.0
    """
    kept = partial(_as_list, columns) if callable(columns) else _as_list(columns)
    return ColumnTransformer(
        [("context", "passthrough", kept)],
        remainder=clone(transformer) if hasattr(transformer, "get_params") else transformer,
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")


def _as_list(columns: Any, X: Any = None) -> Any:
    """Return columns as a ColumnTransformer takes them, with a single one in a list.

    A callable is called with X.
    """
    chosen = columns(X) if callable(columns) else columns
    return [chosen] if isinstance(chosen, (str, int, np.integer)) else chosen


def _target_names(y: Any) -> list[str] | None:
    """Return the column names of a pandas target, or None."""
    if getattr(y, "name", None) is not None:
        return [str(y.name)]
    columns = getattr(y, "columns", None)
    return None if columns is None else [str(each) for each in columns]


def _numbered(stem: str, count: int) -> list[str]:
    return [f"{stem}{i}" for i in range(count)]
