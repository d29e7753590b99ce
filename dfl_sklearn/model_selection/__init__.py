"""Choosing and comparing: estimators by their decisions, splitters that shift, a rule for a price.

A random hold-out has the distribution of the training rows. A model chosen on it is chosen for data
that do not shift: the radius of an ambiguity set then comes out at 0, or nearly. The splitters make
the held-out rows differ from the training rows; the rule takes as much robustness as a price
allows. The comparison says which differences in cost are more than chance.
"""

from ._compare import compare_decisions
from ._comparison import DecisionComparison
from ._price import WithinPrice
from ._splitters import ClusterSplit, CostTailSplit

__all__ = [
    "ClusterSplit",
    "CostTailSplit",
    "DecisionComparison",
    "WithinPrice",
    "compare_decisions",
]
