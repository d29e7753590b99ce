"""The reverse chain of a diffusion model: from noise to rows, in the model's coordinates."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from ._schedule import NoiseSchedule

NET_DTYPE = torch.float32  # of nets; coordinates and chains are float64


def net_inputs(z: torch.Tensor, known: torch.Tensor | None, time: torch.Tensor) -> torch.Tensor:
    """Return rows (B, d), coordinates of their contexts (B, k) and times (B,) side by side."""
    return torch.cat([z, *([] if known is None else [known]), time[:, None]], dim=1)


class VelocityNet(nn.Module):
    """A denoiser that takes its time as the last column, so that a batch is one tensor."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """Map (B, d + k + 1) to (B, d + k), of which the first d columns are the velocities.

        They are computed, and returned, in the type of the net's weights.
        """
        weight = next(self.denoiser.parameters(), None)
        noisy = noisy.to(NET_DTYPE if weight is None else weight.dtype)
        return self.denoiser(noisy[:, :-1], noisy[:, -1])


@dataclass
class ReverseChain:
    """Reverse steps k = K-1, ..., 0 of a noise schedule, driven by a velocity net.

    The net predicts v = sqrt(abar) eps - sqrt(1 - abar) z_0 (Salimans and Ho, 2022), from which
    the noise is eps = sqrt(1 - abar) z_t + sqrt(abar) v. Where v = 0 this is the denoiser of a
    standard normal, so that an untrained net generates the Gaussian of the coordinates.

    `known` are the coordinates (B, k) of the contexts that rows are generated given, or None. The
    net takes them beside the noisy rows; they get no noise.
    """

    net: VelocityNet
    schedule: NoiseSchedule
    dtype: torch.dtype = torch.float64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def on(
        cls,
        device: torch.device,
        denoiser: nn.Module,
        schedule: NoiseSchedule,
        net_dtype: torch.dtype | None = None,
        net: Callable[[nn.Module], VelocityNet] = VelocityNet,
    ) -> "ReverseChain":
        """Return the chain of a denoiser, or of a copy of it on another device or in a type.

        `net` makes it a velocity net.
        """
        there = all(each.device == device for each in denoiser.state_dict().values())
        if net_dtype is not None or not there:
            denoiser = deepcopy(denoiser).to(device, net_dtype)
        return cls(net(denoiser), schedule, device=device)

    def __post_init__(self) -> None:
        def tensor(values: object) -> torch.Tensor:
            return torch.as_tensor(values, dtype=self.dtype, device=self.device)

        schedule = self.schedule
        self.time = tensor(schedule.time)
        self.abar = tensor(schedule.abar)
        self.abar_before = tensor(schedule.abar_before)
        self.beta = tensor(schedule.beta)
        self.variance = tensor(schedule.reverse_variance)

    @property
    def denoiser(self) -> nn.Module:
        """The denoiser of the chain, without the time as a column."""
        return self.net.denoiser

    def __len__(self) -> int:
        return len(self.abar)

    def diffuse(self, z: torch.Tensor, noise: torch.Tensor, k: torch.Tensor | int) -> torch.Tensor:
        """Return z_t = sqrt(abar) z_0 + sqrt(1 - abar) eps at step `k`, one or one per row."""
        abar = self.abar[k].reshape(-1, 1)
        return abar.sqrt() * z + (1 - abar).sqrt() * noise

    def noise(
        self, z: torch.Tensor, k: torch.Tensor | int, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return eps_theta(z, t_k) for rows (B, d) at step `k`, one for all or one per row."""
        abar = self.abar[k].reshape(-1, 1)
        return (1 - abar).sqrt() * z + abar.sqrt() * self.velocity(z, k, known)

    def velocity(
        self, z: torch.Tensor, k: torch.Tensor | int, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return v_theta(z, t_k) for rows (B, d) at step `k`, one for all or one per row."""
        time = self.time[k].expand(len(z))
        return self.net(net_inputs(z, known, time))[:, : z.shape[1]].to(z.dtype)

    def mean(
        self, z: torch.Tensor, k: torch.Tensor | int, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return mu_theta(z, t_k) = (z - beta / sqrt(1 - abar) eps) / sqrt(1 - beta)."""
        step = torch.as_tensor(k, device=self.device).expand(len(z))
        beta, abar = self.beta[step][:, None], self.abar[step][:, None]
        noise = self.noise(z, step, known)
        return (z - beta / (1 - abar).sqrt() * noise) / (1 - beta).sqrt()

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator,
        known: torch.Tensor | None = None,
        *,
        sampler: str = "ddpm",
    ) -> torch.Tensor:
        """Return `n` rows (n, d); only the sampler "ddpm" adds noise in its steps."""
        return self.from_noise(self.draw(n, d, generator), generator, known, sampler=sampler)

    def from_noise(
        self,
        z: torch.Tensor,
        generator: torch.Generator,
        known: torch.Tensor | None = None,
        *,
        sampler: str = "ddpm",
    ) -> torch.Tensor:
        """Return the rows (n, d) that noise becomes."""
        if sampler == "ode":
            return self.flow(z, known)
        for k in range(len(self) - 1, -1, -1):
            z = self.step(z, k, generator, known, deterministic=sampler == "ddim")
        return z

    def flow(self, z: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        """Return the rows (n, d) to which the probability flow leads from noise.

        In the angle phi of the schedule the flow is dz = v(z, phi) dphi. With a velocity of 0 rows
        do not move, so that a Gaussian is exact with any number of steps. The steps are of the
        second-order Adams-Bashforth method, with one evaluation of the net each.
        """
        length = np.diff(self.schedule.angle, prepend=0.0)
        last = None
        for k in range(len(self) - 1, -1, -1):
            velocity = self.velocity(z, k, known)
            ahead = 0.0 if last is None else length[k] / (2 * length[k + 1])
            last = velocity if last is None else last
            z = z - length[k] * (velocity + ahead * (velocity - last))
            last = velocity
        return z

    def step(
        self,
        z: torch.Tensor,
        k: int,
        generator: torch.Generator,
        known: torch.Tensor | None = None,
        *,
        deterministic: bool = False,
    ) -> torch.Tensor:
        """Return a draw of z_{k-1} given z_k."""
        if deterministic:
            noise = self.noise(z, k, known)
            abar, before = self.abar[k], self.abar_before[k]
            denoised = (z - (1 - abar).sqrt() * noise) / abar.sqrt()
            return before.sqrt() * denoised + (1 - before).sqrt() * noise
        mean = self.mean(z, k, known)
        if k == 0:
            return mean
        return mean + self.variance[k].sqrt() * self.draw(len(z), z.shape[1], generator)

    def draw(self, n: int, d: int, generator: torch.Generator) -> torch.Tensor:
        """Return standard normal noise, drawn on the CPU to be the same for every device."""
        return torch.randn(n, d, generator=generator, dtype=self.dtype).to(self.device)
