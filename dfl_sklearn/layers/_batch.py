"""What every layer asks of a batch."""

import torch


def check_batch(y: torch.Tensor, width: int | None = None) -> None:
    """Raise an error unless `y` is a batch (B, d) of floating-point parameters.

    Parameters
    ----------
    y : torch.Tensor
    width : int or None, default=None
        The number of parameters per row, where the layer fixes it.
    """
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"The layer takes a torch tensor, got {type(y).__name__}.")
    if y.ndim != 2 or (width is not None and y.shape[1] != width):
        raise ValueError(
            f"The layer takes parameters of shape (B, {'d' if width is None else width}), got "
            f"{tuple(y.shape)}: one row per decision."
        )
    if not y.is_floating_point():
        raise TypeError(f"The layer takes floating-point parameters, got {y.dtype}.")


def check_scenarios(y: torch.Tensor, weight: torch.Tensor) -> None:
    """Raise an error unless `y` is a batch (B, S, d) of scenarios with weights (B, S)."""
    if not (isinstance(y, torch.Tensor) and isinstance(weight, torch.Tensor)):
        raise TypeError("The layer takes torch tensors, scenarios and their weights.")
    if y.ndim != 3 or y.shape[:2] != weight.shape:
        raise ValueError(
            f"The layer takes scenarios of shape (B, S, d) with weights of shape (B, S), got "
            f"{tuple(y.shape)} and {tuple(weight.shape)}."
        )
    if not y.is_floating_point():
        raise TypeError(f"The layer takes floating-point scenarios, got {y.dtype}.")
