"""Model comparison by decisions, splitters with a shift, and a stress test.

A random hold-out has the distribution of the training rows. A model chosen on it is chosen for data
that do not shift: the best radius of an ambiguity set is then 0, or nearly. The splitters make
held-out rows differ from training rows. :class:`WithinPrice` chooses the largest radius within a
price. :func:`compare_decisions` says which differences in cost are more than chance.
:func:`stress_test` measures any fitted model under the worst distribution near a diffusion model of
held-out rows.
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
