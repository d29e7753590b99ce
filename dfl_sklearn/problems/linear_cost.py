"""Base class of problems whose cost is linear in the decision."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from array_api_compat import array_namespace

from .._utils.checks import job_count, option, smoothing_number
from ..solvers.linear import NoDecisionError
from ..solvers.polytope import Polytope
from ._context import at, each_context, layer_by_context
from ._nearest import by_context, in_polytope, in_polytopes
from ._not_allowed import ALLOWED, in_chunks, refuse_row
from ._shadow_prices import ShadowPrices, names_of, prices_of
from .base import DecisionProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


class LinearCostProblem(DecisionProblem):
    r"""Base class of problems with the cost :math:`\pm y^\top z`, one parameter per decision.

    A subclass defines `solve_rows` and `_polytope(n)`, the linear constraints on n decisions.
    It has a parameter `sense` where values can be maximised; costs are then negated values.

    Where numbers of the problem are read from the context, each distinct context has its own
    constraints, and these are handled one by one. A subclass whose rows differ only in right-hand
    sides and bounds returns True from `_shares_matrix` and defines `_polytope_rows(n, context)`.

    Under a distribution of y the best decision is that for its mean, so that scenarios are solved
    for exactly.

    See Also
    --------
    LinearProgram : Any linear constraints, without writing a class.
    dfl_sklearn.losses.SPOPlusLoss : The default loss for such problems.

    Examples
    --------
    Every such problem is a linear program, which can be inspected or extended:

    >>> from dfl_sklearn.problems import LinearCostProblem, TopKProblem
    >>> problem = TopKProblem(1)
    >>> isinstance(problem, LinearCostProblem)
    True
    >>> program = problem.as_linear_program(3)
    >>> program.solve([[3.0, 1.0, 2.0]])
    array([[1., 0., 0.]])
    """

    exact_scenarios = True
    sense: str = "min"

    @abstractmethod
    def _polytope(self, n: int) -> Polytope:
        """Return the constraints on n decisions, where nothing is read from the context.

        The constants are already checked.
        """

    @property
    def _has_own_constraints(self) -> bool:
        """Whether constraints differ by row."""
        return bool(self.context_columns())

    @property
    def _shares_matrix(self) -> bool:
        """Whether constraints differ only in right-hand sides and bounds."""
        return False

    def _polytope_rows(self, n: int, context: np.ndarray) -> Polytope:
        """Return one set of constraints on n decisions for each row of a context (B, c).

        This is for problems whose constraints differ only in right-hand sides and bounds.
        """
        raise NotImplementedError(
            f"{type(self).__name__} says that its rows share a matrix (_shares_matrix), and has to "
            "define _polytope_rows(n, context)."
        )

    def _marked_sides(self) -> "dict[str, Any]":
        """Return the right-hand sides with their markers, by their names in LinearProgram."""
        raise ValueError(
            f"{type(self).__name__} cannot be written as one linear program: more than the "
            "right-hand sides and bounds of its constraints differ by row."
        )

    def _plus_known(self, y: Any, context: Any) -> Any:
        """Return the parameters plus the known part of the costs, in the same units."""
        return y

    # -- decisions that are not allowed ------------------------------------------------

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        own, n = self._has_own_constraints, decisions.shape[1]
        if not own:
            context = None
        shape = (len(decisions) if context is None else len(context), n)
        z = np.broadcast_to(decisions, shape)
        misses = self._misses(z, context)
        bad = misses.any(axis=1)
        if not bad.any():
            return
        row = int(bad.argmax())
        there = self if context is None else at(self, context[row])
        part = there._polytope(n)
        refuse_row(part, there._names_in_errors(part), z[row], misses[row], row, int(bad.sum()))

    def _misses(self, z: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        """Return which constraints decisions (n, k) miss, as `is_feasible` finds it."""

        def missed(part: Polytope, rows: np.ndarray) -> np.ndarray:
            def some(index: np.ndarray) -> np.ndarray:
                return part.for_rows(index).misses(rows[index], ALLOWED)

            return in_chunks(some, len(rows), part.matrix.shape[0] + rows.shape[1])

        return self._of_constraints(missed, z, context)

    def _names_in_errors(self, polytope: Polytope) -> list[str]:
        """Return what the user calls the rows of the matrix."""
        return self._names_of_constraints(polytope)

    # LinearProgram, which registers itself here because importing it would be circular.
    _linear_program: ClassVar["type[LinearCostProblem]"]

    @property
    def _sign(self) -> float:
        """1 where ``y @ z`` is minimised, -1 where it is maximised."""
        return -1.0 if self.sense == "max" else 1.0

    def _check_constants(self) -> None:
        option(self.sense, "sense", ("min", "max"))
        job_count(getattr(self, "n_jobs", None))

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        return self._sign * xp.sum(self._plus_known(y, context) * decisions, axis=1)

    def _shadow_prices(
        self, decisions: np.ndarray, y: np.ndarray, context: np.ndarray | None
    ) -> ShadowPrices:
        """Return slacks and prices; prices are those of the relaxation for integer decisions."""
        names: list[str] = []

        def found(
            problem: LinearCostProblem, z: np.ndarray, y: np.ndarray, context: Any = None
        ) -> np.ndarray:
            n = y.shape[1]
            if problem._has_own_constraints:
                part = problem._polytope_rows(n, context)
            else:
                part = problem._polytope(n)
            names[:] = problem._names_of_constraints(part)
            costs = problem._cost_vectors(y, context)
            return prices_of(part, costs, z, type(problem).__name__)

        if self._has_own_constraints and not self._shares_matrix:
            values = each_context(self, np.asarray(context), found, decisions, y)
        else:
            values = found(self, decisions, y, context)
        return ShadowPrices(names, *np.split(values, 2, axis=1))

    def _names_of_constraints(self, polytope: Polytope) -> list[str]:
        return names_of(polytope)

    def linear_objective(self) -> "Callable[..., Any]":
        """Return the map from parameters (n, d) to the cost vectors (n, d) of ``c @ z``.

        The map is ``costs(y, context=None)``, affine in y. The context (n, c) is needed where a
        part of the costs is read from it.
        """
        return self._cost_vectors

    def _cost_vectors(self, y: Any, context: Any = None) -> Any:
        costs = self._plus_known(y, context)
        return -costs if self.sense == "max" else costs

    def as_linear_program(self, n_decisions: int | None = None) -> "LinearCostProblem":
        """Return the same problem as a ``LinearProgram``, to inspect or to extend it.

        Parameters
        ----------
        n_decisions : int, default=None
            The number of decisions; needed where the problem does not fix it.

        Returns
        -------
        LinearProgram
            A problem with the same decisions and costs.

        Raises
        ------
        ValueError
            If more than the right-hand sides of constraints is read from the context.
        """
        self._check_constants()
        n = self._n_parameters() if n_decisions is None else n_decisions
        if n is None:
            raise ValueError(f"n_decisions is needed: {type(self).__name__} does not fix it.")
        self._check_width(n)
        columns = self.context_columns()
        sides: dict[str, Any] = {}
        if columns:
            sides = self._marked_sides()
            width = max([len(columns), *(1 + each for each in columns if isinstance(each, int))])
            part = self._polytope_rows(n, np.ones((1, width))).for_rows(0)
        else:
            part = self._polytope(n)
        has_ub, has_eq = len(part.b_ub) > 0, len(part.b_eq) > 0
        given: dict[str, Any] = {
            "A_ub": part.A_ub.copy() if has_ub else None,
            "b_ub": part.b_ub.copy() if has_ub else None,
            "A_eq": part.A_eq.copy() if has_eq else None,
            "b_eq": part.b_eq.copy() if has_eq else None,
            "bounds": np.stack([part.lower, part.upper], axis=1),
        }
        return self._linear_program(
            **(given | sides), integrality=part.integral.astype(int), sense=self.sense
        )

    def is_feasible(
        self,
        decisions: Any,
        y: Any = None,
        *,
        context: Any = None,
        tol: float = 1e-6,
        atol: float | None = None,
    ) -> np.ndarray:
        r"""Return, for each row, whether all constraints hold.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : array-like, default=None
            Only its shape is checked; the constraints do not depend on it.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, for problems that take it.
        tol : float, default=1e-6
            By how much a constraint may be missed, as a share of its absolute terms,
            :math:`\sum_j |a_j z_j| + |b|`, or a bound, as a share of the variable and its bounds;
            also the distance that integer variables may have from an integer.
        atol : float, default=None
            By how much more it may be missed, in its own unit. None is a billionth of the smallest
            right-hand side or bound that is not 0, or of 1 if that is smaller; 0 where `tol` is 0.

        Returns
        -------
        ndarray of bool of shape (n,)
            Whether each decision is feasible.
        """
        z = self._decision_rows(decisions, y, context, tol)
        self._check_width(z.shape[1])
        finite = np.isfinite(z).all(axis=1)
        return finite & self._of_constraints(
            lambda part, rows: part.contains(rows, tol, atol),
            np.where(finite[:, None], z, 0.0),
            self._check_context(context, len(z)),
        )

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in its own unit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : None
            Ignored: the constraints do not depend on it.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, for problems that take it.

        Returns
        -------
        ndarray of shape (n, m)
            0 where a constraint holds. The columns are the inequalities, the equations and, for
            each decision, the violation of its bounds or, if that is larger, its distance from an
            integer.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        self._check_width(z.shape[1])
        rows = self._check_context(context, len(z))
        return self._of_constraints(lambda part, rows: part.violation(rows), z, rows)

    def _of_constraints(
        self,
        function: "Callable[[Polytope, np.ndarray], np.ndarray]",
        z: np.ndarray,
        context: np.ndarray | None,
    ) -> np.ndarray:
        """Call a function of constraints and decisions (n, k), with the constraints of each row."""
        n = z.shape[1]
        if not self._has_own_constraints:
            return function(self._polytope(n), z)
        assert context is not None
        if self._shares_matrix:
            return function(self._polytope_rows(n, context), z)
        return each_context(
            self, context, lambda there, rows: function(there._polytope(n), rows), z
        )

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the best decision under the cost plus :math:`\gamma \|z\|^2`, relaxed.

        Whole numbers are relaxed to real ones. `smoothing` is :math:`\gamma`, positive, in the
        units of `y` per unit of a decision. None takes, for each row, the root mean square of its
        parameters, known costs included, so that decisions do not depend on their scale. (With a
        single parameter the decision then depends on its sign only, and has no slope: give a number
        there.)

        The cost of the decision exceeds the least cost by at most :math:`\gamma` times the squared
        diameter of the feasible set (Wilder et al., 2019, theorem 1).
        """
        why = (
            ": the best decision under a linear cost jumps, and is constant in between. To train "
            "without smoothing use SPOPlusLoss."
        )
        smoothing_number(smoothing, positive=True, why=why)
        self._check_constants()
        return self._decision_layer(smoothing)

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return the nearest decision, by a quadratic program.

        See :meth:`DecisionProblem.decision_projection`. Integer decisions are refused.
        """
        self._check_constants()
        if not self._has_own_constraints:
            return in_polytope(self, self._polytope, n_parameters)
        if self._shares_matrix:
            return in_polytopes(self, self._polytope_rows)
        return by_context(self, n_parameters)

    def _decision_layer(self, smoothing: float | None) -> "nn.Module":
        """Return the layer; a subclass with a faster one for its constraints overrides this."""
        from ..layers.regularized_linear import RegularizedLinearLayer
        from ..layers.regularized_linear_rows import RegularizedLinearRowsLayer

        if not self._has_own_constraints:
            return RegularizedLinearLayer(self._polytope, smoothing, scale=self._sign)
        if self._shares_matrix:
            return RegularizedLinearRowsLayer(self._polytope_rows, smoothing, scale=self._sign)
        return layer_by_context(self, smoothing)


def solve_there(problem: DecisionProblem, y: np.ndarray) -> np.ndarray:
    """Solve at one row of a context, for `each_context`; errors call that row row 0."""
    try:
        return problem.solve_rows(y)
    except NoDecisionError as error:
        raise NoDecisionError(f"At row 0 of the context: {error}") from None
