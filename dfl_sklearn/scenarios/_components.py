"""The component distributions of a mixture, as functions of the output of a net."""

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch.nn import functional

from ..learners.scaling import Scale
from ..rows import Rows

_LEAST = 0.01  # least standard deviation, in that of y: no component fits a single row
_OF_ONE = math.log(math.expm1(1 - _LEAST))  # the raw value for a scale of 1
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
_LARGEST = 200.0  # largest logarithm of a draw, to avoid overflow
_EDGE = 1e-9  # probability at either end of a distribution that is never drawn


def _spread(raw: torch.Tensor) -> torch.Tensor:
    """Return positive scales, 1 for 0; they grow linearly, so that no x leads to huge ones."""
    return _LEAST + functional.softplus(raw + _OF_ONE)


class Components(ABC):
    """One kind of distribution of y (d,), with parameters that differ between components.

    Parameters are rows (..., n_parameters); 0 stands for the distribution of all y. Columns of y
    that are constant have this value in every draw, and are not a part of the density.

    Attributes
    ----------
    n_parameters : int
    n_uniform : int
        Number of uniform numbers needed for a draw.
    n_means : int
        Number of parameters, the first ones, that are means in standardised units.
    """

    n_parameters: int
    n_uniform: int
    n_means: int

    def __init__(self, rows: Rows) -> None:
        y = rows.y
        self.n_outputs = y.shape[1]
        varies = (y != y[0]).any(axis=0)
        # Where no column varies, all are drawn with a scale of 0.
        self.varies = np.flatnonzero(varies if varies.any() else ~varies)
        self.constant = y[0].astype(np.float64)

    @abstractmethod
    def values(self, parameters: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Return draws (B, S, d) for parameters (B, S, n) and uniform numbers, (..., S, q)."""

    @abstractmethod
    def log_density(self, parameters: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log densities (B, M, K) of y (B, M, d) for parameters (B, K, n)."""

    def _completed(self, varying: torch.Tensor) -> torch.Tensor:
        """Return rows (..., d) of the columns that vary, with those that do not."""
        if len(self.varies) == self.n_outputs:
            return varying
        found = _like(self.constant, varying).expand(*varying.shape[:-1], -1).clone()
        index = torch.as_tensor(self.varies, device=varying.device)
        return found.index_copy(varying.ndim - 1, index, varying)

    def _varying(self, y: torch.Tensor) -> torch.Tensor:
        return y[..., torch.as_tensor(self.varies, device=y.device)]


class Gaussians(Components):
    r"""Normal distributions with independent outputs, or :math:`y = \mu + L \varepsilon`.

    Parameters
    ----------
    rows : Rows
        Rows by which y is standardised.
    rank : int or "full"
        Number of columns of the factor that is added to the diagonal of standard deviations;
        "full" is a lower triangular factor.
    """

    def __init__(self, rows: Rows, rank: int | str) -> None:
        super().__init__(rows)
        d = len(self.varies)
        self.is_full = rank == "full"
        self.rank = 0 if self.is_full else min(int(rank), d)
        n_others = d * (d - 1) // 2 if self.is_full else d * self.rank
        self.n_means, self.n_parameters, self.n_uniform = d, 2 * d + n_others, d + self.rank
        self.mean, self.scale = Scale.of(rows.y[:, self.varies], rows.weight, of_constant=0.0)
        self.below = np.tril_indices(d, -1)

    def values(self, parameters: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Return draws (B, S, d)."""
        mean, spread, others = self._parts(parameters)
        d = mean.shape[-1]
        noise = torch.special.ndtri(uniform)
        values = mean + spread * noise[..., :d]
        if self.is_full and d > 1:
            values = values + (self._lower(others) * noise[..., None, :d]).sum(dim=-1)
        elif self.rank:
            values = values + (self._factor(others) * noise[..., None, d:]).sum(dim=-1)
        scaled = _like(self.mean, values) + _like(self.scale, values) * values
        return self._completed(scaled)

    def log_density(self, parameters: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log densities (B, M, K)."""
        mean, spread, others = self._parts(parameters)
        scale = np.where(self.scale > 0, self.scale, 1.0)
        known = (self._varying(y) - _like(self.mean, y)) / _like(scale, y)
        d = mean.shape[-1]
        errors = known[:, :, None] - mean[:, None]
        log_det = spread.log().sum(dim=-1)
        if self.is_full and d > 1:
            factor = torch.diag_embed(spread) + self._lower(others)
            flat = torch.linalg.solve_triangular(factor, errors.permute(0, 2, 3, 1), upper=False)
            square = (flat**2).sum(dim=2).transpose(1, 2)
        else:
            errors = errors / spread[:, None]
            square = (errors**2).sum(dim=-1)
        if self.rank:  # by the matrix determinant lemma, and Woodbury's identity
            factor = self._factor(others) / spread[..., None]
            inner = torch.eye(self.rank, dtype=y.dtype, device=y.device) + factor.mT @ factor
            root = torch.linalg.cholesky(inner)
            reached = torch.einsum("bmkd,bkdr->bkrm", errors, factor)
            flat = torch.linalg.solve_triangular(root, reached, upper=False)
            square = square - (flat**2).sum(dim=2).transpose(1, 2)
            log_det = log_det + root.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        of_unit = d * _HALF_LOG_TAU + float(np.log(scale).sum())
        return -0.5 * square - log_det[:, None] - of_unit

    def _parts(self, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        d = self.n_means
        return parameters[..., :d], _spread(parameters[..., d : 2 * d]), parameters[..., 2 * d :]

    def _factor(self, others: torch.Tensor) -> torch.Tensor:
        return others.unflatten(-1, (self.n_means, self.rank))

    def _lower(self, others: torch.Tensor) -> torch.Tensor:
        """Return strictly lower triangular matrices (..., d, d)."""
        d = self.n_means
        flat = torch.zeros((*others.shape[:-1], d * d), dtype=others.dtype, device=others.device)
        index = torch.as_tensor(self.below[0] * d + self.below[1], device=others.device)
        return flat.index_copy(flat.ndim - 1, index, others).unflatten(-1, (d, d))


class ZeroInflatedLognormals(Components):
    r"""Zero or a lognormal number, independently for each output.

    .. math:: -\log p(y) = -1_{y = 0} \log(1 - p) - 1_{y > 0} (\log p + \log LN(y; \mu, \sigma))

    A column without zeros has no zeros in its draws either.

    Parameters
    ----------
    rows : Rows
        Rows by which the logarithms of y are standardised.
    """

    def __init__(self, rows: Rows) -> None:
        super().__init__(rows)
        d = len(self.varies)
        self.n_means, self.n_parameters, self.n_uniform = d, 3 * d, d
        y = rows.y[:, self.varies]
        self.logit, self.level, self.scale = np.full(d, np.inf), np.ones(d), np.zeros(d)
        for j, column in enumerate(y.T):
            positive = column > 0
            weight = rows.weight[positive]
            if not positive.all():
                share = weight.sum() / rows.weight.sum()
                self.logit[j] = np.log(share) - np.log1p(-share) if positive.any() else -np.inf
            if positive.any():
                logs = Scale.of(np.log(column[positive])[:, None], weight, of_constant=0.0)
                self.scale[j] = logs.scale[0]
                self.level[j] = np.exp(logs.mean[0]) if logs.scale[0] > 0 else column[positive][0]

    def values(self, parameters: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Return draws (B, S, d), the quantiles at the uniform numbers."""
        # They grow continuously from 0, so that the slopes of draws in p are those of their mean.
        mean, spread, logit = self._parts(parameters)
        share, none = torch.sigmoid(logit), torch.sigmoid(-logit)
        is_positive = (uniform > none) & (share > 0)
        level = (uniform - none) / torch.where(is_positive, share, 1.0)
        level = torch.where(is_positive, level, 0.5).clamp(_EDGE, 1 - _EDGE)
        logs = _like(self.scale, mean) * (mean + spread * torch.special.ndtri(level))
        found = _like(self.level, mean) * logs.clamp(max=_LARGEST).exp()
        return self._completed(torch.where(is_positive, found, 0.0))

    def log_density(self, parameters: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log densities (B, M, K); of a zero it is the log probability."""
        mean, spread, logit = (each[:, None] for each in self._parts(parameters))
        y = self._varying(y)[:, :, None]
        is_positive = y > 0
        logs = torch.where(is_positive, y, 1.0).log()
        scale = np.where(self.scale > 0, self.scale, 1.0)
        errors = (logs - _like(np.log(self.level), y)) / _like(scale, y) - mean
        density = -0.5 * (errors / spread) ** 2 - spread.log() - _HALF_LOG_TAU
        density = density - _like(np.log(scale), y) - logs
        # Where all positive numbers are equal, this number has a probability.
        density = torch.where(_like(self.scale, y) > 0, density, 0.0)
        found = torch.where(
            is_positive, functional.logsigmoid(logit) + density, functional.logsigmoid(-logit)
        )
        return found.sum(dim=-1)

    def _parts(self, parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        d = self.n_means
        mean, raw, logit = (parameters[..., k * d : (k + 1) * d] for k in range(3))
        return mean, _spread(raw), logit + _like(self.logit, logit)


def _like(values: np.ndarray, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values, dtype=tensor.dtype, device=tensor.device)
