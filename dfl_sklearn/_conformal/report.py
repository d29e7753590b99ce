"""What became of promised costs."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from .groups import _objects


class CertificateReport(Bunch):
    """Promised and realised costs with their means, which are all that is printed."""

    @classmethod
    def of(
        cls, realised: np.ndarray, promised: np.ndarray, weight: Any, labels: list[Any] | None
    ) -> "CertificateReport":
        """Return the report of rows, in groups where labels are given."""
        kept = realised <= promised
        return cls(
            realised=realised,
            promised=promised,
            coverage=float(np.average(kept, weights=weight)),
            mean_cost=float(np.average(realised, weights=weight)),
            mean_promise=float(np.average(promised, weights=weight)),
            group_coverage=None if labels is None else _by_group(kept, weight, labels),
        )

    def __repr__(self) -> str:
        text = (
            f"{self.coverage:.1%} of {len(self.realised)} promised costs kept; "
            f"mean promise {self.mean_promise:.4g}, mean cost {self.mean_cost:.4g}"
        )
        groups = self.group_coverage
        return text if groups is None else f"{text}\n{groups.to_string(index=False)}"


def _by_group(kept: np.ndarray, weight: Any, labels: list[Any]) -> pd.DataFrame:
    """Return the share of kept promises in each group that has weight, in order of appearance."""
    codes, found = pd.factorize(_objects(labels))
    weight = np.ones(len(kept)) if weight is None else weight
    total = np.bincount(codes, weight, len(found))
    sums = np.bincount(codes, weight * kept, len(found))
    met = total > 0
    return pd.DataFrame(
        {"group": found[met], "weight": total[met], "coverage": sums[met] / total[met]}
    )
