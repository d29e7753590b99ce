"""Shortest paths in road networks with two-way roads: what training for the path is worth.

Two graphs: a grid of 5 x 5 nodes in which every road goes both ways (80 edges), and 40 places in
the plane that are joined as in a Delaunay triangulation, two thirds of the roads both ways and the
others one way. Travel times are those of ``make_shortest_path``, times the length of the road in
the second graph: a polynomial of five features with multiplicative noise, of degree 4 and 6, so
that a line is wrong. The same line is fitted by least squares, and trained on each loss to
settlement with the estimator's defaults. Rows to test on are the same for all seeds.

A second table has the time of a row: without negative lengths (Dijkstra's algorithm), with those
that SPO+ asks for, and with the linear program of the same rows in HiGHS.

Run ``python benchmarks/cyclic_paths.py``; writes results/cyclic_paths.csv and
results/cyclic_paths.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import interval, markdown, plus_minus
from joblib import Parallel, delayed
from scipy.spatial import Delaunay
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor
from dfl_sklearn.losses import IdentityLoss, SPOPlusLoss, SquaredErrorLoss
from dfl_sklearn.problems import ShortestPathProblem

RESULTS = Path(__file__).parent / "results"
N_TRAIN, N_TEST, TEST_SEED, N_FEATURES, NOISE = 500, 5000, 10_000, 5, 0.5
DEGREES = (4, 6)
LOSSES = {
    "squared error": SquaredErrorLoss(),
    "SPO+": SPOPlusLoss(),
    "identity": IdentityLoss(),
}


def road_network(name):
    """Return a problem and the lengths of its edges."""
    if name == "two-way grid 5x5":
        problem = ShortestPathProblem.grid(5, 5, two_way=True)
        return problem, np.ones(len(problem.edges))
    rng = np.random.default_rng(0)
    place = rng.uniform(size=(40, 2))
    sides = Delaunay(place).simplices[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    roads = np.unique(np.sort(sides, axis=1), axis=0)
    is_two_way = rng.random(len(roads)) < 2 / 3
    edges = np.concatenate([roads, roads[is_two_way][:, ::-1]])
    length = np.linalg.norm(place[edges[:, 0]] - place[edges[:, 1]], axis=1)
    corner = place.sum(axis=1)
    problem = ShortestPathProblem(edges, int(corner.argmin()), int(corner.argmax()))
    return problem, length / length.mean()


GRAPHS = ("two-way grid 5x5", "40 places")


def make(name, degree, n_rows, seed):
    """Return features (n, 5) and travel times (n, n_edges)."""
    _, length = road_network(name)
    slopes = np.random.default_rng(0).integers(0, 2, (len(length), N_FEATURES))
    rng = np.random.default_rng([seed, degree])
    X = rng.standard_normal((n_rows, N_FEATURES))
    noise = rng.uniform(1.0 - NOISE, 1.0 + NOISE, (n_rows, len(length)))
    times = ((X @ slopes.T / np.sqrt(N_FEATURES) + 3.0) ** degree + 1.0) / 3.5**degree
    return X, times * noise * length


def run(name, degree, seed):
    """Return one record per model."""
    problem, _ = road_network(name)
    X, y = make(name, degree, N_TRAIN, seed)
    X_test, y_test = make(name, degree, N_TEST, TEST_SEED)
    best = problem.optimal_cost(y_test)
    models = {"least squares": LinearRegression()}
    for loss_name, loss in LOSSES.items():
        models[loss_name] = DFLRegressor(
            problem, loss=loss, hidden_layer_sizes=(), random_state=seed
        )
    records = []
    for loss_name, model in models.items():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        seconds = time.perf_counter() - start
        predicted = model.predict(X_test)
        paid = problem.cost(problem.solve(predicted), y_test)
        records.append(
            {
                "graph": name,
                "degree": degree,
                "loss": loss_name,
                "seed": seed,
                "regret": float((paid - best).sum() / best.sum()),
                "seconds": seconds,
                "negative": float((predicted < 0).any(axis=1).mean()),
            }
        )
    return records


def time_of_rows(name, n_rows=1000, n_programs=50):
    """Return microseconds per row, on one core: Dijkstra, flows, HiGHS, and the share of flows."""
    problem, _ = road_network(name)
    X, y = make(name, 4, n_rows, 0)
    predicted = LinearRegression().fit(X, y).predict(X)
    reflected = 2.0 * predicted - y  # what SPO+ solves for
    is_negative = (reflected < 0).any(axis=1)
    flows = reflected[is_negative]
    program = problem.as_linear_program().set_params(integrality=None)

    def microseconds(solve, rows, repeats):
        spent = []
        for _ in range(repeats):
            start = time.process_time()
            solve(rows)
            spent.append(time.process_time() - start)
        return 1e6 * min(spent) / len(rows)

    return {
        "graph": f"{name}, {len(np.unique(problem.edges))} nodes, {len(problem.edges)} edges",
        "none negative": microseconds(problem.solve_rows, y, 5),
        "negative": microseconds(problem.solve_rows, flows, 5),
        "negative, batches of 32": microseconds(
            lambda rows: [problem.solve_rows(rows[i : i + 32]) for i in range(0, len(rows), 32)],
            flows,
            5,
        ),
        "negative, HiGHS": microseconds(program.solve, flows[:n_programs], 1),
        "share negative": is_negative.mean(),
    }


def report(results, times):
    """Return the tables as Markdown."""
    lines = [
        f"# Road networks with cycles, {results['seed'].nunique()} seeds\n",
        f"A linear predictor, {N_TRAIN} training rows. Normalised regret (sum of regrets over sum "
        "of optimal costs) on new rows, with 95 % intervals over seeds; differences to the same "
        "line trained on the squared error are paired by seed, in points. Negative: share of test "
        "rows with a negative prediction, which decisions replace by 0. Seconds are of one fit on "
        "one of two busy cores.",
    ]
    for (graph, degree), part in results.groupby(["graph", "degree"], sort=False):
        twin = part[part["loss"] == "squared error"].set_index("seed")["regret"]
        rows = []
        for loss, each in part.groupby("loss", sort=False):
            regret = each.set_index("seed")["regret"]
            mean, half = interval(regret)
            off, off_half = interval(100 * (regret - twin))
            difference = "" if loss == "squared error" else plus_minus(off, off_half, "+.2f")
            rows.append(
                [
                    *(loss, plus_minus(mean, half, ".2%"), difference),
                    *(f"{each['negative'].mean():.1%}", f"{each['seconds'].median():.1f}"),
                ]
            )
        header = ["loss", "regret", "difference to squared error", "negative", "seconds"]
        lines += [f"\n## {graph}, degree {degree}\n", markdown(header, rows)]
    header = ["graph", *(f"{column}, µs" for column in list(times)[1:-1]), "share negative"]
    rows = [
        [each["graph"], *(f"{each[column]:.1f}" for column in list(times)[1:-1])]
        + [f"{each['share negative']:.0%}"]
        for each in times.to_dict("records")
    ]
    lines += [
        "\n## Time of a row\n",
        "On one core, in batches of 1,000 unless it says otherwise. None negative: the observed "
        "lengths. Negative: the rows with negative entries among those that SPO+ asks for, "
        "2 c_hat - c with the predictions of least squares; the last column is their share.\n",
        markdown(header, rows),
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    times = pd.DataFrame([time_of_rows(name) for name in GRAPHS])
    jobs = [(name, d, seed) for name in GRAPHS for d in DEGREES for seed in range(args.seeds)]
    cells = Parallel(n_jobs=args.n_jobs, verbose=5)(delayed(run)(*job) for job in jobs)
    results = pd.DataFrame([record for cell in cells for record in cell])
    text = report(results, times)
    print(text)
    results.to_csv(args.results / "cyclic_paths.csv", index=False, float_format="%.6g")
    (args.results / "cyclic_paths.md").write_text(text)


if __name__ == "__main__":
    main()
