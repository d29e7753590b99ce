"""The API page lists every public name; the code on the pages and in the gallery is sound."""

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path
from types import FunctionType, ModuleType
from xml.etree import ElementTree

import pytest

import dfl_sklearn

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.rst"), *(ROOT / "docs" / "user_guide").glob("*.rst")])
PAGES_WITH_CODE = [page for page in PAGES if ">>>" in page.read_text()]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]_*/*.py"))
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def relative(path):
    return str(path.relative_to(ROOT))


def public_names():
    """Yield ``subpackage.name`` for all that the public subpackages export."""
    for part in dfl_sklearn.__all__:
        module = getattr(dfl_sklearn, part)
        if isinstance(module, FunctionType):
            yield part
        if isinstance(module, ModuleType):
            yield from (f"{part}.{name}" for name in getattr(module, "__all__", []))


def listed_names():
    """Return the entries of the autosummary tables of the API page."""
    text = (ROOT / "docs" / "api.rst").read_text()
    blocks = re.findall(r"^\.\. autosummary::\n((?:   .*\n|\n)*)", text, re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def test_api_page_lists_every_public_name_once_and_nothing_else():
    assert sorted(listed_names()) == sorted(public_names())


def test_names_at_the_top_are_listed_where_they_live():
    classes = [n for n in dfl_sklearn.__all__ if inspect.isclass(getattr(dfl_sklearn, n))]
    assert classes
    assert {f"estimators.{name}" for name in classes} <= set(listed_names())
    assert set(classes) == set(dfl_sklearn.estimators.__all__)


def test_the_walk_finds_pages_and_examples():
    assert len(PAGES_WITH_CODE) >= 10
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=relative)
def test_code_on_pages_runs(page):
    result = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("example", EXAMPLES, ids=relative)
def test_examples_are_gallery_scripts_that_use_what_exists(example):
    # Those of the papers need downloads or minutes, and are shown without being run.
    runs = example.name.startswith("plot_")
    assert runs == (example.parent.name != "3_papers"), "the gallery runs files called plot_*.py"
    source = example.read_text()
    tree = ast.parse(source)
    title = (ast.get_docstring(tree) or "").splitlines()
    assert len(title) > 3
    assert len(title[0]) == len(title[2]) >= len(title[1])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dfl_sklearn"):
            module = dfl_sklearn
            for part in node.module.split(".")[1:]:
                module = getattr(module, part)
            for alias in node.names:
                assert alias.name in module.__all__, f"{alias.name} is not public"


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=relative)
def test_cross_references_name_what_exists(path):
    roles = r":(?:class|func|meth|mod):`~?(dfl_sklearn[\w.]*)`"
    for dotted in re.findall(roles, path.read_text()):
        found = dfl_sklearn
        for part in dotted.split(".")[1:]:
            found = getattr(found, part)


def test_the_map_of_methods_is_what_its_script_draws_and_leads_to_sections(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    script = importlib.import_module("draw_method_map")
    drawn = script.TARGET.read_text()
    assert drawn == script.draw(), "run python docs/draw_method_map.py"
    page = (ROOT / "docs" / "user_guide" / "which_method.rst").read_text()
    sections = re.findall(r"^\.\. _(method-[\w-]+):$", page, re.MULTILINE)
    for layout in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}svg"):
        links = [each.get("href") for each in layout.iter("{http://www.w3.org/2000/svg}a")]
        assert sorted(links) == sorted(f"#{each}" for each in sections)


def test_every_folder_of_examples_has_a_header():
    for folder in {ROOT / "examples", *(example.parent for example in EXAMPLES)}:
        assert (folder / "GALLERY_HEADER.rst").read_text().strip()
