import re

import numpy as np
import pandas as pd
import pytest

from dfl_sklearn.datasets import fetch_azure_llm_trace, make_llm_trace, read_llm_trace
from dfl_sklearn.datasets._llm_trace import BURST_SIZE, SERVICES, _autoregression, _busy_share

STATISTICS = {
    "context mean": lambda f: f["context_tokens"].mean(),
    "context std": lambda f: f["context_tokens"].std(),
    "context 10 %": lambda f: f["context_tokens"].quantile(0.1),
    "context 50 %": lambda f: f["context_tokens"].quantile(0.5),
    "context 90 %": lambda f: f["context_tokens"].quantile(0.9),
    "context 99 %": lambda f: f["context_tokens"].quantile(0.99),
    "share of empty bins": lambda f: (f["requests"] == 0).mean(),
    "autocorrelation 1": lambda f: f["context_tokens"].autocorr(1),
    "autocorrelation 2": lambda f: f["context_tokens"].autocorr(2),
    "autocorrelation 7": lambda f: f["context_tokens"].autocorr(7),
    "autocorrelation 50": lambda f: f["context_tokens"].autocorr(50),
    "corr. with generated": lambda f: f["context_tokens"].corr(f["generated_tokens"]),
    "generated mean": lambda f: f["generated_tokens"].mean(),
    "generated std": lambda f: f["generated_tokens"].std(),
    "requests mean": lambda f: f["requests"].mean(),
    "requests std": lambda f: f["requests"].std(),
}
SERVICE_NAMES = ["conversation", "code"]


def published(service):
    """The docstring's table: (real, mean over seeds, standard deviation) per statistic."""
    number = r"(-?[\d.]+)"
    row = rf"\s+{number}\s+{number} \({number}\)" * 2
    table = {}
    for name in STATISTICS:
        cells = re.search(rf"^ *{re.escape(name)}{row}$", make_llm_trace.__doc__, re.MULTILINE)
        values = [float(cell) for cell in cells.groups()]
        table[name] = values[:3] if service == "conversation" else values[3:]
    return table


def resolution(name):
    """Half a unit of the last digit that the table shows."""
    if name.startswith(("share", "auto", "corr")):
        return 0.0005
    return 0.05 if name.startswith("requests") else 0.5


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_generated_statistics_are_as_published(service):
    n_seeds = 40
    frames = [make_llm_trace(service=service, random_state=seed) for seed in range(n_seeds)]
    for name, (_, mean, deviation) in published(service).items():
        values = np.array([STATISTICS[name](frame) for frame in frames])
        # The table is a mean over 200 seeds: four standard errors of a mean over 40 of them.
        tolerance = 4 * deviation / np.sqrt(n_seeds) + resolution(name)
        assert abs(values.mean() - mean) <= tolerance, name
        assert 0.6 * deviation - resolution(name) <= values.std(ddof=1), name
        assert values.std(ddof=1) <= 1.6 * deviation + resolution(name), name


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_real_statistics_are_as_published_and_near(real_data_home, service):
    frame = fetch_azure_llm_trace(
        service, data_home=real_data_home, download_if_missing=False
    ).frame
    for name, (real, mean, deviation) in published(service).items():
        value = STATISTICS[name](frame)
        assert abs(value - real) <= 1.01 * resolution(name), name
        # The real hour passes for one more seed of the generator.
        assert abs(value - mean) <= 2 * deviation + resolution(name), name


def test_frame_is_that_of_the_reader(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:00,1,2\n")
    read, made = read_llm_trace(path), make_llm_trace(1, random_state=0)
    assert list(made.columns) == list(read.columns)
    assert made.index.equals(read.index)
    assert made.index.name == read.index.name
    assert made.index.freq == read.index.freq
    assert (made.dtypes == read.dtypes).all()


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_seed_decides(service):
    first = make_llm_trace(50, service=service, random_state=3)
    pd.testing.assert_frame_equal(first, make_llm_trace(50, service=service, random_state=3))
    state = np.random.RandomState(3)
    pd.testing.assert_frame_equal(first, make_llm_trace(50, service=service, random_state=state))
    assert not first.equals(make_llm_trace(50, service=service, random_state=4))


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_llm_trace(50, random_state=0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_requests_do_not_depend_on_freq(service):
    fine = make_llm_trace(120, service=service, random_state=0)
    coarse = make_llm_trace(10, service=service, freq="1min", random_state=0)
    np.testing.assert_array_equal(fine.to_numpy().reshape(10, 12, 3).sum(axis=1), coarse.to_numpy())
    finer = make_llm_trace(600, service=service, freq="1s", random_state=0)
    np.testing.assert_array_equal(finer.to_numpy().reshape(120, 5, 3).sum(axis=1), fine.to_numpy())


def test_freq_that_does_not_divide_the_cell():
    odd = make_llm_trace(50, freq="7s", random_state=0)  # 350 s = 70 cells
    even = make_llm_trace(70, random_state=0)
    np.testing.assert_array_equal(odd.sum(), even.sum())
    assert odd.index[1] - odd.index[0] == pd.Timedelta("7s")
    # The last cell may reach beyond the last bin.
    assert len(make_llm_trace(3, freq="3s", random_state=0)) == 3


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_nominal_shift_is_no_shift(service):
    nominal = {"level": 1.0, "noise": 1.0, "burst": 0.0}
    pd.testing.assert_frame_equal(
        make_llm_trace(50, service=service, random_state=0),
        make_llm_trace(50, service=service, shift=nominal, random_state=0),
    )


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_level_multiplies_the_mean(service):
    n_bins = 40_000
    base = make_llm_trace(n_bins, service=service, random_state=0).mean()
    half = make_llm_trace(n_bins, service=service, shift={"level": 0.5}, random_state=0).mean()
    np.testing.assert_allclose(half / base, 0.5, rtol=0.02)
    silent = make_llm_trace(20, service=service, shift={"level": 0}, random_state=0)
    assert (silent == 0).all(axis=None)


def test_noise_spreads_and_keeps_the_mean():
    n_bins = 40_000
    still, base, wild = (
        make_llm_trace(n_bins, shift={"noise": noise}, random_state=0)["requests"]
        for noise in (0.0, 1.0, 1.5)
    )
    rate = sum(kind.rate for kind in SERVICES["conversation"].kinds)
    # Without noise the requests of a bin are Poisson: mean and variance are the rate.
    assert still.mean() == pytest.approx(rate, rel=0.01)
    assert still.var() == pytest.approx(rate, rel=0.03)
    assert base.mean() == pytest.approx(rate, rel=0.03)
    assert wild.mean() == pytest.approx(rate, rel=0.06)
    assert wild.std() > 1.2 * base.std() > 1.2 * still.std()


@pytest.mark.parametrize("service", SERVICE_NAMES)
@pytest.mark.parametrize("freq", ["5s", "20s"])
def test_bursts_are_added_to_the_same_trace(service, freq):
    settings = {"n_bins": 5000, "service": service, "freq": freq, "random_state": 0}
    added = make_llm_trace(**settings, shift={"burst": 0.1}) - make_llm_trace(**settings)
    assert (added >= 0).all(axis=None)
    size = BURST_SIZE * sum(kind.rate for kind in SERVICES[service].kinds)
    size *= pd.Timedelta(freq) / pd.Timedelta("5s")
    hit = added["requests"] > 0
    assert hit.mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 5000))
    assert added["requests"][hit].mean() == pytest.approx(size, rel=0.02)


def test_autoregression_is_stationary():
    rng = np.random.RandomState(0)
    paths = np.array([_autoregression(rng, 60, 0.9) for _ in range(4000)])
    np.testing.assert_allclose(paths.std(axis=0), 1.0, atol=0.05)
    np.testing.assert_allclose(paths.mean(axis=0), 0.0, atol=0.07)
    lag_5 = (paths[:, 5:] * paths[:, :-5]).mean()
    assert lag_5 == pytest.approx(0.9**5, abs=0.03)


def test_busy_share_from_the_first_cell_on():
    spells = SERVICES["code"].spells
    rng = np.random.RandomState(0)
    shares = np.array([_busy_share(rng, 30, spells) for _ in range(3000)])
    assert shares.min() >= 0.0
    assert shares.max() <= 1.0
    expected = spells.busy_mean / (spells.busy_mean + spells.silent_mean)
    np.testing.assert_allclose(shares.mean(axis=0), expected, atol=0.035)


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_sizes_stay_in_range(service):
    frame = make_llm_trace(2000, service=service, random_state=0)
    limit = SERVICES[service].context_limit
    assert (frame["context_tokens"] >= frame["requests"]).all()
    assert (frame["context_tokens"] <= limit * frame["requests"]).all()
    assert (frame["generated_tokens"] >= frame["requests"]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n_bins": 0}, ValueError, "n_bins must be at least 1"),
        ({"n_bins": 10.0}, TypeError, "n_bins must be an integer"),
        ({"service": "chat"}, ValueError, "service must be one of 'conversation', 'code'"),
        ({"freq": "-5s"}, ValueError, "freq must be a positive"),
        ({"shift": {"burst": 2}}, ValueError, r"shift\['burst'\] must be .*\[0.0, 1.0\]"),
        ({"shift": {"levels": 2}}, ValueError, r"'levels'.*\['burst', 'level', 'noise'\]"),
        ({"shift": "level"}, ValueError, "Unknown shift 'level'"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        make_llm_trace(**arguments)
