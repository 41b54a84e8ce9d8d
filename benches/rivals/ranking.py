#!/usr/bin/env python3
"""Times cosine item-kNN, iALS and lists for all users beside implicit (PyPI), in turns on the same pairs.

ml-1m where `--data FOLDER` names it, and simulated pairs (27,000 items). Each program runs in a process of its own
with the same number of threads; implicit's BLAS keeps to one thread, as its authors ask.

Called by `cargo xtask bench rivals-ranking`, which makes the Python environment.
"""

import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

from run import HERE, ROOT, run

WORK = {
    "knn_fit": "cosine item-kNN, 50 neighbours: training",
    "knn_top10": "ten items for every user from it",
    "als64_iteration": "iALS, 64 factors: an iteration",
    "als64_fit": "training of six iterations, whole",
    "als64_top10": "ten items for every user from it",
    "als128_iteration": "iALS, 128 factors: an iteration",
    "als128_fit": "training of six iterations, whole",
    "als128_top10": "ten items for every user from it",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, type=pathlib.Path, help="the foretaste program, its examples beside it")
    parser.add_argument("--data", type=pathlib.Path, help="folder in which ml-1m lies")
    parser.add_argument("--turns", type=int, default=3, help="turns of every measurement")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--simulated", default="138000,27000,20000000", help="users, items and events of the simulation; empty for none")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-ranking.md", type=pathlib.Path)
    args = parser.parse_args()
    ours = args.foretaste.absolute().parent / "examples" / "ranking_speed"
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sources = []
    if args.data:
        sources.append(("ml-1m", str(args.data / "ml-1m" / "ratings.dat")))
    if args.simulated:
        sources.append((f"simulated ({args.simulated})", f"simulate:{args.simulated}"))
    text = [
        "# Ranking beside implicit\n",
        f"`cargo xtask bench rivals-ranking{' --data FOLDER' if args.data else ''} --turns {args.turns} --simulated {args.simulated or repr('')}`; "
        f"{args.threads} threads, {platform.processor() or platform.machine()}, Python {platform.python_version()}. Seconds, the median of the turns; "
        "ratios are turn by turn, with their range. Both list from users' factors worked out in training (ours solved to a millionth at its end: the row of six iterations counts it).\n",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources:
            pairs = pathlib.Path(folder) / "pairs.csv"
            subprocess.run([ours, source, "csv", pairs], check=True)
            turns = []
            for _ in range(args.turns):
                turns.append((run([ours, source])[0], run([sys.executable, HERE / "implicit_ranking.py", pairs, args.threads])[0]))
            text.append(f"## {name}: {turns[0][0]['rows']:,} rows, {turns[0][0]['users']:,} users, {turns[0][0]['items']:,} items\n")
            text.append("| work | foretaste | implicit | times as fast |\n|---|---|---|---|")
            for key, title in WORK.items():
                a, b = (statistics.median(turn[side][key] for turn in turns) for side in (0, 1))
                ratios = [turn[1][key] / turn[0][key] for turn in turns]
                text.append(f"| {title} | {a:.3f} | {b:.3f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")
            text.append("")
    args.out.write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    main()
