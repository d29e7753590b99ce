"""Comparison at equal price: each method's knob set by one rule, and what comes of it.

Results have one row per family, predictor, method, knob and seed, with the mean cost on tuning,
nominal and shifted rows, and the mean regret under the same names with " regret" behind.
"""

import numpy as np
import pandas as pd
from scipy import stats

PRICE = 0.05


def tuned(results):
    """Return the rows of one family and predictor at the knob that the rule sets.

    The rule: the largest knob whose mean cost on tuning rows is within 5 % of plain training's
    regret. Where no knob is, that of the least cost, marked "dearer". Plain training is the
    margin at its first knob. Methods that choose by themselves are taken as they are.
    """
    margin = results[results["method"] == "margin"]
    if margin.empty:
        raise SystemExit('Plain training, the first knob of "margin", has not been run.')
    plain = margin[margin["knob"] == margin["knob"].min()]
    unit = plain["tuning regret"].mean()
    chosen = [plain.assign(method="plain", note="")]
    for _, rows in results.groupby("method", sort=False):
        cost = rows.groupby("knob")["tuning"].mean()
        price = (cost - plain["tuning"].mean()) / unit
        fitting = price[price <= PRICE]
        if not rows["is_tuned"].all():
            knob, note = price.index[0], " (own choice)"
        elif len(fitting):
            knob = fitting.index.max()
            note = " (largest tried)" if knob == price.index.max() else ""
        else:
            knob, note = price.idxmin(), " (dearer)"
        chosen.append(rows[rows["knob"] == knob].assign(note=note))
    return pd.concat(chosen)


def shift_names(results):
    """Return the names of the shifts of one family."""
    names = [name.removesuffix(" regret") for name in results if name.endswith(" regret")]
    kept = [name for name in names if results[name].notna().all()]
    return [name for name in kept if name not in ("tuning", "nominal")]


def excess(best, shifts):
    """Return {method: Series over seeds} of the change of the worst shifted regret.

    A method's worst shift is that of the largest mean regret over seeds; the change is against
    plain training in its own worst shift, as a share of its regret there. With the regret, shifts
    that differ in their unavoidable cost can be compared.
    """
    rows = {name: each.set_index("seed") for name, each in best.groupby("method", sort=False)}
    worst = {name: worst_shift(each, shifts) for name, each in rows.items()}
    reference = rows["plain"][worst["plain"] + " regret"]
    change = {
        name: (each[worst[name] + " regret"] - reference) / reference.mean()
        for name, each in rows.items()
    }
    return change, worst


def worst_shift(rows, shifts):
    """Return the shift with the largest mean regret."""
    return max(shifts, key=lambda shift: rows[shift + " regret"].mean())


def interval(values):
    """Return mean and half-width of the 95 % interval of the mean."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2 or (values == 0).all():
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def percent(values):
    """Write mean and interval as percentages."""
    mean, half = interval(values)
    return f"{mean:+.1%}" + (f" ± {half:.1%}" if np.isfinite(half) else "")


def markdown(header, rows):
    """Write a table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def family_table(best, shifts):
    """Return one family's comparison as Markdown."""
    change, worst = excess(best, shifts)
    rows = dict(list(best.groupby("method", sort=False)))
    plain = rows["plain"]
    out = []
    for name, each in rows.items():
        price = (each["nominal"].mean() - plain["nominal"].mean()) / plain["nominal regret"].mean()
        out.append(
            [
                name,
                f"{each['knob'].iloc[0]:g}{each['note'].iloc[0]}",
                f"{price:+.1%}",
                *(f"{each[shift + ' regret'].mean():.4g}" for shift in shifts),
                worst[name],
                "" if name == "plain" else percent(change[name]),
                f"{each['fit_seconds'].mean():.1f}",
            ]
        )
    shown = [f"regret: {shift}" for shift in shifts]
    return markdown(
        ["method", "knob", "price", *shown, "worst", "worst against plain", "fit, s"], out
    )


def pooled(changes):
    """Return a table over families: mean change, rank, and the difference to the flagship.

    Parameters
    ----------
    changes : dict
        From (family, predictor) to the first result of `excess`.
    """
    names = [
        name
        for name in next(iter(changes.values()))
        if all(name in change for change in changes.values())
    ]
    tables = {key: pd.DataFrame(change)[names] for key, change in changes.items()}
    mean = sum(tables.values()) / len(tables)  # seeds are paired across families too
    ranks = pd.concat([table.rank(axis=1) for table in tables.values()])
    flagships = [name for name in names if name.startswith("diffusion, tilted")]
    rows = [
        [
            name,
            percent(mean[name]),
            *(percent(tables[key][name].to_numpy()) for key in tables),
            f"{ranks[name].mean():.1f} ± {interval(ranks[name])[1]:.1f}",
            *(
                "" if name == flagship else percent(mean[flagship] - mean[name])
                for flagship in flagships
            ),
        ]
        for name in mean.mean().sort_values().index
    ]
    header = ["method", "all families", *(key[0] for key in tables), "mean rank"]
    return markdown([*header, *(f"{flagship}, less this" for flagship in flagships)], rows)


def frontier(results, path):
    """Draw worst shifted regret against price, one line per method, one panel per family."""
    import matplotlib.pyplot as plt

    parts = list(results.groupby(["family", "predictor"], sort=False))
    fig, axes = plt.subplots(
        1, len(parts), figsize=(4.2 * len(parts), 4.2), layout="constrained", squeeze=False
    )
    colours = plt.get_cmap("tab20").colors
    names = list(dict.fromkeys(results["method"]))
    for ax, ((family, predictor), part) in zip(axes[0], parts, strict=True):
        shifts = shift_names(part.dropna(axis=1, how="all"))
        margin = part[part["method"] == "margin"]
        plain = margin[margin["knob"] == margin["knob"].min()]
        regrets = [shift + " regret" for shift in shifts]
        base = plain[regrets].mean().max()
        for name, each in part.groupby("method", sort=False):
            mean = each.groupby("knob").mean(numeric_only=True)
            price = (mean["nominal"] - plain["nominal"].mean()) / plain["nominal regret"].mean()
            worst = mean[regrets].max(axis=1) / base - 1
            is_ours = name.startswith("diffusion")
            ax.plot(
                100 * price,
                100 * worst,
                "o-" if is_ours else ".--",
                color=colours[names.index(name) % 20],
                lw=1.8 if is_ours else 1.0,
                ms=4,
                label=name,
            )
        ax.axvline(100 * PRICE, color="0.8", zorder=0)
        ax.set(
            title=f"{family}, {predictor}",
            xlabel="price: nominal cost against plain, %",
            xlim=(-6, 16),
        )
        ax.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("worst shifted regret against plain, %")
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncol=5)
    fig.savefig(path, dpi=110)
    plt.close(fig)
