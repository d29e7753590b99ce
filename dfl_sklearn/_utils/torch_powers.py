"""Powers of two for torch, as :mod:`dfl_sklearn._utils.powers` has them for NumPy."""

import torch


def power_of_two_factor(y: torch.Tensor) -> torch.Tensor:
    """Return factors (B, 1), powers of two, that bring the rows of y (B, d) near 1 in size."""
    limit = 126 if y.dtype == torch.float32 else 1022
    size = y.detach().abs().amax(dim=1, keepdim=True)
    exponent = torch.frexp(size)[1].clamp(-limit, limit)
    return torch.ldexp(torch.ones_like(size), -exponent)
