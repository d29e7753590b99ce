"""False alarms of the sum of costs: what was asked for, and what a finite reference leaves of it.

Streams of 500 costs without a shift, each after a reference of its own: normal, exponential and
lognormal ones, and a Gaussian autoregression whose coefficient is 0.5. Of 1,000 streams, how many
sound an alarm where 5 % are asked for, and how many references are refused because they are worth
too few independent costs.

Run ``python benchmarks/cusum_alarms.py``; writes results/cusum_alarms.csv and
results/cusum_alarms.md.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import markdown
from joblib import Parallel, delayed
from scipy.signal import lfilter
from scipy.special import log_ndtr

from dfl_sklearn.online import Cusum

RESULTS = Path(__file__).parent / "results"
ALPHA, HORIZON, WARM_UP = 0.05, 500, 200
COSTS = {
    "normal": lambda noise: noise,
    "exponential": lambda noise: -log_ndtr(noise),
    "lognormal": np.exp,
    "autoregressive, coefficient 0.5": lambda noise: lfilter([1], [1, -0.5], noise),
}
REFERENCES = (100, 300)


def alarm(kind, n_reference, seed):
    """Return whether a stream without a shift sounds the alarm, None where refused."""
    noise = np.random.default_rng(seed).standard_normal(WARM_UP + n_reference + HORIZON)
    costs = COSTS[kind](noise)[WARM_UP:]
    try:
        watch = Cusum(costs[:n_reference], alpha=ALPHA, horizon=HORIZON, random_state=seed)
    except ValueError as error:
        if "independent" not in str(error):
            raise
        return None
    for cost in costs[n_reference:].tolist():
        watch.update(cost)
    return watch.alarm_at is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    cells = [(kind, n) for kind in COSTS for n in REFERENCES]
    records = []
    for kind, n in cells:
        found = Parallel(n_jobs=args.n_jobs)(
            delayed(alarm)(kind, n, seed) for seed in range(args.seeds)
        )
        records += [(kind, n, seed, each) for seed, each in enumerate(found)]
        print(kind, n, flush=True)
    results = pd.DataFrame(records, columns=["costs", "reference_rows", "seed", "alarm"])
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "cusum_alarms.csv", index=False)
    text = report(results)
    (args.results / "cusum_alarms.md").write_text(text)
    print(text)


def report(results):
    """Return the table as Markdown."""
    lines = []
    for (kind, n), part in results.groupby(["costs", "reference_rows"], sort=False):
        watched = part["alarm"].dropna()
        share = f"{watched.astype(bool).mean():.1%}" if len(watched) else ""
        lines.append([kind, str(n), share, f"{len(part) - len(watched)} of {len(part)}"])
    return (
        "# False alarms of the sum of costs\n\n"
        f"Within {HORIZON} rows without a shift, where {ALPHA:.0%} are asked for; of "
        f"{results['seed'].nunique()} streams, each with a reference of its own. References worth "
        "fewer than 30 independent costs are refused.\n\n"
        + markdown(["costs", "reference rows", "alarms", "refused"], lines)
    )


if __name__ == "__main__":
    main()
