"""The benchmarks one after the other, each with how long it takes.

Minutes are those of 2 cores, rounded up, from the seconds that the last full run of each recorded,
halved where fits run two at a time; that of newsvendor_population is ten times what a tenth of its
rows takes, and those of azure, of the two on scenarios and of stress_choice are estimates from a
part of their seeds. Write the new number here where a benchmark changes.

Run ``python benchmarks/run_all.py``, with names for some of them, ``--list`` to see the minutes.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

MINUTES = {
    "speed": 1,
    "comparison": 2,
    "azure": 75,
    "azure_experts": 2,
    "shift_monitor": 3,
    "cusum_alarms": 4,
    "feature_shifts": 6,
    "robust_cost": 8,
    "ensembles": 7,
    "newsvendor_population": 6,
    "newsvendor_shift": 21,
    "shift_suite": 90,
    "stress_choice": 18,  # after shift_suite, whose cells it uses
    "rare_group": 8,
    "layers": 2,
    "linear_losses": 5,
    "cyclic_paths": 8,
    "spo_plus_degrees": 2,
    "cora_matching": 39,
    "coverage": 28,
    "recourse": 14,
    "power_scheduling": 17,
    "fine_tuning": 6,
    "uncertain_knapsack": 15,
    "scenario_oracles": 9,
    "scenario_memory": 4,
    "scenarios": 45,
    "storage": 10,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=list(MINUTES), metavar="name", help="of files")
    parser.add_argument("--list", action="store_true", help="print the minutes and run nothing")
    args = parser.parse_args()
    unknown = set(args.names) - set(MINUTES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; see --list")
    for name in args.names:
        print(f"{name:24s} about {MINUTES[name]:3d} minutes")
    total = sum(MINUTES[name] for name in args.names)
    print(f"{'together':24s} about {total:3d} minutes on 2 cores", flush=True)
    failed = []
    for name in [] if args.list else args.names:
        print(f"\n{name}: about {MINUTES[name]} minutes from {time.strftime('%H:%M')}", flush=True)
        start = time.perf_counter()
        done = subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py")])
        print(f"{name} took {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
        failed += [name] if done.returncode else []
    if failed:
        sys.exit(f"These ended with an error: {', '.join(failed)}")


if __name__ == "__main__":
    main()
