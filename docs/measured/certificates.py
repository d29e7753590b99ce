"""Promises of costs."""

from results import cell, rounded

from ._register import table


@table(
    "benchmarks/storage.py",
    "Mean cost, mean promise, and share of promises kept, %",
    [
        "model and promise",
        "cost, time",
        "promise, time",
        "kept, time",
        "cost, shuffled",
        "promise, shuffled",
        "kept, shuffled",
    ],
    [34, 11, 11, 11, 11, 11, 11],
)
def storage():
    default = "planned, tail 0.5 (default)"
    for label, model, way in (
        ("ridge on logs, ``scale=None``", "ridge on logs", "no scale"),
        ("ridge on logs, the default", "ridge on logs", default),
        ("ridge on logs, ``tail=0``", "ridge on logs", "planned, tail 0"),
        ("ridge on logs, ``tail=1``", "ridge on logs", "planned, tail 1"),
        ('ridge on logs, ``scale="ridge"``', "ridge on logs", "ridge, tail 0.5"),
        ("ridge on logs, box", "ridge on logs", "box"),
        ("ridge on logs, ellipsoid", "ridge on logs", "ellipsoid"),
        ("forest on logs, the default", "forest on logs", default),
        ("ridge on prices, the default", "ridge on prices", default),
    ):
        row = [label]
        for split in ("time", "shuffled"):
            for column in ("mean cost", "mean promise", "kept"):
                text = cell("storage", split, (model, way), column)
                row.append(rounded(text.split(" (")[0]))
        yield row


@table(
    "benchmarks/storage.py",
    "Weights of calibration days: mean promise, and share of promises kept (spread over seeds), %",
    [
        "model and features of the weights",
        "calibration days are worth",
        "days refused",
        "promise",
        "kept",
        "promise without weights",
        "kept without weights",
    ],
    [28, 12, 12, 12, 12, 12, 12],
)
def storage_shift():
    title = "Weights of calibration days by how much they look like the test days"
    for model, weights in (
        ("ridge on logs", "all 101 features"),
        ("ridge on logs", "all, clip=10"),
        ("ridge on logs", "5 components, clip=10"),
        ("ridge on prices", "all, clip=10"),
        ("ridge on prices", "5 components, clip=10"),
    ):
        row = [f"{model}; {weights}".replace("clip=10", "``clip=10``")]
        for column, with_spread in (
            ("calibration days are worth", False),
            ("test days refused", False),
            ("mean promise", False),
            ("kept", True),
            ("promise without", False),
            ("kept without", True),
        ):
            text = cell("storage_shift", title, ("time", model, weights), column)
            row.append(rounded(text if with_spread else text.split(" (")[0]))
        yield row
