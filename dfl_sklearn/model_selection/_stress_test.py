"""A stress test: a fitted model under the worst distribution near a diffusion model."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_memory

from .._utils.checks import flag, number, whole_number
from .._utils.context_columns import Selection
from .._utils.progress import part, reporting, say
from .._utils.rows import as_numpy_rows, check_finite, check_total, in_rows, native
from .._utils.seeds import named_seed, root_seed
from .._utils.sklearn_private import _check_sample_weight
from .._utils.tables import refuse_other_order
from .._utils.target_columns import check_target_columns
from ..problems import DecisionProblem
from ..robust import ChiSquareBall, CVaR, KLBall, TotalVariationBall
from ..robust._tilt import effective_sample_size
from ..rows import Rows
from ._stress_result import StressTestResult
from ._stressed_model import Outcome, Outcomes, common_problem, context_for, known_positions
from ._table_form import TableForm
from ._worst_of_pool import MIN_EFFECTIVE, worst_of_pool

if TYPE_CHECKING:
    from ..robust import DiffusionGenerator


def stress_test(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    problem: DecisionProblem | None = None,
    radius: float | Sequence[float] = (0.05, 0.1, 0.2),
    generator: "DiffusionGenerator | None" = None,
    groups: Any = None,
    n_samples: int = 10_000,
    context: Selection = None,
    sample_weight: ArrayLike | None = None,
    memory: Any = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: bool = False,
) -> StressTestResult:
    r"""Measure the regret of a fitted model under the worst distribution near its data.

    A diffusion model :math:`P_0` is fitted to the rows, features and parameters together. Among all
    distributions P within `radius` of it, the one with the largest mean regret is found:

    .. math:: \max_{KL(P \| P_0) \le radius} E_{(x, y) \sim P}[r(x, y)]

    The maximiser is proportional to :math:`P_0 \exp(r / \tau)`. It is computed on `n_samples` rows
    that are drawn from the diffusion model once, so that all radii and all models are compared on
    the same rows. The model only makes decisions (:func:`dfl_sklearn.decide`); it is not fitted
    again.

    Give rows that the model was not fitted on. On its training rows, and on rows generated from
    them, a flexible model has too small a regret.

    Parameters
    ----------
    estimator : estimator or dict of str to estimator
        A fitted regressor, policy, scenario model, Pipeline or search, or several by name.
    X : array-like or DataFrame of shape (n, p)
        Rows that the model was not fitted on. Generated rows are given to the model in the same
        form, with the same columns. Columns of words in a DataFrame (strings or categories), with
        at most 50 words each, are not generated: a generated row takes those of a real row, drawn
        by weight, and its numbers are generated given these words.
    y : array-like of shape (n,) or (n, d)
        Observed parameters of these rows.
    problem : DecisionProblem, default=None
        The problem that defines the regret. None is the problem of the estimators that have one.
    radius : float or sequence of float, default=(0.05, 0.1, 0.2)
        Radius or radii in nats. 0 is the nominal distribution itself.
    generator : DiffusionGenerator, default=None
        The model of the rows; None is ``DiffusionGenerator()``. A fitted one, such as
        ``result.generator`` of an earlier test, is used as it is. Its columns must be those of X
        without the context, followed by those of y.
    groups : array-like of shape (n,) or str, default=None
        Labels of the rows, or the column of X that holds them. The worst group is reported.
    n_samples : int, default=10000
        Number of generated rows, at least 50. A radius at which the effective sample size is below
        50 is refused.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are not generated, such as a capacity: a generated row takes those of a
        real row, drawn by weight, and the rest is generated given these. None is the context of
        the estimators.
    sample_weight : array-like of shape (n,), default=None
        Weights of the rows. A weight of 2 is the same as the row given twice.
    memory : str, joblib.Memory or None, default=None
        Where to cache fitted generators and their rows, so that the same rows are modelled only
        once. Needs a `random_state`.
    random_state : int, RandomState or None, default=None
        Seed of the generator and its rows.
    verbose : bool, default=False
        Whether to print a line for the generator and for each model, and also after two seconds
        without a line.

    Returns
    -------
    StressTestResult
        The result; :meth:`~StressTestResult.to_frame` is its table of regrets. Ctrl-C ends the
        test and returns the result for the models tested so far, with a warning.

    Raises
    ------
    ValueError
        If a radius is too large for `n_samples`; the message gives the largest possible radius, and
        the number of samples needed. If a column of X holds neither numbers nor words, or misses
        values, which are to be imputed before also where the models are Pipelines that impute. If
        a decision has no cost on a generated row. If y, weights or groups have the index of X in
        another order.
    NotFittedError
        If an estimator is not fitted.
    KeyboardInterrupt
        If Ctrl-C is pressed before the first model has been tested.

    Warns
    -----
    UserWarning
        If the mean regret of a model under the generator differs from that on the given rows by
        more than a quarter of it, and by more than three standard errors. The generator does not
        describe these rows then.

    See Also
    --------
    make_stress_scorer : The same as a scorer.
    dfl_sklearn.inspection.StressTestDisplay : Draw the result.

    Notes
    -----
    The result also contains the worst weightings of the real rows, in four sets.
    :class:`~dfl_sklearn.robust.KLBall` has the same radius in the same unit. The conditional value
    at risk of the share ``exp(-radius)`` (:class:`~dfl_sklearn.robust.CVaR`) is the worst case over
    weightings that are all within this radius, and therefore never larger. By Pinsker's inequality
    all weightings within the radius have a total variation distance of at most ``sqrt(radius /
    2)``. The worst case of :class:`~dfl_sklearn.robust.TotalVariationBall` with this radius is
    therefore never smaller. :class:`~dfl_sklearn.robust.ChiSquareBall` has the radius ``2 *
    radius``, which is equivalent only to second order. With few rows, the worst weighting puts most
    of its weight on very few of them.

    Where the problem is not solved exactly, regrets may be negative.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression, QuantileRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.model_selection import stress_test
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import DiffusionGenerator
    >>> X, y = make_newsvendor(600, random_state=0)
    >>> models = {
    ...     "mean": LinearRegression().fit(X[:300], y[:300]),
    ...     "quantile": QuantileRegressor(quantile=0.9, alpha=0).fit(X[:300], y[:300]),
    ... }
    >>> result = stress_test(
    ...     models,
    ...     X[300:],
    ...     y[300:],
    ...     problem=NewsvendorProblem(9, 1),
    ...     radius=0.1,
    ...     generator=DiffusionGenerator(max_iter=10),
    ...     random_state=0,
    ... )
    >>> levels = result.to_frame().set_index("estimator")
    >>> bool(levels.loc["quantile", "worst"] < levels.loc["mean", "worst"])
    True
    """
    result = run_stress_test(
        estimator,
        X,
        y,
        problem=problem,
        radius=radius,
        generator=generator,
        groups=groups,
        n_samples=n_samples,
        context=context,
        sample_weight=sample_weight,
        memory=memory,
        random_state=random_state,
        verbose=verbose,
    )
    for remark in result.remarks:
        warnings.warn(remark, UserWarning, stacklevel=2)
    return result.found


class Run(NamedTuple):
    """A stress test, and what is to be warned of.

    Attributes
    ----------
    found : StressTestResult
    remarks : list of str
    """

    found: StressTestResult
    remarks: list[str]


def run_stress_test(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    problem: DecisionProblem | None = None,
    radius: float | Sequence[float] = (0.05, 0.1, 0.2),
    generator: "DiffusionGenerator | None" = None,
    groups: Any = None,
    n_samples: int = 10_000,
    context: Selection = None,
    sample_weight: ArrayLike | None = None,
    memory: Any = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: bool = False,
) -> Run:
    """Return the result of :func:`stress_test`, and what it warns of."""
    flag(verbose, "verbose")
    estimators = _named(estimator)
    radii = _checked_radii(radius)
    whole_number(n_samples, "n_samples", at_least=int(MIN_EFFECTIVE))
    _check_generator(generator)
    problem = common_problem(estimators, problem)
    for each in estimators.values():
        check_target_columns(each, y)
    form, values = TableForm.of(X)
    observed = as_numpy_rows(y, "y").astype(np.float64)
    if len(observed) != len(values):
        raise ValueError(f"X has {len(values)} rows and y has {len(observed)}.")
    refuse_other_order(X, y=y, sample_weight=sample_weight, groups=groups)
    if not len(observed):
        raise ValueError("X and y have no rows.")
    check_finite(observed, "y")
    problem.check_parameters(observed)
    weight = _check_sample_weight(sample_weight, values, dtype=np.float64, ensure_non_negative=True)
    check_total(weight, "sample_weight")
    codes, labels = _group_codes(groups, X, len(values))
    known = known_positions(context, X, problem, estimators)
    # Rows are sorted and merged, so that their order does not matter.
    rows = Rows(np.column_stack([values, codes]), observed, weight).canonical()
    real = Outcomes(form, rows.X[:, :-1], rows.y, problem)
    seed = root_seed(random_state)
    with reporting(verbose, by_time=True):
        fitted, pool = _pool(
            *(generator, rows.replace(X=rows.X[:, :-1]), form, known, n_samples, seed),
            memory=None if random_state is None else memory,
        )
        y_pool, share = problem.project_parameters(pool.y)
        generated = Outcomes(form, form.possible(pool.X), y_pool, problem)
        tested: dict[str, _Tested] = {}
        for name, model in estimators.items():
            selection = context_for(model, context, known, problem)
            try:
                with part(repr(name)):
                    on_real = real.of(model, selection, "real rows").regret
                    outcome = generated.of(model, selection, "generated rows")
            except KeyboardInterrupt:
                if not tested:
                    raise
                break
            found = [worst_of_pool(outcome.regret, pool.weight, r, repr(name)) for r in radii]
            of_groups = _of_groups(on_real, rows, labels, name)
            levels = [
                {
                    "estimator": name,
                    "radius": each,
                    "real": float(rows.weight @ on_real / rows.weight.sum()),
                    "nominal": float(pool.weight @ outcome.regret),
                    "worst": float(p @ outcome.regret),
                    "divergence": divergence,
                    "effective_sample_size": effective_sample_size(p),
                    **_worst_of_real(on_real, rows.weight, each),
                    **_worst_group(of_groups),
                }
                for each, (p, divergence) in zip(radii, found, strict=True)
            ]
            missed = _missed(on_real, rows.weight, outcome.regret, pool.weight)
            weights = np.stack([p for p, _ in found])
            tested[name] = _Tested(levels, outcome, weights, of_groups, missed)
            say(f"{name!r} tested, worst regret {levels[-1]['worst']:.4g} at radius {radii[-1]:g}")
    remarks = []
    if len(tested) < len(estimators):
        missing = ", ".join(repr(name) for name in estimators if name not in tested)
        remarks.append(f"The test was interrupted. It has no result for {missing}.")
    far = [f"{name!r} {each.missed}" for name, each in tested.items() if each.missed]
    if far:
        remarks.append(_MISSED.format("; ".join(far)))
    found_all = StressTestResult(
        generator=fitted,
        radii=radii,
        estimators=tuple(tested),
        projected_share=float(share),
        group_regret=None
        if labels is None
        else pd.concat([each.by_group for each in tested.values()], ignore_index=True),
        _levels=pd.DataFrame([level for each in tested.values() for level in each.levels]),
        _form=form,
        _values=generated.values,
        _y=y_pool,
        _y_names=_target_names(y, observed.shape[1]),
        _outcomes={name: each.outcome for name, each in tested.items()},
        _weights={name: each.weights for name, each in tested.items()},
    )
    return Run(found_all, remarks)


class _Tested(NamedTuple):
    """The results of one model.

    Attributes
    ----------
    levels : list of dict
        A line of the table for each radius.
    outcome : Outcome
        Decisions, costs and regrets on the generated rows.
    weights : ndarray of shape (n_radii, n_samples)
    by_group : DataFrame or None
    missed : str
        Both mean regrets, where the generator does not describe the rows; empty elsewhere.
    """

    levels: list[dict[str, Any]]
    outcome: Outcome
    weights: np.ndarray
    by_group: Any
    missed: str


_MISSED = (
    "The generator does not describe the rows, and the worst regrets say little: the mean regret "
    "on the rows and under the generator is, for {}. Give it more rows or fewer columns, columns "
    "with a meaning of their own as context=, or another generator=."
)
_SHARE, _ERRORS = 0.25, 3.0  # both of which a difference must exceed to be warned of


def _missed(real: np.ndarray, weight: np.ndarray, generated: np.ndarray, share: np.ndarray) -> str:
    """Return the mean regrets in words where they differ by more than errors of sampling."""
    means = np.average(real, weights=weight), np.average(generated, weights=share)
    squares = (
        np.average((real - means[0]) ** 2, weights=weight),
        np.average((generated - means[1]) ** 2, weights=share),
    )
    # Of few rows the larger spread: theirs is too small where they lack the costly ones.
    error = np.sqrt(max(squares) / in_rows(weight).sum() + squares[1] * (share @ share))
    difference = abs(means[1] - means[0])
    if difference <= max(_SHARE * abs(means[0]), _ERRORS * float(error)):
        return ""
    return f"{means[0]:.4g} and {means[1]:.4g}"


def _named(estimator: Any) -> dict[str, Any]:
    if not isinstance(estimator, Mapping):
        estimator = {type(estimator).__name__: estimator}
    for name, each in estimator.items():
        if isinstance(each, type):
            raise ValueError(f"estimator: {name!r} is the class {each.__name__}, and not a model.")
    if not estimator or not all(isinstance(name, str) for name in estimator):
        raise ValueError(
            f"estimator must be a fitted estimator, or a dict of these by name, got {estimator!r}."
        )
    return dict(estimator)


def _checked_radii(radius: Any) -> tuple[float, ...]:
    several = [radius] if np.ndim(radius) == 0 else list(radius)
    if not several:
        raise ValueError("radius must be a number or a sequence of numbers, got an empty one.")
    return tuple(number(each, "radius", at_least=0) for each in several)


def _check_generator(generator: Any) -> None:
    from ..robust import DiffusionGenerator

    if generator is not None and not isinstance(generator, DiffusionGenerator):
        raise ValueError(f"generator must be a DiffusionGenerator or None, got {generator!r}.")


def _group_codes(groups: Any, X: Any, n: int) -> tuple[np.ndarray, Any]:
    """Return the group (n,) of each row as a number, and the labels in order; zeros for none."""
    if groups is None:
        return np.zeros(n), None
    if isinstance(groups, str):
        if not hasattr(X, "columns") or groups not in X.columns:
            raise ValueError(f"groups={groups!r} is not a column of X; give a column or labels.")
        groups = X[groups]
    found = np.asarray(groups)
    if found.shape != (n,):
        raise ValueError(f"groups must have shape ({n},), one label for each row of X.")
    codes, labels = pd.factorize(native(found), sort=True)
    if (codes < 0).any():
        raise ValueError(f"groups has no label in row {int(np.argmax(codes < 0))}.")
    return codes.astype(np.float64), labels


def _pool(
    generator: "DiffusionGenerator | None",
    rows: Rows,
    form: TableForm,
    known: list[int],
    n_samples: int,
    seed: int,
    memory: Any,
) -> tuple["DiffusionGenerator", Rows]:
    """Return a fitted generator, and rows drawn from it: all columns of X, and y."""
    from ..robust._fitted_once import fitted_once, seeded
    from ..robust.tilted import TiltedSearch

    kept = [j for j in known if j not in form.words]
    others = [j for j in range(rows.X.shape[1]) if j not in (*kept, *form.words)]
    table = np.concatenate([rows.X[:, others], rows.y], axis=1)
    # Columns of words are not generated either: a generated row takes those of a real one.
    blocks = [rows.X[:, kept], *(form.indicators(rows.X, j) for j in form.words)]
    fixed = np.concatenate(blocks, axis=1) if kept or form.words else None
    real = Rows.of_table(table, rows.weight, fixed).canonical()  # of several groups alike
    memory = check_memory(memory)
    if generator is not None and hasattr(generator, "denoiser_"):
        if form.words:
            raise ValueError(
                "A fitted generator does not store which words it was fitted with, and X has "
                "columns of words: give it unfitted, and memory= to fit it once."
            )
        if generator.n_features_in_ != table.shape[1]:
            raise ValueError(
                f"The generator was fitted to {generator.n_features_in_} columns, and X (without "
                f"{len(kept)} of context) and y have {table.shape[1]}."
            )
        fitted, memory = generator, check_memory(None)  # the cache identifies fits by parameters
    else:
        fitted = fitted_once(seeded(generator, seed), real, memory)
    search = TiltedSearch(n_samples, real_share=0.0)
    search.set_nominal(fitted, real.as_shares(), named_seed(seed, "search"), memory=memory)
    drawn = search.nominal()
    X = np.empty((n_samples, rows.X.shape[1]))
    X[:, others] = drawn.X[:, : len(others)]
    if kept:
        X[:, kept] = drawn.context[:, : len(kept)]
    first = len(kept)
    for j, levels in form.words.items():
        X[:, j] = drawn.context[:, first : first + len(levels)].argmax(axis=1)
        first += len(levels)
    return fitted, Rows(X, drawn.X[:, len(others) :], drawn.weight)


def _worst_of_real(regret: np.ndarray, weight: np.ndarray, radius: float) -> dict[str, float]:
    """Return the worst weighted means of real rows, in sets of comparable size."""
    sets = {
        "real_cvar": CVaR(float(np.exp(-radius))),
        "real_kl": KLBall(radius),
        "real_chi_square": ChiSquareBall(2 * radius),
        "real_total_variation": TotalVariationBall(min(1.0, float(np.sqrt(radius / 2)))),
    }
    return {name: each.worst_mean(regret, weight) for name, each in sets.items()}


def _of_groups(regret: np.ndarray, rows: Rows, labels: Any, name: str) -> pd.DataFrame | None:
    if labels is None:
        return None
    codes = rows.X[:, -1].astype(int)
    total = np.bincount(codes, rows.weight, len(labels))
    sums = np.bincount(codes, rows.weight * regret, len(labels))
    met = total > 0
    return pd.DataFrame(
        {
            "estimator": name,
            "group": labels[met],
            "weight": total[met],
            "regret": sums[met] / total[met],
        }
    )


def _worst_group(of_groups: pd.DataFrame | None) -> dict[str, Any]:
    if of_groups is None:
        return {}
    worst = int(of_groups["regret"].to_numpy().argmax())
    columns = {"worst_group": "group", "worst_group_regret": "regret"}
    return {name: of_groups[column].iloc[worst] for name, column in columns.items()}


def _target_names(y: Any, d: int) -> list[Any]:
    if hasattr(y, "columns"):
        return list(y.columns)
    if isinstance(y, pd.Series) and y.name is not None:
        return [y.name]
    return ["y"] if d == 1 else [f"y{j}" for j in range(d)]
