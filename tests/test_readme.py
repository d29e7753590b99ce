"""The README's example runs and prints what the README says."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_example_prints_the_costs_that_the_text_names(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    exec(code, {})
    printed = capsys.readouterr().out.split()
    named = re.search(r"This prints `([\d.]+)` for least squares and `([\d.]+)`", README).groups()
    # The last printed digit of a trained net may differ between machines.
    assert len(printed) == 2
    assert all(abs(float(a) - float(b)) <= 0.02 for a, b in zip(printed, named, strict=True))
