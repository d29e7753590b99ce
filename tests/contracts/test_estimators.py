"""What scikit-learn asks of every estimator, and what storing one has to keep."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator

from .estimators import DEPEND_ON_TRAINING, code_paths, variants

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings(
        "ignore::sklearn.exceptions.ConvergenceWarning",  # the instances stop early on purpose
        "ignore::sklearn.exceptions.SkipTestWarning",
    ),
]
INSTANCES = code_paths() | variants()
N_COMPARED = 15


def scikit_learn_checks():
    """Yield all checks of each code path, and of its variants those that training can break.

    That training on a read-only memory map ends well is checked once, in single precision: the same
    in double precision differs from `check_readonly_memmap_input` in the score alone.
    """
    paths = code_paths()
    for name, instance in INSTANCES.items():
        is_path = name in paths
        for estimator, check in estimator_checks_generator(instance):
            named = [check.func.__name__, *(f"{k}={v}" for k, v in check.keywords.items())]
            if named == ["check_regressors_train", "readonly_memmap=True"]:
                continue
            if is_path or (named[0] in DEPEND_ON_TRAINING and not check.keywords):
                yield pytest.param(estimator, check, id="-".join([name, *named]))


@pytest.mark.parametrize(("estimator", "check"), list(scikit_learn_checks()))
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(params=INSTANCES)
def estimator(request):
    return clone(INSTANCES[request.param])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 3, (60, 2))
    return X, X @ [1.0, 2.0] + rng.uniform(0, 1, 60)


def outcome(estimator, X):
    for method in ("predict", "transform", "score_samples"):
        if hasattr(estimator, method):
            return getattr(estimator, method)(X)
    raise AssertionError(f"{estimator} has no output to compare")


def test_tags_promise_full_service(estimator):
    tags = get_tags(estimator)
    assert not tags.non_deterministic
    assert not (tags.regressor_tags and tags.regressor_tags.poor_score)
    assert not tags.no_validation
    assert not tags._skip_test


def through_joblib(estimator):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def through_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))


def through_a_file(estimator, folder):
    joblib.dump(estimator, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def fit_changing_nothing_else(estimator, X, y):
    """Fit on data that may not be written to; no parameter and no global state may change."""
    given = X.copy(), y.copy()
    for each in given:
        each.flags.writeable = False
    before = repr(estimator.get_params())
    _, keys, *place = np.random.get_state()  # noqa: NPY002
    keys = keys.copy()
    outcome(estimator.fit(*given), given[0][:N_COMPARED])
    assert repr(estimator.get_params()) == before
    _, keys_after, *place_after = np.random.get_state()  # noqa: NPY002
    assert_array_equal(keys_after, keys)
    assert place_after == place
    assert_array_equal(given[0], X)
    assert_array_equal(given[1], y)


def test_a_fit_changes_nothing_else_and_is_stored_with_all_it_has(estimator, data, tmp_path):
    # One after the other: what any of them loses is lost at the end.
    unfitted = through_a_file(copy.deepcopy(through_joblib(through_pickle(estimator))), tmp_path)
    assert repr(unfitted) == repr(estimator)
    X, y = data
    fit_changing_nothing_else(estimator, X, y)
    unfitted.fit(X, y)
    few, names = X[:N_COMPARED], vars(estimator).keys()
    expected = outcome(estimator, few)
    assert_array_equal(outcome(unfitted, few), expected)
    stores = (through_pickle, through_joblib, copy.deepcopy, lambda e: through_a_file(e, tmp_path))
    for store in stores:
        again = store(estimator)
        assert_array_equal(outcome(again, few), expected)
        assert vars(again).keys() == names
    # The original is not changed by being stored, and a clone is unfitted.
    assert_array_equal(outcome(estimator, few), expected)
    assert vars(estimator).keys() == names
    with pytest.raises(sklearn.exceptions.NotFittedError):
        outcome(clone(estimator), few)
