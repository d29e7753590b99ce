"""Comparison at equal price: each method's knob set by one rule, and what comes of it.

Results have one row per family, predictor, method, knob and seed, with the mean cost on tuning,
nominal and shifted rows, and the mean regret under the same names with " regret" behind.
"""

import numpy as np
import pandas as pd
from scipy import stats

PRICE = 0.05
DEARER, OWN_CHOICE = "dearer", "own choice"


def plain_rows(results):
    """Return the rows of plain training, the margin at its first knob, indexed by seed."""
    margin = results[results["method"] == "margin"]
    if margin.empty:
        raise SystemExit('Plain training, the first knob of "margin", has not been run.')
    return margin[margin["knob"] == margin["knob"].min()].set_index("seed").sort_index()


def shift_names(results):
    """Return the names of the shifts of one family."""
    names = [name.removesuffix(" regret") for name in results if name.endswith(" regret")]
    kept = [name for name in names if results[name].notna().all()]
    return [name for name in kept if name not in ("tuning", "nominal")]


def tuned(results):
    """Return {method: (rows by seed, knob, note)} of one family and predictor, at equal price.

    Knobs are raised from no caution until the mean cost on tuning rows first exceeds plain
    training's by 5 % of its regret. What a method pays and loses at exactly that price is
    interpolated, seed by seed, between the last knob before and the first one beyond. Where no
    knob is beyond, it is the last one; where the first is, that one, and the method is "dearer".
    Methods that choose by themselves are taken as they are.
    """
    plain = plain_rows(results)
    unit = plain["tuning regret"].mean()
    chosen = {"plain": (plain, plain["knob"].iloc[0], "")}
    for name, part in results.groupby("method", sort=False):
        by_knob = {knob: rows.set_index("seed").sort_index() for knob, rows in part.groupby("knob")}
        if any(list(rows.index) != list(plain.index) for rows in by_knob.values()):
            raise SystemExit(f"{name} has not been run with the same seeds at every knob.")
        knobs = sorted(by_knob)
        if not part["is_tuned"].all():
            chosen[name] = by_knob[knobs[0]], np.nan, OWN_CHOICE
            continue
        cost = np.array([by_knob[knob]["tuning"].mean() for knob in knobs])
        price = (cost - plain["tuning"].mean()) / unit
        beyond = np.flatnonzero(price > PRICE)
        if not len(beyond):
            chosen[name] = by_knob[knobs[-1]], knobs[-1], "largest tried"
        elif beyond[0] == 0:
            chosen[name] = by_knob[knobs[0]], knobs[0], DEARER
        else:
            low, high = knobs[beyond[0] - 1], knobs[beyond[0]]
            share = (PRICE - price[beyond[0] - 1]) / (price[beyond[0]] - price[beyond[0] - 1])
            rows = by_knob[low].copy()
            numbers = rows.select_dtypes("number").columns
            rows[numbers] += share * (by_knob[high][numbers] - rows[numbers])
            chosen[name] = rows, float(rows["knob"].iloc[0]), ""
    return chosen


def worst_shift(rows, shifts):
    """Return the shift with the largest mean regret."""
    return max(shifts, key=lambda shift: rows[shift + " regret"].mean())


def excess(best, shifts):
    """Return {method: Series over seeds} of the change of the worst shifted regret.

    A method's worst shift is that of the largest mean regret over seeds; the change is against
    plain training in its own worst shift, as a share of its regret there. With the regret, shifts
    that differ in their unavoidable cost can be compared.
    """
    worst = {name: worst_shift(rows, shifts) for name, (rows, _, _) in best.items()}
    reference = best["plain"][0][worst["plain"] + " regret"]
    change = {
        name: (rows[worst[name] + " regret"] - reference) / reference.mean()
        for name, (rows, _, _) in best.items()
    }
    return change, worst


def interval(values):
    """Return mean and half-width of the 95 % interval of the mean."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2 or (values == 0).all():
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def percent(values):
    """Write mean and interval as percentages."""
    return plus_minus(*interval(values), "+.1%")


def plus_minus(mean, half, form):
    """Write mean and half-width, or the mean alone where one seed has no interval."""
    return f"{mean:{form}}" + (f" ± {half:{form.lstrip('+')}}" if np.isfinite(half) else "")


def markdown(header, rows):
    """Write a table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def price_of(rows, plain, where):
    """Return the rise of the mean cost on rows of a kind, as a share of plain's regret there."""
    return (rows[where].mean() - plain[where].mean()) / plain[f"{where} regret"].mean()


def family_table(best, shifts):
    """Return one family's comparison as Markdown."""
    change, worst = excess(best, shifts)
    plain = best["plain"][0]
    out = []
    for name, (rows, knob, note) in best.items():
        shown = "" if np.isnan(knob) else f"{knob:.3g}"
        out.append(
            [
                name,
                f"{shown} ({note})" if note else shown,
                f"{price_of(rows, plain, 'tuning'):+.1%}",
                f"{price_of(rows, plain, 'nominal'):+.1%}",
                *(f"{rows[shift + ' regret'].mean():.4g}" for shift in shifts),
                worst[name],
                "" if name == "plain" else percent(change[name]),
                f"{rows['fit_seconds'].mean():.1f}",
            ]
        )
    shown = [f"regret: {shift}" for shift in shifts]
    header = ["method", "knob", "price, tuning rows", "price, nominal rows", *shown]
    return markdown([*header, "worst", "worst against plain", "fit, s"], out)


def pooled(chosen):
    """Return a table over families: mean change, rank, and the difference to the flagship.

    Methods that are dearer than the price in some family, or choose by themselves, are listed
    below without a rank.

    Parameters
    ----------
    chosen : dict
        From a family's name to ``(tuned, shifts)``.
    """
    changes = {family: pd.DataFrame(excess(*each)[0]) for family, each in chosen.items()}
    notes = {
        name: {family: best[name][2] for family, (best, _) in chosen.items() if name in best}
        for name in next(iter(changes.values()))
    }
    common = [name for name, each in notes.items() if len(each) == len(chosen)]
    ranked = [name for name in common if not {DEARER, OWN_CHOICE} & set(notes[name].values())]
    mean = sum(table[common] for table in changes.values()) / len(changes)  # seeds are paired
    # Ranks are averaged over families first: a seed is one observation.
    ranks = sum(table[ranked].rank(axis=1) for table in changes.values()) / len(changes)
    flagships = [name for name in ranked if name.startswith("diffusion, tilted")]
    rows = []
    order = list(mean[ranked].mean().sort_values().index)
    for name in [*order, *(each for each in common if each not in ranked)]:
        marks = "".join(
            {DEARER: "*", OWN_CHOICE: "†"}.get(each, "") for each in notes[name].values()
        )
        center, half = interval(ranks[name]) if name in ranked else (np.nan, np.nan)
        rows.append(
            [
                name + marks[:1],
                percent(mean[name]),
                *(percent(table[name]) for table in changes.values()),
                plus_minus(center, half, ".1f") if name in ranked else "",
                *(
                    "" if name == flagship else percent(mean[flagship] - mean[name])
                    for flagship in flagships
                ),
            ]
        )
    header = ["method", "all families", *changes, "mean rank"]
    table = markdown([*header, *(f"{flagship}, less this" for flagship in flagships)], rows)
    return table + (
        "\n\\* dearer than the price in at least one family. † chooses its knob by itself, at "
        "whatever price.\n"
    )


def frontier(results, path):
    """Draw worst shifted regret against price, one line per method, one panel per family."""
    import matplotlib.pyplot as plt

    parts = list(results.groupby(["family", "predictor"], sort=False))
    fig, axes = plt.subplots(
        1, len(parts), figsize=(4.2 * len(parts), 4.8), layout="constrained", squeeze=False
    )
    colours = plt.get_cmap("tab20").colors
    names = list(dict.fromkeys(results["method"]))
    for ax, ((family, predictor), part) in zip(axes[0], parts, strict=True):
        part = part.dropna(axis=1, how="all")
        regrets = [shift + " regret" for shift in shift_names(part)]
        plain = plain_rows(part)
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
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncol=6)
    fig.savefig(path, dpi=110)
    plt.close(fig)
