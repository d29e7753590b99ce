"""How many threads training takes."""

import torch
from threadpoolctl import threadpool_info

from dfl_sklearn._utils.threads import pinned_threads


def in_blas():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_blas_has_as_many_threads_as_torch_and_gets_its_own_back():
    before = in_blas(), torch.get_num_threads()
    with pinned_threads(1):
        assert in_blas() == {1}
        assert torch.get_num_threads() == 1
    assert (in_blas(), torch.get_num_threads()) == before
