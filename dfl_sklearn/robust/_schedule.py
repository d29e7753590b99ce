"""The forward noise of a diffusion model, and the quantities that follow from it.

Notation of Ho, Jain and Abbeel (2020): z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps for
t = 1..T, with abar_t the product of 1 - beta_s for s <= t. Index 0 of every array is t = 1.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NoiseSchedule:
    """Noise levels of the steps 1..T of a diffusion model, or of a subsequence of them.

    Attributes
    ----------
    time : ndarray of shape (K,)
        The step of the full schedule, as a share of T in (0, 1]; an input of the denoiser.
    abar : ndarray of shape (K,)
        Share of the signal's variance left, decreasing.
    power : ndarray of shape (K,)
        Mean square of the noise predicted at each step, per coordinate. Until it is measured
        it is that of a standard normal, 1 - abar.
    """

    time: np.ndarray
    abar: np.ndarray
    power: np.ndarray

    @classmethod
    def make(cls, kind: str, n_steps: int) -> "NoiseSchedule":
        """Return the "linear" or "cosine" schedule with `n_steps` steps.

        The linear one is that of Ho et al., with rates scaled so that the signal that is left at
        the end does not depend on the number of steps. The cosine one is that of Nichol and
        Dhariwal (2021).
        """
        time = np.arange(1, n_steps + 1) / n_steps
        if kind == "linear":
            beta = np.linspace(1e-4, 2e-2, n_steps) * (1000.0 / n_steps)
            abar = np.cumprod(1.0 - np.minimum(beta, 0.999))
        else:
            angle = np.cos((np.arange(n_steps + 1) / n_steps + 0.008) / 1.008 * np.pi / 2) ** 2
            beta = 1.0 - angle[1:] / angle[:-1]
            abar = np.cumprod(1.0 - np.minimum(beta, 0.999))
        return cls(time, abar, 1.0 - abar)

    def __len__(self) -> int:
        return len(self.abar)

    def respaced(self, n_steps: int) -> "NoiseSchedule":
        """Return `n_steps` of the steps, evenly spaced and with the last one."""
        kept = np.unique(np.linspace(0, len(self) - 1, n_steps).round().astype(int))
        return NoiseSchedule(self.time[kept], self.abar[kept], self.power[kept])

    @property
    def abar_before(self) -> np.ndarray:
        """The abar of the step before, 1 for the first."""
        return np.concatenate([[1.0], self.abar[:-1]])

    @property
    def angle(self) -> np.ndarray:
        """The angle phi of each step: sqrt(abar) is its cosine, sqrt(1 - abar) its sine."""
        return np.arctan2(np.sqrt(1.0 - self.abar), np.sqrt(self.abar))

    @property
    def beta(self) -> np.ndarray:
        """Noise added by each step."""
        return 1.0 - self.abar / self.abar_before

    @property
    def posterior_variance(self) -> np.ndarray:
        """The variance (1 - abar_{t-1}) / (1 - abar_t) beta_t of z_{t-1} given z_t and z_0."""
        return (1.0 - self.abar_before) / (1.0 - self.abar) * self.beta

    @property
    def reverse_variance(self) -> np.ndarray:
        """The variance sigma_t^2 of a reverse step that fits the rows best, 0 for t = 1.

        It is the posterior variance plus the remaining uncertainty of the denoiser about z_0
        (Bao, Li, Zhu and Zhang, "Analytic-DPM", 2022, eq. 8). It is beta_t for a standard
        normal, which makes the chain of a Gaussian exact with any number of steps, and tends to
        the posterior variance where the denoiser knows z_0.
        """
        posterior, before = self.posterior_variance, 1.0 - self.abar_before
        factor = np.sqrt((1.0 - self.abar) / (1.0 - self.beta)) - np.sqrt(
            np.maximum(before - posterior, 0.0)
        )
        variance = posterior + factor**2 * np.clip(1.0 - self.power, 0.0, 1.0)
        return np.concatenate([[0.0], variance[1:]])
