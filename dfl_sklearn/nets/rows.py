"""Training rows as tensors, and mini-batches that are slices of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch


@dataclass
class TrainingRows:
    """What a training step needs of each row, in the units of the net and the problem.

    Attributes
    ----------
    X : torch.Tensor of shape (n, p)
        Standardised features.
    y : torch.Tensor of shape (n, d)
        Observed parameters, in the problem's units.
    weight : torch.Tensor of shape (n,)
        Weights with mean 1.
    best_decision : torch.Tensor of shape (n, k)
    best_cost : torch.Tensor of shape (n,)
    """

    X: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor
    best_decision: torch.Tensor
    best_cost: torch.Tensor

    @classmethod
    def concatenated(cls, parts: Sequence["TrainingRows"]) -> "TrainingRows":
        """Return the rows of several parts, one after the other."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def subset(self, index: Any) -> "TrainingRows":
        """Return the rows at `index`."""
        return TrainingRows(*(getattr(self, f.name)[index] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.X)

    def take(self, index: Any = slice(None)) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the features of some rows, and all else that is known of them."""
        batch = {f.name: getattr(self, f.name)[index] for f in fields(self)}
        return batch.pop("X"), batch


class Batches:
    """Iterate over mini-batches ``(X, the rest)`` in a fresh random order each time.

    A loader that fetches one row after the other costs more than a step of a small net.
    Here all rows are shuffled at once, and a batch is a view of consecutive ones.

    Parameters
    ----------
    rows : TrainingRows
    batch_size : int
    generator : torch.Generator
        The order is drawn from it, on the CPU.
    """

    def __init__(self, rows: TrainingRows, batch_size: int, generator: torch.Generator) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        """Return the number of rows, as callbacks ask it of a data set."""
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        n = len(self.rows)
        if self.batch_size >= n:
            yield self.rows.take()
            return
        order = torch.randperm(n, generator=self.generator).to(self.rows.X.device)
        X, rest = self.rows.take(order)
        starts = list(range(0, n, self.batch_size))
        if n - starts[-1] == 1:
            starts.pop()  # a batch of one row joins the one before: batch norm, say, needs two
        for start, end in zip(starts, [*starts[1:], n], strict=True):
            part = slice(start, end)
            yield X[part], {name: values[part] for name, values in rest.items()}
