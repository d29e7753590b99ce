"""Decisions over scenarios."""

from results import cell, rounded

from ._register import POWER, table


@table(
    "benchmarks/scenarios.py",
    "Regret beside that of five averaged policies, %; on the restaurant the cost beside theirs",
    ["decides from", "products", "portfolio", "capacities", "shifted", "restaurant"],
    [30, 14, 14, 14, 14, 14],
)
def scenarios():
    for label, way in (
        ("least squares", "least squares"),
        ("least squares and a margin", "least squares, margin"),
        ("five decision-focused nets", "decision-focused, five averaged"),
        ("residuals of least squares", "residuals"),
        ("residuals with a scale", "residuals, scaled"),
        ("residuals of a forest", "residuals of a forest"),
        ("leaves of a forest", "forest weights"),
        ("neighbours", "neighbours"),
        ("the scenario model with the least cross-validated cost", "chosen"),
        ("residuals with a scale and a margin", "residuals, scaled, margin"),
        ("residuals with a scale, CVaR", "residuals, scaled, CVaR"),
        ("residuals with a scale, a KL ball", "residuals, scaled, KL"),
    ):
        families = ("Shared capacity", "Loss portfolio", "Flexible capacity")
        each = [rounded(cell("scenarios", f, way, "no shift"), 0) for f in families]
        shifted = rounded(cell("scenarios", "All families", way, "shifted"), 0)
        yield [
            label,
            *each,
            shifted,
            rounded(cell("scenarios", "Restaurant", way, "difference"), 1),
        ]


@table(
    "benchmarks/scenarios.py",
    "The same for nets and the flagship; shifted is the mean over shifts of the products",
    ["decides from", "products", "portfolio", "capacities", "shifted", "restaurant"],
    [30, 14, 14, 14, 14, 14],
)
def scenario_nets():
    for label, way in (
        ("a mixture, linear in x", "mixture"),
        ("the diffusion model", "diffusion"),
        ("a normal distribution, linear in x", "Gaussian"),
        ("the same, trained for the decision", "Gaussian, trained for the decision"),
        ("the flagship, a point", "flagship"),
        ("the flagship, five averaged", "flagship, five averaged"),
        ("the flagship over scenarios", "flagship, scenarios"),
        ("residuals with a scale", "residuals, scaled"),
        ("residuals with a scale, a KL ball", "residuals, scaled, KL"),
    ):
        each = [beside(family, way) for family in ("Loss portfolio", "Flexible capacity")]
        yield [
            label,
            rounded(cell("scenarios", "Shared capacity", way, "no shift"), 0),
            *each,
            rounded(cell("scenarios", "Shared capacity", way, "shifted"), 0),
            rounded(cell("scenarios", "Restaurant", way, "difference"), 1),
        ]


def beside(family, way):
    """Return the regret without a shift where all ten seeds were run."""
    try:
        seeds = cell("scenarios", family, way, "seeds")
    except KeyError:
        return ""
    return rounded(cell("scenarios", family, way, "no shift"), 0) if seeds == "10" else ""


@table(
    "benchmarks/power_scheduling.py",
    "Cost of a day",
    ["decides from", "cost", "CPU seconds of a fit"],
    [52, 24, 24],
)
def power_scenarios():
    for label, way in (
        ("residuals of a ridge regression", "ridge, residuals"),
        ("the same with a scale", "ridge, residuals with a scale"),
        ("ridge regression and the newsvendor's margin", "ridge, newsvendor's margin"),
        ("a policy", "policy"),
        ("a net trained for the decision, a point", "net, decision-focused"),
        ("a normal distribution of each hour, by likelihood", "Gaussian"),
        ("the same, trained for the decision", "Gaussian, decision-focused"),
        ("the same, by the score function", "Gaussian, score function"),
        ("a diffusion model", "diffusion"),
        ("the same, eight epochs trained for the decision", "diffusion, decision-focused"),
        ("the same, by the score function", "diffusion, score function"),
    ):
        cost = rounded(cell(*POWER, way, "cost of a day").split(" (")[0], 2)
        seconds = cell(*POWER, way, "CPU seconds")
        yield [label, cost, seconds if float(seconds) < 1 else rounded(seconds, 0)]
