"""Results are remembered for arrays, by identity, and only for the last few."""

import numpy as np

from dfl_sklearn._utils.recent import Recent


def test_the_last_few_arrays_are_remembered():
    calls = []

    def look(recent, array):
        def compute():
            calls.append(array)
            return array.sum()

        return recent.get((array,), compute)

    recent, arrays = Recent(size=2), [np.full(3, value) for value in range(3)]
    assert [look(recent, each) for each in arrays[:2]] == [0, 3]
    look(recent, arrays[0])  # met again, and now the younger of the two
    assert len(calls) == 2
    look(recent, arrays[2])
    look(recent, arrays[0])
    assert len(calls) == 3
    look(recent, arrays[1])  # forgotten meanwhile
    assert len(calls) == 4
    look(recent, arrays[1].copy())  # equal, but another array
    assert len(calls) == 5


def test_arrays_that_belong_together_are_told_apart_by_each_of_them():
    recent, X, y = Recent(), np.zeros(2), np.zeros(2)
    assert recent.get((X, y), lambda: "first") == "first"
    assert recent.get((X, y), lambda: "again") == "first"
    assert recent.get((X, y.copy()), lambda: "moved") == "moved"
