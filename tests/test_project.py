"""The walls of the architecture, and what a user gets to install."""

import ast
import importlib
import inspect
import subprocess
import sys
import zipfile
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dfl_sklearn

PACKAGE = Path(dfl_sklearn.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[1]

# Part -> the parts that it may import, in functions and for type checkers as well.
MAY_IMPORT = {
    "_utils": set(),
    "rows": set(),
    "solvers": {"_utils"},
    "layers": {"_utils", "solvers"},
    "problems": {"_utils", "rows", "solvers", "layers"},
    "_decide": {"_utils", "problems"},
    "metrics": {"_utils", "problems", "_decide"},
    "losses": {"_utils", "rows", "problems", "layers"},
    "learners": {"_utils", "rows"},
    "datasets": {"_utils", "problems"},
    "online": {"_utils"},
    "robust": {"_utils", "rows", "solvers", "problems", "layers", "losses", "learners"},
    "scenarios": {"_utils", "rows", "learners", "robust"},
    "_conformal": {"_utils", "rows", "solvers", "problems", "scenarios", "robust", "_decide"},
    "training": {"_utils", "rows", "problems", "losses", "learners", "scenarios", "robust"},
    "estimators": {
        *("_utils", "rows", "problems", "losses", "learners", "scenarios", "robust", "training"),
        *("_conformal", "_decide", "metrics", "online"),
    },
}
ON_TOP = {"compose", "inspection", "model_selection", "__init__"}
PARTS = sorted({path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
               | {path.parent.name for path in PACKAGE.glob("*/__init__.py")})  # fmt: skip
PUBLIC = [part for part in PARTS if not part.startswith("_")]


def files_of(part):
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def name_of(path):
    """Return the dotted name of a file."""
    parts = ["dfl_sklearn", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imports(path):
    """Yield the dotted names that a file imports, in functions and for type checkers as well."""
    here = ["dfl_sklearn", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def module_of(name):
    """Return the file that an imported name is, or is in, if it is one of ours."""
    return name if name in MODULES else name.rpartition(".")[0]


def test_every_part_has_a_place():
    assert set(PARTS) <= set(MAY_IMPORT) | ON_TOP


@pytest.mark.parametrize("part", sorted(set(MAY_IMPORT) & set(PARTS)))
def test_imports_run_one_way(part):
    seen = 0
    for path in files_of(part):
        for name in imports(path):
            seen += 1
            if name.startswith("dfl_sklearn."):
                target = name.split(".")[1]
                assert target in MAY_IMPORT[part] | {part}, f"{path.name} imports {name}"
    assert seen  # the walk found the imports that every part has


def test_no_file_imports_itself_through_others():
    graph = {
        name: {module_of(each) for each in imports(path)} & set(MODULES) - {name}
        for name, path in MODULES.items()
    }
    assert sum(map(len, graph.values())) > len(MODULES)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_walk_sees_all_imports():
    found = set(imports(PACKAGE / "losses" / "regret.py"))
    assert {"dfl_sklearn.problems.base.DecisionProblem", "torch"} <= found
    inside_a_function = set(imports(PACKAGE / "problems" / "closed_form.py"))
    assert "dfl_sklearn.layers.box.AffineBoxLayer" in inside_a_function


def test_metrics_problems_and_two_stage_models_load_no_torch():
    heavy = ("torch", "skorch", "cvxpy", "highspy", "matplotlib")
    code = f"""
import sys
import dfl_sklearn
assert not set(sys.modules) & {{*{heavy}, "sklearn", "pandas"}}
assert "problems" in dir(dfl_sklearn) and "DFLRegressor" in dir(dfl_sklearn)
import dfl_sklearn.problems, dfl_sklearn.compose, dfl_sklearn.inspection
from dfl_sklearn import TwoStageRegressor, datasets, model_selection
from dfl_sklearn.metrics import regret
from dfl_sklearn.robust import KLBall
from sklearn.dummy import DummyRegressor
model_selection.compare_decisions(
    {{"mean": DummyRegressor()}}, [[0]] * 20, range(20), problem=dfl_sklearn.problems.TopKProblem(1)
)
assert not set(sys.modules) & set({heavy}), set(sys.modules) & set({heavy})
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_loaded_when_asked_for():
    with pytest.raises(AttributeError, match="No dfl_sklearn attribute nothing"):
        dfl_sklearn.nothing
    assert dfl_sklearn.DFLRegressor is dfl_sklearn.estimators.DFLRegressor


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
    assert {"dfl_sklearn/py.typed", "dfl_sklearn/__init__.pyi"} <= names
    described = {
        f"dfl_sklearn/datasets/descr/{name}.rst"
        for name in ("azure_llm", "bakery", "storage_prices", "yaz")
    }
    assert described <= names
    sources = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}
    assert sources <= names
    outside = {name.split("/")[0] for name in names} - {"dfl_sklearn"}
    assert all(name.endswith(".dist-info") for name in outside)
    assert any(name.endswith("licenses/LICENSE") for name in names)
