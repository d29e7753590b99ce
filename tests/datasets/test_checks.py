import numpy as np
import pandas as pd
import pytest

from dfl_sklearn.datasets import _checks
from dfl_sklearn.datasets._checks import Knob, check_count, check_freq, resolve_shift

KNOBS = {"noise": Knob(1.0, low=0.0), "regime": Knob(0.05, low=0.0, high=1.0)}
PRESETS = {"storm": {"noise": 3.0}}


def test_shift_none_is_nominal():
    assert resolve_shift(None, KNOBS, PRESETS) == {"noise": 1.0, "regime": 0.05}


def test_shift_preset_and_mapping_turn_only_what_they_name():
    assert resolve_shift("storm", KNOBS, PRESETS) == {"noise": 3.0, "regime": 0.05}
    assert resolve_shift({"regime": np.float32(1)}, KNOBS) == {"noise": 1.0, "regime": 1.0}
    assert resolve_shift({}, KNOBS) == resolve_shift(None, KNOBS)
    assert PRESETS == {"storm": {"noise": 3.0}}


@pytest.mark.parametrize(
    ("shift", "error", "words"),
    [
        ("gale", ValueError, ["'gale'", "storm", "noise", "regime"]),
        ({"nois": 2.0}, ValueError, ["'nois'", "noise", "regime"]),
        ({"noise": -0.1}, ValueError, ["shift['noise']", "[0.0, inf]", "-0.1"]),
        ({"regime": 1.1}, ValueError, ["shift['regime']", "[0.0, 1.0]"]),
        ({"noise": np.nan}, ValueError, ["finite", "nan"]),
        ({"noise": np.inf}, ValueError, ["finite", "inf"]),
        ({"noise": "2"}, TypeError, ["shift['noise']", "'2'"]),
        ({"noise": True}, TypeError, ["shift['noise']", "True"]),
        (2.0, TypeError, ["float", "noise", "storm"]),
    ],
)
def test_shift_errors_name_the_key_and_the_legal_ones(shift, error, words):
    with pytest.raises(error) as info:
        resolve_shift(shift, KNOBS, PRESETS)
    for word in words:
        assert word in str(info.value)


def test_string_shift_without_presets_lists_keys():
    with pytest.raises(ValueError, match=r"Unknown shift 'noise'.*\['noise', 'regime'\]"):
        resolve_shift("noise", KNOBS)


@pytest.mark.parametrize("value", [1.0, "1", None, True])
def test_count_must_be_integer(value):
    with pytest.raises(TypeError, match="n must be an integer >= 0"):
        check_count("n", value, minimum=0)


def test_count_bounds():
    assert check_count("n", np.int32(3), minimum=3) == 3
    with pytest.raises(ValueError, match="n must be at least 3, got 2"):
        check_count("n", 2, minimum=3)


@pytest.mark.parametrize("freq", ["5s", "5000ms", pd.Timedelta(5, "s"), np.timedelta64(5, "s")])
def test_freq_spellings(freq):
    assert check_freq(freq) == pd.Timedelta(5, "s")


@pytest.mark.parametrize("freq", ["0s", "-5s", "month", "5", 5, 5.0, None, "NaT", [5]])
def test_bad_freq(freq):
    with pytest.raises(ValueError, match="freq must be a positive fixed width"):
        check_freq(freq)


def test_option():
    with pytest.raises(ValueError, match="service must be one of 'a', 'b'; got 'c'"):
        _checks.check_option("service", "c", ("a", "b"))
