"""A convex program that the user writes in cvxpy."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.progress import counted
from .._utils.row_numbers import renumbered
from ..solvers.linear import NoDecisionError
from ._convex_costs import NEAR, NEAR_IN_LAYER, as_tensor, beside, costs_of
from ._convex_prices import named, prices_of_row
from ._convex_scenarios import program_of_scenarios
from ._cvxpy_parts import CvxpyProgram, is_dpp_given_context
from ._cvxpy_problem import CvxpyProblem
from ._cvxpy_program import BuiltProgram
from ._least_missed import least_missed
from ._nearest import refuse_whole
from ._nearest_program import NearestProgram
from ._scenario_weights import scenario_mean
from ._shadow_prices import ShadowPrices
from ._small_weights import decide_with_small_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..solvers.extensive_form import ExtensiveForm
    from ._parametric import Found


class ConvexProgram(CvxpyProblem):
    """Minimise (or maximise) a convex program that a function of yours builds in cvxpy.

    Parameters
    ----------
    builder : callable
        A function without arguments that returns a :class:`CvxpyProgram`: a ``cvxpy.Problem``, the
        parameters that a model predicts, the variables that are decided, and the parameters that
        are read from the context. Without a context it may return
        ``(problem, parameter, variable)`` instead. Other variables are chosen once the parameters
        are known. Define the function at the top level of a module, so that it can be pickled. It
        must always return the same program, which is cached.
    solver : str, default=None
        None uses PIQP, HiGHS (whole numbers) or Clarabel (cones), scales the numbers and checks
        every answer. A name is passed to ``cvxpy.Problem.solve``: decisions are then as accurate
        as that solver's tolerances, which are often absolute.
    penalty : float, default=None
        Cost per unit by which a decision misses a constraint that depends on a predicted parameter
        and on decisions alone; positive, in the unit of the objective (subtracted where that is
        maximised). It is part of the cost, and decisions minimise it as well. With None such a
        decision has no cost, which is an error.

    See Also
    --------
    CvxpyProgram : The object that the builder returns where there is a context.
    LinearProgram : Faster where everything is linear and only costs are predicted.
    FunctionProblem : For costs that cannot be written in cvxpy.

    Notes
    -----
    The cost of a decision is the objective, negated where it is maximised. Other variables take
    their best values with the decision fixed. A decision that misses a constraint by more than 1e-6
    of its terms has no cost, which is an error that names the constraint. Decisions of cvxpylayers
    in training may miss it by 1e-3. In messages and in :meth:`explain` a constraint is called by
    its label (``constraint.set_label("capacity")``), or by its number in the list of constraints.

    With scenarios the mean cost is minimised. The decisions are shared, and the other variables and
    all constraints are repeated for each scenario. Constraints on decisions alone therefore hold in
    all scenarios, unless there is a `penalty`; where the scenarios contradict one another it is an
    error. A linear or quadratic program with 1,000 scenarios takes some tens of milliseconds. Other
    programs are built by cvxpy, which takes some milliseconds per scenario. Rows whose decision
    cannot be proven to be the best are solved for the mean of their scenarios, with a warning.

    Linear and quadratic programs in which only costs and right-hand sides depend on parameters are
    compiled once; all rows of a table or batch are then solved, costed and differentiated together.
    Rows of other programs, and rows with several best decisions, are solved one by one by cvxpy.
    Problems of this package with a closed form are many times faster.

    The other programs are trained through `cvxpylayers`, which differentiates programs that follow
    cvxpy's rules for parameters (DPP). Integer variables cannot be differentiated. A program may
    follow these rules only once its context is known, for example because it multiplies a known
    price by a predicted demand. A layer is then made for each distinct context, and rows are solved
    more slowly. There is no gradient with respect to the context.

    Predictions and scenarios are moved to the nearest values that the signs and bounds of cvxpy's
    parameters allow (``nonneg=True``, ``nonpos=True``, ``bounds=``), so that a negative demand is
    planned for as 0. Observed parameters outside are an error.

    Decisions are checked in the units given: constraints hold to 1e-8 of their absolute terms, and
    the dual values prove that no decision is cheaper by more than 1e-7 of the absolute terms of the
    cost. Where this cannot be proven, an error is raised.

    This class needs cvxpy: ``pip install "dfl-sklearn[cvxpy]"``.

    Examples
    --------
    >>> import cvxpy as cp
    >>> from dfl_sklearn.problems import ConvexProgram
    >>> def build():
    ...     power, price = cp.Variable(3), cp.Parameter(3)
    ...     cost = price @ power + 0.5 * cp.sum_squares(power)
    ...     return cp.Problem(cp.Minimize(cost), [cp.sum(power) == 2, power >= 0]), price, power
    >>> abs(ConvexProgram(build).solve([[1.0, 2.0, 9.0]])).round(3)
    array([[1.5, 0.5, 0. ]])

    Demand is predicted. Units that are missing later are bought at 9 each:

    >>> def supply():
    ...     bought, demand = cp.Variable(2, nonneg=True), cp.Parameter()
    ...     limits = [cp.sum(bought) >= demand, bought <= 10]
    ...     return cp.Problem(cp.Minimize(bought @ [1, 2]), limits), demand, bought
    >>> problem = ConvexProgram(supply, penalty=9.0)
    >>> bought = problem.solve([4.0, 13.0])
    >>> problem.cost(bought, [5.0, 13.0]).round(6)
    array([13., 16.])
    """

    exact_scenarios = True

    def __init__(
        self,
        builder: Callable[[], CvxpyProgram | tuple[Any, Any, Any]],
        solver: str | None = None,
        *,
        penalty: float | None = None,
    ):
        self.builder = builder
        self.solver = solver
        self.penalty = penalty

    @property
    def convex_decisions(self) -> bool:  # type: ignore[override]
        """Whether a mean of feasible decisions is feasible: no variable is a whole number."""
        return not self._program().problem.is_mixed_integer()

    @property
    def most_scenarios(self) -> int:  # type: ignore[override]
        """The most scenarios to solve for; few where cvxpy builds a program part for each."""
        return 200 if self.solver is None and self._program().extensive is not None else 50

    @property
    def _has_every_cost(self) -> bool:
        program = self._program()
        if len(program.hard.problem.variables()) > len(program.decisions):
            return False  # it is not known whether these make up for every decision
        return self.penalty is not None or not program.is_uncertain

    @property
    def decision_average(self) -> str:  # type: ignore[override]
        """What an ensemble averages: decisions, unless these are integers or costs are linear."""
        program = self._program()
        is_linear = program.problem.objective.expr.is_affine() and program.recourse is None
        return "decisions" if self.convex_decisions and not is_linear else "predictions"

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        y, context = np.asarray(y, np.float64), self._context_rows(context)
        y = self._program().domain.nearest(y)
        decisions, done = np.empty((len(y), self._program().n_decisions)), np.zeros(len(y), bool)
        if self.solver is None and len(y):
            found = self.minimisers(as_tensor(y), context)
            if found is not None:
                decisions[:], done = (each.numpy() for each in found)
        what = "y" if context is None else "y and the context"
        for i, program in self._rows_set(y, context, np.flatnonzero(~done)):
            try:
                self._run(program, program.problem, f"row {i} of {what}")
            except NoDecisionError as error:
                raise NoDecisionError(f"{error} {self._why_none(program, y[i])}") from error
            decisions[i] = program.decision()
        return decisions

    @staticmethod
    def _why_none(program: BuiltProgram, row: np.ndarray) -> str:
        """Say why there is no decision for the present parameters, of a row (d,) of y."""
        largest = float(np.abs(row).max(initial=0.0))
        missed = least_missed(program.problem, program.options, largest)
        if missed is None:
            raise RuntimeError(
                "The program could not be solved: the solver finds no decision where there are "
                f"some. y is {np.asarray(row).tolist()} there; {largest:.6g} may be too large "
                "beside the other numbers. Choose units for variables and constraints in which "
                "their numbers are of similar size, or limit y by bounds= of its parameter."
            )
        return (
            f"y is {np.asarray(row).tolist()} there. {missed}{' ' if missed else ''}Where a "
            "prediction is at fault, declare what the parameter can be, such as "
            "cp.Parameter(nonneg=True), so that predictions are moved there, or add a variable "
            "that makes up for what is missing, at a price."
        )

    def _why_none_of(self, y: np.ndarray, context: np.ndarray | None, numbers: np.ndarray) -> str:
        """Say why there is no decision for scenarios y (S, d), which have these numbers."""
        rows = None if context is None else np.repeat(context[None], len(y), axis=0)
        for s, program in self._rows_set(y, rows, np.arange(len(y))):
            try:
                self._run(program, program.problem, f"scenario {numbers[s]}")
            except NoDecisionError as error:
                return f"{error} {self._why_none(program, y[s])}"
            except (ValueError, RuntimeError):
                continue
        return "Each has one by itself: add variables that make up for what is missing, at a price."

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decision (n, k) of the least mean cost over y (n, S, d), unchecked."""
        context, program = self._context_rows(context), self._program()
        y = program.domain.nearest(y)
        form = None if self.solver is not None else program.extensive
        is_certain = (weight > 0).sum(axis=1) == 1
        if form is not None and form.is_linear_in(slice(program.n_parameters)):
            is_certain[:] = True
        certain = np.flatnonzero(is_certain)
        z = np.empty((len(y), program.n_decisions))
        if len(certain):
            mean = scenario_mean(y[certain], weight[certain])
            with renumbered(certain):
                z[certain] = self.solve_rows(mean, None if context is None else context[certain])
        unsolved: dict[int, RuntimeError] = {}
        others = np.flatnonzero(~is_certain).tolist()
        for i in counted(others, "rows solved over scenarios", len(others)):
            some = weight[i] > 0
            known = None if context is None else context[i]
            decide = partial(self._decide_over, y[i, some], context=known, row=i, form=form)
            try:
                z[i] = decide_with_small_weights(
                    self, y[i, some], weight[i, some], known, i, decide
                )
            except NoDecisionError as error:
                numbers = np.flatnonzero(some)
                why = self._why_none_of(y[i, some], known, numbers)
                raise NoDecisionError(f"{error} {why}") from error
            except RuntimeError as error:
                unsolved[i] = error
                mean = scenario_mean(y[i : i + 1], weight[i : i + 1])
                with renumbered(np.array([i])):
                    z[i] = self.solve_rows(mean, None if known is None else known[None])[0]
        if unsolved:
            row = min(unsolved)
            warnings.warn(
                f"{len(unsolved)} of {len(y)} rows of ConvexProgram were solved for the mean of "
                f"their scenarios, which is approximate. {unsolved[row]}",
                UserWarning,
                stacklevel=3,
            )
        return z

    def _decide_over(
        self,
        y: np.ndarray,
        weight: np.ndarray,
        context: np.ndarray | None,
        row: int,
        form: "ExtensiveForm | None",
    ) -> np.ndarray:
        """Return the decision (k,) for scenarios y (S, d) of a row."""
        program = self._program()
        rows = None if context is None else np.repeat(context[None], len(y), axis=0)
        with renumbered(np.full(len(y), row)):
            program.check_rows(y, rows)
        where = f"all scenarios of row {row}"
        if form is None:
            with warnings.catch_warnings():
                # cvxpy's warning about many constraints is not for the user.
                warnings.filterwarnings("ignore", "(Objective|Constraint).*too many subexpressions")
                problem, decisions = program_of_scenarios(program, y, weight, context)
                self._run(program, problem, where)
            return np.concatenate([np.ravel(each.value) for each in decisions])
        with self._explained(where):
            return form.decide(y if rows is None else np.concatenate([y, rows], axis=1), weight)

    def minimisers(self, y: "torch.Tensor", context: np.ndarray | None) -> "Found | None":
        """Return the best decisions (B, k) of linear and quadratic programs, all rows at once.

        They are right where there is only one best decision. None for other programs.

        Parameters
        ----------
        y : torch.Tensor of shape (B, d)
            Parameters, in float64 on the CPU.
        context : ndarray of shape (B, c) or None
            Known data of each row, for problems that take it.

        Returns
        -------
        Found or None
            ``values`` (B, k), and ``is_right`` (B,): the rows whose decisions and slopes are right.
        """
        program = self._program()
        if program.parametric is None:
            return None
        program.check_rows(y.detach().numpy(), context)
        return program.parametric.decide(beside(y, context))

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        if isinstance(y, np.ndarray):
            z, rows = as_tensor(decisions), as_tensor(y)
            return costs_of(self, z, rows, self._context_rows(context), NEAR).numpy()
        import torch

        z, rows = (each.to("cpu", torch.float64) for each in (decisions, y))
        near = NEAR if self._program().parametric is not None else NEAR_IN_LAYER
        return costs_of(self, z, rows, self._context_rows(context), near).to(y)

    def is_feasible(
        self,
        decisions: Any,
        y: Any = None,
        *,
        context: Any = None,
        tol: float = 1e-6,
        atol: float = 1e-9,
    ) -> np.ndarray:
        """Return, for each row, whether the constraints hold.

        Constraints on other variables are not checked. Without `y`, those that depend on predicted
        parameters are not checked either.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            The parameters.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where the program has context parameters.
        tol : float, default=1e-6
            By how much a constraint may be missed, as a share of its absolute terms.
        atol : float, default=1e-9
            By how much more it may be missed, in its own unit.

        Returns
        -------
        ndarray of bool of shape (n,)
            Whether each decision is feasible.
        """
        return np.array(
            [
                np.isfinite(row).all()
                and program.missed(tol, atol, with_parameters=y is not None) is None
                for row, program in self._decisions_set(decisions, y, context, tol)
            ],
            dtype=bool,
        )

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in its own unit.

        Constraints on other variables are left out. Without `y`, those that depend on predicted
        parameters are left out as well. Constraints count whether or not there is a `penalty`.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            The parameters that came true.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where the program has context parameters.

        Returns
        -------
        ndarray of shape (n, m)
            0 where a constraint holds. The columns are the entries of the constraints in their
            order, and the distance of each decision from what the attributes of its variable allow.
        """
        rows = [
            program.violation(with_parameters=y is not None)
            for _, program in self._decisions_set(decisions, y, context, 0.0)
        ]
        return np.array(rows) if rows else self._program().no_violations(y is not None)

    def _shadow_prices(
        self, decisions: np.ndarray, y: np.ndarray, context: np.ndarray | None
    ) -> ShadowPrices:
        """Return slacks and prices of the constraints of linear and quadratic programs.

        Attributes of variables, such as ``nonneg=True``, have none.
        """
        program = self._program()
        if program.extensive is None:
            raise NotImplementedError(
                "ConvexProgram has shadow prices for linear and quadratic programs in which only "
                "costs and right-hand sides depend on parameters."
            )
        found = [
            prices_of_row(
                program,
                decisions[i],
                partial(self._run, program, where=f"the decision of row {i}"),
            )
            for i, _ in self._rows_set(program.domain.nearest(y), context, np.arange(len(y)))
        ]
        return named(program, [each[0] for each in found], [each[1] for each in found])

    def uncertain_constraints(self, decisions: Any, y: Any, context: Any = None) -> tuple[Any, Any]:
        """Return by how much the constraints that depend on y are exceeded, unchecked.

        This works for linear and quadratic programs. An equation counts as two inequalities.

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
        excess, size : ndarray or torch.Tensor of shape (n, m)
            The excess, positive where a constraint is missed, and the absolute right-hand sides.
        """
        uncertain = self._program().uncertain
        if uncertain is None or self._why_all_is_certain() is not None:
            return super().uncertain_constraints(decisions, y, context)
        if isinstance(y, np.ndarray):
            rows = beside(as_tensor(y), self._context_rows(context))
            excess, size = uncertain.excess(as_tensor(decisions), rows)
            return excess.numpy(), size.numpy()
        z, rows = (each.to("cpu", as_tensor(()).dtype) for each in (decisions, y))
        parts = uncertain.excess(z, beside(rows, self._context_rows(context)))
        return parts[0].to(y), parts[1].to(y)

    def _why_all_is_certain(self) -> str | None:
        uncertain = self._program().uncertain
        if uncertain is None:
            return "knows them of linear and quadratic programs alone, without whole numbers"
        return None if uncertain.left.k else "has none on decisions alone"

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return the best decision as a function of the parameters, by cvxpylayers.

        There is nothing to smooth: `smoothing` must be None. Add a quadratic term to the objective
        where the best decision jumps.
        """
        from ..layers.convex import ConvexLayer

        if smoothing is not None:
            raise ValueError(
                f"smoothing must be None, got {smoothing!r}: a ConvexProgram cannot be smoothed by "
                "a number. Add a quadratic term to the objective."
            )
        program = self._program()
        if program.problem.is_mixed_integer():
            raise ValueError(
                "The program has whole-number variables, so its decision has no slope. Train with "
                "ScoreFunctionLoss, or relax the variables. Where only linear costs are predicted, "
                "write it as a LinearProgram, which is trained on SPOPlusLoss."
            )
        is_by_context = not program.problem.is_dcp(dpp=True)
        if is_by_context and not (program.context and is_dpp_given_context(self._parts())):
            raise ValueError(
                "The program does not follow cvxpy's rules for parameters (DPP), so it cannot be "
                "differentiated. See cvxpy's tutorial on disciplined parametrized programming; "
                "often a variable for the product with the parameter helps, or a constraint "
                "instead of a variable's bound. Instead of quad_form(w, S) with a predicted "
                "covariance S, predict a factor L of S = L @ L.T and write sum_squares(L.T @ w)."
            )
        return ConvexLayer(
            self._parts_at if is_by_context else self._parts,
            self.solve_rows,
            program.domain.nearest_tensor,
            self._set_row,
            self.minimisers,
            n_parameters=program.n_parameters,
            n_context=len(program.columns),
            n_decisions=program.n_decisions,
            is_by_context=is_by_context,
        )

    def scenario_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return the best decision over scenarios, for linear and quadratic programs.

        All scenarios are in one program, which is solved quickly for some tens of them. There is
        nothing to smooth, as in :meth:`decision_layer`. See :meth:`DecisionProblem.scenario_layer`.

        Raises
        ------
        NotImplementedError
            If the program is not linear or quadratic, or if `solver` is given.
        """
        from ..layers.scenario_program import ScenarioProgramLayer

        if smoothing is not None:
            raise ValueError(
                f"smoothing must be None for ConvexProgram, got {smoothing!r}. Add a quadratic "
                "term to the objective where the best decision jumps."
            )
        form = None if self.solver is not None else self._program().extensive
        if form is None:
            return super().scenario_layer(smoothing)
        return ScenarioProgramLayer(
            form.form, form.decided, self._checked_parameters, self.solve_scenarios
        )

    def _checked_parameters(self, y: "torch.Tensor", context: Any) -> "torch.Tensor":
        """Return the parameters of rows (n, q), checked against their attributes in cvxpy."""
        known = self._context_rows(context)
        y = self._program().domain.nearest_tensor(y)
        self._program().check_rows(y.detach().numpy(), known)
        return beside(y, known)

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return the nearest decision under the constraints that do not depend on predictions.

        It is a quadratic program where these are linear, and made by cvxpylayers otherwise. See
        :meth:`DecisionProblem.decision_projection`. Integer variables are refused. So are
        constraints on decisions alone that depend on predicted parameters, unless there is a
        `penalty`.
        """
        if self._program().problem.is_mixed_integer():
            refuse_whole(self)
        nearest = NearestProgram(self.builder, self.penalty is not None)
        return ConvexProgram(nearest).decision_layer()
