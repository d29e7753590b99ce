"""Draw the thumbnails of gallery pages that are not run, from benchmarks/results."""

from pathlib import Path

import matplotlib.pyplot as plt
from results import cell

FOLDER = Path(__file__).parent / "_static" / "thumbnails"
GREY, BLUE = "0.65", "#1f77b4"


def number(*where):
    """Return the mean that a cell of a results file holds."""
    return float(cell(*where).split(" ±")[0].rstrip("%"))


def bars(values, label):
    """Draw a bar per name, the last one in colour."""
    figure, axis = plt.subplots(figsize=(4, 2.8), layout="constrained")
    names = list(values)[::-1]
    colours = [BLUE, *[GREY] * (len(names) - 1)]
    axis.barh(names, [values[name] for name in names], color=colours)
    axis.set_xlabel(label)
    return figure


def llm_provisioning_3d_learning():
    ways = {
        "last value": "last value",
        "least squares": "least squares",
        "decision-\nfocused": "linear net, decision-focused",
        "3D-Learning": "linear net, 3D-Learning",
    }
    values = {k: number("azure", "Protocol: honest", w, "2023 code") for k, w in ways.items()}
    return bars(values, "normalised regret, shifted")


def restaurant_scenarios():
    ways = {
        "least squares": "least squares",
        "forest, mean": "forest",
        "forest, leaves": "forest weights",
        "chosen": "chosen",
    }
    values = {k: number("scenarios", "Restaurant", way, "cost") for k, way in ways.items()}
    return bars(values, "cost of a day")


def wilder_melding():
    title = "Matching citations on Cora, 30 splits"
    ways = {
        "random forest": "random forest",
        "two-stage": "two-stage",
        "decision-\nfocused": "decision-focused",
    }
    values = {k: number("cora_matching", title, way, "matches") for k, way in ways.items()}
    return bars(values, "citations matched")


def shortest_path_spo_plus():
    title = "A line that gets more and more wrong, 10 seeds"
    figure, axis = plt.subplots(figsize=(4, 2.8), layout="constrained")
    for way, colour in (("random forest", "0.8"), ("least squares", GREY), ("SPO+", BLUE)):
        values = [number("spo_plus_degrees", title, degree, way) for degree in "12468"]
        axis.plot([1, 2, 4, 6, 8], values, marker="o", color=colour, label=way)
    axis.set(xlabel="degree", ylabel="regret, %", ylim=0)
    axis.legend(frameon=False)
    return figure


THUMBNAILS = (
    llm_provisioning_3d_learning,
    restaurant_scenarios,
    shortest_path_spo_plus,
    wilder_melding,
)


def draw(folder=FOLDER):
    """Write the thumbnails as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}):
        for each in THUMBNAILS:
            figure = each()
            figure.savefig(folder / f"{each.__name__}.png", dpi=100)
            plt.close(figure)
