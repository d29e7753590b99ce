"""Draws of a conditional diffusion model, and how it denoises given ones, with a graph."""

import numpy as np
import torch
from torch import nn

from ._columns import ColumnCoordinates
from ._given_columns import ConditionalNet, JointCoordinates
from ._reverse import ReverseChain
from ._schedule import NoiseSchedule


class ConditionalDraws:
    """Draws of the rest of rows given some columns, as functions of the weights of the net.

    Parameters
    ----------
    coordinates : JointCoordinates
    denoiser : torch.nn.Module
        Whose weights the draws depend on; on `device`.
    schedule : NoiseSchedule
        The steps of the probability flow.
    device : torch.device
    """

    def __init__(
        self,
        coordinates: JointCoordinates,
        denoiser: nn.Module,
        schedule: NoiseSchedule,
        device: torch.device,
    ) -> None:
        net = ConditionalNet(denoiser, coordinates.n_given)
        self.coordinates, self.chain = coordinates, ReverseChain(net, schedule, device=device)

    @property
    def width(self) -> int:
        """Number of coordinates d of a draw, those of its noise."""
        return self.coordinates.rest.n_coordinates

    def draws(self, x: np.ndarray, noise: torch.Tensor, *, rounds: bool = False) -> torch.Tensor:
        """Return what noise (n, S, d) becomes at the given columns x (n, g): (n, S, p - g).

        Whole numbers are not rounded, as a step has no slope. With `rounds` they are, and keep the
        slopes that they have without.
        """
        n, n_draws, d = noise.shape
        known = self._known(x).repeat_interleave(n_draws, dim=0)
        z = self.chain.flow(noise.reshape(-1, d), known)
        there = np.repeat(x, n_draws, axis=0)
        rows = self._rows(z, there)
        if rounds:
            exact = self._tensor(self.coordinates.rest.inverse(z.detach().cpu().numpy(), there))
            rows = exact + (rows - rows.detach())
        return rows.reshape(n, n_draws, -1)

    def noise_errors(
        self, x: np.ndarray, y: np.ndarray, noise: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        """Return the squared error (n,) of the noise predicted for rows of y given x.

        Parameters
        ----------
        x : ndarray of shape (n, g)
        y : ndarray of shape (n, p - g)
        noise : torch.Tensor of shape (n, d)
        steps : torch.Tensor of shape (n,)
            Positions in the schedule: at which level the noise is added.
        """
        z = self._tensor(self.coordinates.rest.forward(y, x))
        noisy = self.chain.diffuse(z, noise, steps)
        return ((noise - self.chain.noise(noisy, steps, self._known(x))) ** 2).sum(dim=1)

    def _known(self, x: np.ndarray) -> torch.Tensor:
        return self._tensor(self.coordinates.of_given.forward(x))

    def _rows(self, z: torch.Tensor, x: np.ndarray) -> torch.Tensor:
        """Return rows of the rest, as :meth:`TableCoordinates.inverse` does."""
        rest = self.coordinates.rest
        if rest.given is None:
            return self._unwhitened(rest.table, z)
        given, u = rest.given, self._known(x)
        kept = self._unwhitened(given.residual, z) + u @ self._tensor(given.slope)
        standard = torch.cat([u, kept], dim=1) @ self._tensor(given.rebuild)
        free = self._of_standard(rest.table, standard)
        functions = given.functions
        parts = torch.empty(len(z), len(functions.found), dtype=free.dtype, device=free.device)
        found = torch.as_tensor(functions.found, device=free.device)
        parts[:, ~found], parts[:, found] = free, self._tensor(functions(x))
        return parts

    def _unwhitened(self, columns: ColumnCoordinates, z: torch.Tensor) -> torch.Tensor:
        return self._of_standard(columns, z @ self._tensor(columns.unwhiten))

    def _of_standard(self, columns: ColumnCoordinates, standard: torch.Tensor) -> torch.Tensor:
        scale, rebuild = self._tensor(columns.scale), self._tensor(columns.rebuild)
        values = self._tensor(columns.mean) + (standard @ rebuild) * scale
        compressed = torch.as_tensor(columns.compressed, device=values.device)
        # Where a column is not compressed, its sinh is not to overflow.
        sinh = torch.sinh(torch.where(compressed, values, torch.zeros_like(values)))
        center, spread = self._tensor(columns.center), self._tensor(columns.spread)
        return torch.where(compressed, center + spread * sinh, values)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=self.chain.dtype, device=self.chain.device)
