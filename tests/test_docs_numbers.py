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
    number = r"^ +(?:\* )?- +[+\-\N{MINUS SIGN}]?\d+\.\d+[^A-Za-z`\n]*$"
    for page, text in TEXTS.items():
        kept = tables.BLOCK.sub("", text)
        for block in re.findall(r"^\.\. list-table::.*\n(?:(?:   .*)?\n)*", kept, re.M):
            assert not re.search(number, block, re.M), f"{page}: {block.splitlines()[0]}"


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


def number(digits, *where, sign=True):
    """Return a cell as the text of a page writes it."""
    text = results.cell(*where).replace("%", "")
    text = results.rounded(text.split(" ±")[0], digits)
    return text if sign else text.lstrip("+" + results.MINUS)


def claims():
    """Yield what pages say in their text: a page, and a phrase made of the results."""
    policies = results.cell("scenarios", "Restaurant", "policy, five averaged", "cost")
    yield "scenarios", f"five averaged policies pay {policies} there"

    title = "Weights of calibration days by how much they look like the test days"
    rises = []
    for way in ("5 components, clip=10", "all, clip=10"):
        row = "storage_shift", title, ("time", "ridge on prices", way)
        kept, without = (
            float(results.cell(*row, column).split("%")[0]) for column in ("kept", "kept without")
        )
        rises.append(f"{kept - without:.0f}")
    yield "worst_case_decisions", f"the share kept rises by {rises[0]} to {rises[1]} points"

    phrase = "its regret is {} lower on shifted rows and {} higher without a shift"
    ball = "where residuals with a KL ball gain {} and pay {}"
    for words, way in ((phrase, "flagship, scenarios"), (ball, "residuals, scaled, KL")):
        where = "scenarios", "All families", way
        found = [number(0, *where, column, sign=False) for column in ("shifted", "no shift")]
        yield "scenarios", words.format(*found)


@pytest.mark.parametrize(("page", "phrase"), list(claims()))
def test_numbers_in_the_text_are_those_of_the_results(page, phrase):
    text = " ".join(TEXTS[page].split()).replace(" %", "")
    assert phrase in text, f"{page}.rst should say: {phrase}"
