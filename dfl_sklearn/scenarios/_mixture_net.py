"""A perceptron that outputs the selector and the component parameters of a mixture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..learners.factories import MLPPredictor, NetFactory
from ._components import Components
from ._scenario_net import LikelihoodNet, stratified

_SHARE = 0.1  # factor of the initial weights of the last layer


class MixtureNet(LikelihoodNet):
    """A mixture in which one component is selected for all outputs together.

    Each component has the same number of scenarios, with the probabilities of the selector as their
    weights. Scenarios and weights are then smooth functions of the conditions.

    Parameters
    ----------
    net : torch.nn.Module
    components : Components
    n_components : int
    n_scenarios : int
    alignment : float
        Strength of the term that aligns the selector with the likeliest components.
    rng : numpy.random.Generator
        Generator of the noise.
    """

    def __init__(
        self,
        net: nn.Module,
        components: Components,
        n_components: int,
        n_scenarios: int,
        alignment: float,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.net, self.components, self.n_components = net, components, n_components
        self.alignment, self.n_outputs = alignment, components.n_outputs
        self.n_conditions = n_conditions(components, n_components)
        self.n_scenarios = max(n_scenarios, n_components)
        self.counts = np.full(n_components, self.n_scenarios // n_components)
        self.counts[: self.n_scenarios % n_components] += 1
        n_uniform = components.n_uniform
        self.uniform = np.concatenate([stratified(each, n_uniform, rng) for each in self.counts])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map standardised features (B, p) to conditions."""
        return self.net(x)

    def draws(self, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scenarios (B, S, d) and their weights (B, S)."""
        selector, parameters = self._parts(conditions)
        counts = torch.as_tensor(self.counts, device=conditions.device)
        of = torch.arange(self.n_components, device=conditions.device).repeat_interleave(counts)
        uniform = torch.as_tensor(self.uniform, device=conditions.device)
        values = self.components.values(parameters[:, of], uniform)
        return values, (selector.exp() / counts)[:, of]

    def sample(
        self, conditions: torch.Tensor, n_samples: int, rng: np.random.Generator
    ) -> torch.Tensor:
        """Return independent draws (B, n_samples, d)."""
        selector, parameters = self._parts(conditions)
        B, device = len(conditions), conditions.device
        drawn = torch.as_tensor(rng.random((B, n_samples)), device=device)
        reached = selector.exp().cumsum(dim=1)[:, :-1].contiguous()
        of = torch.searchsorted(reached, drawn, right=True)
        uniform = rng.random((B, n_samples, self.components.n_uniform)).clip(1e-12, 1 - 1e-12)
        chosen = parameters.gather(1, of[..., None].expand(-1, -1, parameters.shape[2]))
        return self.components.values(chosen, torch.as_tensor(uniform, device=device))

    def log_density(self, conditions: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the log density (B, M) of rows of y (B, M, d)."""
        selector, parameters = self._parts(conditions)
        by_component = self.components.log_density(parameters, y)
        return torch.logsumexp(selector[:, None] + by_component, dim=2)

    def fit_loss(self, conditions: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the negative log density (B,) plus the alignment term."""
        selector, parameters = self._parts(conditions)
        by_component = self.components.log_density(parameters, y[:, None])[:, 0]
        loss = -torch.logsumexp(selector + by_component, dim=1)
        if self.alignment == 0 or self.n_components == 1:
            return loss
        label = torch.log_softmax(by_component.detach(), dim=1)
        apart = label.exp() * torch.where(label > -torch.inf, label - selector, 0.0)
        return loss + self.alignment * apart.sum(dim=1)

    def _parts(self, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log probabilities (B, K) of the components, and their parameters (B, K, n)."""
        K = self.n_components
        n_logits = K if K > 1 else 0
        logits, rest = conditions[:, :n_logits], conditions[:, n_logits:]
        if K == 1:
            logits = torch.zeros_like(conditions[:, :1])
        return torch.log_softmax(logits, dim=1), rest.unflatten(1, (K, -1))


def n_conditions(components: Components, n_components: int) -> int:
    """Return the number of outputs of a net."""
    n_logits = n_components if n_components > 1 else 0
    return n_logits + n_components * components.n_parameters


class MixtureFactory(NetFactory):
    """A recipe for the net of a mixture, which initially is near the distribution of all y.

    The initial means of several components differ.
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        components: Components,
        n_components: int,
        n_scenarios: int,
        alignment: float,
        rng_seed: int,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.components = components
        self.n_components = n_components
        self.n_scenarios = n_scenarios
        self.alignment = alignment
        self.rng_seed = rng_seed

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return the net."""
        net = MLPPredictor(self.hidden_layer_sizes, self.activation).build(n_in, n_out, generator)
        last: Any = list(net.children())[-1]
        K, of_each = self.n_components, self.components.n_parameters
        with torch.no_grad():
            last.weight.mul_(_SHARE)
            last.bias.zero_()
            if K > 1:
                apart = last.bias[K:].view(K, of_each)[:, : self.components.n_means]
                apart.normal_(generator=generator)
        rng = np.random.default_rng(self.rng_seed)
        return MixtureNet(net, self.components, K, self.n_scenarios, self.alignment, rng)
