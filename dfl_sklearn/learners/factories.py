"""Recipes that build the package's own networks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from .._utils.checks import layer_sizes, whole_number
from .modules import MLP, ScaleEquivariant, WindowLSTM

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}


class NetFactory(BaseEstimator, ABC):
    """Base class of recipes for networks, which are parameters of an estimator.

    Unlike a function ``(n_in, n_out) -> nn.Module``, a recipe initialises weights from an explicit
    generator, and its own parameters can be searched (``predictor__hidden_size``).

    Attributes
    ----------
    starts_trained : bool
        Whether the net predicts well before it is trained, such as one that corrects given
        predictions. Training then keeps the initial weights unless others are better.
    columns_are : str or None
        What the net takes all columns of X for, such as a series, where it cannot use other
        columns. A fit then warns if the context is among them.

    See Also
    --------
    MLPPredictor : A recipe for a multilayer perceptron.
    LSTMPredictor : A recipe for a net that reads windows of a series.
    dfl_sklearn.DFLRegressor : Takes a recipe as its `predictor`.

    Examples
    --------
    A net that starts with small weights:

    >>> import torch
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.learners import NetFactory
    >>> class SmallStart(NetFactory):
    ...     def __init__(self, size=0.01):
    ...         self.size = size
    ...
    ...     def build(self, n_in, n_out, generator):
    ...         net = torch.nn.Linear(n_in, n_out, dtype=torch.float64)
    ...         with torch.no_grad():
    ...             for each in net.parameters():
    ...                 each.uniform_(-self.size, self.size, generator=generator)
    ...         return net
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> model = DFLRegressor(predictor=SmallStart(), tol=0.1, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.3)
    True
    """

    starts_trained: bool = False
    columns_are: str | None = None

    @property
    def is_linear(self) -> bool:
        """Whether the net is linear in its weights, and therefore overfits little.

        With ``early_stopping="auto"`` no rows are held out for such a net.
        """
        return False

    @abstractmethod
    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return a float64 network (B, n_in) -> (B, n_out), weights drawn from `generator`.

        Parameters
        ----------
        n_in : int
            Number of features.
        n_out : int
            Number of parameters to predict.
        generator : torch.Generator
            Generator of the random weights.

        Returns
        -------
        torch.nn.Module
            The network, in float64.
        """

    def __call__(self, n_in: int, n_out: int) -> nn.Module:
        """Return a network with fresh random weights, in torch's default dtype."""
        generator = torch.Generator()
        generator.seed()
        return self.build(n_in, n_out, generator).to(torch.get_default_dtype())


class MLPPredictor(NetFactory):
    """A multilayer perceptron; linear when it has no hidden layer.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers; ``()`` is a linear model.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.

    See Also
    --------
    ScaleEquivariantPredictor : A perceptron for series whose level changes.
    ItemwisePredictor : One perceptron, applied to each item of a row.
    LSTMPredictor : A recurrent net for windows of a series.

    Examples
    --------
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.learners import MLPPredictor
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> model = DFLRegressor(predictor=MLPPredictor((8,)), tol=0.05, random_state=0).fit(X, y)
    >>> sum(weights.numel() for weights in model.predictor_.module_.parameters())
    57
    """

    def __init__(
        self, hidden_layer_sizes: Sequence[int] = (32, 32), activation: str = "relu"
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation

    @property
    def is_linear(self) -> bool:
        """Whether there is no hidden layer."""
        return np.size(self.hidden_layer_sizes) == 0

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return the perceptron."""
        if not isinstance(self.activation, str) or self.activation not in _ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {sorted(_ACTIVATIONS)}, got {self.activation!r}."
            )
        sizes = layer_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        return MLP([n_in, *sizes, n_out], _ACTIVATIONS[self.activation], generator)


class LSTMPredictor(NetFactory):
    """An LSTM over the window of lags in each row.

    A row of X holds a window, oldest step first, as :func:`dfl_sklearn.datasets.make_lagged`
    makes it; with several channels, the channels of a step are next to each other.

    Parameters
    ----------
    hidden_size : int, default=32
        Width of the hidden state.
    num_layers : int, default=1
        Number of stacked layers.
    n_channels : int, default=1
        Number of values per time step; the number of features must be a multiple of it.

    See Also
    --------
    ScaleEquivariantPredictor : A perceptron for series whose level changes.
    dfl_sklearn.datasets.make_lagged : Cut a series into windows.

    Notes
    -----
    A context is not a time step: set ``context_is_feature=False`` in the estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_lagged
    >>> from dfl_sklearn.learners import LSTMPredictor
    >>> X, y = make_lagged(np.sin(np.arange(60.0)), n_lags=4)
    >>> model = DFLRegressor(
    ...     predictor=LSTMPredictor(8), learning_rate_init=0.05, tol=0.1, random_state=0
    ... ).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    columns_are = "steps of a window"

    def __init__(self, hidden_size: int = 32, num_layers: int = 1, n_channels: int = 1) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.n_channels = n_channels

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return the LSTM."""
        for name in ("hidden_size", "num_layers", "n_channels"):
            whole_number(getattr(self, name), name, at_least=1)
        if n_in % self.n_channels:
            raise ValueError(
                f"X has {n_in} features, which is not a multiple of n_channels={self.n_channels}."
            )
        return WindowLSTM(self.n_channels, self.hidden_size, self.num_layers, n_out, generator)


class ScaleEquivariantPredictor(MLPPredictor):
    """A perceptron whose input is divided, and its output multiplied, by the row's mean size.

    Doubled features give a doubled prediction, so that what was learnt at one level of demand
    holds at another. It is for features and targets in the same unit, with a natural zero, such as
    the lags of a series. Use it with ``standardize=False``, which keeps that zero, and, where
    there is a context, with ``context_is_feature=False``.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=()
        Widths of the hidden layers; ``()`` is a linear model.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.

    See Also
    --------
    MLPPredictor : A perceptron of the features as they are.
    LSTMPredictor : A recurrent net for windows of a series.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.learners import ScaleEquivariantPredictor
    >>> X = np.random.default_rng(0).uniform(1, 2, size=(50, 3))
    >>> model = DFLRegressor(
    ...     predictor=ScaleEquivariantPredictor(), standardize=False, tol=0.01, random_state=0
    ... ).fit(X, X.sum(axis=1))
    >>> bool(np.allclose(model.predict(1000 * X), 1000 * model.predict(X)))
    True
    """

    columns_are = "numbers in one unit"

    def __init__(self, hidden_layer_sizes: Sequence[int] = (), activation: str = "relu") -> None:
        super().__init__(hidden_layer_sizes, activation)

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return the net."""
        return ScaleEquivariant(super().build(n_in, n_out, generator))
