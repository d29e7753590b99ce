"""Choosing what is robust: splitters that hold out a shift, and a rule that holds to a price.

A random hold-out has the distribution of the training rows. A model chosen on it is chosen for data
that do not shift: the radius of an ambiguity set then comes out at 0, or nearly. The splitters make
the held-out rows differ from the training rows; the rule takes as much robustness as a price
allows.
"""

from ._price import WithinPrice
from ._splitters import ClusterSplit, CostTailSplit

__all__ = ["ClusterSplit", "CostTailSplit", "WithinPrice"]
