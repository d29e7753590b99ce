"""The nearest shares between 0 and 1 whose sum is, or is at most, a given number."""

import torch


def nearest_with_sum_at_most(z: torch.Tensor, k: float | torch.Tensor) -> torch.Tensor:
    """Return the nearest shares (B, n) in [0, 1] with sums of at most k, a number or (B, 1)."""
    inside = z.clamp(0.0, 1.0)
    over = inside.sum(dim=1, keepdim=True) > k
    if not over.any():
        return inside
    return torch.where(over, (z - level_of_sum(z, k)).clamp(0.0, 1.0), inside)


def level_of_sum(z: torch.Tensor, k: float | torch.Tensor) -> torch.Tensor:
    """Return the level (B, 1) with which ``clip(z - level, 0, 1)`` sums to k, 0 <= k <= n.

    One number k for all rows, or one for each, (B, 1).

    The sum grows from 0 as the level falls. It is piecewise linear, steeper by 1 from where an
    entry leaves 0, z_i, and flatter from where it reaches 1, z_i - 1.
    """
    corners, order = torch.cat([z, z - 1.0], dim=1).sort(dim=1, descending=True)
    turn = torch.ones_like(corners)
    turn[:, z.shape[1] :] = -1.0
    slope = turn.gather(1, order).cumsum(dim=1)[:, :-1]
    rise = slope * (corners[:, :-1] - corners[:, 1:])
    sums = torch.cat([torch.zeros_like(z[:, :1]), rise.cumsum(dim=1)], dim=1)
    last = ((sums <= k).sum(dim=1, keepdim=True) - 1).clamp_max(slope.shape[1] - 1)
    missing = k - sums.gather(1, last)
    return corners.gather(1, last) - missing / slope.gather(1, last).clamp_min(1.0)
