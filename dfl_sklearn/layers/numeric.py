"""Differentiation by central differences, for decisions and costs computed with NumPy."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.checks import smoothing_number
from ._batch import check_batch

RowFunction = Callable[..., np.ndarray]
"""Maps arrays of n rows to (n, k); a row of the result depends on that row alone."""


class SolveLayer(nn.Module):
    """A problem's own ``solve_rows`` as a layer, for problems with a few parameters per row.

    Parameters
    ----------
    solve : callable
        Maps parameters (n, d), float64, to decisions (n, k), as a problem's ``solve_rows`` does. It
        is called with ``context=`` (n, c) if the layer is called with a context. (``solve`` would
        need the names of the columns of a context, which a layer does not have.)
    smoothing : float or None
        Half-width of the central difference, in units of y. None means a thousandth of the mean
        absolute value of each column of the batch.

    See Also
    --------
    differentiate_rows : The same for any function of rows.
    QuadraticProgramLayer : Exact derivatives where the decision is a quadratic program.

    Examples
    --------
    A prediction rounded down is piecewise constant: its derivative is 0 except at jumps. Smoothed
    over the jumps, the derivative is 1:

    >>> import numpy as np
    >>> import torch
    >>> from dfl_sklearn.layers import SolveLayer
    >>> y = torch.tensor([[2.3], [4.8]], requires_grad=True)
    >>> z = SolveLayer(np.floor, smoothing=1.0)(y)
    >>> z.detach()
    tensor([[2.],
            [4.]])
    >>> torch.autograd.grad(z.sum(), y)[0]
    tensor([[1.],
            [1.]])
    """

    def __init__(self, solve: RowFunction, smoothing: float | None) -> None:
        super().__init__()
        why = ": the decision is differentiated by differences of that half-width."
        smoothing_number(smoothing, positive=True, why=why)
        self.solve = solve
        self.smoothing = smoothing

    def forward(self, y: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Map predicted parameters (B, d), and their context (B, c), to decisions (B, k).

        Parameters
        ----------
        y : torch.Tensor of shape (B, d)
            Predicted parameters.
        context : torch.Tensor of shape (B, c), default=None
            Known data of each row, for problems that take it.

        Returns
        -------
        torch.Tensor of shape (B, k)
            Decisions.
        """
        check_batch(y)
        if self.smoothing is None:
            size = y.detach().abs().mean(dim=0).nan_to_num(0.0).cpu().numpy().astype(np.float64)
            steps = 1e-3 * np.where(size > 0, size, 1.0)
        else:
            steps = np.full(y.shape[1], self.smoothing)
        solve = self.solve if context is None else partial(self.solve, context=_array(context))
        try:
            return differentiate_rows(solve, [y], steps=[steps])
        except ValueError as error:
            if context is not None and getattr(self.solve, "__name__", None) == "solve":
                error.add_note(
                    "SolveLayer has a context without names, which solve_rows takes: write "
                    "SolveLayer(self.solve_rows, smoothing)."
                )
            raise


def differentiate_rows(
    function: RowFunction,
    inputs: Sequence[torch.Tensor],
    *,
    steps: Sequence[np.ndarray | None],
    bounds: Sequence[tuple[np.ndarray, np.ndarray] | None] = (),
) -> torch.Tensor:
    """Evaluate a row-wise NumPy function with a gradient by central differences.

    Parameters
    ----------
    function : callable
        Takes one float64 array per input and returns (n, k).
    inputs : sequence of torch.Tensor of shape (n, d_i)
        Where `function` is evaluated, and with respect to what it is differentiated.
    steps : sequence of ndarray of shape (d_i,)
        Half-width of the difference in each column. None, and inputs beyond the length of `steps`,
        mean ``6e-6 * max(1, |value|)``.
    bounds : sequence of (lower, upper) or None, optional
        A box for each input that the differences must not leave. At its edge they become one-sided.

    Returns
    -------
    torch.Tensor of shape (n, k)
        The values, which torch can differentiate.

    See Also
    --------
    SolveLayer : The same as a torch module, for a problem's solver.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from dfl_sklearn.layers import differentiate_rows
    >>> y = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> areas = differentiate_rows(lambda y: y[:, :1] * y[:, 1:], [y], steps=[np.full(2, 0.01)])
    >>> torch.autograd.grad(areas.sum(), y)[0]
    tensor([[2., 1.]])
    """
    return _CentralDifference.apply(function, list(steps), list(bounds), *inputs)


class _CentralDifference(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Any, steps: Any, bounds: Any, *inputs: torch.Tensor) -> Any:
        ctx.function, ctx.steps, ctx.bounds = function, steps, bounds
        ctx.save_for_backward(*inputs)
        return inputs[0].new_tensor(function(*(_array(each) for each in inputs)))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        inputs = ctx.saved_tensors
        arrays = [_array(each) for each in inputs]
        upstream = _array(grad_outputs[0])
        gradients: list[torch.Tensor | None] = []
        for i, each in enumerate(inputs):
            if not ctx.needs_input_grad[3 + i]:
                gradients.append(None)
                continue
            step = ctx.steps[i] if i < len(ctx.steps) else None
            box = ctx.bounds[i] if i < len(ctx.bounds) else None
            gradients.append(
                each.new_tensor(_gradient(ctx.function, arrays, i, step, box, upstream))
            )
        return (None, None, None, *gradients)


def _gradient(
    function: RowFunction,
    arrays: list[np.ndarray],
    which: int,
    step: np.ndarray | None,
    box: tuple[np.ndarray, np.ndarray] | None,
    upstream: np.ndarray,
) -> np.ndarray:
    """Return upstream @ Jacobian of the rows with respect to input `which`, shape (n, d)."""
    base = arrays[which]
    gradient = np.zeros_like(base)
    for j in range(base.shape[1]):
        width = 6e-6 * np.maximum(1.0, np.abs(base[:, j])) if step is None else step[j]
        ends = []
        for sign in (1.0, -1.0):
            moved = base.copy()
            moved[:, j] += sign * width
            if box is not None:
                moved[:, j] = np.clip(moved[:, j], box[0][j], box[1][j])
            value = function(*arrays[:which], moved, *arrays[which + 1 :])
            ends.append((moved[:, j], value))
        (right, f_right), (left, f_left) = ends
        gradient[:, j] = ((f_right - f_left) * upstream).sum(axis=1) / (right - left)
    return gradient


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64)
