"""Generators that are fitted only once for the same rows."""

from contextlib import nullcontext
from typing import Any

from joblib import Memory
from sklearn.base import clone

from .._utils.interrupts import passing_interrupts_on
from .._utils.once import compute_once
from .._utils.seeds import named_seed
from ..rows import Rows
from .generator import DiffusionGenerator


def seeded(generator: DiffusionGenerator | None, seed: int) -> DiffusionGenerator:
    """Return an unfitted copy of a generator, or of the default one, with its own seed."""
    found = DiffusionGenerator() if generator is None else clone(generator)
    if found.random_state is None:
        found.set_params(random_state=named_seed(seed, "generator") % 2**32)
    return found


class _HalfFittedError(Exception):
    """The fit was interrupted: an unfinished generator must not be cached."""


def fitted_once(
    generator: DiffusionGenerator,
    rows: Rows,
    memory: Memory | None,
    *,
    may_end_early: bool = False,
) -> DiffusionGenerator:
    """Fit a generator to the rows of a table (in X), or recall the one fitted to them before.

    Where `may_end_early` is True, an interruption keeps what has been learnt so far; otherwise it
    is passed on.
    """
    silent = clone(generator)
    silent.verbose = False  # not a part of the cache key
    parts: tuple[Any, ...] = ("generator", *rows.arrays, rows.weight, silent)
    params: dict[str, Any] = {}
    if rows.context is not None:
        params["context"] = rows.context

    def fitted() -> DiffusionGenerator:
        with nullcontext() if may_end_early else passing_interrupts_on():
            generator.fit(rows.X, sample_weight=rows.weight, **params)
        if generator.was_interrupted_:
            raise _HalfFittedError
        return generator

    try:
        return compute_once(memory, parts, fitted)
    except _HalfFittedError:
        return generator
