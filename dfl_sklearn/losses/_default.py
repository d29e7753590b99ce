"""The loss to train on where none is given."""

from ..problems.base import DecisionProblem
from .base import DecisionLoss
from .regret import RegretLoss
from .spo_plus import SPOPlusLoss


def default_loss(problem: DecisionProblem) -> DecisionLoss:
    """Return the default loss of a problem: SPO+ for linear costs, else the regret.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.

    Returns
    -------
    DecisionLoss
        :class:`SPOPlusLoss` where the cost is linear in the decision, else :class:`RegretLoss`;
        with default parameters.

    See Also
    --------
    SPOPlusLoss : The default for costs that are linear in the decision.
    RegretLoss : The default for other costs.

    Examples
    --------
    >>> from dfl_sklearn.losses import default_loss
    >>> from dfl_sklearn.problems import KnapsackProblem, NewsvendorProblem
    >>> default_loss(KnapsackProblem([3, 4, 5], 7)), default_loss(NewsvendorProblem(9, 1))
    (SPOPlusLoss(), RegretLoss())
    """
    return RegretLoss() if problem.linear_objective() is None else SPOPlusLoss()
