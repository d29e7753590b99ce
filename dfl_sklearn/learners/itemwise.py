"""Nets that are applied to every item of a row, or to every pair of items."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.checks import flag, whole_number
from .factories import MLPPredictor, NetFactory

_OUTPUTS: dict[str, type[nn.Module]] = {"identity": nn.Identity, "logistic": nn.Sigmoid}


class ItemwisePredictor(MLPPredictor):
    """The same perceptron for each item of a row.

    A row of X holds the features of the items, one item after the other, and the predicted
    parameters have the same order. All items train the same net: with ten items, a row is ten
    examples.

    Parameters
    ----------
    n_items : int
        Number of items per row; the numbers of features and of parameters must be multiples of it.
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers; ``()`` is a linear model.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.
    output : {"identity", "logistic"}, default="identity"
        Activation of the last layer; "logistic" predicts probabilities.

    See Also
    --------
    PairwisePredictor : One perceptron for all pairs of items.
    MLPPredictor : One perceptron for the whole row.

    Notes
    -----
    Use it with ``standardize=False`` and features scaled beforehand; otherwise every item is scaled
    differently. A context must be among the features of the items, one number for each item, or not
    be a feature (``context_is_feature=False``).

    Examples
    --------
    Three items per row with two features each; the values depend only on the features of the item.

    >>> import numpy as np
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.learners import ItemwisePredictor
    >>> from dfl_sklearn.problems import TopKProblem
    >>> items = np.random.default_rng(0).normal(size=(60, 3, 2))
    >>> values = items @ [1.0, -2.0]
    >>> model = DFLRegressor(
    ...     TopKProblem(1),
    ...     predictor=ItemwisePredictor(3, hidden_layer_sizes=()),
    ...     standardize=False,
    ...     random_state=0,
    ... ).fit(items.reshape(60, 6), values)
    >>> bool(model.score(items.reshape(60, 6), values) > 0.99)
    True
    """

    def __init__(
        self,
        n_items: int,
        hidden_layer_sizes: Sequence[int] = (32, 32),
        activation: str = "relu",
        output: str = "identity",
    ) -> None:
        super().__init__(hidden_layer_sizes, activation)
        self.n_items = n_items
        self.output = output

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return the net."""
        whole_number(self.n_items, "n_items", at_least=1)
        for what, width in (("features", n_in), ("parameters", n_out)):
            if width % self.n_items:
                raise ValueError(
                    f"There are {width} {what} per row, which is not a multiple of "
                    f"n_items={self.n_items}."
                )
        net = super().build(n_in // self.n_items, n_out // self.n_items, generator)
        return Itemwise(net, self.n_items, _output(self.output))


class PairwisePredictor(NetFactory):
    """The same perceptron for each pair of a left and a right item.

    A row of X holds the features of the left items, one after the other, followed by those of the
    right items. The perceptron sees the features of both members of a pair. The pair (i, j) is
    column ``i * n_right + j`` of y, as in :class:`~dfl_sklearn.problems.MatchingProblem`.

    Parameters
    ----------
    n_left, n_right : int
        Numbers of items per row on the two sides.
    hidden_layer_sizes : sequence of int, default=(32,)
        Widths of the hidden layers, at least one: otherwise left and right could not interact.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.
    output : {"identity", "logistic"}, default="identity"
        Activation of the last layer; "logistic" predicts probabilities.
    symmetric : bool, default=False
        Whether both sides are of the same kind, so that the order of a pair does not matter. The
        perceptron then sees each pair in both orders, and its outputs are averaged before the last
        activation. This doubles the work, and makes every pair two examples.

    See Also
    --------
    ItemwisePredictor : One perceptron for all single items.
    dfl_sklearn.problems.MatchingProblem : The choice of pairs.

    Notes
    -----
    The first layer is applied once to each item, not to each pair; for 50 items on each side that
    is 25 times less work. Use the net with ``standardize=False`` and features scaled beforehand;
    otherwise every item is scaled differently. A context must be among the features of the items,
    one number for each item, or not be a feature (``context_is_feature=False``).

    References
    ----------
    Wilder, Dilkina, Tambe, "Melding the data-decisions pipeline", AAAI 2019, section 6 (the net).

    Examples
    --------
    Two workers and two jobs with one feature each; a pair is worth more where their features
    differ.

    >>> import numpy as np
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.learners import PairwisePredictor
    >>> from dfl_sklearn.problems import MatchingProblem
    >>> X = np.random.default_rng(0).normal(size=(100, 4))
    >>> values = (X[:, :2, None] - X[:, None, 2:]) ** 2
    >>> model = DFLRegressor(
    ...     MatchingProblem(2, 2),
    ...     predictor=PairwisePredictor(2, 2, (16,)),
    ...     standardize=False,
    ...     tol=0.05,
    ...     random_state=0,
    ... ).fit(X, values.reshape(100, 4))
    >>> bool(model.score(X, values.reshape(100, 4)) > 0.5)
    True
    """

    def __init__(
        self,
        n_left: int,
        n_right: int,
        hidden_layer_sizes: Sequence[int] = (32,),
        activation: str = "relu",
        output: str = "identity",
        symmetric: bool = False,
    ) -> None:
        self.n_left = n_left
        self.n_right = n_right
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.output = output
        self.symmetric = symmetric

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return the net."""
        for name in ("n_left", "n_right"):
            whole_number(getattr(self, name), name, at_least=1)
        flag(self.symmetric, "symmetric")
        n_items = self.n_left + self.n_right
        if n_in % n_items:
            raise ValueError(
                f"X has {n_in} columns, which is not a multiple of the {n_items} items of a row "
                f"(n_left={self.n_left}, n_right={self.n_right})."
            )
        if n_out != self.n_left * self.n_right:
            raise ValueError(
                f"y has {n_out} columns, but there are {self.n_left} x {self.n_right} pairs."
            )
        if np.size(self.hidden_layer_sizes) == 0:
            raise ValueError(
                "hidden_layer_sizes must have at least one layer: a linear net values a pair as "
                "the sum of its two members."
            )
        n_features = n_in // n_items
        net = MLPPredictor(self.hidden_layer_sizes, self.activation).build(
            2 * n_features, 1, generator
        )
        return Pairwise(
            net, n_features, self.n_left, _output(self.output), symmetric=self.symmetric
        )


def _output(name: str) -> nn.Module:
    if not isinstance(name, str) or name not in _OUTPUTS:
        raise ValueError(f"output must be one of {sorted(_OUTPUTS)}, got {name!r}.")
    return _OUTPUTS[name]()


class Itemwise(nn.Module):
    """A net applied to each of the consecutive items of a row."""

    def __init__(self, net: nn.Module, n_items: int, output: nn.Module) -> None:
        super().__init__()
        self.net, self.n_items, self.output = net, n_items, output

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows (..., n_items * p) to parameters (..., n_items * d)."""
        items = x.reshape(*x.shape[:-1], self.n_items, -1)
        return self.output(self.net(items)).flatten(-2)


class Pairwise(nn.Module):
    """A perceptron of the features of both members of a pair, applied to all pairs."""

    def __init__(
        self,
        net: nn.Module,
        n_features: int,
        n_left: int,
        output: nn.Module,
        *,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.n_features, self.n_left, self.output = net, n_features, n_left, output
        self.symmetric = symmetric

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows (B, (n_left + n_right) * p) to parameters (B, n_left * n_right)."""
        items = x.reshape(len(x), -1, self.n_features)
        left, right = items[:, : self.n_left], items[:, self.n_left :]
        scores = self._scores(left, right)
        if self.symmetric:
            scores = (scores + self._scores(right, left).transpose(1, 2)) / 2
        return self.output(scores).reshape(len(x), -1)

    def _scores(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return the perceptron's output (B, n, m) for pairs of items (B, n, p) and (B, m, p)."""
        layers: list[Any] = list(self.net.children())
        entry, *rest = layers
        by_first, by_second = entry.weight.split(self.n_features, dim=1)
        pairs = (first @ by_first.T + entry.bias)[:, :, None] + (second @ by_second.T)[:, None, :]
        for layer in rest:
            pairs = layer(pairs)
        return pairs[..., 0]
