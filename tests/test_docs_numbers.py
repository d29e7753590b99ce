"""The measured numbers on the pages are those of benchmarks/results, and each has its command."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "user_guide").glob("*.rst"))
TEXTS = {page.stem: page.read_text() for page in PAGES}
sys.path.insert(0, str(ROOT / "docs"))
try:
    results, tables = importlib.import_module("results"), importlib.import_module("tables")
finally:
    sys.path.remove(str(ROOT / "docs"))
MARKED = {
    name for text in TEXTS.values() for name in re.findall(r"^\.\. measured: (\w+)$", text, re.M)
}


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_tables_of_a_page_are_those_of_the_results(page):
    assert tables.written(TEXTS[page]) == TEXTS[page], "run python docs/tables.py"


def test_every_table_stands_on_a_page_and_names_a_command_that_exists():
    assert set(tables.TABLES) == MARKED
    for table in tables.TABLES.values():
        command = re.search(r"\(``python (\S+)``\)$", table.title).group(1)
        assert (ROOT / command).exists()


def test_no_table_of_numbers_is_written_by_hand():
    for page, text in TEXTS.items():
        kept = tables.BLOCK.sub("", text)
        for block in re.findall(r"^\.\. list-table::.*\n(?:(?:   .*)?\n)*", kept, re.M):
            without_versions = re.sub(r"version [\d.]+", "", block)
            assert not re.search(r"\d\.\d|±", without_versions), f"{page}: {block.splitlines()[0]}"


def test_a_changed_result_changes_the_page(tmp_path, monkeypatch):
    source = (results.RESULTS / "azure_experts.md").read_text()
    (tmp_path / "azure_experts.md").write_text(source.replace("0.3596", "0.1234"))
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    results.tables.cache_clear()
    try:
        assert "0.1234" in tables.written(TEXTS["experts"])
    finally:
        results.tables.cache_clear()


@pytest.mark.parametrize(
    ("text", "digits", "shown"),
    [
        ("-9.85% ± 3.04%", 1, f"{results.MINUS}9.9 ± 3.0"),
        ("+0.04% ± 1.30%", 1, "0.0 ± 1.3"),
        ("6e-12", None, "6e-12"),
        ("1,012,035 to 12,345", None, "1,012,035 to 12,345"),
        ("+1.2e-07", None, "+1.2e-07"),
        ("-26.64", None, f"{results.MINUS}26.64"),
    ],
)
def test_numbers_are_rounded_half_up_and_keep_their_sign(text, digits, shown):
    assert results.rounded(text, digits) == shown
