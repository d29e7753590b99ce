"""Problems whose cost is linear in the decision: the parameters are prices of its parts."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.checks import job_count, option, smoothing_number
from ..solvers.polytope import Polytope
from .base import DecisionProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from .linear_program import LinearProgram


class LinearCostProblem(DecisionProblem):
    r"""Base class of problems with the cost :math:`\pm y^\top z`, one parameter per decision.

    A subclass fills in `_solve` and `_polytope(n)`, the linear constraints on n decisions. It has
    a parameter `sense` where values can be maximised: costs are negated values then.

    Under a distribution of y the best decision is that of its mean, so that several scenarios are
    solved for exactly.
    """

    exact_scenarios = True
    sense: str = "min"

    @abstractmethod
    def _polytope(self, n: int) -> Polytope:
        """Return the constraints on n decisions; the constants have been checked."""

    @property
    def _sign(self) -> float:
        """1 where ``y @ z`` is minimised, -1 where it is maximised."""
        return -1.0 if self.sense == "max" else 1.0

    def _check_constants(self) -> None:
        option(self.sense, "sense", ("min", "max"))
        job_count(getattr(self, "n_jobs", None))

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def _cost(self, xp: Any, decisions: Any, y: Any, context: Any) -> Any:
        return self._sign * xp.sum(y * decisions, axis=1)

    def linear_objective(self) -> "Callable[[Any], Any]":
        """Return the map from parameters (n, d) to the cost vectors (n, d) of ``c @ z``."""
        sign = self._sign
        return lambda y: sign * y

    def as_linear_program(self, n_decisions: int | None = None) -> "LinearProgram":
        """Return the same problem as a :class:`LinearProgram`, to look at or to extend.

        Parameters
        ----------
        n_decisions : int, default=None
            Needed where the problem does not fix it.
        """
        from .linear_program import LinearProgram

        self._check_constants()
        n = self._n_parameters() if n_decisions is None else n_decisions
        if n is None:
            raise ValueError(f"n_decisions is needed: {type(self).__name__} does not fix it.")
        self._check_width(n)
        part = self._polytope(n)
        has_ub, has_eq = len(part.b_ub) > 0, len(part.b_eq) > 0
        return LinearProgram(
            A_ub=part.A_ub.copy() if has_ub else None,
            b_ub=part.b_ub.copy() if has_ub else None,
            A_eq=part.A_eq.copy() if has_eq else None,
            b_eq=part.b_eq.copy() if has_eq else None,
            bounds=np.stack([part.lower, part.upper], axis=1),
            integrality=part.whole.astype(int),
            sense=self.sense,
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
        y, context : array-like, default=None
            Their shapes are checked; the constraints are known.
        tol : float, default=1e-6
            By how much a constraint may be missed, as a share of its absolute terms,
            :math:`\sum_j |a_j z_j| + |b|`, and of a variable and its bounds; and how far whole
            numbers may be from such.
        atol : float, default=None
            By how much more it may be missed, in its own unit. None is a billionth of the least
            right-hand side or bound that is not 0, or of 1 if that is less; 0 where `tol` is 0.

        Returns
        -------
        ndarray of bool of shape (n,)
        """
        z = self._decision_rows(decisions, y, context, tol)
        self._check_width(z.shape[1])
        polytope = self._polytope(z.shape[1])
        finite = np.isfinite(z).all(axis=1)
        return finite & polytope.contains(np.where(finite[:, None], z, 0.0), tol, atol)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in its own unit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
        y, context : None
            Not looked at: the constraints are known.

        Returns
        -------
        ndarray of shape (n, m)
            0 where a constraint holds. The columns are the inequalities, the equations, and for
            each decision its bounds or, where that is more, its distance from a whole number.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        self._check_width(z.shape[1])
        return self._polytope(z.shape[1]).violation(z)

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the best decision under the cost plus :math:`\gamma \|z\|^2`, relaxed.

        Whole numbers are relaxed to real ones. `smoothing` is :math:`\gamma`, positive, in the
        units of `y` per unit of a decision. None takes for each row the root mean square of its
        parameters: what is decided then does not depend on their scale. (Of a single parameter
        that leaves the sign alone, which has no slope: give a number there.)

        The decision costs at most :math:`\gamma` times the squared diameter of the feasible set
        more than the best one (Wilder et al., 2019, theorem 1).
        """
        why = (
            ": the best decision under a linear cost jumps, and has no slope elsewhere. To train "
            "without smoothing use SPOPlusLoss."
        )
        smoothing_number(smoothing, positive=True, why=why)
        self._check_constants()
        return self._decision_layer(smoothing)

    def _decision_layer(self, smoothing: float | None) -> "nn.Module":
        """Return the layer; a subclass that knows a quicker one for its constraints fills it in."""
        from ..layers.regularized_linear import RegularizedLinearLayer

        return RegularizedLinearLayer(self._polytope, smoothing, scale=self._sign)
