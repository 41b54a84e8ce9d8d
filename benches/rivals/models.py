#!/usr/bin/env python3
"""Runs Foretaste's rating models and their peers on the same work, in turn, and writes what was measured.

FM by Gibbs sampling: myFM (iterations a second with day and bags; test error with user and item alone).
SVD++: Surprise. I-AutoRec and DeepRec: the same networks in PyTorch, sparse-aware.

Called by `cargo xtask bench rivals-models --data FOLDER`, which makes the Python environment with the peers.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile

from run import HERE, ROOT, run, spread


def foretaste(args, scratch, name, system, threads, *settings):
    sets = [word for setting in settings for word in ["--set", f"{system}.{setting}"]]
    answer, _, _ = run(
        [args.foretaste, "reproduce", "ml-1m", "--data", pathlib.Path(args.data) / "ml-1m", "--regime", "random", "--seeds", "1"]
        + ["--validation", "0", "--device", "flex", "--threads", str(threads), "--json", "--models", system, "--out", scratch / name, *sets]
        + (["--save-splits"] if name == "splits" else [])
    )
    cell = answer["cells"][0]
    frozen = next(e for e in cell["outcome"]["errors"] if e["reading"] == "frozen")
    measured = cell["measured"]
    return {"rmse": frozen["rmse"], "seconds_per_epoch": measured["train_seconds"] / max(cell["outcome"]["epochs"], 1), "peak_mb": measured["peak_memory_mb"]}


def peer(script, *arguments):
    return run([sys.executable, HERE / script, *arguments])[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", default=os.environ.get("FORETASTE_DATA"), help="folder that holds ml-1m")
    parser.add_argument("--turns", type=int, default=3, help="turns of every measurement")
    parser.add_argument("--iterations", type=int, default=10, help="Gibbs iterations a turn")
    parser.add_argument("--accuracy-iterations", type=int, default=200, help="Gibbs iterations of the comparison of errors")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-models.md", type=pathlib.Path)
    args = parser.parse_args()
    if not args.data or not (pathlib.Path(args.data) / "ml-1m" / "ratings.dat").is_file():
        sys.exit("name the folder that holds ml-1m/ratings.dat with --data (or FORETASTE_DATA)")
    args.foretaste, args.data = pathlib.Path(args.foretaste).absolute(), pathlib.Path(args.data).absolute()
    raw, speed = {}, []
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        foretaste(args, scratch, "splits", "biases", 2)
        train, test = (scratch / "splits" / "splits" / f"ml-1m-random-90_10-seed-0-{part}.csv" for part in ["train", "test"])

        def compare(title, unit, ours, theirs):
            """`ours` and `theirs` answer seconds a unit of work; the ratio is theirs to ours."""
            a, b = [], []
            for _ in range(args.turns):
                a.append(ours())
                b.append(theirs())
            ratios = [y / x for x, y in zip(a, b)]
            raw[title] = {"foretaste": a, "peer": b}
            speed.append(f"| {title} | {unit} | {spread(a, 3)} | {spread(b, 3)} | {spread(ratios, 1)} |")
            print(speed[-1], file=sys.stderr)

        n = args.iterations
        # Chains are independent: an iteration of two of them is two iterations.
        for threads, chains in [(1, 1), (2, 1), (2, 2)]:
            compare(
                f"FM, MCMC, day and both bags, rank 32, {chains} chain{'s' * (chains > 1)} on {threads} of our threads (myFM has one)",
                "iteration of a chain",
                lambda threads=threads, chains=chains: (
                    foretaste(args, scratch, "fm", "fm", threads, f"iterations={n}", f"kept={chains}", f"chains={chains}")["seconds_per_epoch"] / chains
                ),
                lambda: 1 / peer("myfm_rmse.py", train, test, "--rank", "32", "--iterations", n, "--features", "bags")["iterations_per_second"],
            )
        compare(
            "SVD++, 20 factors (Surprise has one thread)",
            "epoch",
            lambda: foretaste(args, scratch, "svdpp", "svd++", 2, "factors=20", "epochs=20")["seconds_per_epoch"],
            lambda: peer("surprise_svdpp.py", train, test, "--factors", "20", "--epochs", "1")["fit_seconds"],
        )
        compare(
            "I-AutoRec, 500 hidden units, batches of 512",
            "epoch",
            lambda: foretaste(args, scratch, "autorec", "i-autorec", 2, "batch=512", "epochs=8")["seconds_per_epoch"],
            lambda: peer("torch_autorec.py", train, "--hidden", "500", "--batch", "512", "--epochs", "8")["seconds_per_epoch"],
        )
        for refeeding in [0, 1]:
            compare(
                f"DeepRec 512, 512, 1024, batches of 128, {'with' if refeeding else 'without'} re-feeding",
                "epoch",
                lambda refeeding=refeeding: foretaste(args, scratch, "deeprec", "deeprec", 2, "epochs=4", f"refeeding={refeeding}")["seconds_per_epoch"],
                lambda refeeding=refeeding: peer("torch_deeprec.py", train, "--refeed", refeeding, "--epochs", "4")["seconds_per_epoch"],
            )
        m = args.accuracy_iterations
        ours = foretaste(args, scratch, "fm-mf", "fm-mf", 2, f"iterations={m}", "burn_in=5", f"kept={m - 5}")
        theirs = peer("myfm_rmse.py", train, test, "--rank", "32", "--iterations", m, "--features", "user-item")
        raw["FM, user and item"] = {"foretaste": ours, "peer": theirs}
    pins = [line for line in (HERE / "requirements-models.txt").read_text().splitlines() if line.split("==")[0] in ("myfm", "scikit-surprise", "torch", "numpy")]
    text = [
        "# Rating models and their peers on the same work",
        "",
        f"`cargo xtask bench rivals-models`, {args.turns} turns, all systems in turn; median (least to most). MovieLens 1M, random 90/10, seed 0.",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, {', '.join(pins)}.",
        "",
        "Ours is the whole training divided by its epochs, laying out the data included; the peers' is `fit` alone",
        f"(myFM: {n} iterations) or the median epoch after the first (PyTorch, two threads).",
        "",
        "| work | unit | Foretaste, seconds a unit | peer, seconds a unit | peer / Foretaste |",
        "|---|---|---|---|---|",
        *speed,
        "",
        "## FM by Gibbs sampling, user and item alone, the same split, rank and iterations",
        "",
        f"{m} iterations, of which all but the first five are averaged by both.",
        "",
        "| system | test RMSE |",
        "|---|---|",
        f"| Foretaste, FM | {ours['rmse']:.4f} |",
        f"| myFM | {theirs['rmse']:.4f} |",
        "",
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(text))
    args.out.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
