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


def number(digits, *where, spread=False, sign=True):
    """Return a cell as the text of a page writes it."""
    text = results.cell(*where).replace("%", "")
    text = results.rounded(text if spread else text.split(" ±")[0], digits)
    return text if sign else text.lstrip("+" + results.MINUS)


def in_words(values):
    *most, last = values
    return f"{', '.join(most)} and {last}"


def claims():
    """Yield what pages say in their text: a page, and a phrase made of the results."""

    def at(way):
        sections = "Budget allocation", "Recommendation"
        return [number(1, "coverage", s, way, "k = 10") for s in sections]

    customers, actors = at("decision-focused, one layer")
    yield "linear", f"{customers} customers with ten channels and {actors} actors with ten films"
    for words, way in (
        ("trained by the log loss to the end, {}", "two-stage, one layer"),
        ("a random forest {}", "random forest"),
        ("hindsight {}", "foresight"),
        ("chance {}", "random"),
    ):
        yield "linear", words.format(in_words(at(way)))

    cora = "cora_matching", "Matching citations on Cora, 30 splits"
    yield (
        "linear",
        f"{results.cell(*cora, 'two-stage, symmetric', 'ratio').replace(' (', ' times (')}",
    )

    suite = "shift_suite", "All families, MLP"
    last = "diffusion, tilted, averaged, less this"
    for way in ("margin, averaged", "margin, bagged", "KL, averaged"):
        yield "measured", number(1, *suite, way, last, spread=True, sign=False)

    shift = "newsvendor_shift", "{} predictor", "diffusion, tilted, averaged", "against {}"

    def beside(net, way):
        where = [part.format(net if "predictor" in part else way) for part in shift]
        return number(1, *where, spread=True, sign=False)

    found = beside("linear", "margin"), beside("MLP", "margin")
    yield "ambiguity_sets", f"by {in_words(found)} points"
    yield "ambiguity_sets", f"{beside('linear', 'margin, bagged')} points for the linear predictor"
    yield "ambiguity_sets", f"{beside('MLP', 'margin, averaged')} for the MLP"

    def azure(protocol, way):
        found = number(3, "azure", f"Protocol: {protocol}", way, "mean, shifted")
        return found.removeprefix("0")

    pair = azure("published", "MLP, decision-focused"), azure("published", "MLP, 3D-Learning")
    yield "ambiguity_sets", "MLP from {} to {}".format(*pair)
    yield "ambiguity_sets", f"as well, {azure('published', 'MLP, nominal samples')}"
    yield "ambiguity_sets", f"has {azure('published', 'least squares, window-scaled')}"
    pair = azure("honest", "MLP, decision-focused"), azure("honest", "MLP, Perlin noise")
    yield "ambiguity_sets", "({} to {} with Perlin noise)".format(*pair)

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

    tasks = [f"newsvendor {each} rows" for each in ("9:1, 100", "9:1, 500", "1:9, 100")]
    title = "Fine-tuning backbones for the decision, 10 seeds"
    for words, way in (
        ("quantile regression costs {}", "linear quantile"),
        ("fine-tuned least squares {}", "least squares, fine-tuned"),
        ("the fine-tuned one is the better: {}", "boosting, fine-tuned"),
    ):
        values = [number(2, "fine_tuning", title, way, task) for task in tasks]
        yield "fine_tuning", words.format(in_words(values))


@pytest.mark.parametrize(("page", "phrase"), list(claims()))
def test_numbers_in_the_text_are_those_of_the_results(page, phrase):
    text = " ".join(TEXTS[page].split()).replace(" %", "")
    assert phrase in text, f"{page}.rst should say: {phrase}"
