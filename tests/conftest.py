"""Parametrisation by the registry, for every folder of the suite."""

import os

# Read when SciPy is first imported: without it scikit-learn skips its check of array API input.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# Read when OpenMP is loaded. The workers of pytest-xdist share the cores: threads of one that wait
# for the others by spinning take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from .contracts.registry import PROBLEMS


def pytest_configure(config):
    config.addinivalue_line("markers", "cases(predicate): keep the registry's entries for which")


@pytest.fixture
def short_epochs(monkeypatch):
    """Short epochs of generators, for fits of which any outcome will do."""
    monkeypatch.setattr("dfl_sklearn.robust._denoising.EPOCH", 512)
    monkeypatch.setattr("dfl_sklearn.robust.policy_gradient._N_COMPARED", 512)


def pytest_generate_tests(metafunc):
    """Run a test that asks for `case` over every problem, one for `layer_case` over layers."""
    marker = metafunc.definition.get_closest_marker("cases")
    cases = [case for case in PROBLEMS if marker is None or marker.args[0](case)]
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases, ids=str)
    if "layer_case" in metafunc.fixturenames:
        pairs = [(case, s) for case in cases for s in case.slopes or ()]
        metafunc.parametrize(
            ("layer_case", "smoothing"), pairs, ids=[f"{case}-{s}" for case, s in pairs]
        )
