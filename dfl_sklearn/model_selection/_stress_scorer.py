"""The stress test as a scorer, for model selection."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._utils.checks import instance_hint, number, whole_number
from .._utils.context_columns import Selection
from .._utils.sklearn_private import _BaseScorer
from ..problems import DecisionProblem
from ._stress_test import _check_generator, run_stress_test
from ._worst_of_pool import MIN_EFFECTIVE

if TYPE_CHECKING:
    from ..robust import DiffusionGenerator


_MISSED_A_FOLD = (
    "The generator of a stress test does not describe the rows of a fold, and the scores say "
    "little. stress_test on such rows shows the regret on them beside that under the generator."
)


def _worst_regret(y_true: Any, pred_decision: Any, sample_weight: Any = None) -> None:
    """Declare by its arguments what scikit-learn may pass to the scorer."""


class _StressScorer(_BaseScorer):
    """A scorer of the worst regret near a diffusion model of the scored rows."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_worst_regret, -1, options)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._kwargs.items())
        return f"make_stress_scorer({options})"

    def _score(self, method_caller: Any, estimator: Any, X: Any, y_true: Any, **kwargs: Any) -> Any:
        result, remarks = run_stress_test(
            estimator, X, y_true, sample_weight=kwargs.get("sample_weight"), **self._kwargs
        )
        if remarks:  # without numbers, so that Python shows it once in a search
            warnings.warn(_MISSED_A_FOLD, UserWarning, stacklevel=3)
        return self._sign * float(result.to_frame()["worst"].iloc[0])


def make_stress_scorer(
    problem: DecisionProblem | None = None,
    *,
    radius: float = 0.1,
    generator: "DiffusionGenerator | None" = None,
    n_samples: int = 10_000,
    context: Selection = None,
    memory: Any = None,
    random_state: int = 0,
) -> Callable[..., float]:
    """Make a scorer of the worst regret within a radius, for ``cross_validate`` and grid search.

    It runs :func:`stress_test` on the rows of the test fold. A search with it chooses the model
    with the lowest worst-case regret, without any data from after a shift.

    Parameters
    ----------
    problem : DecisionProblem, default=None
        None is the problem of the scored estimator. Give one where constants of the problem are
        searched over.
    radius : float, default=0.1
        Radius in nats.
    generator : DiffusionGenerator, default=None
        The model of the rows. It is fitted to every test fold, unless it is already fitted.
    n_samples : int, default=10000
        Number of generated rows.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are not generated; None is the context of the estimator.
    memory : str, joblib.Memory or None, default=None
        Where to cache generators and their rows, so that only one is fitted per fold, instead of
        one per fold and candidate.
    random_state : int, default=0
        Seed of the generator and its rows: the same estimator gets the same score, and candidates
        are compared on the same rows.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``: minus the worst regret, so that greater is better.
        ``sample_weight`` is used when requested: ``scorer.set_score_request(sample_weight=True)``.

    Raises
    ------
    ValueError
        By the scorer, as by :func:`stress_test`.

    See Also
    --------
    stress_test : The test itself, with its full result.
    dfl_sklearn.metrics.make_regret_scorer : A scorer of the regret on the given rows.

    Notes
    -----
    A score takes the fit of a generator to the fold, which takes some seconds and which `memory` or
    a fitted `generator` avoid, and `n_samples` decisions of the estimator and of the problem. A
    generator fitted to all rows takes only one fit, but has also seen the rows that a candidate was
    trained on.

    Examples
    --------
    >>> from sklearn.linear_model import QuantileRegressor
    >>> from sklearn.model_selection import GridSearchCV
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.model_selection import make_stress_scorer
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionGenerator
    >>> X, y = make_newsvendor(300, random_state=0)
    >>> generator = DiffusionGenerator(hidden_layer_sizes=(16,), max_iter=3)
    >>> scorer = make_stress_scorer(NewsvendorProblem(9, 1), generator=generator, n_samples=2000)
    >>> search = GridSearchCV(
    ...     QuantileRegressor(alpha=0), {"quantile": [0.5, 0.9]}, scoring=scorer, cv=2
    ... ).fit(X, y)
    >>> search.best_params_
    {'quantile': 0.9}
    """
    if problem is not None and not isinstance(problem, DecisionProblem):
        raise ValueError(
            f"problem must be a DecisionProblem or None, got {problem!r}.{instance_hint(problem)}"
        )
    number(radius, "radius", at_least=0)
    whole_number(n_samples, "n_samples", at_least=int(MIN_EFFECTIVE))
    whole_number(random_state, "random_state", at_least=0)
    _check_generator(generator)
    return _StressScorer(
        problem=problem,
        radius=radius,
        generator=generator,
        n_samples=n_samples,
        context=context,
        memory=memory,
        random_state=random_state,
    )
