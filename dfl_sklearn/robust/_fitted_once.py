"""Generators that are fitted once for the same rows, whatever they are needed for."""

from typing import Any

from joblib import Memory
from sklearn.base import clone

from .._utils.once import compute_once
from .._utils.seeds import named_seed
from ..rows import Rows
from .generator import DiffusionGenerator


def seeded(generator: DiffusionGenerator | None, seed: int) -> DiffusionGenerator:
    """Return an unfitted copy of a generator, or the default one, with a seed of its own."""
    found = DiffusionGenerator() if generator is None else clone(generator)
    if found.random_state is None:
        found.set_params(random_state=named_seed(seed, "generator") % 2**32)
    return found


def fitted_once(
    generator: DiffusionGenerator, rows: Rows, memory: Memory | None
) -> DiffusionGenerator:
    """Fit a generator to the rows of a table (in X), or recall the one fitted to them before."""
    parts: tuple[Any, ...] = ("generator", *rows.arrays, rows.weight, generator)
    params: dict[str, Any] = {}
    if rows.context is not None:
        params["context"] = rows.context
    return compute_once(memory, parts, lambda: _to_the_end(generator, rows, params))


def _to_the_end(
    generator: DiffusionGenerator, rows: Rows, params: dict[str, Any]
) -> DiffusionGenerator:
    """Fit, and pass an interruption on: half a generator must not be kept for later fits."""
    generator.fit(rows.X, sample_weight=rows.weight, **params)
    if generator.was_interrupted_:
        raise KeyboardInterrupt
    return generator
