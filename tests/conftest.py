"""Parametrisation by the registry, for every folder of the suite."""

from .contracts.registry import PROBLEMS


def pytest_generate_tests(metafunc):
    """Run a test that asks for `case` over every problem, one for `layer_case` over layers."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", PROBLEMS, ids=str)
    if "layer_case" in metafunc.fixturenames:
        pairs = [(case, s) for case in PROBLEMS for s in case.slopes or ()]
        metafunc.parametrize(
            ("layer_case", "smoothing"), pairs, ids=[f"{case}-{s}" for case, s in pairs]
        )
