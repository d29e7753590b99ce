"""Linear and quadratic programs over scenarios as layers, by their extensive form."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from .._utils.row_numbers import renumbered
from ..solvers.extensive_form import ExtensiveForm
from ..solvers.parametric_program import Affine, ParametricProgram
from ..solvers.quadratic_programs import UnsolvedError
from ..solvers.standard_form import StandardForm
from ._batch import check_scenarios

_SAME = 1e-9  # by which weights may differ where they have to be equal


class ScenarioProgramLayer(nn.Module):
    r"""The decided variables of least mean cost over scenarios, by the optimality conditions.

    The program has the other variables, and their constraints, once for each scenario; see
    :class:`~dfl_sklearn.solvers.extensive_form.ExtensiveForm`. Slopes are those of its active
    constraints, in the scenarios, and with smoothing of a linear program in weights. Where a row
    has several best decisions, that of `solve` is returned, without a slope; with smoothing there
    is only one.

    Parameters
    ----------
    form : StandardForm
        Of one scenario.
    decided : ndarray of int of shape (k,)
    as_parameters : callable
        From rows (N, d) and context (N, c) or None to the parameters of the form.
    solve : callable
        From arrays of scenarios (B, S, d), weights (B, S) and context to decisions (B, k).
    smoothing : float
        What the squares of decided variables, and the means over scenarios of those of the others,
        are multiplied by, and added to the cost.
    """

    def __init__(
        self,
        form: StandardForm,
        decided: np.ndarray,
        as_parameters: Callable[[torch.Tensor, Any], torch.Tensor],
        solve: Callable[[np.ndarray, np.ndarray, Any], np.ndarray],
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.extensive = ExtensiveForm(form, decided, "The layer of scenarios")
        self.as_parameters, self.solve, self.smoothing = as_parameters, solve, smoothing
        self.costs = Affine(form.costs)
        self.needs_equal = bool(form.P[:, self.extensive.other].nnz)
        # Of a linear program the decision jumps with the weights.
        self.weights_have_slopes = smoothing > 0 and not self.needs_equal
        self._last: tuple[int, ParametricProgram] | None = None

    def forward(
        self, y: torch.Tensor, weight: torch.Tensor, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map scenarios (B, S, d) with weights (B, S) to decisions (B, k).

        Raises
        ------
        ValueError
            If weights differ where the cost is curved in what differs between scenarios.
        """
        check_scenarios(y, weight)
        B, S, _ = y.shape
        shares = weight.to("cpu", torch.float64)
        if self.needs_equal and (shares.detach() - 1.0 / S).abs().max() > _SAME:
            raise ValueError(
                "Scenarios must have equal weights where costs are quadratic in variables that "
                "differ between them: train GaussianScenarios, or a mixture on ScoreFunctionLoss()."
            )
        if not self.weights_have_slopes:
            shares = shares.detach()
        rows = y.to("cpu", torch.float64).reshape(B * S, -1)
        there = None if context is None else context.cpu().repeat_interleave(S, dim=0)
        parameters = self.as_parameters(rows, there)
        costs = shares[..., None] * self.costs(parameters).reshape(B, S, -1)
        decided, other = (torch.as_tensor(each) for each in self._variables)
        together = [costs[..., decided].sum(dim=1), costs[..., other].flatten(1)]
        if self._last is None or self._last[0] != S:
            self._last = S, self._program(S)
        found = self._last[1].solve(torch.cat([parameters.reshape(B, -1), *together], dim=1))
        z = found.x[:, : len(decided)]
        rest = torch.nonzero(~found.is_unique)[:, 0]
        if len(rest):
            if self.smoothing > 0:
                raise UnsolvedError(int(rest[0]))
            if len(rest) == B and z.requires_grad:
                warnings.warn(
                    f"None of {B} rows has a single best decision over its scenarios, so that "
                    "there is no slope to train on. Give a smoothing that costs next to nothing, "
                    "such as RegretLoss(smoothing=1e-3), or another number of scenarios.",
                    UserWarning,
                    stacklevel=2,
                )
            parts = [each.detach().cpu()[rest].numpy().astype(np.float64) for each in (y, weight)]
            known = None if context is None else context.cpu()[rest].numpy().astype(np.float64)
            with renumbered(rest.numpy()):
                plans = self.solve(parts[0], parts[1], known)
            z = z.index_put((rest,), z.new_tensor(plans))
        return z.to(y) if z.requires_grad else z.to(y) + 0.0 * y.sum()

    @property
    def _variables(self) -> tuple[np.ndarray, np.ndarray]:
        return self.extensive.decided, self.extensive.other

    def _program(self, S: int) -> ParametricProgram:
        """Return the program of S scenarios, whose costs stand behind the parameters of all."""
        form, one = self.extensive.form, self.extensive
        (k, m), q = (len(each) for each in self._variables), len(form.sides) - 1
        n = k + S * m
        blocks, ends = [], []
        for i, rows in enumerate(one.rows):
            sides = form.sides[:, rows]
            if i in (0, 2):  # equations of decided variables are the same in all scenarios
                differs = sides[:-1].any(axis=0) if i == 2 else np.zeros(len(rows), dtype=bool)
                for part, times in ((~differs, 1), (differs, S)):
                    block = sparse.csr_array(one.of_decided[i])[np.flatnonzero(part)]
                    right = _of_scenarios(sides[:, part], times, S)
                    empty = sparse.csr_array((block.shape[0], S * m))
                    blocks += [sparse.hstack([block, empty])] * times
                    ends.append(right)
            else:
                own = sparse.kron(sparse.eye_array(S), one.of_other[i])
                blocks.append(sparse.hstack([sparse.kron(np.ones((S, 1)), one.of_decided[i]), own]))
                ends.append(_of_scenarios(sides, S, S))
        sides = np.concatenate(ends, axis=1)
        costs = np.concatenate([np.zeros((S * q, n)), np.eye(n), np.zeros((1, n))])
        sides = np.concatenate([sides[:-1], np.zeros((n, sides.shape[1])), sides[-1:]])
        P = sparse.csc_array(one.P[0] + sparse.diags_array(np.full(k, 2.0 * self.smoothing)))
        if m:
            across = sparse.kron(np.full((1, S), 1.0 / S), one.P[1])
            # Of the others a mean of squares, whatever the weights: they have one value too.
            square = one.P[2] + sparse.diags_array(np.full(m, 2.0 * self.smoothing))
            later = sparse.kron(sparse.diags_array(np.full(S, 1.0 / S)), square)
            P = sparse.block_array([[P, across], [across.T, later]], format="csc")
        A = sparse.csr_array(sparse.vstack(blocks, format="csr"))
        n_equations = len(one.rows[0]) + S * len(one.rows[1])
        program = StandardForm(P, A, n_equations, costs, sides, np.zeros(S * q + n + 1))
        return ParametricProgram(program, np.arange(k))


def _of_scenarios(sides: np.ndarray, times: int, S: int) -> np.ndarray:
    """Return sides (q + 1, r) as those of the first scenarios, (S q + 1, times r)."""
    (q, r), constant = sides[:-1].shape, sides[-1:]
    found = np.zeros((S, q, times, r))
    found[np.arange(times), :, np.arange(times)] = sides[:-1]
    return np.concatenate([found.reshape(S * q, times * r), np.tile(constant, (1, times))])
