"""Cora as matching problems, and the division of graphs behind it."""

import io
import sys
import tarfile
from itertools import combinations

import numpy as np
import pytest
from scipy import sparse

from dfl_sklearn.datasets import fetch_cora_matching
from dfl_sklearn.datasets._equal_parts import equal_parts, halves_with_many_between
from dfl_sklearn.problems import MatchingProblem


def graph(n, probability, seed=0):
    """A symmetric random graph with given probabilities of its edges."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((n, n)) < probability, 1).astype(float)
    return sparse.csr_array(upper + upper.T)


def test_planted_parts_are_found():
    label = np.random.default_rng(1).permutation(np.repeat(np.arange(6), 20))
    same = label[:, None] == label
    adjacency = graph(120, np.where(same, 0.4, 0.01))
    parts = equal_parts(adjacency, np.arange(120), 6)
    assert sorted(np.concatenate(parts)) == list(range(120))
    assert {len(part) for part in parts} == {20}
    assert all(len(set(label[part])) == 1 for part in parts)


def test_some_nodes_and_nodes_without_edges():
    adjacency = graph(60, 0.05)
    nodes = np.arange(0, 60, 2)
    parts = equal_parts(adjacency, nodes, 3)
    assert sorted(np.concatenate(parts)) == nodes.tolist()
    assert {len(part) for part in parts} == {10}


def test_parts_that_metis_leaves_unequal():
    empty = sparse.csr_array((270, 270))  # METIS makes parts of 9 to 11
    assert {len(part) for part in equal_parts(empty, np.arange(270), 27)} == {10}


def test_evened_out_by_the_node_that_loses_least(monkeypatch):
    class Metis:
        Options = CSRAdjacency = staticmethod(lambda *args, **kwargs: None)

        @staticmethod
        def part_graph(*args, **kwargs):
            return type("Partition", (), {"vertex_part": [0, 0, 0, 0, 1, 1]})

    monkeypatch.setitem(sys.modules, "pymetis", Metis)
    links = np.zeros((6, 6))
    for i, j in [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (4, 5)]:
        links[i, j] = links[j, i] = 1
    parts = equal_parts(sparse.csr_array(links), np.arange(6), 2)
    assert [part.tolist() for part in parts] == [[0, 1, 2], [3, 4, 5]]


def test_a_bipartite_graph_is_divided_along_its_sides():
    side = np.random.default_rng(2).permutation(40) < 20
    adjacency = graph(40, np.where(side[:, None] != side, 0.3, 0.0))
    left, right = halves_with_many_between(adjacency, np.arange(40))
    assert adjacency[left][:, right].sum() == adjacency.sum() / 2


@pytest.mark.parametrize("seed", range(5))
def test_no_halves_have_more_between(seed):
    adjacency, nodes = graph(12, 0.3, seed), np.arange(1, 11)
    left, right = halves_with_many_between(adjacency, nodes)
    assert len(left) == len(right) == 5
    assert sorted(np.concatenate([left, right])) == nodes.tolist()
    between = [
        adjacency[list(half)][:, np.setdiff1d(nodes, half)].sum() for half in combinations(nodes, 5)
    ]
    assert adjacency[left][:, right].sum() == max(between)


@pytest.mark.parametrize(
    ("package", "divide"),
    [
        ("pymetis", lambda *args: equal_parts(*args, 2)),
        ("networkx", halves_with_many_between),
    ],
)
def test_a_missing_package_is_named(monkeypatch, package, divide):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"fetch_cora_matching needs the package '{package}', .* not installed.*\[datasets\]"
    with pytest.raises(ImportError, match=message):
        divide(graph(4, 0.5), np.arange(4))


def archive(folder, content, cites):
    (folder / "cora").mkdir()
    with tarfile.open(folder / "cora" / "cora.tgz", "w:gz") as file:
        for name, text in (("cora.content", content), ("cora.cites", cites)):
            if text is not None:
                info = tarfile.TarInfo(f"cora/{name}")
                info.size = len(text)
                file.addfile(info, io.BytesIO(text.encode()))


@pytest.mark.parametrize(
    ("content", "cites", "message"),
    [
        (None, "", "is not the Cora archive"),
        ("1\t0\tx\n", "", "should have 2708 lines .* it has 1 lines; line 1 has 3 fields"),
    ],
)
def test_another_archive_is_refused(tmp_path, content, cites, message):
    archive(tmp_path, content, cites)
    with pytest.raises(ValueError, match=message):
        fetch_cora_matching(data_home=tmp_path)


def test_no_archive_at_all(tmp_path):
    (tmp_path / "cora").mkdir()
    (tmp_path / "cora" / "cora.tgz").write_bytes(b"not a tar file")
    with pytest.raises(ValueError, match="is not the Cora archive"):
        fetch_cora_matching(data_home=tmp_path)


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(OSError, match=r"cora\.tgz is missing and download_if_missing=False"):
        fetch_cora_matching(data_home=tmp_path, download_if_missing=False)


def test_the_real_archive(cora_home):
    dataset = fetch_cora_matching(data_home=cora_home, download_if_missing=False)
    X, y = dataset.data, dataset.target
    assert X.shape == (27, 100 * 1433)
    assert y.shape == (27, 2500)
    assert len(np.unique(dataset.papers)) == 2700
    assert set(np.unique(X)) == set(np.unique(y)) == {0.0, 1.0}
    # Many citations to find, and few of them in any one pair. METIS on another system may differ.
    assert y.sum(axis=1).mean() == pytest.approx(131, abs=4)
    assert -MatchingProblem(50, 50).optimal_cost(y).mean() == pytest.approx(40, abs=1)
    again = fetch_cora_matching(data_home=cora_home, return_X_y=True)
    np.testing.assert_array_equal(again[1], y)
    # Linked papers have more words in common than others.
    words = X.reshape(27, 100, 1433)
    common = np.einsum("kiw,kjw->kij", words[:, :50], words[:, 50:]).reshape(27, 2500)
    assert common[y == 1].mean() > common[y == 0].mean() + 1
