"""What a denoiser is trained and judged on: noisy rows, and the bound of their density."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from ._reverse import ReverseChain
from ._schedule import NoiseSchedule

EPOCH = 4096  # noisy rows in an epoch of few rows, about
_LONGEST_EPOCH = 65_536  # of more rows, another random part in every epoch
_N_WATCHED = 8192  # noisy rows on which a held-out loss is taken, about


class ZeroDenoiser(nn.Module):
    """The denoiser that has learnt nothing: the model is the Gaussian."""

    def forward(self, z: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(z)


class NoisyBatches:
    """Rows with fresh noise at random times, as many as make an epoch."""

    def __init__(
        self,
        z: torch.Tensor,
        weight: torch.Tensor,
        schedule: NoiseSchedule,
        batch_size: int,
        generator: torch.Generator,
    ) -> None:
        self.rows = z
        self.z, self.weight, self.generator = z, weight, generator
        self.batch_size = batch_size
        self.time = torch.as_tensor(schedule.time, device=z.device)
        self.abar = torch.as_tensor(schedule.abar, device=z.device)

    def __len__(self) -> int:
        return len(self.z)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        n, device = len(self.z), self.z.device
        for _ in range(max(1, EPOCH // n)):
            order = torch.randperm(n, generator=self.generator)[:_LONGEST_EPOCH].to(device)
            for index in order.split(self.batch_size):
                k = torch.randint(len(self.abar), (len(index),), generator=self.generator)
                noise = torch.randn(
                    len(index), self.z.shape[1], generator=self.generator, dtype=self.z.dtype
                )
                yield _noisy(
                    self.z[index],
                    self.weight[index],
                    self.time[k.to(device)],
                    self.abar[k.to(device)],
                    noise.to(device),
                )


def _noisy(
    z: torch.Tensor,
    weight: torch.Tensor,
    time: torch.Tensor,
    abar: torch.Tensor,
    noise: torch.Tensor,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return noisy rows with their times, and the velocities to predict."""
    signal, spread = abar.sqrt()[:, None], (1 - abar).sqrt()[:, None]
    inputs = torch.cat([signal * z + spread * noise, time[:, None]], dim=1)
    return inputs, {"velocity": signal * noise - spread * z, "weight": weight}


def watched_rows(
    z: torch.Tensor, weight: torch.Tensor, schedule: NoiseSchedule
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return held-out rows with fixed noise at times spread evenly over the schedule."""
    generator = torch.Generator().manual_seed(0)
    if len(z) > _LONGEST_EPOCH:
        kept = torch.randperm(len(z), generator=generator)[:_LONGEST_EPOCH].to(z.device)
        z, weight = z[kept], weight[kept]
    repeats = int(np.clip(_N_WATCHED // len(z), 1, 64))
    n = repeats * len(z)
    # Row i meets the times i, i + len(z), ...: a permutation of evenly spaced ones.
    k = torch.linspace(0, len(schedule) - 1, n).round().long()
    k = k[torch.randperm(n, generator=generator)].to(z.device)
    noise = torch.randn(n, z.shape[1], generator=generator, dtype=z.dtype).to(z.device)
    time = torch.as_tensor(schedule.time, device=z.device)[k]
    abar = torch.as_tensor(schedule.abar, device=z.device)[k]
    return _noisy(z.repeat(repeats, 1), weight.repeat(repeats), time, abar, noise)


def velocity_loss(output: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    errors = ((output - batch["velocity"]) ** 2).mean(dim=1)
    return (batch["weight"] * errors).mean()


def evidence_lower_bound(
    chain: ReverseChain, z: torch.Tensor, generator: torch.Generator, n_pairs: int = 4
) -> torch.Tensor:
    """Return the evidence lower bound of each row (n,).

    Ho et al. (2020), eqs. 5 and 12, with the reverse variances of the chain. The last step,
    which has none, is a Gaussian with variance beta_1.
    """
    d = z.shape[1]
    posterior = torch.as_tensor(chain.schedule.posterior_variance, device=chain.device)
    last = chain.abar[-1]
    bound = -0.5 * (last * z**2 - last - torch.log1p(-last)).sum(dim=1)
    for k in range(len(chain)):
        abar, beta = chain.abar[k], chain.beta[k]
        scale = 2 * torch.pi * beta if k == 0 else posterior[k] / chain.variance[k]
        if k == 0:
            bound = bound - 0.5 * d * torch.log(scale)
        else:
            bound = bound - 0.5 * d * (scale - 1 - torch.log(scale))
        draws = balanced_noise(chain, n_pairs, d, generator)
        for noise in draws:
            noisy = chain.diffuse(z, noise, k)
            if k == 0:
                error = ((z - chain.mean(noisy, 0)) ** 2).sum(dim=1) / (2 * beta)
            else:
                error = ((noise - chain.noise(noisy, k)) ** 2).sum(dim=1)
                error = error * beta**2 / (2 * chain.variance[k] * (1 - beta) * (1 - abar))
            bound = bound - error / len(draws)
    return bound


def balanced_noise(
    chain: ReverseChain, n_pairs: int, d: int, generator: torch.Generator
) -> torch.Tensor:
    """Return pairs of opposite noise vectors whose mean square is that of the normal distribution.

    A few draws then give the mean of a quadratic error almost without error of their own.
    """
    half = chain.draw(n_pairs, d, generator)
    half = half * (d / (half**2).sum(dim=1).mean()).sqrt()
    return torch.cat([half, -half])
