"""Mini-batches that are slices of shuffled rows."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch

from ..rows import Rows

LONGEST_EPOCH = 262_144  # rows

Batch = tuple[torch.Tensor, dict[str, Any]]


def as_batch(rows: Rows) -> Batch:
    """Return the features of rows, and their other data by name, as skorch passes a batch."""
    rest = {"y": rows.y, "weight": rows.weight}
    if rows.optimum is not None:
        rest |= {"best_decision": rows.optimum.decisions, "best_cost": rows.optimum.cost}
    return rows.X, rest if rows.context is None else rest | {"context": rows.context}


class Batches:
    """Iterate over mini-batches ``(X, the rest)`` in a fresh random order each time.

    A loader that fetches row by row costs more than a step of a small net. Here all rows are
    shuffled at once, and a batch is a view of consecutive rows.

    Parameters
    ----------
    rows : Rows
        Tensors, with an optimum.
    batch_size : int
    generator : torch.Generator
        The order is drawn from it, on the CPU.
    longest : int or None, default=LONGEST_EPOCH
        Largest number of rows of an epoch; of more rows, each epoch takes another random part. None
        takes all rows.
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

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.rows)
        if self.batch_size >= n:
            yield as_batch(self.rows)
            return
        order = torch.randperm(n, generator=self.generator)[: self.longest]
        yield from _slices(self.rows, order, self._sizes(len(order)))

    def _sizes(self, n: int) -> list[int]:
        """Return the sizes of the batches of n rows, which are more than a batch."""
        sizes = [self.batch_size] * (n // self.batch_size)
        if n % self.batch_size:
            sizes.append(n % self.batch_size)
        if sizes[-1] == 1:  # joins the previous batch: batch norm, for example, needs two rows
            sizes[-2:] = [sizes[-2] + 1]
        return sizes


class MemberBatches(Batches):
    """Mini-batches of the members of an ensemble, with the rows of each member in turn.

    Each member goes through the rows in its own order.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        Rows of a member.
    generators : sequence of torch.Generator
        One for each member.
    longest : int or None, default=LONGEST_EPOCH
        Rows of a member.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        generators: Sequence[torch.Generator],
        longest: int | None = LONGEST_EPOCH,
    ) -> None:
        super().__init__(rows, batch_size, generators[0], longest)
        self.generators = generators

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.rows)
        if self.batch_size >= n:
            yield self._all
            return
        orders = [torch.randperm(n, generator=each)[: self.longest] for each in self.generators]
        parts = zip(*(each.split(self._sizes(len(each))) for each in orders), strict=True)
        batches = [torch.cat(each) for each in parts]
        # Joined, they would be as many copies of the rows as there are members.
        step = max(1, LONGEST_EPOCH // len(batches[0]))
        for start in range(0, len(batches), step):
            some = batches[start : start + step]
            yield from _slices(self.rows, torch.cat(some), [len(each) for each in some])

    @cached_property
    def _all(self) -> Batch:
        return as_batch(repeated(self.rows, len(self.generators)))


def batches_of(
    rows: Rows,
    batch_size: int,
    generators: Sequence[torch.Generator],
    longest: int | None = LONGEST_EPOCH,
) -> Batches:
    """Return the mini-batches of a net, or of the members of an ensemble."""
    if len(generators) == 1:
        return Batches(rows, batch_size, generators[0], longest)
    return MemberBatches(rows, batch_size, generators, longest)


def repeated(rows: Rows, n_times: int) -> Rows:
    """Return tensors of all rows several times, one after the other."""
    return rows.take(torch.arange(len(rows), device=rows.X.device).repeat(n_times))


def _slices(rows: Rows, order: torch.Tensor, sizes: list[int]) -> Iterator[Batch]:
    """Yield consecutive batches of rows in an order."""
    X, rest = as_batch(rows.take(order.to(rows.X.device)))
    parts = zip(*(each.split(sizes) for each in rest.values()), strict=True)
    for part, others in zip(X.split(sizes), parts, strict=True):
        yield part, dict(zip(rest, others, strict=True))
