"""The net of a diffusion model, in the form in which it is trained for decisions."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..learners.scaling import Scale
from ..robust._conditional_draws import ConditionalDraws
from ..robust.generator import DiffusionGenerator
from ._scenario_net import ScenarioNet

_AT_ONCE = 2**13  # draws without gradients that are in memory together
_MOST_KEPT = 2**27  # bytes for gradients of a flow, above which it is computed twice
_N_LEVELS = 4  # noise levels at which a draw is denoised, each with a pair of noise vectors


class DiffusionNet(ScenarioNet):
    """Draws of a diffusion model, as functions of the weights of its denoiser.

    The conditions are the standardised features themselves. The draws of all rows have the same
    noise, and are those that the model predicts.

    Parameters
    ----------
    generator : DiffusionGenerator
        The fitted generator of y, given the features.
    x_scale : Scale
        Scale of the features.
    noise : ndarray of shape (S, d)
        Noise that becomes the scenarios, in the coordinates of the generator.
    n_outputs : int
    """

    def __init__(
        self, generator: DiffusionGenerator, x_scale: Scale, noise: np.ndarray, n_outputs: int
    ) -> None:
        super().__init__()
        self.generator, self.x_scale, self.base_noise = generator, x_scale, noise
        self.denoiser = deepcopy(generator.denoiser_)
        self.n_conditions, self.n_outputs = len(x_scale.mean), n_outputs
        self.n_scenarios = len(noise)

    def train(self, mode: bool = True) -> "DiffusionNet":
        """Set the mode; the denoiser stays in evaluation mode, so that its draws do not change."""
        super().train(mode)
        self.denoiser.eval()
        return self

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        """Move to another device, but keep the dtype of the denoiser, whatever that of X is."""
        dtype = next(self.denoiser.parameters()).dtype
        super()._apply(fn, recurse)
        self.denoiser.to(dtype)
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return standardised features (B, p)."""
        return x

    def draws(self, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scenarios (B, S, d) and their weights (B, S)."""
        noise = torch.as_tensor(self.base_noise)
        values = self._drawn(conditions, noise.expand(len(conditions), -1, -1))
        return values, torch.full_like(values[..., 0], 1.0 / self.n_scenarios)

    def sample(
        self, conditions: torch.Tensor, n_samples: int, rng: np.random.Generator
    ) -> torch.Tensor:
        """Return independent draws (B, n_samples, d)."""
        shape = (len(conditions), n_samples, self.base_noise.shape[1])
        return self._drawn(conditions, torch.as_tensor(rng.standard_normal(shape)))

    def score_of(
        self, conditions: torch.Tensor, y: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """Return minus the squared errors (B, M) of the noise predicted for rows of y.

        This is the evidence lower bound without the weights of the noise levels, as in
        "Diffusion-DFL". All rows of y of a condition get the same noise, so that differences
        between them are not due to noise.
        """
        B, M, _ = y.shape
        x = np.repeat(self._features(conditions), 2 * M, axis=0)
        rows = y.detach().cpu().numpy().repeat(2, axis=1).reshape(2 * B * M, -1)
        model = self._model(recomputes=_of_slopes(self.denoiser, len(x) * _N_LEVELS))
        n_steps, chain = len(model.chain), model.chain
        total = torch.zeros((B, M), dtype=chain.dtype, device=chain.device)
        for level in range(_N_LEVELS):
            step = ((level + rng.random(B)) / _N_LEVELS * n_steps).astype(int)
            half = rng.standard_normal((B, 1, 1, model.width))
            noise = np.concatenate([half, -half], axis=2).repeat(M, axis=1)
            errors = model.noise_errors(
                *(x, rows),
                torch.as_tensor(noise.reshape(2 * B * M, -1), device=model.chain.device),
                torch.as_tensor(step.repeat(2 * M), device=model.chain.device),
            )
            total = total + errors.reshape(B, M, 2).mean(dim=2).to(total.device)
        return -(total / _N_LEVELS).to(conditions.device)

    def _drawn(self, conditions: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return the draws that noise (B, M, d) becomes, computed on the device of the denoiser."""
        x, (B, n_draws, _) = self._features(conditions), noise.shape
        model, at_once = self._model(), max(1, _AT_ONCE // max(1, n_draws))
        if torch.is_grad_enabled():
            at_once = B
            if _of_slopes(self.denoiser, B * n_draws * len(model.chain)):
                model = self._model(recomputes=True)
        noise = noise.to(model.chain.device)
        parts = [
            model.draws(x[i : i + at_once], noise[i : i + at_once], rounds=True)
            for i in range(0, B, at_once)
        ]
        return torch.cat(parts).to(conditions.device)

    def _model(self, *, recomputes: bool = False) -> ConditionalDraws:
        denoiser = _Recomputed(self.denoiser) if recomputes else self.denoiser
        device = next(self.denoiser.parameters()).device
        return self.generator._conditional_draws(denoiser, device)

    def _features(self, conditions: torch.Tensor) -> np.ndarray:
        mean, scale = self.x_scale
        return conditions.detach().cpu().numpy().astype(np.float64) * scale + mean


class _Recomputed(nn.Module):
    """A denoiser that is evaluated again for its gradients, to save memory."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, z: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the velocities."""
        return checkpoint(self.denoiser, z, time, use_reentrant=False, preserve_rng_state=False)


def _of_slopes(denoiser: nn.Module, n_rows: int) -> bool:
    """Return whether gradients of about this many rows need too much memory."""
    weights = list(denoiser.parameters())
    width = sum(3 * each.shape[0] for each in weights if each.ndim > 1)
    return n_rows * width * weights[0].element_size() > _MOST_KEPT
