import numpy as np
import pytest

from dfl_sklearn.datasets import make_newsvendor


def slopes(n_features, product):
    """The docstring's formula, entry by entry."""
    b = np.array([np.cos(i + 2 * product) for i in range(1, n_features)])
    g = np.array([np.sin(i + 2 * product) for i in range(1, n_features)])
    return (
        np.append(2 * b / np.sqrt((b**2).sum()), 0.0),
        np.append(2 * g / np.sqrt((g**2).sum()), 0.0),
    )


def rotate(slope, degrees):
    turned = slope.copy()
    c, s = np.cos(np.pi * degrees / 180), np.sin(np.pi * degrees / 180)
    turned[0] = c * slope[0] - s * slope[1]
    turned[1] = s * slope[0] + c * slope[1]
    return turned


@pytest.mark.parametrize("n_products", [1, 3])
@pytest.mark.parametrize("n_features", [3, 5, 8])
def test_without_noise_demand_is_the_formula(n_features, n_products):
    X, y, regime = make_newsvendor(
        500, n_features, n_products=n_products,
        shift={"noise": 0.0, "regime": 0.3, "level": 0.5, "rotation": 40.0},
        random_state=0, return_regime=True,
    )  # fmt: skip
    y = y.reshape(500, n_products)
    for product in range(1, n_products + 1):
        beta, gamma = (rotate(slope, 40.0) for slope in slopes(n_features, product))
        expected = 10.5 + np.where(regime, 4 + X @ gamma, X @ beta)
        np.testing.assert_allclose(y[:, product - 1], np.maximum(0, expected), rtol=1e-12)


def test_shapes():
    X, y = make_newsvendor(7, 4, random_state=0)
    assert (X.shape, y.shape) == ((7, 4), (7,))
    X, y, regime = make_newsvendor(7, 4, n_products=2, random_state=0, return_regime=True)
    assert (X.shape, y.shape, regime.shape, regime.dtype) == ((7, 4), (7, 2), (7,), bool)


def test_moments_of_the_nominal_law():
    n = 200_000
    X, y, regime = make_newsvendor(n, random_state=0, return_regime=True)
    p = 0.05
    assert regime.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n))
    # Features: standard normal, but for the hint's mean in the regime.
    np.testing.assert_allclose(X[~regime].mean(axis=0), 0.0, atol=0.012)
    np.testing.assert_allclose(np.cov(X[~regime], rowvar=False), np.eye(5), atol=0.02)
    np.testing.assert_allclose(X[regime].mean(axis=0), [0, 0, 0, 0, 1], atol=0.05)
    # Demand: E y = 10 + 4 R, Var y = |slope|^2 + E exp(x/2) = 4 + exp(1/8).
    variance = 4 + np.exp(1 / 8)
    for rows, mean in ((~regime, 10.0), (regime, 14.0)):
        size = rows.sum()
        assert y[rows].mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / size))
        assert y[rows].var() == pytest.approx(variance, rel=8 / np.sqrt(size))
    # Regression slopes in both regimes.
    for rows, slope in ((~regime, slopes(5, 1)[0]), (regime, slopes(5, 1)[1])):
        design = np.column_stack([np.ones(rows.sum()), X[rows]])
        fitted = np.linalg.lstsq(design, y[rows], rcond=None)[0][1:]
        np.testing.assert_allclose(fitted, slope, atol=6 / np.sqrt(rows.sum()))
    assert (y == 0).mean() < 1e-4


def test_noise_is_heteroscedastic():
    X, y, regime = make_newsvendor(200_000, random_state=0, return_regime=True)
    residual = (y - 10 - X @ slopes(5, 1)[0])[~regime]
    x = X[~regime][:, 0]
    for low, high in ((-2, -1.8), (-0.1, 0.1), (1.8, 2)):
        part = (x > low) & (x < high)
        scale = np.exp((low + high) / 8)
        assert residual[part].std() == pytest.approx(scale, rel=4 / np.sqrt(2 * part.sum()))


def test_products_share_the_regime_but_not_the_noise():
    X, y, regime = make_newsvendor(100_000, n_products=2, random_state=0, return_regime=True)
    residuals = [(y[:, k] - 10 - X @ slopes(5, k + 1)[0])[~regime] for k in (0, 1)]
    assert np.corrcoef(residuals)[0, 1] == pytest.approx(0.0, abs=0.015)


def test_demand_is_cut_at_zero_and_nowhere_else():
    _, low = make_newsvendor(2000, shift={"level": -10.0}, random_state=0)
    _, base = make_newsvendor(2000, random_state=0)
    assert (low == 0).any()
    assert (base > 0).all()
    np.testing.assert_allclose(low, np.maximum(0, base - 10), atol=1e-12)


@pytest.mark.parametrize(("name", "step"), [("level_up", 1.0), ("level_down", -1.0)])
def test_level_moves_demand_alone(name, step):
    X, y = make_newsvendor(400, random_state=0)
    X_shifted, y_shifted = make_newsvendor(400, shift=name, random_state=0)
    np.testing.assert_array_equal(X, X_shifted)
    np.testing.assert_allclose(y_shifted - y, step)


def test_noise_scales_the_residual_alone():
    X, y = make_newsvendor(400, random_state=0)
    X_calm, calm = make_newsvendor(400, shift={"noise": 0}, random_state=0)
    X_noisy, noisy = make_newsvendor(400, shift="noise", random_state=0)
    np.testing.assert_array_equal(X, X_calm)
    np.testing.assert_array_equal(X, X_noisy)
    assert min(y.min(), noisy.min()) > 0
    np.testing.assert_allclose(noisy - calm, 1.5 * (y - calm))


def test_regime_changes_the_rows_that_enter_it_alone():
    X, y, regime = make_newsvendor(4000, random_state=0, return_regime=True)
    X_rare, y_rare, more = make_newsvendor(4000, shift="regime", random_state=0, return_regime=True)
    assert more.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 4000))
    assert more[regime].all()
    same = regime == more
    np.testing.assert_array_equal(X[same], X_rare[same])
    np.testing.assert_array_equal(y[same], y_rare[same])
    np.testing.assert_array_equal(X[~same][:, :-1], X_rare[~same][:, :-1])
    np.testing.assert_allclose(X_rare[~same][:, -1] - X[~same][:, -1], 1.0)


def test_rotation_moves_the_slopes_by_30_degrees():
    shift = {"noise": 0.0, "regime": 0.0}
    X, y = make_newsvendor(50, shift=shift, random_state=0)
    X_turned, turned = make_newsvendor(50, shift=shift | {"rotation": 30.0}, random_state=0)
    np.testing.assert_array_equal(X, X_turned)
    before, after = (np.linalg.lstsq(X, part - 10, rcond=None)[0] for part in (y, turned))
    np.testing.assert_allclose(before[2:], after[2:], atol=1e-12)
    u, v = before[:2], after[:2]
    cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    assert np.rad2deg(np.arccos(cosine)) == pytest.approx(30.0)
    assert np.linalg.norm(u) == pytest.approx(np.linalg.norm(v))


@pytest.mark.parametrize(
    ("name", "mapping"),
    [
        ("regime", {"regime": 0.3}),
        ("noise", {"noise": 1.5}),
        ("level_up", {"level": 1.0}),
        ("level_down", {"level": -1.0}),
        ("rotation", {"rotation": 30.0}),
        (None, {"regime": 0.05, "noise": 1.0, "level": 0.0, "rotation": 0.0}),
    ],
)
def test_names_are_short_for_mappings(name, mapping):
    for a, b in zip(
        make_newsvendor(100, shift=name, random_state=0),
        make_newsvendor(100, shift=mapping, random_state=0),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_seed_decides_the_sample_and_not_the_law():
    X, y = make_newsvendor(100, random_state=1)
    X_again, y_again = make_newsvendor(100, random_state=np.random.RandomState(1))
    np.testing.assert_array_equal(X, X_again)
    np.testing.assert_array_equal(y, y_again)
    coefs = []
    for seed in (2, 3):
        X, y, regime = make_newsvendor(20_000, random_state=seed, return_regime=True)
        coefs.append(np.linalg.lstsq(X[~regime], y[~regime] - 10, rcond=None)[0])
    assert not np.array_equal(*coefs)
    np.testing.assert_allclose(*coefs, atol=0.05)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1"),
        ({"n_features": 2}, ValueError, "n_features must be at least 3"),
        ({"n_products": 0}, ValueError, "n_products must be at least 1"),
        ({"n_samples": 10.0}, TypeError, "n_samples must be an integer"),
        ({"shift": "up"}, ValueError, "Unknown shift 'up'.*level_down.*level_up"),
        ({"shift": {"level_up": 1}}, ValueError, r"'level_up'.*\['level', 'noise', 'regime'"),
        ({"shift": {"regime": 1.2}}, ValueError, r"shift\['regime'\]"),
        ({"shift": {"rotation": np.inf}}, ValueError, r"shift\['rotation'\].*finite"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        make_newsvendor(**arguments)


@pytest.mark.parametrize("n_products", [1, 3])
def test_sales_are_demand_up_to_the_stock(n_products):
    X, y, regime = make_newsvendor(400, n_products=n_products, random_state=0, return_regime=True)
    X_seen, sales, stock, seen = make_newsvendor(
        400, n_products=n_products, censored=0.3, random_state=0, return_regime=True
    )
    np.testing.assert_array_equal(X_seen, X)
    np.testing.assert_array_equal(seen, regime)
    assert sales.shape == stock.shape == y.shape
    np.testing.assert_array_equal(sales, np.minimum(y, stock))
    np.testing.assert_array_equal(sales == stock, y >= stock)
    assert len(make_newsvendor(4, censored=0.3)) == 3


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_the_stock_falls_short_as_often_as_asked(share):
    n = 60_000
    X, sales, stock, regime = make_newsvendor(
        n, n_products=2, censored=share, random_state=0, return_regime=True
    )
    is_censored = sales == stock
    # Whatever the features.
    parts = (X[:, 0] < -1, X[:, 0] > 1, X @ slopes(5, 1)[0] > 2, np.ones(n, dtype=bool))
    for part in parts:
        here = part & ~regime
        np.testing.assert_allclose(
            is_censored[here].mean(axis=0),
            share,
            atol=4 * np.sqrt(share * (1 - share) / here.sum()),
        )
    assert is_censored[regime].mean() > is_censored[~regime].mean()


def test_the_stock_knows_the_features_alone():
    X, _, stock, regime = make_newsvendor(20_000, censored=0.3, random_state=0, return_regime=True)
    _, y = make_newsvendor(20_000, random_state=0)
    for shift in ("regime", "noise", "level_up", "level_down", "rotation"):
        _, _, same = make_newsvendor(20_000, censored=0.3, shift=shift, random_state=0)
        np.testing.assert_allclose(same, stock, rtol=1e-12)
    signal, scale = X @ slopes(5, 1)[0], np.exp(X[:, 0] / 4)
    of_stock, of_demand = (stock - 10 - signal) / scale, ((y - 10 - signal) / scale)[~regime]
    assert of_stock.std() == pytest.approx(1.0, abs=0.02)
    assert np.corrcoef(of_stock[~regime], of_demand)[0, 1] == pytest.approx(0.0, abs=0.03)
    assert np.corrcoef(of_stock, regime)[0, 1] == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("censored", [0, 1, -0.1, True, "some", np.nan])
def test_bad_shares_of_shortages(censored):
    with pytest.raises(ValueError, match="censored must be"):
        make_newsvendor(censored=censored)
