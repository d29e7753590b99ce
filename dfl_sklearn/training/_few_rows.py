"""A doubt about worst cases that rest on few of the training rows."""

from .._utils.convergence import doubt
from .._utils.recent import same
from ..robust._tilt import MIN_EFFECTIVE, effective_sample_size
from ..robust.base import AmbiguitySet
from ..rows import Rows

_MIN_SHARE = 0.1  # of the training rows, where these are few themselves


def doubt_of_few_rows(ambiguity_set: AmbiguitySet, worst: Rows, nominal: Rows) -> None:
    """Warn where the worst case weights the training rows and hardly any of them count.

    Fewer than 30 rows, effectively, as in a search of generated ones; or a tenth, where those
    trained on are fewer than 300.

    Parameters
    ----------
    ambiguity_set : AmbiguitySet
    worst : Rows
        What the set has returned. Where they are others than the training rows, nothing is said.
    nominal : Rows
        The training rows.
    """
    if not same(worst.arrays, nominal.arrays):
        return
    left = effective_sample_size(worst.weight)
    fewest = min(MIN_EFFECTIVE, _MIN_SHARE * effective_sample_size(nominal.weight))
    if left < fewest * (1 - 1e-6):  # that of CVaR(alpha=0.1) is a tenth, to rounding
        doubt(
            f"The worst case of {ambiguity_set!r} rests on an effective sample of only {left:.1f} "
            f"of {len(nominal)} rows. {ambiguity_set._where_few_rows_count}",
            stacklevel=2,
        )
