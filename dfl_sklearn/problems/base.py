"""The contract of a decision problem: what is decided, and what it costs."""

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.rows import as_float, as_numpy_rows, as_rows, check_finite, like_input
from .._utils.scenario_models import values_and_weight
from ..rows import Optimum
from ._inputs import ProblemInputs
from ._outputs import check_costs, checked_decisions
from ._scenario_weights import normalised_weight, scenario_mean
from ._slopes import slopes_in_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from torch import nn

    from ._shadow_prices import ShadowPrices


class DecisionProblem(ProblemInputs, ABC):
    """Base class of decision problems: minimise ``cost(z, y)`` over the feasible decisions z.

    The parameters `y` are what a model predicts (demand, travel times, returns), the
    decision `z` is what is done about it (orders, routes, weights). As in a scikit-learn
    estimator, the constructor stores its arguments and does nothing else, so that ``clone``,
    ``pickle`` and grid search work.

    A subclass defines ``solve_rows(y, context)`` and ``cost_rows(decisions, y, context)``. They
    take 2-d arrays with one row per decision, and do not check them. To train a model through the
    problem, it also defines ``decision_layer(smoothing)``. Do not override `solve` and `cost`: they
    check their input and then call these methods, which training calls directly.

    Attributes
    ----------
    exact : bool
        Whether ``solve`` finds a true minimiser. Where it is False, regret may be negative.
    exact_scenarios : bool
        Whether ``solve`` with several scenarios minimises their mean cost exactly. Where it is
        False, the base class solves for the mean of the scenarios instead, with a warning.
    convex_decisions : bool
        Whether the mean of feasible decisions is feasible. It is False where decisions are
        integers.
    nonnegative : bool
        Whether negative observed parameters are an error.
    takes_context : bool
        Whether the problem uses `context`, known data of each row such as a capacity. By default
        it does if a parameter is, or contains, a :class:`FromContext`.
    most_scenarios : int or None
        Training divides its loss by the regret of the best constant decision. To find that
        decision, the training rows are used as scenarios, and this is the largest number of them:
        if there are more rows, so many are drawn at random. None uses all rows.
    decision_average : {"predictions", "decisions"}
        What an ensemble averages. With "predictions", the default, its decision is the best one for
        the mean prediction. This suits linear costs, and decisions that cannot be averaged, such as
        a path. With "decisions" it is the mean of the members' decisions. That mean is feasible if
        the feasible decisions form a convex set. If the cost is convex in the decision, it costs at
        most the mean of the members' costs.

    See Also
    --------
    FunctionProblem : A problem from a cost function alone.
    ConvexProgram : A problem that is written down in cvxpy.
    LinearCostProblem : The base class where the cost is linear in the decision.

    Examples
    --------
    Power is bought ahead at a price, and a shortage costs its square. Setting the derivative of the
    cost to zero shows that the best purchase is the demand less half of the price.

    >>> import numpy as np
    >>> from array_api_compat import array_namespace
    >>> from dfl_sklearn.problems import DecisionProblem
    >>> class PowerProblem(DecisionProblem):
    ...     def __init__(self, price=1.0):
    ...         self.price = price
    ...
    ...     def solve_rows(self, y, context=None):
    ...         return np.maximum(y - self.price / 2, 0.0)
    ...
    ...     def cost_rows(self, decisions, y, context=None):
    ...         xp = array_namespace(decisions, y)
    ...         short = xp.maximum(y - decisions, xp.zeros_like(y))
    ...         return xp.sum(self.price * decisions + short**2, axis=1)
    >>> problem = PowerProblem(price=2.0)
    >>> problem.solve([0.5, 4.0])
    array([0., 3.])
    >>> problem.cost([0.0, 3.0], [0.5, 4.0])
    array([0.25, 7.  ])
    """

    exact = True
    exact_scenarios = False
    convex_decisions: bool = False
    nonnegative: bool = False
    most_scenarios: int | None = None
    decision_average: str = "predictions"

    # -- verbs, which check nothing ----------------------------------------------------

    @abstractmethod
    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best decision of each row; unlike :meth:`solve` it checks nothing.

        Parameters
        ----------
        y : ndarray of shape (n, d)
            Parameters, float64.
        context : ndarray of shape (n, c) or None
            Known data of each row.

        Returns
        -------
        ndarray of shape (n, k)
            One decision per row.
        """

    @abstractmethod
    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the realised cost of each row; unlike :meth:`cost` it checks nothing.

        Use ``xp = array_namespace(decisions, y)`` of `array_api_compat` to write one formula for
        NumPy and torch.

        Parameters
        ----------
        decisions : ndarray or torch.Tensor of shape (n, k) or (1, k)
            What was decided.
        y : ndarray or torch.Tensor of shape (n, d)
            Parameters that came true.
        context : ndarray or torch.Tensor of shape (n, c) or None
            Known data of each row.

        Returns
        -------
        ndarray or torch.Tensor of shape (n,)
            In the unit of the cost.
        """

    def solve_scenarios(
        self, y: np.ndarray, weight: np.ndarray, context: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the decision of each row with the least mean cost, without checking the input.

        The base class solves for the mean of the scenarios, and warns where that is not exact.

        Parameters
        ----------
        y : ndarray of shape (n, S, d)
            S scenarios of the parameters of each row.
        weight : ndarray of shape (n, S)
            Weights of the scenarios, non-negative; each row sums to 1.
        context : ndarray of shape (n, c) or None
            Known data of each row.

        Returns
        -------
        ndarray of shape (n, k)
            One decision per row.
        """
        n_uncertain = int(((weight > 0).sum(axis=1) > 1).sum())
        if n_uncertain and not self.exact_scenarios:
            warnings.warn(
                f"{type(self).__name__} solved {n_uncertain} of {len(y)} rows for the mean of "
                "their scenarios, which is approximate: their mean cost may be lower elsewhere.",
                UserWarning,
                stacklevel=3,
            )
        return self.solve_rows(scenario_mean(y, weight), context)

    # -- hooks -------------------------------------------------------------------------

    def _solves_for_mean(self) -> bool:
        """Return whether :meth:`solve_scenarios` solves for the mean where this is not exact."""
        overrides = type(self).solve_scenarios is not DecisionProblem.solve_scenarios
        return not (self.exact_scenarios or overrides)

    @property
    def _has_every_cost(self) -> bool:
        """Whether decisions that are best for some parameters have a cost under all others."""
        return True

    # -- what users call ---------------------------------------------------------------

    def solve(self, y: Any, *, context: Any = None, scenario_weight: Any = None) -> np.ndarray:
        """Return the decision that is best if `y` comes true.

        Parameters
        ----------
        y : array-like of shape (n,), (n, d) or (n, S, d), or Scenarios
            Parameters, observed or predicted, one row per decision. One dimension means one
            parameter per row. Three dimensions are S scenarios per row; the decision then minimises
            their mean cost, but only approximately if `exact_scenarios` is False.
            :class:`~dfl_sklearn.scenarios.Scenarios` have weights of their own.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, for problems that take it.
        scenario_weight : array-like of shape (S,) or (n, S), default=None
            Non-negative weights of the scenarios; they are normalised to sum to 1. A scenario with
            a weight of 0 is ignored. The constraints of all others hold, however small their
            weights are.

        Returns
        -------
        ndarray of shape (n, k)
            One decision per row, in float64; of shape (n,) if `y` is 1-d and a decision is one
            number.

        Raises
        ------
        ValueError
            If `y` is not finite or has the wrong shape; if the context is missing, not valid, or
            given where none is taken; if the weights are not valid; if a parameter of the problem
            is not valid; if a row has no feasible decision. The message names the place.
        """
        self._check_constants()
        y, scenario_weight = values_and_weight(y, scenario_weight, "y")
        values = as_float(y, "y").astype(np.float64, copy=False)
        name = type(self).__name__
        if values.ndim == 3:
            self._check_parameter_array(values)
            weight = normalised_weight(scenario_weight, values.shape[0], values.shape[1])
            context = self._check_context(context, len(values))
            if values.shape[1] == 1:  # the plain decision, to the bit
                decisions = self.solve_rows(values[:, 0], context)
            else:
                decisions = self.solve_scenarios(values, weight, context)
            return checked_decisions(decisions, values, name)
        if scenario_weight is not None:
            raise ValueError(
                "scenario_weight needs scenarios: y of shape (n_rows, n_scenarios, n_parameters), "
                f"got shape {values.shape}."
            )
        rows = as_rows(values, "y")
        self._check_parameter_array(rows)
        decisions = self.solve_rows(rows, self._check_context(context, len(rows)))
        return like_input(checked_decisions(decisions, rows, name), values)

    def cost(self, decisions: Any, y: Any, *, context: Any = None) -> Any:
        """Return the realised cost of each row's decision, recourse and penalties included.

        A decision that violates a known constraint has no cost, and raises an error. Constraints
        must hold to the default tolerance of :meth:`is_feasible`, and integers must be integers.
        This also excludes the relaxed decisions of a decision layer and the mean of several integer
        decisions. For training, :meth:`cost_rows` returns a cost for these too, and so does this
        method for torch tensors.

        Parameters
        ----------
        decisions : array-like or torch.Tensor of shape (n,), (n, k) or (1, k)
            What was decided. A single row is used for every row of `y`.
        y : array-like or torch.Tensor of shape (n,) or (n, d)
            The parameters that came true.
        context : array-like of shape (n,) or (n, c), or DataFrame, default=None
            Known data of each row, for problems that take it.

        Returns
        -------
        ndarray or torch.Tensor of shape (n,)
            In the unit of the cost. NumPy arrays in float64. Torch tensors give a tensor of their
            own type, which is differentiable.

        Raises
        ------
        ValueError
            If an array is not finite, has the wrong shape, or holds a decision that is not
            feasible; if the cost itself is not finite. The message names the place. Of torch
            tensors, this method checks the shapes only.
        TypeError
            If only one of `decisions` and `y` is a torch tensor.
        """
        z, values, known = self._cost_inputs(decisions, y, context)
        with np.errstate(over="ignore", invalid="ignore"):  # checked below, by row
            costs = self.cost_rows(z, values, known)
        check_costs(costs, z, values, type(self).__name__)
        return costs

    def optimal_cost(self, y: Any, *, context: Any = None) -> np.ndarray:
        """Return the cost of the best decision for each row of `y`, of shape (n,).

        Parameters
        ----------
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        context : array-like of shape (n,) or (n, c), or DataFrame, default=None
            Known data of each row, for problems that take it.

        Returns
        -------
        ndarray of shape (n,)
            In the unit of the cost.
        """
        return self.optimum(y, context=context).cost

    def optimum(self, y: Any, *, context: Any = None) -> Optimum:
        """Return the best decisions for the rows of `y` together with their cost.

        Parameters
        ----------
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        context : array-like of shape (n,) or (n, c), or DataFrame, default=None
            Known data of each row, for problems that take it.

        Returns
        -------
        Optimum
            Decisions (n, k) and their costs (n,).
        """
        rows = as_numpy_rows(y, "y")
        decisions = self.solve(rows, context=context)
        return Optimum(decisions, self.cost(decisions, rows, context=context))

    # -- constraints -------------------------------------------------------------------

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        """Return, for each row, whether the decision is feasible, to an absolute `tol`.

        A decision is feasible if it is finite and violates no constraint by more than `tol`, in the
        unit of the constraint; see :meth:`violation`. Some problems use a relative tolerance, as
        their documentation says. In the base class every finite decision is feasible.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            Parameters, where constraints depend on them.
        context : array-like of shape (n,) or (n, c), or DataFrame, default=None
            Known data of each row, for problems that take it.
        tol : float, default=1e-6
            By how much a constraint may be violated.

        Returns
        -------
        ndarray of bool of shape (n,)
            Whether each decision is feasible.
        """
        finite = np.isfinite(self._decision_rows(decisions, y, context, tol)).all(axis=1)
        missed = self.violation(decisions, y, context=context)
        return finite & (missed <= tol).all(axis=1)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is violated, in its own unit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            The parameters that came true, for constraints that depend on them. Without `y`, these
            constraints are not checked.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, for problems that take it.

        Returns
        -------
        ndarray of shape (n, m)
            0 where a constraint holds, NaN where a decision in it is NaN. The base class has no
            constraints: m is 0.
        """
        return np.zeros((len(self._decision_rows(decisions, y, context, 0.0)), 0))

    def explain(self, decisions: Any, y: Any, *, context: Any = None) -> "pd.DataFrame":
        """Return which constraints bind, and their shadow prices.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : array-like of shape (n,) or (n, d)
            The parameters, observed or predicted.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, for problems that take it.

        Returns
        -------
        DataFrame
            One line for each constraint of each row, with the columns `row`, `constraint` (its
            name), `slack` and `shadow_price`. The slack is what the given decision leaves of the
            right-hand side: 0 where the constraint binds, negative where it is violated. The shadow
            price is that of the best decision for `y`: by how much the least cost changes, in units
            of the cost, per unit more of the right-hand side. Where the least cost has a kink there
            are several shadow prices, and one of them is returned. Where decisions are integers,
            it is the shadow price of the continuous relaxation.

        Raises
        ------
        NotImplementedError
            If the problem has no shadow prices.
        ValueError
            If an input is not finite or has the wrong shape.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        check_finite(z, "decisions")
        rows = as_numpy_rows(y, "y").astype(np.float64, copy=False)
        return self._shadow_prices(z, rows, self.context_rows(context, len(z))).table()

    def _shadow_prices(
        self, decisions: np.ndarray, y: np.ndarray, context: np.ndarray | None
    ) -> "ShadowPrices":
        """Return the names of constraints, their slacks and their prices."""
        raise NotImplementedError(f"{type(self).__name__} knows no shadow prices of constraints.")

    def uncertain_constraints(self, decisions: Any, y: Any, context: Any = None) -> tuple[Any, Any]:
        """Return by how much constraints that depend on y are exceeded; the input is not checked.

        Parameters
        ----------
        decisions : ndarray or torch.Tensor of shape (n, k)
            What was decided.
        y : ndarray or torch.Tensor of shape (n, d)
            Parameters of each row.
        context : ndarray or torch.Tensor of shape (n, c) or None
            Known data of each row, for problems that take it.

        Returns
        -------
        excess : ndarray or torch.Tensor of shape (n, m)
            Positive where a constraint is violated, negative where there is slack. Tensors are
            differentiable in decisions and y.
        size : ndarray or torch.Tensor of shape (n, m)
            The absolute right-hand sides, which `excess` may be compared with.

        Raises
        ------
        ValueError
            If no constraint depends on y, as in the base class.
        """
        raise ValueError(
            f"{type(self).__name__} has no constraints that depend on what is predicted."
        )

    def _why_all_is_certain(self) -> str | None:
        """Return why no constraint depends on what is predicted, None where one does."""
        if type(self).uncertain_constraints is DecisionProblem.uncertain_constraints:
            return "has none"
        return None

    # -- what y may be -----------------------------------------------------------------

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError, naming the row, if observed `y` is not valid for this problem.

        Parameters
        ----------
        y : array-like of shape (n,) or (n, d)
            Observed parameters.

        Raises
        ------
        ValueError
            If `y` is not finite, has the wrong number of columns, or has values that observed
            parameters of this problem cannot have.
        """
        self._check_constants()
        self._check_parameter_array(as_numpy_rows(y, "y"))

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Project generated `y` into the problem's domain.

        Parameters
        ----------
        y : array-like of shape (n,) or (n, d)
            Generated parameters.

        Returns
        -------
        projected : ndarray of the shape of `y`
            The nearest parameters that the problem allows.
        share : float
            The share of rows that were moved. The base class moves none.
        """
        return as_float(y, "y"), 0.0

    # -- training ----------------------------------------------------------------------

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return a torch module, (B, d) -> (B, k), through which decisions are differentiated.

        Parameters
        ----------
        smoothing : float or None, default=None
            How much the decision is smoothed, in the unit that the problem documents. None is the
            problem's own default; 0, where the problem accepts it, is the exact decision.

        Returns
        -------
        torch.nn.Module
            Maps parameters (B, d), and the context (B, c) if the problem takes one, to decisions
            (B, k).

        Raises
        ------
        NotImplementedError
            If the problem has no decision layer, as the base class.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no decision layer, so no model can be trained through it. "
            "Implement decision_layer(smoothing), train with loss=ScoreFunctionLoss(), or use "
            "TwoStageRegressor."
        )

    def scenario_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return a torch module through which decisions over scenarios are differentiated.

        A :class:`~dfl_sklearn.DFLRegressor` trains scenario models through it. The base class has
        one for problems whose best decision is the best one for the mean of the scenarios. If
        decisions can be differentiated in the weights as well, the module has an attribute
        `weights_have_slopes` that is True.

        Parameters
        ----------
        smoothing : float or None, default=None
            How much the decision is smoothed, in the unit that the problem documents; None is the
            problem's own default.

        Returns
        -------
        torch.nn.Module
            Maps scenarios (B, S, d), their weights (B, S), and the context (B, c) if the problem
            takes one, to the decisions (B, k) that `solve` returns for them.

        Raises
        ------
        NotImplementedError
            If the problem has no such layer.
        """
        overrides = type(self).solve_scenarios is not DecisionProblem.solve_scenarios
        if self.exact_scenarios and not overrides:
            from ..layers.scenarios import ScenarioMeanLayer

            return ScenarioMeanLayer(self.decision_layer(smoothing))
        raise NotImplementedError(
            f"{type(self).__name__} has no scenario_layer, through which scenarios are trained for "
            "its decisions. Train on ScoreFunctionLoss(), which needs none."
        )

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return a torch module, (B, k) -> (B, k), to the nearest feasible decision.

        A :class:`~dfl_sklearn.PolicyRegressor` applies it to the output of its net. Feasible
        decisions are not changed, and the map is differentiable.

        Parameters
        ----------
        n_parameters : int
            The number of columns of y.

        Returns
        -------
        torch.nn.Module
            Maps any numbers (B, k), and the context (B, c) if the problem takes one, to decisions
            (B, k).

        Raises
        ------
        ValueError
            If decisions are integers, or if it depends on y which decisions are feasible.
        NotImplementedError
            If the problem has no such projection, as the base class.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no decision_projection, so no policy can be trained for "
            "it. Implement decision_projection(n_parameters), or use DFLRegressor or "
            "TwoStageRegressor."
        )

    def linear_objective(self) -> "Callable[..., Any] | None":
        """Return the map from parameters to the cost vector c, where the cost is ``c @ z``.

        Returns
        -------
        callable or None
            ``costs(y, context=None)`` from parameters (n, d) to cost vectors (n, k), affine in y;
            the context (n, c) is given if the problem takes one. None, as in the base class, means
            that the cost is not linear in the decision.
        """
        return None

    def cost_slopes(
        self, decisions: np.ndarray, n_parameters: int, context: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return the slopes of the cost in y where it is affine in y; the input is not checked.

        Parameters
        ----------
        decisions : ndarray of shape (n, k)
            What was decided.
        n_parameters : int
            d, the number of columns of y.
        context : ndarray of shape (n, c) or None
            Known data of each row.

        Returns
        -------
        ndarray of shape (n, d) or None
            None where the cost of a decision is not affine in y. The base class derives the slopes
            from :meth:`linear_objective`.
        """
        objective = self.linear_objective()
        if objective is None:
            return None
        return slopes_in_parameters(objective, decisions, n_parameters, context)

    def solve_worst_rows(
        self, center: np.ndarray, root: np.ndarray, context: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return the decisions with the least worst-case cost over sets of y; nothing is checked.

        Parameters
        ----------
        center : ndarray of shape (n, d)
            Centers of the sets, usually predicted parameters.
        root : ndarray of shape (n, d) or (n, d, d)
            For boxes, their half-widths (n, d). For ellipsoids, matrices (n, d, d) that map the
            unit ball to them.
        context : ndarray of shape (n, c) or None
            Known data of each row.

        Returns
        -------
        ndarray of shape (n, k) or None
            None, as in the base class, if the problem has no method of its own for this.
        """
        return None
