"""Checks of parameters whose numbers are read from the context."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import is_torch_array
from numpy.typing import ArrayLike

from ._context import FromContext, markers, position

if TYPE_CHECKING:
    from .base import DecisionProblem

Numbers = ArrayLike | FromContext | Sequence[float | FromContext]
"""A number or an array of numbers, some of which may be read from the context."""


def refuse_markers(problem: "DecisionProblem", *, but: Collection[str] = ()) -> None:
    """Raise a ValueError that names a parameter that is marked but cannot be read from the context.

    Parameters
    ----------
    problem : DecisionProblem
    but : collection of str
        The parameters that can be read from the context.
    """
    for name, value in problem.get_params(deep=False).items():
        found = next(markers(value), None)
        if found is not None and name not in but:
            others = f" It can read {', '.join(but)}." if but else ""
            raise ValueError(
                f"{type(problem).__name__} cannot read {name} from the context, got {found!r}: "
                f"give numbers that hold for all rows.{others}"
            )


def check_marked(
    problem: "DecisionProblem",
    name: str,
    context: np.ndarray,
    fits: Callable[[np.ndarray], np.ndarray],
    wanted: str,
) -> None:
    """Raise a ValueError that names a row of the context in which a parameter is not valid.

    Parameters
    ----------
    problem : DecisionProblem
    name : str
        Name of the parameter.
    context : ndarray of shape (n, c)
        The arranged context.
    fits : callable
        Maps a column (n,) to whether its numbers are valid.
    wanted : str
        What the numbers have to be, for the error.
    """
    columns = problem.context_columns()
    for each in markers(getattr(problem, name)):
        values = context[:, position(each, columns)]
        bad = ~fits(values)
        if bad.any():
            i, count = int(bad.argmax()), int(bad.sum())
            others = f" ({count} such rows in all)" if count > 1 else ""
            raise ValueError(
                f"{name}, read from column {each.column!r} of the context, must be {wanted}, but "
                f"is {values[i]} at row {i}{others}."
            )


def as_those_of(values: Any, like: Any) -> Any:
    """Return numbers as an array or tensor of the kind, type and device of another."""
    if is_torch_array(like):
        import torch

        return torch.as_tensor(values, dtype=like.dtype, device=like.device)
    return np.asarray(values, dtype=like.dtype)
