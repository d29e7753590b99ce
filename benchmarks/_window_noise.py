"""Noise for rows that are windows of a series: sets of one's own, behind the package's protocol."""

import numpy as np

from dfl_sklearn.robust import AmbiguitySet


class WindowNoise(AmbiguitySet):
    """Windows and their targets with noise drawn anew for every epoch; nothing is searched."""

    def set_nominal(self, rows, problem, seed, held_out=None):
        """Take up the training rows."""
        super().set_nominal(rows, problem, seed, held_out)
        self._rows, self._problem = rows.as_shares(), problem
        self._spread = rows.X.std()
        self._rng = np.random.default_rng(seed)

    def worst_case(self, row_loss):
        """Draw new noise."""
        X, y = self.perturbed(self._rows.X, self._rows.y)
        y = self._problem.project_parameters(y)[0]
        return self._rows.replace(X=X, y=y), 0.0

    def held_out_regret(self, row_loss):
        """Return the plain regret on the rows held out: no worst case is searched for."""
        return super().held_out_regret(row_loss)


class PerlinNoise(WindowNoise):
    """Smooth noise along time: random slopes at every `period`-th lag, interpolated by a quintic.

    Parameters
    ----------
    scale : float
        Standard deviation, in standard deviations of the series.
    period : int
        Lags between two slopes.
    """

    def __init__(self, scale=0.1, period=4):
        self.scale = scale
        self.period = period

    def perturbed(self, X, y):
        """Add one track of noise over the lags and the target of each row."""
        n, n_lags = X.shape
        time = (np.arange(n_lags + 1) + 0.5) / self.period
        left = time.astype(int)
        along = time - left
        slope = self._rng.uniform(-1, 1, (n, left[-1] + 2))
        fade = along**3 * (along * (along * 6 - 15) + 10)
        track = (1 - fade) * slope[:, left] * along + fade * slope[:, left + 1] * (along - 1)
        track *= self.scale * self._spread / track.std()
        return X + track[:, :-1], y + track[:, -1:]


class CutOut(WindowNoise):
    """Lags blanked out at random: set to the mean of their row.

    Parameters
    ----------
    share : float
        Probability that a lag is blanked.
    """

    def __init__(self, share=0.1):
        self.share = share

    def perturbed(self, X, y):
        """Blank lags; the target stays."""
        blank = self._rng.uniform(size=X.shape) < self.share
        return np.where(blank, X.mean(axis=1, keepdims=True), X), y
