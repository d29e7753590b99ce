"""The flagship gives the same bits on a dask cluster, and with exact weights."""

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV

from dfl_sklearn import DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, PolicyGradientSearch, TiltedSearch

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SEARCHES = {
    "tilted": TiltedSearch(200),
    "policy gradient": PolicyGradientSearch(
        n_steps=8, n_tail=4, n_trajectories=64, n_rounds=1, n_warm_up=2
    ),
}


def flagship(search, **params):
    quick = {
        "hidden_layer_sizes": (4,),
        "max_iter": 8,
        "generator": DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=10, max_iter=4),
        "random_state": 0,
    }
    return DiffusionDRODFLRegressor(
        NewsvendorProblem(9, 1), search=SEARCHES[search], **{**quick, **params}
    )


@pytest.fixture(scope="module")
def data():
    return make_newsvendor(120, random_state=0)


def scores(model, X, y, n_jobs=None):
    search = GridSearchCV(model, {"radius": [0.05, 0.2]}, cv=2, n_jobs=n_jobs, refit=False)
    results = search.fit(X, y).cv_results_
    return np.array([results[f"split{fold}_test_score"] for fold in range(2)])


def test_a_search_on_a_dask_cluster_gives_identical_results(data, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    model = flagship("tilted", memory=str(tmp_path / "cache"))
    alone = scores(model, *data)
    assert len(np.unique(alone)) == alone.size  # radii and folds do differ
    model = flagship("tilted", memory=str(tmp_path / "shared cache"))
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster),
        parallel_config(backend="dask"),
    ):
        np.testing.assert_array_equal(scores(model, *data, n_jobs=2), alone)


@pytest.mark.usefixtures("short_epochs")
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_weight_2_is_the_row_twice_and_weight_0_no_row(search, early_stopping, data):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    model = flagship(search, early_stopping=early_stopping)
    weighted = model.fit(X, y, sample_weight=weight).predict(X)
    repeated = model.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight)).predict(X)
    np.testing.assert_array_equal(weighted, repeated)
    assert not np.array_equal(weighted, model.fit(X, y).predict(X))
