"""Check the docstrings of all public names with numpydoc; part of `make lint`.

Which checks count is set in pyproject.toml (``[tool.numpydoc_validation]``), as for numpydoc's own
hook. That one reads files and cannot know what is public, so the names are walked here.

As in scikit-learn, examples and "See Also" are asked of classes and functions, not of methods. A
method that overrides another one may leave its parameters and what it returns to that one's
docstring. Arguments of a class that it stores may be documented as attributes.
"""

import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from numpydoc.docscrape import get_doc_object
from numpydoc.validate import ERROR_MSGS, validate

import dfl_sklearn

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
OF_NAMES_ALONE = {"EX01", "SA01"}
RESULTS = {"RT01", "YD01"}
OF_BASES = ("dfl_sklearn", "sklearn")


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield the path and the object of each class and function that is exported."""
    for part in dfl_sklearn.__all__:
        found = getattr(dfl_sklearn, part)
        if isinstance(found, FunctionType):
            yield f"dfl_sklearn.{part}", found
        elif isinstance(found, ModuleType):
            for name in found.__all__:
                yield f"{found.__name__}.{name}", getattr(found, name)


def public_methods(cls: type) -> Iterator[tuple[str, Any, bool]]:
    """Yield the path and the function of each method of this package, and if it is an override."""
    for name in dir(cls):
        owners = [base for base in cls.__mro__ if name in vars(base)]
        if name.startswith("_") or not owners[0].__module__.startswith("dfl_sklearn"):
            continue
        member = vars(owners[0])[name]
        function = member.fget if isinstance(member, property) else inspect.unwrap(member)
        function = getattr(function, "__func__", function)
        if isinstance(function, FunctionType):
            overrides = any(base.__module__.startswith(OF_BASES) for base in owners[1:])
            yield f"{owners[0].__module__}.{owners[0].__qualname__}.{name}", function, overrides


def undocumented(message: str, documented: set[str]) -> set[str]:
    """Return the parameters that a message of PR01 names, but for private and documented ones."""
    return {n for n in re.findall(r"'\**(\w+)'", message) if n[0] != "_"} - documented


def main() -> int:
    """Print what is missing, and return the number of findings."""
    settings = tomllib.loads(PYPROJECT.read_text())["tool"]["numpydoc_validation"]
    given = set(settings["checks"])
    checks = set(ERROR_MSGS) - given if "all" in given else given
    excluded = [re.compile(each) for each in settings.get("exclude", [])]
    findings, seen, n_checked = 0, set(), 0

    def report(path: str, ignored: set[str], attributes: set[str]) -> None:
        nonlocal findings, n_checked
        if any(each.search(path) for each in excluded):
            return
        n_checked += 1
        result = validate(path)
        for code, message in result["errors"]:
            if code not in checks - ignored:
                continue
            if code == "PR01" and not undocumented(message, attributes):
                continue
            findings += 1
            file = result["file"] and Path(result["file"]).resolve()
            place = file.relative_to(PYPROJECT.parent) if file else "?"
            print(f"{place}:{result['file_line']}: {path}: {code} {message}")

    for path, found in public_objects():
        named = get_doc_object(found)["Attributes"] if inspect.isclass(found) else []
        report(path, set(), {name for each in named for name in each.name.split(", ")})
        if not inspect.isclass(found):
            continue
        for method, function, overrides in public_methods(found):
            if function in seen:
                continue
            seen.add(function)
            ignored = set(OF_NAMES_ALONE)
            if overrides:
                ignored |= RESULTS
                ignored |= set() if get_doc_object(function)["Parameters"] else {"PR01"}
            report(method, ignored, set())
    print(f"Docstrings of {n_checked} public names: {findings} findings.")
    return findings


if __name__ == "__main__":
    sys.exit(main() > 0)
