"""Denoising networks: (noisy rows, time) -> the velocity of the diffusion."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from sklearn.base import BaseEstimator
from torch import nn

from .._utils.checks import layer_sizes, whole_number
from ..learners.modules import seeded_linear


class TimeEmbedding(nn.Module):
    """Sines and cosines of a time in (0, 1] at geometrically spaced frequencies."""

    frequencies: torch.Tensor

    def __init__(self, n_frequencies: int = 8) -> None:
        super().__init__()
        frequencies = math.pi * 2.0 ** torch.arange(n_frequencies).to(torch.float64)
        self.register_buffer("frequencies", frequencies / 2)

    @property
    def width(self) -> int:
        """Number of columns of the embedding."""
        return 2 * len(self.frequencies)

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        """Map times (B,) to (B, width)."""
        angle = time[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class MLPDenoiserNet(nn.Module):
    """A multilayer perceptron of the noisy row and the embedded time; its initial output is 0.

    With `gain` it has twice as many outputs, and the second half are factors of the noisy row.
    The last `n_known` columns are not a part of the row, and have no velocity.
    """

    def __init__(
        self,
        n_columns: int,
        hidden: Sequence[int],
        generator: torch.Generator,
        *,
        gain: bool = False,
        n_known: int = 0,
    ) -> None:
        super().__init__()
        self.gain, self.n_outputs = gain, n_columns - n_known
        self.embedding = TimeEmbedding()
        sizes = [n_columns + self.embedding.width, *hidden]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [seeded_linear(n_in, n_out, generator), nn.SiLU()]
        last = seeded_linear(sizes[-1], (2 if gain else 1) * self.n_outputs, generator)
        _zero(last)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, z: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Map noisy rows (B, d), with what is known, at times (B,) to velocities."""
        output = self.layers(torch.cat([z, self.embedding(time)], dim=1))
        if not self.gain:
            return output
        offset, factor = output.chunk(2, dim=1)
        return offset + factor * z[:, : self.n_outputs]


class ConvDenoiserNet(nn.Module):
    """One-dimensional convolutions along the columns of a window; the initial output is 0."""

    position: torch.Tensor

    def __init__(
        self,
        n_columns: int,
        n_channels: int,
        n_layers: int,
        kernel_size: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.embedding = TimeEmbedding()
        # The position of a column is a further channel, as a target column is not a lag.
        position = torch.linspace(-1.0, 1.0, n_columns, dtype=torch.float64)
        self.register_buffer("position", position)
        self.time = seeded_linear(self.embedding.width, n_channels, generator)
        self.first = _seeded_conv(2, n_channels, kernel_size, generator)
        self.blocks = nn.ModuleList(
            _seeded_conv(n_channels, n_channels, kernel_size, generator) for _ in range(n_layers)
        )
        self.last = _seeded_conv(n_channels, 1, 1, generator)
        _zero(self.last)

    def forward(self, z: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Map noisy rows (B, d) at times (B,) to velocities (B, d)."""
        x = torch.stack([z, self.position.expand_as(z)], dim=1)
        h = self.first(x) + self.time(self.embedding(time))[:, :, None]
        for block in self.blocks:
            h = h + block(nn.functional.silu(h))
        return self.last(nn.functional.silu(h))[:, 0]


class MLPDenoiser(BaseEstimator):
    """Recipe for a perceptron that denoises rows of a table.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(128, 128)
        Widths of the hidden layers.
    gain : bool, default=False
        Whether the velocity has an additional term: the noisy row times factors, which are
        outputs of the perceptron. This is the velocity of a Gaussian whose spread depends on the
        context, which can then be learnt from few rows.

    See Also
    --------
    ConvDenoiser : A net for windows of a time series.
    DiffusionGenerator : Takes a recipe as its `denoiser`.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.robust import DiffusionGenerator, MLPDenoiser
    >>> Z = np.random.default_rng(0).normal(size=(100, 2))
    >>> model = DiffusionGenerator(denoiser=MLPDenoiser((16,)), max_iter=1, random_state=0).fit(Z)
    >>> model.sample(3, random_state=0).shape
    (3, 2)
    """

    def __init__(self, hidden_layer_sizes: Sequence[int] = (128, 128), gain: bool = False) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.gain = gain

    def build(self, n_columns: int, generator: torch.Generator, *, n_known: int = 0) -> nn.Module:
        """Return the network, with weights drawn from `generator`.

        Parameters
        ----------
        n_columns : int
            Number of columns of the table.
        generator : torch.Generator
            Generator of the random weights.
        n_known : int, default=0
            Number of the last columns that are known and get no velocity.

        Returns
        -------
        torch.nn.Module
            Maps noisy rows (B, n_columns) and times (B,) to velocities
            (B, n_columns - n_known), in float64.
        """
        sizes = layer_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        return MLPDenoiserNet(n_columns, sizes, generator, gain=self.gain, n_known=n_known)


class ConvDenoiser(BaseEstimator):
    """Recipe for a convolutional net that denoises windows of a time series.

    Parameters
    ----------
    n_channels : int, default=32
        Number of channels of each convolution.
    n_layers : int, default=3
        Number of residual convolutions.
    kernel_size : int, default=3
        Width of the convolutions, odd.

    See Also
    --------
    MLPDenoiser : A net for any table.
    DiffusionGenerator : Takes a recipe as its `denoiser`.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.datasets import make_lagged
    >>> from dfl_sklearn.robust import ConvDenoiser, DiffusionGenerator
    >>> noise = 0.1 * np.random.default_rng(0).normal(size=105)
    >>> windows, _ = make_lagged(np.sin(np.arange(105.0)) + noise, n_lags=5)
    >>> denoiser = ConvDenoiser(n_channels=8, n_layers=1)
    >>> model = DiffusionGenerator(denoiser=denoiser, max_iter=1, random_state=0).fit(windows)
    >>> model.sample(3, random_state=0).shape
    (3, 5)
    """

    def __init__(self, n_channels: int = 32, n_layers: int = 3, kernel_size: int = 3) -> None:
        self.n_channels = n_channels
        self.n_layers = n_layers
        self.kernel_size = kernel_size

    def build(self, n_columns: int, generator: torch.Generator) -> nn.Module:
        """Return the network, with weights drawn from `generator`.

        Parameters
        ----------
        n_columns : int
            Number of columns of the table.
        generator : torch.Generator
            Generator of the random weights.

        Returns
        -------
        torch.nn.Module
            Maps noisy rows (B, n_columns) and times (B,) to velocities (B, n_columns), in float64.
        """
        for name, least in (("n_channels", 1), ("n_layers", 0), ("kernel_size", 1)):
            whole_number(getattr(self, name), name, at_least=least)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}.")
        return ConvDenoiserNet(
            n_columns, self.n_channels, self.n_layers, self.kernel_size, generator
        )


def _zero(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()


def _seeded_conv(n_in: int, n_out: int, size: int, generator: torch.Generator) -> nn.Conv1d:
    conv = nn.Conv1d(
        n_in, n_out, size, padding=size // 2, device="meta", dtype=torch.float64
    ).to_empty(device="cpu")
    bound = 1.0 / math.sqrt(n_in * size)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return conv
