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
from sklearn.utils.estimator_checks import parametrize_with_checks

from .estimators import instances

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # the instances stop early on purpose
    "ignore::sklearn.exceptions.SkipTestWarning",
)
INSTANCES = instances()
IDS = [f"{i}-{type(each).__name__}" for i, each in enumerate(INSTANCES)]


@parametrize_with_checks(INSTANCES)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(params=INSTANCES, ids=IDS)
def estimator(request):
    return clone(request.param)


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


COPIES = [through_pickle, through_joblib, copy.deepcopy]


@pytest.mark.parametrize("store", COPIES)
def test_stored_unfitted(estimator, store, data):
    again = store(estimator)
    assert repr(again) == repr(estimator)
    X, y = data
    assert_array_equal(outcome(again.fit(X, y), X), outcome(estimator.fit(X, y), X))


@pytest.mark.parametrize("store", COPIES)
def test_stored_fitted(estimator, store, data):
    X, y = data
    estimator.fit(X, y)
    again = store(estimator)
    assert_array_equal(outcome(again, X), outcome(estimator, X))
    # The original is not changed by being stored, and a clone is unfitted.
    assert vars(again).keys() == vars(estimator).keys()
    with pytest.raises(sklearn.exceptions.NotFittedError):
        outcome(clone(estimator), X)


def test_stored_in_a_file(estimator, data, tmp_path):
    X, y = data
    estimator.fit(X, y)
    joblib.dump(estimator, tmp_path / "model.joblib")
    assert_array_equal(outcome(joblib.load(tmp_path / "model.joblib"), X), outcome(estimator, X))


def test_fit_changes_no_parameter_and_no_data(estimator, data):
    X, y = (each.copy() for each in data)
    X.flags.writeable = y.flags.writeable = False
    before = repr(estimator.get_params())
    _, keys, *place = np.random.get_state()  # noqa: NPY002
    keys = keys.copy()
    outcome(estimator.fit(X, y), X)
    assert repr(estimator.get_params()) == before
    _, keys_after, *place_after = np.random.get_state()  # noqa: NPY002
    assert_array_equal(keys_after, keys)
    assert place_after == place
    assert_array_equal(X, data[0])
