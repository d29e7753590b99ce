"""A fitted net, for further training."""

from copy import deepcopy

import torch
from torch import nn

from .factories import NetFactory


class ContinuedNet(NetFactory):
    """Copies of a fitted net.

    Parameters
    ----------
    net : torch.nn.Module

    Attributes
    ----------
    latest : torch.nn.Module
        The last copy made.
    """

    starts_trained = True

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.latest = net

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return a copy, which may be trained in place."""
        self.latest = deepcopy(self.net)
        return self.latest
