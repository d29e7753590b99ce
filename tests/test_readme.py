"""The README's examples print what the README says, and its links lead somewhere."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import dfl_sklearn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MIXTURE, PROGRAM = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_example_prints_the_costs_that_the_text_names(capsys):
    exec(MIXTURE, {})
    printed = numbers(capsys.readouterr().out.splitlines()[-1])
    named = numbers(re.search(r"The last line prints `(.*?)`", README).group(1))
    # The last printed digit of a trained net may differ between machines.
    assert len(printed) == 5
    np.testing.assert_allclose(printed, named, atol=0.011)


def test_plans_of_the_cvxpy_program_cost_what_the_text_says(capsys):
    pytest.importorskip("cvxpy")
    exec(PROGRAM, {})
    named = re.search(r"It prints `(.*?)` for .* and `(.*?)` for", README).groups()
    assert capsys.readouterr().out.split() == list(named)


def numbers(text):
    return [float(each) for each in re.findall(r"-?\d+\.\d*", text)]


def test_links_lead_to_files_that_the_source_distribution_holds():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    held = build["targets"]["sdist"]["include"]
    assert len(links) > 10
    for link in links:
        assert (ROOT / link).exists(), link
        assert link.split("/")[0] in held, link


def test_citation_is_of_this_version():
    assert f"\nversion: {dfl_sklearn.__version__}\n" in (ROOT / "CITATION.cff").read_text()
