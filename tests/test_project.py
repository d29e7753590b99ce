"""The walls of the architecture, and what a user gets to install."""

import ast
import importlib
import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import dfl_sklearn

PACKAGE = Path(dfl_sklearn.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[1]

# Part -> the parts that it may import at module level.
MAY_IMPORT = {
    "_utils": set(),
    "solvers": {"_utils"},
    "layers": {"_utils", "solvers"},
    "problems": {"_utils", "solvers", "layers"},
    "metrics": {"_utils", "problems"},
    "losses": {"_utils", "problems", "layers"},
    "nets": {"_utils"},
    "datasets": {"_utils"},
    "robust": {"_utils", "problems", "layers", "losses", "nets"},
    "estimators": {"_utils", "problems", "layers", "losses", "nets", "metrics", "robust"},
}
ON_TOP = {"compose", "inspection", "model_selection", "__init__"}
PARTS = sorted({path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
               | {path.parent.name for path in PACKAGE.glob("*/__init__.py")})  # fmt: skip
PUBLIC = [part for part in PARTS if not part.startswith("_")]


def files_of(part):
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def module_level_imports(path):
    """Yield the dotted names imported when the file is, absolute."""
    here = ["dfl_sklearn", *path.relative_to(PACKAGE).parts[:-1]]
    pending = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        else:
            pending += ast.iter_child_nodes(node)


def test_every_part_has_a_place():
    assert set(PARTS) <= set(MAY_IMPORT) | ON_TOP


@pytest.mark.parametrize("part", sorted(set(MAY_IMPORT) & set(PARTS)))
def test_imports_run_one_way(part):
    seen = 0
    for path in files_of(part):
        for name in module_level_imports(path):
            seen += 1
            if name.startswith("dfl_sklearn."):
                target = name.split(".")[1]
                assert target in MAY_IMPORT[part] | {part}, f"{path.name} imports {name}"
    assert seen  # the walk found the imports that every part has


def test_the_walk_sees_relative_imports():
    found = set(module_level_imports(PACKAGE / "losses" / "regret.py"))
    assert "dfl_sklearn.problems.base.DecisionProblem" in found
    assert "torch" in found


def test_problems_do_not_import_torch():
    for path in [*files_of("problems"), *files_of("solvers")]:
        names = {name.split(".")[0] for name in module_level_imports(path)}
        may = path.stem in {"interior_point", "newton_system"}
        assert may or not names & {"torch", "skorch"}, path
        assert "dfl_sklearn.solvers.interior_point" not in names


@pytest.mark.parametrize("part", PUBLIC)
def test_public_names_exist_and_are_documented(part):
    module = importlib.import_module(f"dfl_sklearn.{part}")
    assert inspect.getdoc(module)
    for name in getattr(module, "__all__", []):
        member = getattr(module, name)
        if inspect.isclass(member) or inspect.isfunction(member):
            assert member.__doc__, f"{part}.{name} has no docstring"
            methods = vars(member) if inspect.isclass(member) else {}
            for method, function in methods.items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    assert function.__doc__, f"{part}.{name}.{method} has no docstring"


def test_all_is_sorted_and_top_level_names_exist():
    for part in PUBLIC:
        names = getattr(importlib.import_module(f"dfl_sklearn.{part}"), "__all__", [])
        assert len(set(names)) == len(names)
    for name in dfl_sklearn.__all__:
        assert hasattr(dfl_sklearn, name)


def test_the_wheel_holds_what_is_not_python(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, "."],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert f"-{dfl_sklearn.__version__}-" in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "dfl_sklearn/py.typed" in names
    assert "dfl_sklearn/datasets/descr/azure_llm.rst" in names
    sources = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}
    assert sources <= names
    outside = {name.split("/")[0] for name in names} - {"dfl_sklearn"}
    assert all(name.endswith(".dist-info") for name in outside)
    assert any(name.endswith("licenses/LICENSE") for name in names)
