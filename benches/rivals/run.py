#!/usr/bin/env python3
"""Runs Foretaste and its peers on the same work, in turn, and writes what was measured.

Sessions: MovieLens 1M's ratings.dat to a sessions Parquet file (Polars, DuckDB).
Accuracy: biases and matrix factorization on the same five random 90/10 splits (Surprise).
Speed: matrix factorization with the same factors and epochs on the same split (Surprise).

Called by `cargo xtask bench rivals --data FOLDER`, which makes the Python environment with the peers.
Standard library only, so that this process stays small: on Linux a child's peak memory begins with
its parent's.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def run(command):
    """Runs a command; answers its last line of output as JSON, its wall seconds and its peak MB."""
    start = time.perf_counter()
    # Standard error goes to a file: two full pipes would wait for each other.
    with tempfile.TemporaryFile(mode="w+") as told:
        child = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=told, text=True)
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            told.seek(0)
            sys.exit(f"{' '.join(map(str, command))}\n{told.read()}")
    return json.loads(out.strip().splitlines()[-1]), seconds, usage.ru_maxrss * 1024 / 1e6


def spread(numbers, digits=2):
    return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


def sessions(args, scratch):
    source = pathlib.Path(args.data) / "ml-1m" / "ratings.dat"
    outputs = {name: scratch / f"{name}.parquet" for name in ["foretaste", "polars", "duckdb"]}
    commands = {
        "foretaste": [args.foretaste, "sessions", source, "--gaps", "60,86400", "--threads", "2", "--out", outputs["foretaste"], "--json"],
        "polars": [sys.executable, HERE / "sessions_polars.py", source, outputs["polars"]],
        "duckdb": [sys.executable, HERE / "sessions_duckdb.py", source, outputs["duckdb"]],
    }
    rows = {name: [] for name in commands}
    for turn in range(args.turns + 1):
        for name, command in commands.items():
            answer, wall, memory = run(command)
            if turn > 0:  # the first turn warms the caches
                rows[name].append({"seconds": answer["seconds"], "wall": wall, "peak_mb": memory})
    for name in ["polars", "duckdb"]:
        check = [sys.executable, HERE / "sessions_equal.py", outputs["foretaste"], outputs[name]]
        if subprocess.run(check, capture_output=True).returncode != 0:
            sys.exit(f"the sessions of foretaste and {name} differ")
    lines = ["| | seconds of the work | whole process, seconds | peak MB | file MB | work: peer / foretaste |", "|---|---|---|---|---|---|"]
    for name, runs in rows.items():
        column = {key: [r[key] for r in runs] for key in runs[0]}
        ratios = [r["seconds"] / o["seconds"] for r, o in zip(runs, rows["foretaste"])]
        lines.append(
            f"| {name} | {spread(column['seconds'], 3)} | {spread(column['wall'], 3)} | {spread(column['peak_mb'], 0)} "
            f"| {outputs[name].stat().st_size / 1e6:.2f} | {spread(ratios)} |"
        )
    return rows, lines


def foretaste(args, scratch, name, *arguments):
    answer, _, memory = run(
        [args.foretaste, "reproduce", "ml-1m", "--data", pathlib.Path(args.data) / "ml-1m", "--regime", "random", "--device", "flex"]
        + ["--threads", "2", "--json", "--out", scratch / name, *arguments]
    )
    return answer["cells"], memory


def surprise(scratch, seed, *arguments):
    splits = scratch / "accuracy" / "splits"
    files = ["--train", splits / f"ml-1m-random-90_10-seed-{seed}-train.csv", "--test", splits / f"ml-1m-random-90_10-seed-{seed}-test.csv"]
    return run([sys.executable, HERE / "surprise_rmse.py", *files, *arguments])[0]


def accuracy(args, scratch):
    seeds = range(5)
    cells, _ = foretaste(args, scratch, "accuracy", "--models", "biases,pmf,biased-mf", "--seeds", "5", "--save-splits")
    ours = {}
    for cell in cells:
        errors = next(e for e in cell["outcome"]["errors"] if e["reading"] == "frozen")
        ours.setdefault(cell["outcome"]["system"], []).append(errors["rmse"])
    peers = {a: [surprise(scratch, seed, "--algorithm", a)["rmse"] for seed in seeds] for a in ["baseline", "svd"]}
    table = [
        ("Foretaste, biases", ours["biases"]),
        ("Surprise, BaselineOnly", peers["baseline"]),
        ("Foretaste, PMF (plain)", ours["pmf"]),
        ("Foretaste, PMF with biases", ours["biased-mf"]),
        ("Surprise, SVD (its defaults)", peers["svd"]),
    ]
    lines = ["| system | mean test RMSE | each split |", "|---|---|---|"]
    for name, values in table:
        lines.append(f"| {name} | {statistics.mean(values):.4f} | {', '.join(f'{v:.4f}' for v in values)} |")
    return {"foretaste": ours, "surprise": peers}, lines


def speed(args, scratch):
    raw, lines = [], ["| factors | Foretaste, ratings/s | Surprise SVD, ratings/s | ratio | RMSE of each at these settings |", "|---|---|---|---|---|"]
    for factors in [20, 100]:
        ours, theirs, errors = [], [], None
        settings = [f"biased-mf.factors={factors}", "biased-mf.epochs=20", "biased-mf.learning_rate=0.005", "biased-mf.decay=1.0"]
        settings += ["biased-mf.regularization=0.02", "biased-mf.bias_regularization=0.02", "biased-mf.init_deviation=0.1"]
        sets = [word for setting in settings for word in ["--set", setting]]
        for _ in range(args.turns):
            cells, _ = foretaste(args, scratch, "speed", "--models", "biased-mf", "--seeds", "1", "--validation", "0", *sets)
            ours.append(cells[0]["measured"]["events_per_second"])
            peer = surprise(scratch, 0, "--algorithm", "svd", "--factors", str(factors), "--epochs", "20")
            theirs.append(peer["ratings_per_second"])
            errors = (cells[0]["outcome"]["errors"][0]["rmse"], peer["rmse"])
        ratios = [a / b for a, b in zip(ours, theirs)]
        raw.append({"factors": factors, "foretaste": ours, "surprise": theirs})
        lines.append(
            f"| {factors} | {spread([o / 1e6 for o in ours], 1)} M | {spread([t / 1e6 for t in theirs], 1)} M | {spread(ratios, 1)} "
            f"| {errors[0]:.4f}, {errors[1]:.4f} |"
        )
    return raw, lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", default=os.environ.get("FORETASTE_DATA"), help="folder that holds ml-1m")
    parser.add_argument("--turns", type=int, default=7, help="counted turns of every measurement")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "speed.md", type=pathlib.Path)
    args = parser.parse_args()
    if not args.data or not (pathlib.Path(args.data) / "ml-1m" / "ratings.dat").is_file():
        sys.exit("name the folder that holds ml-1m/ratings.dat with --data (or FORETASTE_DATA)")
    args.foretaste, args.data = pathlib.Path(args.foretaste).absolute(), pathlib.Path(args.data).absolute()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        parts = {"sessions": sessions(args, scratch), "accuracy": accuracy(args, scratch), "speed": speed(args, scratch)}
    pins = [line for line in (HERE / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    text = [
        "# Foretaste and its peers on the same work",
        "",
        f"`cargo xtask bench rivals`, {args.turns} turns after a warm-up, all systems in turn; median (least to most).",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, {', '.join(pins)}.",
        "",
        "## MovieLens 1M `ratings.dat` to sessions Parquet",
        "",
        "Parse, sort by user and time, two levels of idle gaps (1 minute, 1 day), write Parquet with zstd; two threads.",
        "The files agree row for row on the columns they share; ours also holds `event_type`. The work leaves out the",
        "import of a Python package.",
        "",
        *parts["sessions"][1],
        "",
        "## MovieLens 1M, random 90/10, the same five splits",
        "",
        "Read frozen, predictions clipped to the scale (as Surprise does). Settings of Foretaste: `systems.toml`.",
        "",
        *parts["accuracy"][1],
        "",
        "## Matrix factorization with biases, 20 epochs, the same split and settings",
        "",
        "Surprise gets its rows sorted by user, its best case. Its time is `fit` alone; ours includes laying out the",
        "rating blocks. Two threads for us, one for Surprise, which has no parallel training.",
        "",
        *parts["speed"][1],
        "",
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(text))
    args.out.with_suffix(".json").write_text(json.dumps({name: part[0] for name, part in parts.items()}, indent=1) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
