"""A perceptron that starts from the best constant decision."""

from typing import Any

import torch
from torch import nn

from .factories import MLPPredictor

_SHARE = 0.1  # of the usual weights of the last layer


class PolicyNet(MLPPredictor):
    """A perceptron whose output is small before it is trained.

    Its last layer has no bias then, and small weights: training starts near an output of 0, the
    best constant decision, and keeps it where no weights are better. The weights are not 0, since
    decisions at a limit may have no slope there that leads away from it.

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
