"""Weights of rows for covariate shift: ratios of the densities of their features."""

from contextlib import AbstractContextManager, nullcontext
from math import fsum
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from .._utils.all_or_nothing import all_or_nothing
from .._utils.convergence import collected_doubts
from .._utils.cross_fit import random_splits, row_codes
from .._utils.params import NestedParamsMixin
from .._utils.progress import part, reporting, say
from .._utils.rows import check_total, in_rows
from .._utils.seeds import named_rng, root_seed
from .._utils.sklearn_private import (
    HasMethods,
    Interval,
    _check_sample_weight,
    _fit_context,
    _num_samples,
    _routing_enabled,
)
from .._utils.tables import refuse_unfit_table
from .._utils.wrapping import requested_weights, takes_weights
from ._default_classifier import default_candidates, saying_what_it_takes
from ._density_ratio import level_of, warn_of_few_rows, warn_where_apart
from ._joined_tables import joined
from ._tilt import effective_sample_size


class CovariateShiftWeight(NestedParamsMixin, BaseEstimator):
    r"""Weight rows by how much likelier their features are in a target than in the data at hand.

    Use it where features of the target, such as tomorrow's, are known and their outcomes are not.
    Rows that resemble the target get larger weights, which are the ratio of the densities of the
    features:

    .. math:: w(x) = \frac{dP_{target}}{dP_{source}}(x)

    A classifier is fitted to tell target rows from source rows. The ratio is its odds divided by
    the ratio of the total weights of the two samples. A classifier gives weights that are too large
    to the target rows that it was fitted on, and too small ones to the source rows. Therefore the
    weights are cross-fitted: each row is weighted by a classifier that has not seen it. The method
    assumes that the distribution of y given x is the same in the source and the target.

    Multiply these weights by weights that the rows already have, and pass them as `sample_weight`
    to any estimator. :class:`~dfl_sklearn.estimators.ConformalDecisions` takes the fitted object
    itself, as `shift_weight`.

    Parameters
    ----------
    classifier : classifier, default=None
        It has `predict_proba`, whose probabilities must be calibrated: overconfident ones spread
        the weights too widely. None is a logistic regression on the standardised features or, where
        there are at most 20, on these with their squares and products. The latter is the correct
        model where both samples are Gaussian. The log loss on held-out rows decides which of the
        two, and which penalty, is used.
    cv : int, default=5
        Number of folds, drawn over distinct rows: equal rows, of source or target, are in the same
        fold.
    clip : float, default=None
        The largest weight, above 1. The weights are scaled so that their mean is 1 after clipping.
        It prevents a few rows from dominating, at the cost of a bias. None does not clip.
    random_state : int, RandomState or None, default=0
        Seed of the folds.
    verbose : bool, default=False
        Whether to print a line for each fit, and whenever two seconds have passed without one.

    Attributes
    ----------
    weight_ : ndarray of shape (n,)
        Weights of the source rows in the order given. Their mean, weighted by the `sample_weight`
        of `fit`, is 1. They do not include that `sample_weight`.
    effective_sample_size_ : float
        Kish's effective sample size of the weighted source: :math:`(\sum v)^2 / \sum v^2` with v
        the weights times `sample_weight`.
    classifiers_ : list of classifier
        The fitted classifiers, one per fold.

    See Also
    --------
    covariate_shift_weight : The same in one call.
    CVaR : Worst-case weights, for a target that is not known.

    References
    ----------
    Sugiyama, Suzuki and Kanamori, "Density ratio estimation in machine learning", 2012, chapter 4.
    Kish, "Survey sampling", 1965.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.robust import CovariateShiftWeight
    >>> rng = np.random.default_rng(0)
    >>> X, X_tomorrow = rng.normal(size=(500, 1)), rng.normal(1.0, size=(500, 1))
    >>> shift = CovariateShiftWeight().fit(X, X_tomorrow)
    >>> true = np.exp(X[:, 0] - 0.5)
    >>> bool(np.corrcoef(shift.weight(X), true)[0, 1] > 0.95)
    True
    """

    _parameter_constraints: dict = {
        "classifier": [HasMethods(["fit", "predict_proba"]), None],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "clip": [Interval(Real, 1, None, closed="neither"), None],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        classifier: BaseEstimator | None = None,
        *,
        cv: int = 5,
        clip: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ) -> None:
        self.classifier = classifier
        self.cv = cv
        self.clip = clip
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self,
        X: Any,
        X_target: Any,
        sample_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
    ) -> "CovariateShiftWeight":
        """Fit classifiers that tell target rows from source rows, and weight the source rows.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features of the source, the data at hand.
        X_target : array-like of shape (m, p)
            Features of the target, with the same columns.
        sample_weight : array-like of shape (n,), default=None
            Weights of the source rows, as numbers of rows. Weights that are below 1 on average,
            such as shares that sum to 1, are scaled to the mean 1 (over rows of positive weight).
        target_weight : array-like of shape (m,), default=None
            Weights of the target rows, scaled in the same way.

        Returns
        -------
        self : CovariateShiftWeight
            The fitted object.

        Raises
        ------
        ValueError
            If the columns differ, or one of the samples has fewer than 2 distinct rows of positive
            weight, or all of them in one fold; if weights are not valid, or are given to a
            classifier that does not take them; if the default classifier gets features that are not
            finite numbers. Also if the classifier gives all source rows the probability 0 of being
            of the target, or gives some the probability 1 and `clip` is None, or if no weights up
            to `clip` have the mean 1.

        Warns
        -----
        UserWarning
            If source and target hardly overlap, so that the weights are not reliable; or if the
            `effective_sample_size_` is below 30 and below half of what it is without these weights.
            The standard error of a mean over 30 rows is 18 % of their standard deviation, and
            results from fewer depend on single rows.
        ConvergenceWarning
            If a classifier did not converge.
        """
        if self.classifier is None:  # a user's classifier may take dates, for example
            with saying_what_it_takes(None):
                refuse_unfit_table(X, "X")
                refuse_unfit_table(X_target, "X_target")
        every, n = joined(X, X_target, "X_target"), _num_samples(X)
        is_target = np.arange(_num_samples(every)) >= n
        weight = np.ones(len(is_target))
        for name, given, rows in (
            ("sample_weight", sample_weight, ~is_target),
            ("target_weight", target_weight, is_target),
        ):
            weight[rows] = _check_sample_weight(
                given, weight[rows], dtype=np.float64, ensure_non_negative=True
            )
            check_total(weight[rows], name)
            weight[rows] = in_rows(weight[rows])
        is_weighted = sample_weight is not None or target_weight is not None
        code = row_codes(every, np.zeros(len(is_target)))
        for what, rows in (("X", ~is_target), ("X_target", is_target)):
            n_distinct = len(np.unique(code[rows & (weight > 0)]))
            if n_distinct < 2:
                raise ValueError(
                    f"{what} must have at least 2 distinct rows of positive weight, so that a "
                    f"classifier can be fitted on one and asked about another; it has {n_distinct}."
                )
        rng = named_rng(root_seed(self.random_state), "folds")
        splits = list(random_splits(code, weight, self.cv, rng))
        self._log_priors = [self._log_prior(weight[rest], is_target[rest]) for rest, _ in splits]

        def cross_fitted(classifier: Any) -> tuple[float, list[Any], np.ndarray]:
            """Return the log loss on held-out rows, the classifiers, and the rows' log ratios."""
            models: list[Any] = []
            losses, odds = np.zeros(len(is_target)), np.full(len(is_target), np.nan)
            for (rest, held), prior in zip(splits, self._log_priors, strict=True):
                model = clone(classifier)
                params = self._weights_for(model, weight[rest]) if is_weighted else {}
                with (
                    part(f"fold {len(models) + 1} of {len(splits)}"),
                    saying_what_it_takes(self.classifier),
                    self._routing(),
                ):
                    model.fit(_safe_indexing(every, rest), is_target[rest].astype(int), **params)
                    say("fitted")
                models.append(model)
                odds[held] = self._log_odds(model, prior, _safe_indexing(every, held))
                logits = odds[held] + prior
                losses[held] = np.logaddexp(0.0, np.where(is_target[held], -logits, logits))
            return fsum((weight * losses)[weight > 0]), models, odds

        given = self.classifier
        tried = default_candidates(every.shape[1]) if given is None else {"given": given}
        found = []
        with reporting(self.verbose, by_time=True), collected_doubts(of_others=True) as doubts:
            for name, each in tried.items():
                with part(name) if len(tried) > 1 else nullcontext():
                    found.append(cross_fitted(each))
        doubts.warn(stacklevel=4)
        _, self.classifiers_, odds = min(found, key=lambda each: each[0])
        counted, unseen = np.flatnonzero(weight > 0), np.flatnonzero(weight == 0)
        self._rows, self._odds = _safe_indexing(every, counted), odds[counted]
        odds[unseen] = self._odds_of(_safe_indexing(every, unseen))
        self._level = level_of(odds[:n], weight[:n], self.clip)
        are_apart = warn_where_apart(odds[:n], weight[:n])
        self.weight_ = self._ratios(odds[:n])
        if not are_apart:
            warn_of_few_rows(self.weight_, weight[:n])
        self.effective_sample_size_ = effective_sample_size(self.weight_ * weight[:n])
        return self

    def weight(self, X: Any) -> np.ndarray:
        """Return the weights of rows.

        Rows that were in the source or the target get their weight from the classifier that has not
        seen them. Other rows, and those whose weight in `fit` was 0, get theirs from the mean of
        the log-odds of all classifiers.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features of the rows to weight.

        Returns
        -------
        ndarray of shape (n,)
            On the scale of `weight_`, whose weighted mean over the source is 1.

        Raises
        ------
        ValueError
            If X has other columns than the source. If the classifiers give a row the probability 1
            of being of the target and `clip` is None, so that its weight is infinite. If some of
            them give it the probability 1 and others 0. The message names the row.
        """
        check_is_fitted(self)
        return self._ratios(self._odds_of(X))

    def _odds_of(self, X: Any) -> np.ndarray:
        """Return the log ratios of densities of rows.

        Those equal to a row that counted in `fit` have its ratio, and others the mean of all folds.
        """
        every, n = joined(self._rows, X, "X"), _num_samples(self._rows)
        rows = np.arange(n, _num_samples(every))
        if not len(rows):
            return np.zeros(0)
        found = self._mean_log_odds(_safe_indexing(every, rows))
        code = row_codes(every, np.zeros(n + len(rows)))
        known, first = np.unique(code[:n], return_index=True)
        place = np.searchsorted(known, code[n:]).clip(max=len(known) - 1)
        is_known = known[place] == code[n:]
        found[is_known] = self._odds[first[place[is_known]]]
        return found

    def _log_prior(self, weight: np.ndarray, is_target: np.ndarray) -> float:
        """Return the log of the ratio of the total weights of target and source."""
        totals = [weight[is_target == each].sum() for each in (False, True)]
        if min(totals) == 0:
            what = "X" if totals[0] == 0 else "X_target"
            raise ValueError(
                f"All rows of {what} of positive weight are in one of {self.cv} folds: give "
                "more distinct rows, or another random_state."
            )
        return float(np.log(totals[1] / totals[0]))

    def _weights_for(self, model: Any, weight: np.ndarray) -> dict[str, np.ndarray]:
        """Return the keyword arguments that pass weights to the `fit` of a classifier."""
        if self.classifier is None:
            names = [name for name, _ in model.steps if name != "polynomialfeatures"]
            return {f"{name}__sample_weight": weight for name in names}
        if not (takes_weights(model) or _routing_enabled()):
            hint = (
                " Give a classifier that is no Pipeline, or leave weights out."
                if isinstance(model, Pipeline)
                else ""
            )
            raise ValueError(
                f"Weights were given, but {type(model).__name__}.fit takes no sample_weight.{hint}"
            )
        return requested_weights(model, weight, type(self).__name__)

    def _routing(self) -> AbstractContextManager[None]:
        """Switch metadata routing off for the default classifier, whose steps request nothing."""
        if self.classifier is None:
            return config_context(enable_metadata_routing=False)
        return nullcontext()

    def _log_odds(self, model: Any, log_prior: float, X: Any) -> np.ndarray:
        """Return the log ratio of densities by the classifier of a fold."""
        with saying_what_it_takes(self.classifier):
            found = np.asarray(model.predict_proba(X), dtype=np.float64)
        with np.errstate(divide="ignore"):
            return np.log(found[:, 1]) - np.log(found[:, 0]) - log_prior

    def _mean_log_odds(self, X: Any) -> np.ndarray:
        folds = zip(self.classifiers_, self._log_priors, strict=True)
        each = [self._log_odds(model, log_prior, X) for model, log_prior in folds]
        with np.errstate(invalid="ignore"):
            return np.mean(each, axis=0)

    def _ratios(self, log_odds: np.ndarray) -> np.ndarray:
        if np.isnan(log_odds).any():
            row = int(np.flatnonzero(np.isnan(log_odds))[0])
            raise ValueError(
                f"Row {row} has no weight: of the classifiers of two folds, one is sure that it is "
                "of the target, and one that it is not. Give a classifier that is calibrated "
                "(CalibratedClassifierCV)."
            )
        with np.errstate(over="ignore"):
            weight = np.exp(log_odds - self._level)
        if self.clip is not None:
            weight = np.minimum(weight, self.clip)
        if not np.isfinite(weight).all():
            row = int(np.flatnonzero(~np.isfinite(weight))[0])
            raise ValueError(
                f"Row {row} has an infinite weight: the classifier is sure that it is of the "
                "target. Give one that is calibrated (CalibratedClassifierCV), or clip=."
            )
        return weight


def covariate_shift_weight(
    X: Any,
    X_target: Any,
    sample_weight: ArrayLike | None = None,
    *,
    classifier: BaseEstimator | None = None,
    cv: int = 5,
    clip: float | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Return weights under which rows look like those of a target.

    Parameters
    ----------
    X : array-like of shape (n, p)
        Features of the source, the rows that a model is to be fitted on.
    X_target : array-like of shape (m, p)
        Features of the target, with the same columns.
    sample_weight : array-like of shape (n,), default=None
        Weights that the rows already have. The weights returned are multiplied by them.
    classifier : classifier, default=None
        A classifier with `predict_proba` that tells target rows from source rows. None is a
        logistic regression, see :class:`CovariateShiftWeight`.
    cv : int, default=5
        Number of folds, drawn over distinct rows.
    clip : float, default=None
        The largest weight before the multiplication by `sample_weight`, above 1. None does not
        clip.
    random_state : int, RandomState or None, default=0
        Seed of the folds.

    Returns
    -------
    ndarray of shape (n,)
        Weights to pass as `sample_weight`. Their sum is n or, if there are any, the sum of the
        weights given.

    Raises
    ------
    ValueError
        As :meth:`CovariateShiftWeight.fit`.

    Warns
    -----
    UserWarning
        If source and target hardly overlap, or if the effective sample size is small; see
        :meth:`CovariateShiftWeight.fit`.

    See Also
    --------
    CovariateShiftWeight : The same as an object that weights further rows.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.robust import covariate_shift_weight
    >>> rng = np.random.default_rng(0)
    >>> X, X_tomorrow = rng.normal(size=(500, 1)), rng.normal(1.0, size=(500, 1))
    >>> weight = covariate_shift_weight(X, X_tomorrow)
    >>> bool(abs(np.average(X[:, 0], weights=weight) - 1.0) < 0.2)
    True
    """
    model = CovariateShiftWeight(classifier, cv=cv, clip=clip, random_state=random_state)
    found = model.fit(X, X_target, sample_weight).weight_
    return found if sample_weight is None else found * np.asarray(sample_weight, dtype=np.float64)
