"""How a generator's net is built and trained, and its noise measured."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .._utils.seeds import named_rng, named_seed
from ..learners.adam import adam
from ..learners.construct import check_built_afresh
from ..learners.patience import Stopping
from ..learners.trainer import AveragedNet, BatchCriterion, Training, train
from ..rows import Rows
from ._denoising import CoordinateRows, NoisyBatches, ZeroDenoiser, velocity_loss, watched_rows
from ._given_columns import JointCoordinates, MixedNet
from ._given_context import TableCoordinates
from ._reverse import NET_DTYPE, ReverseChain, VelocityNet
from ._schedule import NoiseSchedule
from .denoisers import MLPDenoiser

Coordinates = TableCoordinates | JointCoordinates

_MIN_ROWS = 30  # with fewer distinct rows the model stays the shrunk Gaussian
_N_MEASURED = 1024  # rows on which the power of the predicted noise is measured


class TrainingOptions(NamedTuple):
    """How a denoiser is trained."""

    learning_rate: float
    batch_size: int
    validation_fraction: float
    stopping: Stopping


def fitted_denoiser(
    recipe: Any,
    rows: Rows,
    coordinates: Coordinates,
    noise: NoiseSchedule,
    options: TrainingOptions,
    seed: int,
    device: torch.device,
) -> tuple[nn.Module, Training]:
    """Return the net that a recipe makes, trained on rows of a table if they are enough."""
    module = built_denoiser(recipe, coordinates, named_seed(seed, "denoiser"))
    if len(rows.X) < _MIN_ROWS or coordinates.n_coordinates == 0:
        # The package's own nets start as 0, and so as the Gaussian; others may not.
        is_own = hasattr(recipe, "build")
        return (module if is_own else ZeroDenoiser()), Training(outcome="converged")
    return trained_denoiser(module, rows, coordinates, noise, options, seed, device)


def built_denoiser(recipe: Any, coordinates: Coordinates, seed: int) -> nn.Module:
    """Return the net that a recipe makes, for the columns of a row and those of its context."""
    n_columns = coordinates.n_coordinates + coordinates.n_known
    if hasattr(recipe, "build"):
        has_idle = isinstance(recipe, MLPDenoiser) and coordinates.n_given is None
        known = {"n_known": coordinates.n_known} if has_idle and coordinates.n_coordinates else {}
        module = recipe.build(n_columns, torch.Generator().manual_seed(seed), **known)
    else:
        module = recipe(n_columns)
        check_built_afresh("denoiser", module, lambda: recipe(n_columns))
    return module.to(NET_DTYPE)


def trained_denoiser(
    module: nn.Module,
    rows: Rows,
    coordinates: Coordinates,
    noise: NoiseSchedule,
    options: TrainingOptions,
    seed: int,
    device: torch.device,
) -> tuple[nn.Module, Training]:
    """Train a net on noisy rows, until the loss on held-out rows stops improving."""
    train_rows, held = rows.split(options.validation_fraction, named_rng(seed, "hold-out"))
    n_given = coordinates.n_given
    net = AveragedNet(
        VelocityNet(module) if n_given is None else MixedNet(module, n_given),
        criterion=BatchCriterion(velocity_loss),
        **adam(module, device),
        lr=options.learning_rate,
        train_split=None,
        device=str(device),
        verbose=0,
    )
    net.initialize()
    batches = NoisyBatches(
        CoordinateRows.of(train_rows, coordinates, device, NET_DTYPE),
        noise,
        options.batch_size,
        torch.Generator().manual_seed(named_seed(seed, "batches")),
    )
    watched = watched_rows(CoordinateRows.of(held, coordinates, device, NET_DTYPE), noise)

    def held_out_loss() -> float:
        net.module_.eval()
        with torch.no_grad():
            return float(velocity_loss(net.module_(watched[0]), watched[1]))

    # The untrained net is a candidate too: without an improvement, the Gaussian is kept.
    untrained = {name: value.clone() for name, value in net.module_.state_dict().items()}
    before = held_out_loss()
    training = train(net, batches, lambda: {"valid_loss": held_out_loss()}, options.stopping)
    best = min((record["valid_loss"] for record in training.history), default=before)
    if best >= before - options.stopping.tol:
        net.module_.load_state_dict(untrained)
    return net.module_.denoiser.cpu().eval(), training


def measured_rows(rows: Rows, coordinates: Coordinates, seed: int) -> CoordinateRows:
    """Return the rows, drawn by weight, on which the power of the predicted noise is measured."""
    rng = named_rng(seed, "power")
    drawn = rng.choice(len(rows.X), size=_N_MEASURED, p=rows.weight / rows.weight.sum())
    return CoordinateRows.of(rows.take(drawn), coordinates, torch.device("cpu"))


def measured_noise(chain: ReverseChain, rows: CoordinateRows, seed: int) -> NoiseSchedule:
    """Return a chain's schedule with the power of the predicted noise, measured on the rows.

    The power of noise predicted with a velocity of 0 is known. Only what the net adds to it is
    measured, for which a few rows are enough.
    """
    z = rows.z.to(chain.device)
    known = None if rows.known is None else rows.known.to(chain.device)
    generator = torch.Generator().manual_seed(named_seed(seed, "power"))
    if z.shape[1] == 0:
        return chain.schedule
    abar = chain.schedule.abar
    tangent = np.tan(chain.schedule.angle)
    power = (1 - abar) * (1 - abar + abar * float((z**2).mean()))
    with torch.no_grad():
        for k in range(len(chain)):
            noisy = chain.diffuse(z, chain.draw(len(z), z.shape[1], generator), k)
            velocity = chain.velocity(noisy, k, known)
            added = float((velocity * (velocity + 2 * tangent[k] * noisy)).mean())
            power[k] += abar[k] * added
    return replace(chain.schedule, power=power)
