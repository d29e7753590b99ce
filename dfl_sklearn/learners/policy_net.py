"""A perceptron whose initial output is near the best constant decision."""

from typing import Any

import torch
from torch import nn

from .factories import MLPPredictor

_SHARE = 0.1  # factor of the initial weights of the last layer


class PolicyNet(MLPPredictor):
    """A perceptron whose initial output is small.

    Its last layer initially has small weights and a bias of 0. Training therefore starts near an
    output of 0, which is the best constant decision, and keeps it unless other weights are better.
    The weights are not exactly 0, because a decision at a limit may have no slope that leads away
    from it.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Widths of the hidden layers; ``()`` is a linear policy.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.
    """

    starts_trained = True

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return the net."""
        net = super().build(n_in, n_out, generator)
        last: Any = list(net.children())[-1]
        with torch.no_grad():
            last.weight.mul_(_SHARE)
            last.bias.zero_()
        return net
