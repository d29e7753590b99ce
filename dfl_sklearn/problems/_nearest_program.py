"""The projection to the feasible decisions of a cvxpy program, as a cvxpy program."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.optional import import_optional
from ..solvers.cvxpy_terms import bounds_that_are_expressions
from ._cvxpy_parts import CvxpyProgram, is_among, parts_of
from ._soft_constraints import is_uncertain


@dataclass(frozen=True)
class NearestProgram:
    """The builder of a program whose decisions are the nearest ones to its parameters.

    It has those constraints of another program that do not depend on predicted parameters, with
    its context and its other variables.

    Attributes
    ----------
    builder : callable
        The builder of the other program.
    has_penalty : bool
        Whether constraints on decisions alone that depend on predicted parameters have a price.
    """

    builder: Callable[[], Any]
    has_penalty: bool

    def __call__(self) -> CvxpyProgram:
        """Return the program.

        Raises
        ------
        ValueError
            If the feasible set depends on predicted parameters, and nothing makes up for it.
        """
        cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        parts = parts_of(self.builder)
        limits = [
            *parts.problem.constraints,
            *bounds_that_are_expressions(parts.decisions),
        ]
        uncertain = [each for each in limits if is_uncertain(each, parts)]
        if uncertain and not self.has_penalty:
            raise ValueError(
                f"No decision is sure to keep {uncertain[0]}, which depends on what is predicted. "
                "Give variables that make up for it, or penalty=, a price for each unit by which "
                "it is missed; or train DFLRegressor."
            )
        kept = [
            limit
            for limit in parts.problem.constraints
            if not any(is_among(each, parts.parameters) for each in limit.parameters())
        ]
        target = cp.Parameter(sum(int(each.size) for each in parts.decisions))
        ends = np.cumsum([0, *(each.size for each in parts.decisions)])
        distance = sum(
            cp.sum_squares(each) / 2 - target[start:end] @ cp.vec(each, order="C")
            for each, start, end in zip(parts.decisions, ends[:-1], ends[1:], strict=True)
        )
        # The whole context is read, so that its columns are those of the other program.
        unread = sum(0.0 * cp.sum(each) for each in parts.context)
        problem = cp.Problem(cp.Minimize(distance + unread), kept)
        return CvxpyProgram(problem, (target,), parts.decisions, parts.context)
