"""Mini-batches that are slices of shuffled rows."""

from collections.abc import Iterator
from typing import Any

import torch

from ..rows import Rows

LONGEST_EPOCH = 262_144  # rows


def as_batch(rows: Rows) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the features of rows, and all else that is known of them by name.

    In the shape in which skorch hands a batch on.
    """
    rest = {
        "y": rows.y,
        "weight": rows.weight,
        "best_decision": rows.optimum.decisions,
        "best_cost": rows.optimum.cost,
    }
    return rows.X, rest if rows.context is None else rest | {"context": rows.context}


class Batches:
    """Iterate over mini-batches ``(X, the rest)`` in a fresh random order each time.

    A loader that fetches one row after the other costs more than a step of a small net.
    Here all rows are shuffled at once, and a batch is a view of consecutive ones.

    Parameters
    ----------
    rows : Rows
        Tensors, with an optimum.
    batch_size : int
    generator : torch.Generator
        The order is drawn from it, on the CPU.
    longest : int or None, default=LONGEST_EPOCH
        Of more rows a random part is iterated over, another each time; None is all of them.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        generator: torch.Generator,
        longest: int | None = LONGEST_EPOCH,
    ) -> None:
        self.rows, self.longest = rows, longest
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        """Return the number of rows, as callbacks ask it of a data set."""
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        n = len(self.rows)
        if self.batch_size >= n:
            yield as_batch(self.rows)
            return
        order = torch.randperm(n, generator=self.generator)[: self.longest]
        n = len(order)
        X, rest = as_batch(self.rows.take(order.to(self.rows.X.device)))
        sizes = [self.batch_size] * (n // self.batch_size)
        if n % self.batch_size:
            sizes.append(n % self.batch_size)
        if sizes[-1] == 1:  # joins the batch before: batch norm, say, needs two rows
            sizes[-2:] = [sizes[-2] + 1]
        parts = zip(*(each.split(sizes) for each in rest.values()), strict=True)
        for part, others in zip(X.split(sizes), parts, strict=True):
            yield part, dict(zip(rest, others, strict=True))
