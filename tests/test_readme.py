"""The README's example prints what the README says, and its links lead somewhere."""

import re
import tomllib
from pathlib import Path

import numpy as np

import dfl_sklearn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_example_prints_the_costs_that_the_text_names(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    exec(code, {})
    printed = numbers(capsys.readouterr().out.splitlines()[-1])
    named = numbers(re.search(r"The last line prints `(.*?)`", README).group(1))
    # The last printed digit of a trained net may differ between machines.
    assert len(printed) == 5
    np.testing.assert_allclose(printed, named, atol=0.011)


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
