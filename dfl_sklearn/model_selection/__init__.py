"""Choosing and comparing: estimators by their decisions, splitters that shift, a stress test.

A random hold-out has the distribution of the training rows. A model chosen on it is chosen for data
that do not shift: the radius of an ambiguity set then comes out at 0, or nearly. The splitters make
the held-out rows differ from the training rows; the rule takes as much robustness as a price
allows. The comparison says which differences in cost are more than chance. The stress test puts any
fitted model under the worst distribution near a diffusion model of held-out rows.
"""

from ._compare import compare_decisions
from ._comparison import DecisionComparison
from ._price import WithinPrice
from ._splitters import ClusterSplit, CostTailSplit
from ._stress_result import StressTestResult
from ._stress_scorer import make_stress_scorer
from ._stress_test import stress_test

__all__ = [
    "ClusterSplit",
    "CostTailSplit",
    "DecisionComparison",
    "StressTestResult",
    "WithinPrice",
    "compare_decisions",
    "make_stress_scorer",
    "stress_test",
]
