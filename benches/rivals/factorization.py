#!/usr/bin/env python3
"""Matrix factorization at the Netflix Prize's size beside LIBMF: the same simulated split, factors, iterations and threads,
in turn; training's seconds and the error on the same test rows.

Called by `cargo xtask bench rivals-factorization`; `--scale 1` takes 10 GB of memory (LIBMF's) and of disk.
"""

import argparse
import json
import pathlib
import platform
import statistics
import sys
import tempfile

from run import HERE, ROOT, run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", help="taken by all comparisons; not needed here")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--factors", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--regularizations", nargs="*", default=["0.04", "0.1"], help="LIBMF's, a row each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-factorization.md", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        run([args.foretaste, "simulate", "netflix", "--scale", args.scale, "--out", scratch / "log", "--json"])
        words = ["reproduce", scratch / "log" / "training_set", "--regime", "random", "--seeds", 1, "--validation", 0, "--models", "biased-mf", "--device", "flex"]
        sets = ["--set", f"biased-mf.factors={args.factors}", "--set", f"biased-mf.epochs={args.iterations}"]
        rows, ours, theirs = 0, [], {r: [] for r in args.regularizations}
        for turn in range(args.turns):
            out = scratch / f"run-{turn}"
            _, _, memory = run([args.foretaste, *words, *sets, "--threads", args.threads, "--save-splits", "--json", "--out", out])
            (found,) = json.loads((out / "results.json").read_text())
            (taken,) = json.loads((out / "measured.json").read_text())
            ours.append((taken["measured"]["train_seconds"], found["errors"][0]["rmse"], memory))
            train, test = (next((out / "splits").glob(f"*-{part}.csv")) for part in ("train", "test"))
            for regularization in args.regularizations:
                peer = [sys.executable, HERE / "libmf_rmse.py", train, test, "--factors", args.factors, "--iterations", args.iterations, "--threads", args.threads]
                found, _, memory = run([*peer, "--regularization", regularization])
                theirs[regularization].append((found["fit_seconds"], found["rmse"], memory))
                rows = found["rows"]
            train.unlink()
            print(ours[-1], {r: t[-1] for r, t in theirs.items()}, file=sys.stderr, flush=True)
    lines = [
        "# Matrix factorization beside LIBMF",
        "",
        f"`cargo xtask bench rivals-factorization --scale {args.scale:g} --turns {args.turns} --factors {args.factors} --iterations {args.iterations}`; {args.threads} threads, {platform.machine()},",
        f"LIBMF 0.9.2 (PyPI, built with -O3 and AVX). {rows} simulated training ratings (`foretaste simulate netflix`), random 90/10, seed 0; {args.factors} factors, {args.iterations}",
        "iterations, in turn; ratings a second are those of whole trainings (LIBMF: `fit`), the median of the turns. Ours is equal to the bit at any number of threads; LIBMF's blocks are",
        "taken by whichever thread is free.",
        "",
        "| | seconds | million ratings a second | test RMSE | peak MB |",
        "|---|---|---|---|---|",
    ]
    for name, runs in [("Foretaste, PMF with biases", ours), *((f"LIBMF, regularization {r}", t) for r, t in theirs.items())]:
        seconds = statistics.median(s for s, _, _ in runs)
        lines.append(f"| {name} | {seconds:.1f} | {rows * args.iterations / seconds / 1e6:.1f} | {runs[0][1]:.4f} | {max(m for _, _, m in runs):.0f} |")
    args.out.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
