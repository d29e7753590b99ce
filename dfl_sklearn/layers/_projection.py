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

    The sum grows from 0 as the level falls. It is piecewise linear: its slope grows by 1 where an
    entry leaves 0, at z_i, and falls by 1 where that entry reaches 1, at z_i - 1.
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


def nearest_with_total(
    z: torch.Tensor,
    usage: torch.Tensor,
    total: torch.Tensor,
    *,
    nonnegative: bool,
    at_most: bool,
) -> torch.Tensor:
    r"""Return the nearest decisions (B, n) whose weighted sum is, or is at most, a given number.

    These are ``z - price * usage``, not below 0 where they must not be. The weighted sum falls with
    the price, linearly between the prices at which another entry reaches 0.

    Parameters
    ----------
    z : torch.Tensor of shape (B, n)
    usage : torch.Tensor of shape (B or 1, n or 1)
        Weights of the sum, at least 0.
    total : torch.Tensor of shape (B or 1, 1)
        The given sum; at least 0 where decisions must not be negative.
    nonnegative : bool
        Whether decisions must not be negative.
    at_most : bool
        Whether the sum may be less.
    """
    usage = usage.expand(*z.shape)
    used, square = usage * z, usage * usage
    if nonnegative:
        is_used = usage > 0
        ends = torch.where(is_used, z / torch.where(is_used, usage, 1.0), -torch.inf)
        ends, order = ends.sort(dim=1, descending=True)
        used, square = (each.gather(1, order).cumsum(dim=1) for each in (used, square))
        prices = (used - total) / torch.where(square > 0, square, 1.0)
        n_left = (ends > prices).sum(dim=1, keepdim=True).clamp_min(1)
        price = prices.gather(1, n_left - 1)
    else:
        square = square.sum(dim=1, keepdim=True)
        price = (used.sum(dim=1, keepdim=True) - total) / torch.where(square > 0, square, 1.0)
    price = price.clamp_min(0.0) if at_most else price
    nearest = z - price * usage
    if not nonnegative:
        return nearest
    nearest = nearest.clamp_min(0.0)
    # Rounding errors of numbers much larger than the total must not miss the total.
    sums = (usage * nearest).sum(dim=1, keepdim=True).detach()
    missed = sums > total if at_most else (sums > 0) & (sums != total)
    return nearest * torch.where(missed, total / torch.where(missed, sums, 1.0), 1.0)
