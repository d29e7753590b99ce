"""When a monitor sounds its alarms."""

from results import cell, rounded

from ._register import table


@table(
    "benchmarks/cusum_alarms.py",
    "False alarms within 500 rows where 5 % are asked for, %, and references refused",
    ["costs", "100 reference rows", "refused", "300 reference rows", "refused"],
    [32, 20, 14, 20, 14],
)
def cusum_alarms():
    title = "False alarms of the sum of costs"
    for kind in ("normal", "exponential", "lognormal", "autoregressive, coefficient 0.5"):
        row = [kind]
        for n in ("100", "300"):
            where = "cusum_alarms", title, (kind, n)
            row += [rounded(cell(*where, "alarms")), cell(*where, "refused")]
        yield row


@table(
    "benchmarks/shift_monitor.py",
    "Rows of five seconds until the alarm of regrets and of features",
    ["reference", "stream", "regrets", "features"],
    [34, 34, 16, 16],
)
def shift_monitor():
    of_2023, of_2024 = "2023 conversation, 201 rows", "2024 code, 17273 rows"
    for reference, window, stream in (
        (of_2023, "50", "2023 conversation, later"),
        (of_2023, "50", "2023 code"),
        (of_2024, "200", "2024 code, the next day"),
        (of_2024, "200", "2024 code, the day after"),
        (of_2024, "200", "2023 code"),
        (of_2024, "200", "2023 conversation"),
    ):
        regrets = regret_alarm(reference, stream)
        features = cell("shift_monitor", "Features", (reference, window, stream), "alarm after")
        yield [reference.replace("17273", "17,273"), stream, regrets, features]


@table(
    "benchmarks/feature_shifts.py",
    "Shifts that a test of features finds, % of 200 tests at a level of 1 %",
    ["what moves", "columns", "default", "logistic regression", "logistic regression of products"],
    [36, 12, 14, 18, 20],
)
def feature_shifts():
    title = "Shifts found by a test of features"
    classifiers = "default", "logistic regression", "logistic regression, products"
    for shift, told in (
        ("none", "nothing"),
        ("mean of one column", "the mean of one column"),
        ("means of all columns", "the means of all columns"),
        ("spread of one column", "the spread of one column"),
        ("correlation of two columns", "the correlation of two columns"),
    ):
        for n_columns in ("3", "12", "40"):
            where = "feature_shifts", title, (shift, n_columns)
            yield [told, n_columns, *(rounded(cell(*where, each)) for each in classifiers)]


def regret_alarm(reference, stream):
    """Return after how many rows least squares is said to decide badly."""
    rows = {"2023 conversation, later": "202", "2023 code": "681", "2023 conversation": "694"}
    rows |= {"2024 code, the next day": "17273", "2024 code, the day after": "17265"}
    key = reference, stream, rows[stream], "least squares"
    return cell("shift_monitor", "Sum of regrets", key, "alarm after")
