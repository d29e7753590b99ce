"""A net that corrects given predictions within a trust region."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .factories import MLPPredictor


class BiasCorrection(MLPPredictor):
    r"""Corrected predictions as a function of features and predictions.

    A row of the input holds p features, followed by the d predictions :math:`\hat y`. With the
    output g of a perceptron for this input, and the logistic function :math:`\sigma`,

    .. math:: \tilde y_j = \phi_j \hat y_j, \qquad
       \phi = (1 - \epsilon) + 2 \epsilon\, \sigma(g) \in (1 - \epsilon, 1 + \epsilon),

    or, with a `size` s for each prediction, :math:`\tilde y_j = \hat y_j + (\phi_j - 1) s_j`. The
    perceptron's last layer is initially 0, so that training starts at :math:`\phi = 1`.

    Parameters
    ----------
    epsilon : float
        Radius of the trust region, between 0 and 1.
    size : array-like of shape (d,), default=None
        Numbers of which the radius is a share; None is the predictions themselves.
    mean, scale : array-like of shape (p + d,), default=None
        Mean and scale by which the perceptron's input is standardised; None is 0 and 1.
    sees_predictions : bool, default=True
        Whether the perceptron sees the predictions, and not the features alone.
    hidden_layer_sizes : sequence of int, default=(16,)
        Widths of the hidden layers.
    activation : {"identity", "logistic", "relu", "tanh"}, default="relu"
        Activation of the hidden layers.

    See Also
    --------
    dfl_sklearn.DFFRegressor : Train such a net around any regressor.

    References
    ----------
    "DFF: decision-focused fine-tuning for smarter predict-then-optimize with limited data",
    arXiv:2501.01874.

    Examples
    --------
    The untrained net returns the predictions unchanged. Here the input is one feature and two
    predictions:

    >>> import torch
    >>> from dfl_sklearn.learners import BiasCorrection
    >>> net = BiasCorrection(epsilon=0.2).build(3, 2, torch.Generator().manual_seed(0))
    >>> net(torch.tensor([[0.5, 10.0, 20.0]], dtype=torch.float64)).tolist()
    [[10.0, 20.0]]
    """

    starts_trained = True

    def __init__(
        self,
        epsilon: float,
        size: Sequence[float] | np.ndarray | None = None,
        mean: Sequence[float] | np.ndarray | None = None,
        scale: Sequence[float] | np.ndarray | None = None,
        sees_predictions: bool = True,
        hidden_layer_sizes: Sequence[int] = (16,),
        activation: str = "relu",
    ) -> None:
        super().__init__(hidden_layer_sizes, activation)
        self.epsilon = epsilon
        self.size = size
        self.mean = mean
        self.scale = scale
        self.sees_predictions = sees_predictions

    def build(self, n_in: int, n_out: int, generator: torch.Generator) -> nn.Module:
        """Return the net, which returns its last `n_out` inputs until it is trained."""
        n_seen = n_in if self.sees_predictions else n_in - n_out
        net = super().build(n_seen, n_out, generator)
        last = list(net.children())[-1]
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.zero_()
        mean = np.zeros(n_in) if self.mean is None else np.asarray(self.mean, np.float64)
        scale = np.ones(n_in) if self.scale is None else np.asarray(self.scale, np.float64)
        size = None if self.size is None else torch.as_tensor(np.asarray(self.size, np.float64))
        seen = slice(0, n_seen)
        return Corrected(
            net,
            n_out,
            self.epsilon,
            size,
            torch.as_tensor(mean[seen]),
            torch.as_tensor(scale[seen]),
        )


class Corrected(nn.Module):
    """The last columns of the input, corrected within their trust region."""

    mean: torch.Tensor
    scale: torch.Tensor
    size: torch.Tensor | None

    def __init__(
        self,
        net: nn.Module,
        n_out: int,
        epsilon: float,
        size: torch.Tensor | None,
        mean: torch.Tensor,
        scale: torch.Tensor,
    ) -> None:
        super().__init__()
        self.net, self.n_out, self.epsilon = net, n_out, float(epsilon)
        for name, values in (("size", size), ("mean", mean), ("scale", scale)):
            self.register_buffer(name, values)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map features and predictions (..., p + d) to corrected predictions (..., d)."""
        predicted = z[..., z.shape[-1] - self.n_out :]
        # 2 sigma(g) - 1, without a rounding error at phi = 1.
        seen = z[..., : len(self.mean)]
        share = torch.tanh(self.net((seen - self.mean) / self.scale) / 2.0)
        return predicted + self.epsilon * share * (predicted if self.size is None else self.size)
