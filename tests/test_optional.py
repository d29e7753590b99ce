"""What is said where an optional dependency cannot be imported."""

import sys

import pytest

from dfl_sklearn._utils.optional import import_optional
from dfl_sklearn.datasets import _download


def package(folder, name, text):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [each for each in sys.modules if each.startswith(("half_there", "pooch"))]:
        del sys.modules[name]


def test_a_package_that_is_missing_is_not_installed():
    for module in ("not_there_at_all", "not_there_at_all.part"):
        with pytest.raises(
            ImportError, match=r"'not_there_at_all', which is not installed.*\[plot\]"
        ):
            import_optional(module, extra="plot", needed_by="A picture")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("raise ImportError('a shared library is too old')", "a shared library is too old"),
        ("raise OSError('libfortran.so.5')", "OSError: libfortran.so.5"),
        ("from os import nothing_of_this_name", "nothing_of_this_name"),
    ],
)
@pytest.mark.parametrize("module", ["half_there", "half_there.part"])
def test_a_package_that_is_broken_is_installed(folder, text, reason, module):
    package(folder, "half_there", text)
    with pytest.raises(ImportError, match="installed") as caught:
        import_optional(module, extra="plot", needed_by="A picture")
    assert "not installed" not in str(caught.value)
    assert "pip install" not in str(caught.value)
    assert reason in str(caught.value)


def test_a_part_that_a_package_lacks_is_named(folder):
    package(folder, "half_there", "")
    with pytest.raises(ImportError, match=r"'half_there\.part', whose import failed"):
        import_optional("half_there.part", extra="plot", needed_by="A picture")


def test_a_broken_pooch_is_installed(folder):
    package(folder, "pooch", "import not_there_at_all")
    sys.modules.pop("pooch", None)
    with pytest.raises(ImportError, match="pooch, which is installed, but its import failed"):
        _download._import_pooch("do it by hand")
