"""Differentiable draws of a conditional diffusion model, and its denoising errors."""

import numpy as np
import torch
from torch import nn

from ._columns import ColumnCoordinates
from ._given_context import TableCoordinates
from ._reverse import ReverseChain, VelocityNet
from ._schedule import NoiseSchedule


class ConditionalDraws:
    """Draws of rows given their contexts, as functions of the weights of the net.

    Parameters
    ----------
    coordinates : TableCoordinates
        Fitted with a context.
    denoiser : torch.nn.Module
        The net whose weights the draws depend on; on `device`.
    schedule : NoiseSchedule
        The steps of the probability flow.
    device : torch.device
    """

    def __init__(
        self,
        coordinates: TableCoordinates,
        denoiser: nn.Module,
        schedule: NoiseSchedule,
        device: torch.device,
    ) -> None:
        self.coordinates = coordinates
        self.chain = ReverseChain(VelocityNet(denoiser), schedule, device=device)

    @property
    def width(self) -> int:
        """Number of coordinates d of a draw, those of its noise."""
        return self.coordinates.n_coordinates

    def draws(self, x: np.ndarray, noise: torch.Tensor, *, rounds: bool = False) -> torch.Tensor:
        """Return the draws (n, S, p) that noise (n, S, d) becomes at the contexts x (n, c).

        Integers are not rounded, as rounding has no slope. With `rounds` they are, and keep the
        slopes without rounding.
        """
        n, n_draws, d = noise.shape
        known = self._known(x).repeat_interleave(n_draws, dim=0)
        z = self.chain.flow(noise.reshape(-1, d), known)
        there = np.repeat(x, n_draws, axis=0)
        rows = self._rows(z, there)
        if rounds:
            exact = self._tensor(self.coordinates.inverse(z.detach().cpu().numpy(), there))
            rows = exact + (rows - rows.detach())
        return rows.reshape(n, n_draws, -1)

    def noise_errors(
        self, x: np.ndarray, y: np.ndarray, noise: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        """Return the squared error (n,) of the noise predicted for rows of y at contexts x.

        Parameters
        ----------
        x : ndarray of shape (n, c)
        y : ndarray of shape (n, p)
        noise : torch.Tensor of shape (n, d)
        steps : torch.Tensor of shape (n,)
            Positions in the schedule, which give the levels of the noise.
        """
        z = self._tensor(self.coordinates.forward(y, x))
        noisy = self.chain.diffuse(z, noise, steps)
        return ((noise - self.chain.noise(noisy, steps, self._known(x))) ** 2).sum(dim=1)

    def _known(self, x: np.ndarray) -> torch.Tensor:
        return self._tensor(self.coordinates.known(x))

    def _rows(self, z: torch.Tensor, x: np.ndarray) -> torch.Tensor:
        """Return rows, as :meth:`TableCoordinates.inverse` does."""
        coordinates = self.coordinates
        if coordinates.context is None or coordinates.given is None:
            return self._unwhitened(coordinates.table, z)
        given, u = coordinates.given, self._tensor(coordinates.context.forward(x))
        kept = self._unwhitened(given.residual, z) + u @ self._tensor(given.slope)
        standard = torch.cat([u, kept], dim=1) @ self._tensor(given.rebuild)
        free = self._of_standard(coordinates.table, standard)
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
        # The sinh of a column that is not compressed must not overflow.
        sinh = torch.sinh(torch.where(compressed, values, torch.zeros_like(values)))
        center, spread = self._tensor(columns.center), self._tensor(columns.spread)
        return torch.where(compressed, center + spread * sinh, values)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=self.chain.dtype, device=self.chain.device)
