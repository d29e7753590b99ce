"""A quadratic program over the simplex, differentiated piece by piece."""

import numpy as np
import torch
from torch import nn

from ..solvers.critical_regions import CriticalRegions
from ._batch import check_batch


class SimplexQPLayer(nn.Module):
    r"""The minimiser of :math:`\frac12 z^\top P z - y^\top z` over the simplex.

    Value and gradient are exact: the minimiser is an affine function of y as long as the set of
    positive entries stays the same.

    Parameters
    ----------
    quadratic : ndarray of shape (n, n)
        P, positive definite. There are 2^n - 1 pieces, so n has to be small. For more than 8
        entries :class:`QuadraticProgramLayer` is faster.

    See Also
    --------
    QuadraticProgramLayer : For other constraints, or more than 8 entries.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from dfl_sklearn.layers import SimplexQPLayer
    >>> SimplexQPLayer(np.eye(2))(torch.tensor([[0.0, 0.5], [0.0, 3.0]]))
    tensor([[0.2500, 0.7500],
            [0.0000, 1.0000]])
    """

    def __init__(self, quadratic: np.ndarray) -> None:
        super().__init__()
        self.regions = CriticalRegions.of(np.asarray(quadratic, dtype=np.float64))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map predicted parameters (B, n) to decisions (B, n).

        Parameters
        ----------
        y : torch.Tensor of shape (B, n)
            Predicted parameters.

        Returns
        -------
        torch.Tensor of shape (B, n)
            Decisions.
        """
        check_batch(y, len(self.regions.offset[0]))
        values = y.to(torch.float64)
        region = self.regions.locate(values.detach().cpu().numpy())
        slope, offset = (
            torch.as_tensor(each[region], device=y.device)
            for each in (self.regions.slope, self.regions.offset)
        )
        z = torch.einsum("bij,bj->bi", slope, values) + offset
        # Rounding errors of large parameters must not take the decision out of the simplex.
        z = z.clamp_min(0.0)
        return (z / z.sum(dim=1, keepdim=True).detach()).to(y.dtype)
