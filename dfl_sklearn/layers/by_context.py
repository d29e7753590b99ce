"""A layer for problems whose known data differ by row: one layer for each distinct context."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.equal_rows import equal_rows
from .._utils.row_numbers import renumber
from ._batch import check_batch

_N_KEPT = 1024  # layers that are remembered


class ByContextLayer(nn.Module):
    """Decisions for rows of a batch, by one layer for each distinct context.

    This works for every problem. It is fast where many rows share their context.

    Parameters
    ----------
    make : callable
        Takes a row (c,) of the context and returns a layer, (B, d) -> (B, k).
    """

    def __init__(self, make: Callable[[np.ndarray], nn.Module]) -> None:
        super().__init__()
        self.make = make
        self._made: OrderedDict[bytes, nn.Module] = OrderedDict()

    def forward(self, y: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Map parameters (B, d) and their context (B, c) to decisions (B, k)."""
        check_batch(y)
        if len(context) != len(y):
            raise ValueError(f"The layer takes {len(y)} rows of context, got {len(context)}.")
        rows = context.detach().cpu().numpy().astype(np.float64, copy=False)
        if not len(rows):
            raise ValueError("The layer needs at least one row to know how many decisions it has.")
        parts = equal_rows(rows)
        found = [self._part(y, rows, part) for part in parts]
        back = np.empty(len(y), dtype=np.intp)
        back[np.concatenate(parts)] = np.arange(len(y))
        return torch.cat(found)[torch.as_tensor(back, device=y.device)]

    def _part(self, y: torch.Tensor, rows: np.ndarray, part: np.ndarray) -> torch.Tensor:
        """Return the decisions of the rows of a part, which have one context."""
        try:
            layer = self._layer(rows[part[0]])
        except (ValueError, RuntimeError) as error:
            error.args = (f"At row {part[0]} of the context: {error}",)
            raise
        try:
            return layer(y[torch.as_tensor(part, device=y.device)])
        except (ValueError, RuntimeError) as error:
            renumber(error, part)
            if "row " not in str(error):
                error.args = (f"At row {part[0]} of the context: {error}",)
            raise

    def _layer(self, row: np.ndarray) -> nn.Module:
        key = row.tobytes()
        if key in self._made:
            self._made.move_to_end(key)
        else:
            self._made[key] = self.make(row)
            if len(self._made) > _N_KEPT:
                self._made.popitem(last=False)
        return self._made[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": OrderedDict()}  # layers are made again when needed
