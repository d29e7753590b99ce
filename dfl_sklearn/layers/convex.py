"""A user's cvxpy program as a layer, by cvxpylayers."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.optional import import_optional
from ._batch import check_batch

# The default adjoint (lsqr) is off by several percent where there are many variables.
_EXACT = {"mode": "dense", "n_jobs_forward": 1, "n_jobs_backward": 1}
_N_KEPT = 256  # programs that are remembered, where each context has its own


class ConvexLayer(nn.Module):
    """The best decision of a program written in cvxpy.

    Where no gradient is needed, decisions are those of `solve`.

    Parameters
    ----------
    build : callable
        Returns the parts of the program: an object with the attributes `problem`, `parameters`,
        `context` and `decisions`. It is called with a row of context (c,) where each context has
        its own program, and with nothing else.
    solve : callable
        Maps parameters (n, d) and context (n, c) or None, float64, to decisions (n, k). Raises an
        error that names the row if a row has none.
    inside : callable
        Maps parameters (n, d), a tensor, to the nearest ones within the domain of the program.
    check : callable
        Takes a row of parameters, a row of context, and the number of the row. Raises an error if
        the program cannot be given these numbers.
    minimisers : callable
        Maps parameters (n, d), a tensor in float64, and context (n, c) or None to decisions (n, k)
        with slopes, and to a mask (n,) of the rows for which these are right. Returns None for
        programs of other kinds.
    n_parameters, n_context, n_decisions : int
    is_by_context : bool, default=False
        Whether each context has a program of its own.
    """

    def __init__(
        self,
        build: Callable[..., Any],
        solve: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
        inside: Callable[[torch.Tensor], torch.Tensor],
        check: Callable[[np.ndarray, np.ndarray | None, int], None],
        minimisers: Callable[[torch.Tensor, np.ndarray | None], Any],
        *,
        n_parameters: int,
        n_context: int,
        n_decisions: int,
        is_by_context: bool = False,
    ) -> None:
        super().__init__()
        self.build, self.solve, self.inside = build, solve, inside
        self.check, self.minimisers = check, minimisers
        self.n_parameters, self.n_context = n_parameters, n_context
        self.n_decisions, self.is_by_context = n_decisions, is_by_context
        self._made: OrderedDict[bytes, Any] = OrderedDict()
        import_optional(
            "cvxpylayers.torch", extra="cvxpy", needed_by="Training through ConvexProgram"
        )

    def forward(self, y: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Map parameters (B, d), and their context (B, c), to decisions (B, k).

        A row that is not finite gives NaN.
        """
        check_batch(y, self.n_parameters)
        self._check_context(context, len(y))
        if not len(y):
            return y.sum() + y.new_zeros((0, self.n_decisions))
        known = torch.isfinite(y).all(dim=1)
        if context is not None:
            known &= torch.isfinite(context).all(dim=1).to(known.device)
        numbers = torch.nonzero(known)[:, 0]
        if known.all():
            return self._decide(y, context, numbers)
        found = y.new_full((len(y), self.n_decisions), torch.nan)
        if not len(numbers):
            return y.sum() * 0 + found
        part = None if context is None else context[numbers.to(context.device)]
        return found.index_put((numbers,), self._decide(y[numbers], part, numbers))

    def _check_context(self, context: torch.Tensor | None, n_rows: int) -> None:
        given = 0 if context is None else context.shape[-1]
        if given != self.n_context or (context is not None and context.shape[:-1] != (n_rows,)):
            raise ValueError(
                f"The layer takes a context of shape ({n_rows}, {self.n_context}), got "
                f"{'none' if context is None else tuple(context.shape)}."
                if self.n_context
                else "The layer takes no context, but context was given."
            )

    def _decide(
        self, y: torch.Tensor, context: torch.Tensor | None, numbers: torch.Tensor
    ) -> torch.Tensor:
        """Return the decisions of rows that are finite, which have these numbers in their batch."""
        y = self.inside(y)
        rows = y.detach().cpu().numpy()
        known = None if context is None else _array(context)
        pairs = [
            (int(i), row, None if known is None else known[j])
            for j, (i, row) in enumerate(zip(numbers, rows, strict=True))
        ]
        is_differentiated = torch.is_grad_enabled() and y.requires_grad
        try:
            if not is_differentiated:
                return y.new_tensor(self.solve(rows, known))
            for i, row, its_context in pairs:
                self.check(row, its_context, i)
            values = y.to("cpu", torch.float64)
            found = self._differentiable_decisions(values, known)
        except Exception as error:
            if not is_differentiated and pairs[-1][0] == len(pairs) - 1:
                raise  # it names the right row
            # The solver of a batch does not name the row that failed; the program's own solve does.
            for i, row, its_context in pairs:
                self._explain(i, row, its_context, error)
            raise RuntimeError(
                f"cvxpylayers could not solve a batch of {len(y)} rows, each of which has a "
                f"solution by itself: {type(error).__name__}: {error}"
            ) from error
        return found.to(y)

    def _explain(
        self, number: int, row: np.ndarray, context: np.ndarray | None, cause: Exception
    ) -> None:
        """Raise an error about a row of a batch if the program has no solution for it."""
        self.check(row, context, number)
        try:
            self.solve(row[None], None if context is None else context[None])
        except (ValueError, RuntimeError) as error:
            under = "" if context is None else f", with the context {context.tolist()}"
            said = str(error).replace(" for row 0 of y and the context", "")
            raise ValueError(
                f"The program has no solution for row {number} of a batch of predictions, "
                f"{row.tolist()}{under}: {said.replace(' for row 0 of y', '')} Keep predictions in "
                "the domain of the parameter, by the last layer of the net or by constraints that "
                "can always be satisfied."
            ) from cause

    def _differentiable_decisions(
        self, y: torch.Tensor, context: np.ndarray | None
    ) -> torch.Tensor:
        found = self.minimisers(y, context)
        if found is None:
            return self._by_cvxpylayers(y, context)
        decisions, is_right = found
        rest = torch.nonzero(~is_right)[:, 0]
        if not len(rest):
            return decisions
        known = None if context is None else context[rest.numpy()]
        # Where there are several best decisions, that of cvxpylayers may clearly violate
        # constraints.
        exact = y.new_tensor(self.solve(y[rest].detach().numpy(), known))
        moved = self._by_cvxpylayers(y[rest], known)
        return decisions.index_put((rest,), exact + (moved - moved.detach()))

    def _by_cvxpylayers(self, y: torch.Tensor, context: np.ndarray | None) -> torch.Tensor:
        if context is None:
            return self._call(self._layer(), y)
        if not self.is_by_context:
            return self._call(self._layer(), torch.cat([y, torch.as_tensor(context)], dim=1))
        distinct, group = np.unique(context, axis=0, return_inverse=True)
        found = y.new_empty((len(y), self.n_decisions))
        for g, row in enumerate(distinct):
            index = torch.as_tensor(np.flatnonzero(group.ravel() == g))
            found = found.index_put((index,), self._call(self._layer(row), y[index]))
        return found

    def _call(self, made: tuple[Any, list[Any]], values: torch.Tensor) -> torch.Tensor:
        layer, shapes = made
        sizes = [int(np.prod(shape)) for shape in shapes]
        parts = values.split(sizes, dim=1)
        tensors = [
            part.reshape(len(values), *shape) for part, shape in zip(parts, shapes, strict=True)
        ]
        found = [each.reshape(len(values), -1) for each in layer(*tensors, solver_args=_EXACT)]
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def _layer(self, *row: np.ndarray) -> tuple[Any, list[Any]]:
        """Return cvxpylayers' layer, for a row of context where each has one, and its shapes."""
        key = b"".join(each.tobytes() for each in row)
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        module = import_optional(
            "cvxpylayers.torch", extra="cvxpy", needed_by="Training through ConvexProgram"
        )
        # The layer needs a program of its own: the one that `solve` uses must not be changed.
        parts = self.build(*row)
        inputs = [*parts.parameters, *parts.context]
        layer = module.CvxpyLayer(parts.problem, parameters=inputs, variables=list(parts.decisions))
        self._made[key] = layer, [each.shape for each in inputs]
        if len(self._made) > _N_KEPT:
            self._made.popitem(last=False)
        return self._made[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": OrderedDict()}  # layers are built again when needed


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64, copy=False)
