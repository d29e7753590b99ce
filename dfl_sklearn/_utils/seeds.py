"""Seeds by name: every consumer of randomness has its own stream.

A stream is derived from the estimator's seed and the consumer's *name*, so that adding a
consumer changes no other one, and no global generator is read or written.
"""

import zlib
from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def root_seed(random_state: Any) -> int:
    """Turn scikit-learn's `random_state` into one integer seed.

    None gives a fresh seed; an integer gives itself; a RandomState is drawn from once.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def named_rng(seed: int, name: str) -> np.random.Generator:
    """Return the NumPy generator of the consumer called `name`."""
    return np.random.default_rng(_sequence(seed, name))


def named_seed(seed: int, name: str) -> int:
    """Return a 63-bit integer seed for the consumer called `name`, as torch wants it."""
    return int(_sequence(seed, name).generate_state(1, np.uint64)[0] >> 1)


def _sequence(seed: int, name: str) -> np.random.SeedSequence:
    # crc32 of the name is the same in every process and version, unlike hash().
    return np.random.SeedSequence(entropy=seed, spawn_key=(zlib.crc32(name.encode()),))
