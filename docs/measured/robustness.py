"""Ambiguity sets and conservative baselines."""

from results import cell, rounded

from ._register import table


@table(
    "benchmarks/newsvendor_shift.py",
    "Change of the worst shifted cost against plain training, %",
    ["method", "linear", "MLP"],
    [52, 24, 24],
)
def newsvendor_shift():
    for label, way in (
        ("inflated underage cost", "margin"),
        ("inflated underage cost, 10 bootstrap fits averaged", "margin, bagged"),
        ("inflated underage cost, 10 seeds averaged", "margin, averaged"),
        ("quantile regression, raised level", "quantile regression"),
        ("3D-Learning, tilted", "diffusion, tilted"),
        ("3D-Learning, tilted, 5 seeds averaged", "diffusion, tilted, averaged"),
        ("3D-Learning, tilted, generated rows alone", "diffusion, tilted, generator alone"),
        ("3D-Learning, policy gradient", "diffusion, policy gradient"),
    ):
        row = [label]
        for net in ("linear", "MLP"):
            try:
                row.append(cell("newsvendor_shift", f"{net} predictor", way, "against plain"))
            except KeyError:  # not measured with this net
                row.append("")
        yield [rounded(text) if i else text for i, text in enumerate(row)]


@table(
    "benchmarks/newsvendor_population.py",
    "Change of the cost of the shift at a price of 5 %, %",
    ["method", "linear", "MLP"],
    [52, 24, 24],
)
def newsvendor_population():
    title = "Newsvendor 9:1 with endless data: cost of the common regime at equal price"
    for label, way in (
        ("inflated underage cost", "margin (underage cost)"),
        ("worst case near the true distribution", "worst case near the true law (nats)"),
        ("trained on the shift to come", "knows the shift (share of shifted rows)"),
    ):
        found = (cell("newsvendor_population", title, (n, way), "price 5%") for n in TWO_NETS)
        yield [label, *(rounded(text) for text in found)]


TWO_NETS = "linear", "MLP"
FAMILIES = "newsvendor 9:1", "newsvendor 1:1", "provisioning", "portfolio"
MARKS = {"*": r"\*", "†": " †", "": ""}


@table(
    "benchmarks/shift_suite.py",
    "Change of the worst shifted regret against plain training, %",
    ["method", "all families", *FAMILIES, "difference to 3D-Learning, tilted, averaged"],
    [25, 14, 14, 14, 13, 13, 13],
)
def shift_suite():
    last = "diffusion, tilted, averaged, less this"
    for label, mark in (
        *(
            (each, "")
            for each in (
                "margin, averaged",
                "diffusion, tilted, averaged",
                "margin, bagged",
                "KL, averaged",
                "margin",
                "CVaR, averaged",
                "chi-square, averaged",
                "Wasserstein, averaged",
                "KL",
                "CVaR",
                "quantile regression",
                "chi-square",
                "Wasserstein",
                "nominal samples, margin",
                "diffusion, policy gradient",
                "plain",
            )
        ),
        ("least squares, padded", "*"),
        ("boosting, padded", "*"),
        ("Gaussian noise", "*"),
        ("diffusion, tilted", "*"),
        ("diffusion, radius chosen", "†"),
    ):
        found = (
            cell("shift_suite", "All families, MLP", label + mark, column)
            for column in ("all families", *FAMILIES, last)
        )
        yield [renamed(label) + MARKS[mark], *(rounded(text) for text in found)]


def renamed(label):
    """Return the name of a method in the guide, which differs from that in the results."""
    if label.endswith("padded"):
        return label.replace(", padded", " and a margin")
    for old, new in (
        ("nominal samples, margin", "generated rows and an inflated cost"),
        ("margin", "inflated cost"),
        ("diffusion", "3D-Learning"),
        ("plain", "plain training"),
    ):
        if label.startswith(old):
            return label.replace(old, new, 1)
    return label
