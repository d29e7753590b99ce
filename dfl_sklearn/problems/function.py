"""A decision problem from a plain Python cost function."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import is_torch_array
from numpy.typing import ArrayLike

from .._utils.checks import flag, number, whole_number
from .._utils.convergence import doubt
from .._utils.memory import check_size
from .._utils.rows import as_float, check_finite, raise_at
from ..solvers.box_search import minimise_globally
from ..solvers.direct_search import descend_by_patterns
from ..solvers.line_search import minimise_on_line
from ..solvers.quasi_newton_search import descend_with_slopes
from ._marked import refuse_markers
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn

_MOST_STARTS = 2.0**32  # bytes for the starting points of a row: more would not help
_CHUNK = 1 << 14  # evaluations of the cost in one call: more do not fit into the cache
_MOST_AT_ONCE = 1 << 20  # evaluations in one call where rows are searched from several points
_FEW = 3  # decisions up to which a pattern search is used
_MANY = 30  # scenarios from which on it takes too many evaluations


class FunctionProblem(DecisionProblem):
    """Minimise your own cost function over a box, and train models through it.

    The cost is plain NumPy (or plain Python), without derivatives or torch. Decisions are found by
    a global scan followed by a local search. The cost may therefore have kinks, jumps and several
    local minima; a warning says where there are too many of them. Derivatives are central
    differences. If the package has a class for your problem, that class is faster, and exact.

    Parameters
    ----------
    cost_function : callable
        ``cost_function(decisions, y)``, or ``cost_function(decisions, y, context)`` if there is a
        context. It returns one finite cost per row. Each argument has the same number of rows, and
        is 1-d where it has a single column. The columns of the context are in the order in which
        the user gives them. To pickle the problem, the function must be importable (no lambda).
    bounds : pair or sequence of k pairs of float
        ``(lower, upper)`` of the decision, or of each of the k decisions. They must be finite.
    vectorized : bool, default=True
        Whether `cost_function` takes arrays. If False, it is called row by row with numbers (or 1-d
        arrays where there are several columns), which is slow.
    n_starts : int, default=33
        Number of points of the global scan, per decision; at least 3. With several decisions, fewer
        than 33 count as 33. Twice as many points mean twice as many local searches where the cost
        has several local minima. More points never lead to a larger cost.
    tol : float, default=1e-9
        A search ends when its step is below this share of the width of the bounds.

    Attributes
    ----------
    exact : bool
        False: a better local minimum may not have been found.
    takes_context : bool
        Whether `cost_function` can be called with three arguments.

    See Also
    --------
    ConvexProgram : Convex programs, solved to proven optimality.
    DecisionProblem : Base class for a problem with a solver of its own.

    Notes
    -----
    A single decision is searched on a grid. The grid is refined, up to 1025 points, until it shows
    no further local minimum or jump, and a local search starts in each local minimum of the grid.
    Two or three decisions are searched by a pattern search. With more decisions, and for several
    decisions also with at least 30 scenarios or ``vectorized=False``, quasi-Newton steps start from
    three points, and a pattern search follows. With several decisions, the cost is then evaluated
    along lines parallel to the axes through the end point, to find jumps in single decisions. All
    rows are searched together: one call of `cost_function` evaluates about 16,384 decisions, or
    one decision for every row and scenario where this is more.

    For convex costs the accuracy was measured. With two to eight decisions and the largest of up to
    sixteen linear terms as the cost, all rows are within 1e-4 of the least cost that a linear
    program finds, and most within 1e-5. Where the lines show several local minima or jumps, the
    search is repeated from up to an eighth of the points of the scan, which takes ten to fifty
    times as long. A `ConvergenceWarning` counts the rows in which these searches end in so many
    different local minima that there are probably others (by the rule of Boender and Rinnooy Kan),
    and the rows whose jumps are too close together for the grid. The decisions returned are the
    best that were found, which may not be the best that exist. If no point falls into a narrow
    local minimum, it is not found, and there is no warning.

    References
    ----------
    Boender and Rinnooy Kan, "Bayesian stopping rules for multistart global optimization methods",
    Mathematical Programming 37, 1987.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.problems import FunctionProblem
    >>> def waiting_and_staff(staff, calls):
    ...     return 20.0 * staff + 50.0 * np.maximum(calls / 12.0 - staff, 0.0) ** 2
    >>> problem = FunctionProblem(waiting_and_staff, bounds=(0, 40))
    >>> problem.solve([0.0, 120.0, 240.0]).round(3)
    array([ 0. ,  9.8, 19.8])

    What is known at the time of the decision, such as a limit, is the context. Here staff without a
    desk is paid but answers no calls:

    >>> def with_desks(staff, calls, desks):
    ...     idle = np.maximum(staff - desks, 0.0)
    ...     return waiting_and_staff(staff - idle, calls) + 20.0 * idle
    >>> problem = FunctionProblem(with_desks, bounds=(0, 40))
    >>> problem.solve([120.0, 240.0], context=[12.0, 15.0]).round(3)
    array([ 9.8, 15. ])
    """

    exact = False
    exact_scenarios = True
    convex_decisions = True

    def __init__(
        self,
        cost_function: Callable[..., Any],
        bounds: ArrayLike,
        *,
        vectorized: bool = True,
        n_starts: int = 33,
        tol: float = 1e-9,
    ) -> None:
        self.cost_function = cost_function
        self.bounds = bounds
        self.vectorized = vectorized
        self.n_starts = n_starts
        self.tol = tol

    def _box(self) -> tuple[np.ndarray, np.ndarray]:
        box = as_float(self.bounds, "bounds").astype(np.float64)
        if box.shape == (2,):
            box = box[None, :]
        if box.ndim != 2 or box.shape[1] != 2:
            raise ValueError(
                f"bounds must be (lower, upper) or a list of them, got {self.bounds!r}."
            )
        check_finite(box, "bounds")
        if (box[:, 0] >= box[:, 1]).any():
            worst = int(np.argmax(box[:, 0] >= box[:, 1]))
            raise ValueError(
                f"bounds[{worst}] has a lower end that is not below its upper end: {box[worst]}."
            )
        with np.errstate(over="ignore"):
            wide = ~np.isfinite(box[:, 1] - box[:, 0])
        if wide.any():
            raise ValueError(f"bounds[{int(wide.argmax())}] is too wide: {box[wide][0]}.")
        return box[:, 0], box[:, 1]

    @property
    def takes_context(self) -> bool:
        """Whether `cost_function` can be called with a context: its signature decides."""
        return self._can_take(3)

    def _can_take(self, n_arguments: int) -> bool:
        """Return whether `cost_function` takes so many arguments; True if it is not known."""
        try:
            inspect.signature(self.cost_function).bind(*range(n_arguments))
        except TypeError:  # also raised for objects that are not callable
            return False
        except ValueError:  # some callables written in C have no signature
            return True
        return True

    def _check_constants(self) -> None:
        refuse_markers(self)
        self._box()
        if not callable(self.cost_function):
            raise ValueError(f"cost_function must be callable, got {self.cost_function!r}.")
        flag(self.vectorized, "vectorized")
        number(self.tol, "tol", above=0, below=1)
        whole_number(self.n_starts, "n_starts", at_least=3)

    def _n_decisions(self, n_parameters: int) -> int:
        return len(self._box()[0])

    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d); the input is not checked."""
        return self.solve_scenarios(y[:, None, :], np.ones((len(y), 1)), context)

    def solve_scenarios(
        self, y: np.ndarray, weight: np.ndarray, context: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the decisions (n, k) of least mean cost over y (n, S, d); no check of the input.

        A warning counts the rows with more local minima or jumps than the search can tell apart.
        """
        lower, upper = self._box()
        n, n_scenarios, _ = y.shape
        if n == 0:
            return np.empty((0, lower.size))
        self._check_context_given(context is not None)
        # Scenarios of weight 0 count for nothing, and may have no cost.
        counts = weight > 0
        y = np.where(counts[:, :, None], y, y[np.arange(n), counts.argmax(axis=1)][:, None])
        # The starting points, and the cost of each for every row.
        n_points = float(self.n_starts * lower.size)
        check_size(
            f"n_starts={self.n_starts}",
            n_points * (lower.size + 1),
            advice="Lower n_starts.",
            most=_MOST_STARTS,
        )
        check_size(
            f"n_starts={self.n_starts} for {n} rows",
            n_points * (lower.size + n),
            advice="Lower n_starts, or solve for fewer rows at a time.",
        )

        def mean_cost(rows: np.ndarray, unit: np.ndarray) -> np.ndarray:
            if not len(rows):
                return np.zeros(unit.shape[:2])
            most = max(1, _MOST_AT_ONCE // n_scenarios)
            if n < len(rows) > most:  # searches of a row from several points
                parts = range(0, len(rows), most)
                return np.concatenate(
                    [mean_cost(rows[i : i + most], unit[i : i + most]) for i in parts]
                )
            out = np.empty(unit.shape[:2])
            step = max(1, _CHUNK // max(1, len(rows) * n_scenarios))
            own = [each[rows] for each in known]
            for start in range(0, unit.shape[1], step):
                part = unit[:, start : start + step]
                shape = (len(rows), part.shape[1], n_scenarios)
                z = lower + (upper - lower) * part
                flat = self._evaluate(
                    *(
                        np.broadcast_to(each, (*shape, each.shape[-1])).reshape(-1, each.shape[-1])
                        for each in (z[:, :, None], *own)
                    )
                )
                out[:, start : start + step] = np.einsum(
                    "ncs,ns->nc", flat.reshape(shape), weight[rows]
                )
            return out

        known = [y[:, None]]
        if context is not None:
            known.append(context[:, None, None])
        k = lower.size
        if k == 1:
            unit, _, is_sure = minimise_on_line(mean_cost, n, n_points=self.n_starts, tol=self.tol)
        else:
            # Quasi-Newton steps need fewer evaluations, but take more time between them.
            with_slopes = k > _FEW or n_scenarios >= _MANY or not self.vectorized
            unit, is_sure = minimise_globally(
                mean_cost,
                n,
                k,
                n_starts=self.n_starts * k,
                tol=self.tol,
                descend=descend_with_slopes if with_slopes else descend_by_patterns,
            )
        if not is_sure.all():
            self._say_unsure(is_sure)
        return np.clip(lower + (upper - lower) * unit, lower, upper)

    def _say_unsure(self, is_sure: np.ndarray) -> None:
        name = getattr(self.cost_function, "__name__", "cost_function")
        doubt(
            f"{name} has more valleys or steps than the search can tell apart in "
            f"{(~is_sure).sum()} of {len(is_sure)} rows, row {int(is_sure.argmin())} among them: "
            "better decisions than those found are likely to exist there. A larger n_starts looks "
            "more closely. A LinearProgram with integrality= and cvxpy solve steps exactly.",
            stacklevel=4,
        )

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d); the input is not checked."""
        self._check_context_given(context is not None)
        if is_torch_array(y):
            from ..layers.numeric import differentiate_rows

            lower, upper = self._box()
            inputs = [decisions, y] if context is None else [decisions, y, context]
            return differentiate_rows(
                lambda *rows: self._evaluate(*rows)[:, None],
                inputs,
                # The step balances truncation against rounding of a central difference.
                steps=[6e-6 * (upper - lower)],
                bounds=[(lower, upper)],
            )[:, 0]
        return self._evaluate(*(each for each in (decisions, y, context) if each is not None))

    def _evaluate(self, decisions: np.ndarray, y: np.ndarray, *context: np.ndarray) -> np.ndarray:
        """Call the user's function on rows and check what comes back."""
        rows = [decisions, y, *context]
        n = max(len(each) for each in rows)
        rows = [np.broadcast_to(each, (n, each.shape[1])) for each in rows]
        arguments = [each[:, 0] if each.shape[1] == 1 else each for each in rows]
        if self.vectorized:
            try:
                raw = self.cost_function(*arguments)
            except (ValueError, TypeError) as error:
                if not any(each in str(error) for each in ("truth value", "to Python scalars")):
                    raise
                raise ValueError(
                    "cost_function works on single numbers (if, max, math.ceil): write it with "
                    "NumPy (np.where, np.maximum, np.ceil), or set vectorized=False to have it "
                    "called row by row."
                ) from error
        else:
            raw = [self.cost_function(*row) for row in zip(*arguments, strict=True)]
        costs = as_float(raw, "the result of cost_function").astype(np.float64, copy=False)
        if costs.shape != (n,):
            raise ValueError(
                f"cost_function must return one cost per row, shape ({n},), got {costs.shape}."
            )
        if not np.isfinite(costs).all():
            worst = int(np.flatnonzero(~np.isfinite(costs))[0])
            raise ValueError(
                f"cost_function returned {costs[worst]} for decision {rows[0][worst]} "
                f"and y {rows[1][worst]}: it must be finite for every decision within bounds."
            )
        return costs

    def _check_context_given(self, is_given: bool) -> None:
        """Raise a ValueError if the function needs a context and gets none, or the reverse."""
        if self._can_take(3 if is_given else 2):
            return
        name = getattr(self.cost_function, "__name__", "cost_function")
        raise ValueError(
            f"{name}{inspect.signature(self.cost_function)} cannot be called as {name}(decisions, y"
            f"{', context' if is_given else ''}): "
            f"{'it takes no context.' if is_given else 'if it takes a context, give context=.'}"
        )

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        lower, upper = self._box()
        missed = np.maximum(lower - decisions, decisions - upper)
        bad = missed > 1e-6 * (upper - lower)
        if bad.any():
            raise_at(
                *(bad, decisions, "decisions", "is outside of its bounds"),
                "Decide with solve(), or clip it.",
            )

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        """Return whether decisions lie within their bounds, to `tol` times the bounds' width."""
        self._decision_rows(decisions, y, context, tol)
        lower, upper = self._box()
        missed = self.violation(decisions, y, context=context)
        return (missed <= tol * (upper - lower)).all(axis=1)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much decisions are outside of their bounds.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            Its shape is checked; the bounds do not depend on it.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where the cost takes a context.

        Returns
        -------
        ndarray of shape (n, k)
            0 within the bounds, one column per decision.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        lower, upper = self._box()
        return np.maximum(np.maximum(lower - z, z - upper), 0.0)

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return the numerical decision as a function of y, differentiated by central differences.

        Parameters
        ----------
        smoothing : float or None, default=None
            Half-width of the central difference, in units of y; above 0. The slope is that of the
            decision averaged over y +- smoothing. None is a thousandth of the mean absolute value
            of each column of the batch.

        Returns
        -------
        torch.nn.Module
            Maps y (B, d) to decisions (B, k), or ``(y, context)`` if the cost takes a context,
            which is not differentiated.

        Raises
        ------
        ValueError
            If `smoothing` is not above 0.
        """
        from ..layers.numeric import SolveLayer

        self._check_constants()
        return SolveLayer(self.solve, smoothing)

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return decisions within their bounds; see :meth:`DecisionProblem.decision_projection`."""
        from ..layers.nearest import NearestInBox

        self._check_constants()
        return NearestInBox(*self._box())
