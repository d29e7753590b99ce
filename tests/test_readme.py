"""The README's example runs and prints what the README says."""

import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parents[1] / "README.md").read_text()


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
