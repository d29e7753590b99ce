"""Noisy rows to train a denoiser on, and the losses and bounds that judge it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..rows import Rows
from ._given_columns import JointCoordinates
from ._given_context import TableCoordinates
from ._reverse import ReverseChain, net_inputs
from ._schedule import NoiseSchedule

EPOCH = 4096  # least number of noisy rows in an epoch, about
_LONGEST_EPOCH = 65_536  # largest number; of more rows, each epoch takes a random part
_N_WATCHED = 4096  # noisy rows on which a held-out loss is taken, at most


class ZeroDenoiser(nn.Module):
    """The denoiser with velocity 0: the model is then a Gaussian."""

    def forward(self, z: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(z)


class CoordinateRows(NamedTuple):
    """Rows of a table in a model's coordinates, on a device.

    Attributes
    ----------
    z : torch.Tensor of shape (n, d)
    weight : torch.Tensor of shape (n,)
        Of mean 1.
    known : torch.Tensor of shape (n, k) or None
        Coordinates of the context.
    n_given : int or None
        Number of the first coordinates that may be given, where some may.
    """

    z: torch.Tensor
    weight: torch.Tensor
    known: torch.Tensor | None
    n_given: int | None = None

    @classmethod
    def of(
        cls,
        rows: Rows,
        coordinates: TableCoordinates | JointCoordinates,
        device: torch.device,
        dtype: torch.dtype = torch.float64,
    ) -> "CoordinateRows":
        """Return rows of a table in the coordinates of a model."""

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(values, dtype=dtype, device=device)

        known = coordinates.known(rows.context)
        return cls(
            tensor(coordinates.forward(rows.X, rows.context)),
            tensor(rows.weight / rows.weight.mean()),
            None if known is None else tensor(known),
            coordinates.n_given,
        )

    def take(self, index: torch.Tensor) -> "CoordinateRows":
        """Return the rows at an index."""
        known = None if self.known is None else self.known[index]
        return CoordinateRows(self.z[index], self.weight[index], known, self.n_given)

    def conditional(self) -> "CoordinateRows":
        """Return the coordinates that are never given, with those that may be as known."""
        return CoordinateRows(self.z[:, self.n_given :], self.weight, self.z[:, : self.n_given])


class NoisyBatches:
    """Batches of rows with fresh noise at random times, for one epoch."""

    def __init__(
        self,
        rows: CoordinateRows,
        schedule: NoiseSchedule,
        batch_size: int,
        generator: torch.Generator,
    ) -> None:
        self.rows, self.generator = rows, generator
        self.batch_size = batch_size
        # The noise of several batches is drawn at once.
        self.block_size = batch_size * max(1, EPOCH // batch_size)
        self.schedule = schedule

    def __len__(self) -> int:
        return len(self.rows.z)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        n, device = len(self), self.rows.z.device
        for _ in range(max(1, EPOCH // n)):
            order = torch.randperm(n, generator=self.generator)[:_LONGEST_EPOCH].to(device)
            for index in order.split(self.block_size):
                k = torch.randint(len(self.schedule), (len(index),), generator=self.generator)
                X, rest = _noisy(self.rows.take(index), self.schedule, k, self.generator)
                for first in range(0, len(X), self.batch_size):
                    part = slice(first, first + self.batch_size)
                    yield X[part], {name: values[part] for name, values in rest.items()}


def _noisy(
    rows: CoordinateRows, schedule: NoiseSchedule, k: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return rows noisy at steps `k`, with contexts and times, and the velocities to predict.

    Columns that may be given are given in half of the rows: their coordinates then have no noise,
    and their velocities do not count. The noise and `k` are drawn on the CPU, so that they are the
    same for every device.
    """
    z = rows.z
    noise = torch.randn(z.shape, generator=generator, dtype=z.dtype).to(z.device)
    time, signal, spread = (
        torch.as_tensor(each[k.numpy()], dtype=z.dtype, device=z.device)
        for each in (schedule.time, np.cos(schedule.angle), np.sin(schedule.angle))
    )
    signal, spread = signal[:, None], spread[:, None]
    noisy = signal * z + spread * noise
    wanted = {"velocity": signal * noise - spread * z, "weight": rows.weight}
    if rows.n_given is None:
        return net_inputs(noisy, rows.known, time), wanted
    given = torch.randint(2, (len(z), 1), generator=generator).to(z)
    x, others = z[:, : rows.n_given], z[:, rows.n_given :]
    is_clean = torch.cat([given.expand_as(x), torch.zeros_like(others)], dim=1)
    noisy = torch.where(is_clean > 0, z, noisy)
    counts = 1 - is_clean
    share = counts.mean(dim=1, keepdim=True)
    wanted["counts"] = counts / torch.where(share > 0, share, 1.0)
    return net_inputs(noisy, given, time), wanted


def watched_rows(
    rows: CoordinateRows, schedule: NoiseSchedule
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return held-out rows with fixed noise at times spread evenly over the schedule."""
    generator, z = torch.Generator().manual_seed(0), rows.z
    index = torch.arange(len(z))
    if len(z) > _N_WATCHED:
        index = torch.randperm(len(z), generator=generator)[:_N_WATCHED]
    repeats = int(np.clip(_N_WATCHED // len(index), 1, 64))
    n = repeats * len(index)
    # Row i meets the times i, i + n_rows, ...: a permutation of evenly spaced ones.
    k = torch.linspace(0, len(schedule) - 1, n).round().long()
    k = k[torch.randperm(n, generator=generator)]
    return _noisy(rows.take(index.repeat(repeats).to(z.device)), schedule, k, generator)


def velocity_loss(output: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the weighted mean squared error; outputs for the context are ignored."""
    velocity = batch["velocity"]
    errors = (output[:, : velocity.shape[1]] - velocity) ** 2
    if "counts" in batch:
        errors = batch["counts"] * errors
    errors = errors.mean(dim=1)
    return (batch["weight"] * errors).mean()


def evidence_lower_bound(
    chain: ReverseChain,
    z: torch.Tensor,
    known: torch.Tensor | None,
    generator: torch.Generator,
    n_pairs: int = 4,
) -> torch.Tensor:
    """Return the evidence lower bound of each row (n,), given the coordinates of its context.

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
                error = ((z - chain.mean(noisy, 0, known)) ** 2).sum(dim=1) / (2 * beta)
            else:
                error = ((noise - chain.noise(noisy, k, known)) ** 2).sum(dim=1)
                error = error * beta**2 / (2 * chain.variance[k] * (1 - beta) * (1 - abar))
            bound = bound - error / len(draws)
    return bound


def mean_noise_error(
    chain: ReverseChain, z: torch.Tensor, known: torch.Tensor | None, generator: torch.Generator
) -> np.ndarray:
    """Return the mean squared error (n,) of the noise predicted for rows, over the noise levels."""
    total = np.zeros(len(z))
    for k in range(len(chain)):
        draws = balanced_noise(chain, 4, z.shape[1], generator)
        for noise in draws:
            noisy = chain.diffuse(z, noise, k)
            error = ((noise - chain.noise(noisy, k, known)) ** 2).sum(dim=1)
            total += error.cpu().numpy() / len(draws)
    return total / len(chain)


def balanced_noise(
    chain: ReverseChain, n_pairs: int, d: int, generator: torch.Generator
) -> torch.Tensor:
    """Return pairs of opposite noise vectors whose mean square is that of the normal distribution.

    With them, a few draws give the mean of a quadratic error almost exactly.
    """
    half = chain.draw(n_pairs, d, generator)
    half = half * (d / (half**2).sum(dim=1).mean()).sqrt()
    return torch.cat([half, -half])
