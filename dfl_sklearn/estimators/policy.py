"""Policies: nets whose output is the decision itself."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from skorch import NeuralNet
from torch import nn

from .._utils.context_columns import Selection
from .._utils.members import member_mean
from .._utils.threads import pinned_threads
from ..learners.construct import n_threads
from ..learners.factories import NetFactory
from ..learners.policy_net import PolicyNet
from ..problems.base import DecisionProblem
from ..robust.base import AmbiguitySet
from ..training.policy import PolicyObjective, nearest_decisions
from ._net_regressor import NetRegressor


class PolicyRegressor(NetRegressor):
    """Train a net whose output is the decision, on the realised cost of its decisions.

    This is a decision rule: no parameters are predicted. The problem replaces the output of the net
    by the nearest feasible decision
    (:meth:`~dfl_sklearn.problems.DecisionProblem.decision_projection`). Training minimises the cost
    of that decision, recourse and penalties included. Features and decisions are standardised
    internally: an output of 0 is the best constant decision of the training rows, near which the
    package's own perceptron starts.

    `predict` and `decide` both return decisions, not predicted parameters. Metrics therefore take
    them as ``decisions=``, and estimators that solve for predictions, such as
    :class:`~dfl_sklearn.DFFRegressor`, refuse this class.

    Parameters
    ----------
    problem : DecisionProblem, default=None
        The problem to decide. Problems with integer decisions are refused. None is the
        squared-error problem, with which this is a least-squares net.
    ambiguity_set : AmbiguitySet, default=None
        The distributions to prepare for, as in :class:`~dfl_sklearn.DFLRegressor`.
    nominal_weight : float, default=0.0
        Share of the real rows in the loss of training for the worst case, in [0, 1]; 1 leaves that
        part of training out.
    predictor : None, callable, NetFactory or skorch.NeuralNet, default=None
        The net, as in :class:`~dfl_sklearn.DFLRegressor`; ``n_out`` is the number of decisions.
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers where `predictor` is None; ``()`` is a linear policy.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers where `predictor` is None.
    n_estimators : int, default=1
        Number of nets that are trained side by side and decide together. The decision is the mean
        of theirs, which is feasible because decisions are not integers.
    alpha : float, default=1e-4
        Strength of the L2 penalty on the weights (not the biases), divided by the total sample
        weight.
    batch_size : int or "auto", default="auto"
        Number of rows in a mini-batch; "auto" is a tenth of the rows, between 32 and 256.
    learning_rate : {"constant", "adaptive"}, default="adaptive"
        As in :class:`~dfl_sklearn.DFLRegressor`.
    learning_rate_init : float, default=0.01
        Initial learning rate of Adam.
    max_iter : int, default=200
        Largest number of epochs. An epoch is a pass over all rows, or over 262,144 of them where
        there are more.
    tol : float, default=1e-4
        Smallest improvement that counts, as a share of the regret of the best constant decision.
    n_iter_no_change : int, default=10
        Epochs without such an improvement before the learning rate falls or training stops.
    early_stopping : bool or "auto", default="auto"
        Whether to hold rows out and watch the regret there, as in
        :class:`~dfl_sklearn.DFLRegressor`.
    validation_fraction : float, default=0.2
        Share of the distinct rows to hold out, in (0, 1).
    standardize : bool, default=True
        Whether features and decisions are standardised for the net. Use False for a net that works
        in the original units.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit.
    device : str or torch.device, default="cpu"
        Where to train. A fitted model pickles as a CPU model and loads anywhere.
    n_jobs : int, default=None
        Threads of torch during `fit` and `predict`; None is 1, -1 all cores.
    callbacks : list of skorch.callbacks.Callback, default=None
        As in :class:`~dfl_sklearn.DFLRegressor`.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights, the batches and the hold-out.
    verbose : bool or int, default=False
        Whether to print a line per epoch, or every `verbose` epochs, and after two seconds without
        one.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). By name or position, as in
        :class:`sklearn.compose.ColumnTransformer`. Decisions are feasible for this context.
    context_is_feature : bool, default=True
        Whether the net sees these columns as well.

    Attributes
    ----------
    predictor_ : skorch.NeuralNet
        The trained net, in standardised units.
    history_ : pandas.DataFrame
        One row per epoch, as in :class:`~dfl_sklearn.DFLRegressor`.
    ambiguity_set_ : AmbiguitySet
        The ambiguity set in its last state, where there is one.
    worst_case_ : Bunch
        Where there is an ambiguity set: the regret on the real rows and in the worst case, and
        the divergence reached, for the final weights.
    n_iter_ : int
        Number of epochs run.
    best_epoch_ : int
        The epoch whose weights were kept, which is that of the lowest watched regret.
    x_scale_ : tuple (mean, scale) of ndarray
        Means and standard deviations by which features are standardised for the net.
    y_scale_ : tuple (mean, scale) of ndarray
        The same for its output: the best constant decision of the training rows, and the distance
        of their best decisions from it. After a warm start, the mean and standard deviation of the
        best decisions.
    predicts_decisions : bool
        True: `predict` returns decisions, not parameters.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    DFLRegressor : Train a net that predicts parameters, on the cost of the decisions from them.

    Notes
    -----
    Sample weights are exact, and the order of the rows does not matter, as in
    :class:`~dfl_sklearn.DFLRegressor`.

    Where an output is not feasible, a tenth of the gradient of the cost at the nearest feasible
    decision is added to the gradient through the projection, in those entries in which it leads
    back. Outputs that are all far outside would otherwise have a zero gradient and never return.

    References
    ----------
    Sadana, Chenreddy, Delage, Forel, Frejinger, Vidal, "A survey of contextual optimization methods
    for decision-making under uncertainty", European Journal of Operational Research 320, 2025,
    section 3 (decision rules). Ban, Rudin, "The big data newsvendor", Operations Research 67, 2019.

    Examples
    --------
    >>> from dfl_sklearn import PolicyRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import MultiProductNewsvendorProblem
    >>> X, y = make_newsvendor(n_products=3, random_state=0)
    >>> problem = MultiProductNewsvendorProblem(9, 1, capacity=200)
    >>> model = PolicyRegressor(problem, hidden_layer_sizes=(), random_state=0).fit(X, y)
    >>> orders = model.predict(X)
    >>> bool(orders.sum(axis=1).max() <= 200 + 1e-9)
    True
    """

    _parameter_constraints: dict = {
        **{
            name: constraint
            for name, constraint in NetRegressor._parameter_constraints.items()
            if name != "loss"
        },
        "ambiguity_set": [AmbiguitySet, None],
    }

    predicts_decisions = True

    def __init__(
        self,
        problem: DecisionProblem | None = None,
        *,
        ambiguity_set: AmbiguitySet | None = None,
        nominal_weight: float = 0.0,
        predictor: Callable[[int, int], nn.Module] | NetFactory | NeuralNet | None = None,
        hidden_layer_sizes: Sequence[int] = (32, 32),
        activation: str = "relu",
        n_estimators: int = 1,
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate: str = "adaptive",
        learning_rate_init: float = 0.01,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        standardize: bool = True,
        warm_start: bool = False,
        device: str | torch.device = "cpu",
        n_jobs: int | None = None,
        callbacks: Iterable[Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        context: Selection = None,
        context_is_feature: bool = True,
    ) -> None:
        self.problem = problem
        self.ambiguity_set = ambiguity_set
        self.nominal_weight = nominal_weight
        self.predictor = predictor
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_estimators = n_estimators
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.device = device
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose
        self.context = context
        self.context_is_feature = context_is_feature

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the decisions for the rows of X, as :meth:`decide` does.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row, as :meth:`decide` returns it.
        """
        return self.decide(X)

    def decide(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the decisions for the rows of X: the feasible ones nearest to the net's output.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, to be used instead of the columns of X that are context.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row, in float64; of shape (n,) if `y` was 1-d in `fit` and a decision
            is one number.
        """
        return member_mean(self._member_decisions(X, context))

    def predict_members(self, X: ArrayLike) -> np.ndarray:
        """Return the decisions of each of the nets.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n_estimators, n) or (n_estimators, n, k)
            One decision per net and row.
        """
        return self._member_decisions(X, None)

    def _member_decisions(self, X: ArrayLike, context: ArrayLike | None) -> np.ndarray:
        problem = self._resolve_problem()
        known = self.context_of(X) if context is None else context
        outputs, _ = self._output(X)
        rows = problem.context_rows(known, outputs.shape[1])
        projection = problem.decision_projection(self._n_parameters)
        with pinned_threads(n_threads(self.n_jobs)):
            decisions = np.stack([nearest_decisions(projection, each, rows) for each in outputs])
        one_number = self._target_ndim == 1 and decisions.shape[2] == 1
        return decisions[..., 0] if one_number else decisions

    def _resolve_predictor(self) -> Any:
        if self.predictor is None:
            return PolicyNet(self.hidden_layer_sizes, self.activation)
        return self.predictor

    def _objective(self, problem: DecisionProblem, n_parameters: int) -> PolicyObjective:
        return PolicyObjective(problem, n_parameters)
