"""Draws of a diffusion model, in its coordinates."""

import numpy as np
import torch

from .._utils.progress import counted
from .._utils.seeds import named_seed
from ._denoising import EPOCH
from ._reverse import ReverseChain
from ._schedule import NoiseSchedule

_FLOW_STEPS = 15  # of the sampler "ode", unless told


def respaced_for(noise: NoiseSchedule, sampler: str, n_steps: int | None) -> NoiseSchedule:
    """Return the steps by which a sampler generates rows; None is as many as it needs."""
    if n_steps is None:
        n_steps = _FLOW_STEPS if sampler == "ode" else len(noise)
    return noise.respaced(min(n_steps, len(noise)))


def drawn(
    chain: ReverseChain,
    n_samples: int,
    n_coordinates: int,
    known: torch.Tensor | None,
    seed: int,
    sampler: str,
) -> np.ndarray:
    """Return independent draws (n_samples, n_coordinates), a part of them at a time.

    Parameters
    ----------
    chain : ReverseChain
    n_samples : int
    n_coordinates : int
    known : torch.Tensor of shape (n_samples, k) or None
        Coordinates of what each draw is given.
    seed : int
    sampler : {"ode", "ddpm", "ddim"}
    """
    generator = torch.Generator().manual_seed(seed)
    starts = range(0, n_samples, EPOCH)
    parts = [
        chain.sample(
            min(EPOCH, n_samples - first),
            n_coordinates,
            generator,
            None if known is None else known[first : first + EPOCH],
            sampler=sampler,
        )
        for first in counted(starts, f"parts of {n_samples} samples", len(starts))
    ]
    return torch.cat(parts).cpu().numpy()


def drawn_from_common_noise(
    chain: ReverseChain, noise: np.ndarray, known: torch.Tensor, seed: int, sampler: str
) -> np.ndarray:
    """Return what the same noise (m, d) becomes for each of several rows: (n, m, d).

    The draws of a row are computed by themselves: a product of matrices may round a row otherwise
    among others.

    Parameters
    ----------
    chain : ReverseChain
    noise : ndarray of shape (m, d)
    known : torch.Tensor of shape (n, k)
        Coordinates of what each row is given.
    seed : int
        Of the further noise that some samplers add, the same for each row.
    sampler : {"ode", "ddpm", "ddim"}
    """
    start = torch.as_tensor(noise, dtype=chain.dtype, device=chain.device)
    z = np.empty((len(known), *noise.shape))
    for row, given in zip(z, known, strict=True):
        generator = torch.Generator().manual_seed(named_seed(seed, "further noise"))
        given = given.expand(len(noise), -1)
        row[:] = chain.from_noise(start, generator, given, sampler=sampler).cpu().numpy()
    return z
