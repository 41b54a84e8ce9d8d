#!/usr/bin/env python3
"""DeepFM beside DeepCTR-Torch (PyPI), in turns on the same parts of ml-1m (random 80/10/10, a rating of 4 or more is a
click): user, item, gender, age, occupation, genres, hour and weekday; the same embedding size, layers, batch, step size
and epochs. Either side keeps the epoch that is best on the validation part.

Called by `cargo xtask bench rivals-deepfm`, which makes the Python environment.
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

# Embedding size, depth, size, seeds, epochs.
CELLS = [(16, 2, 128, 3, 12), (16, 2, 256, 1, 3), (10, 3, 400, 1, 3)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, type=pathlib.Path, help="the foretaste program, its examples beside it")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder in which ml-1m lies")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-deepfm.md", type=pathlib.Path)
    args = parser.parse_args()
    ours = args.foretaste.absolute().parent / "examples" / "clicks"
    data = args.data / "ml-1m"
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    text = [
        "# DeepFM beside DeepCTR-Torch\n",
        f"`cargo xtask bench rivals-deepfm --data FOLDER`; {args.threads} threads, {platform.processor() or platform.machine()}, "
        f"Python {platform.python_version()}. Random 80/10/10 of ml-1m, a rating of 4 or more is a click; user, item, gender, age, occupation, genres, "
        "hour and weekday; either side keeps the epoch that is best on the validation part. "
        "Batches of 1024, Adam at 0.001, ours with its other defaults, DeepCTR-Torch with its own. Examples a second are those of the fastest "
        "epoch, the ratios seed by seed.\n",
        "| embedding | layers | seeds | AUC | of DeepCTR-Torch | log-loss | of DeepCTR-Torch | examples/s | of DeepCTR-Torch | times as fast | peak MB | of DeepCTR-Torch |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for factors, depth, size, seeds, epochs in CELLS:
            found = []
            for seed in range(seeds):
                subprocess.run([ours, "ml-1m", data, str(seed), "csv", folder], check=True)
                mine = run([ours, "ml-1m", data, seed, f"factors={factors}", f"depth={depth}", f"size={size}", f"epochs={epochs}"])[0]
                units = ",".join([str(size)] * depth)
                theirs = run([sys.executable, HERE / "deepctr_deepfm.py", folder, seed, args.threads, factors, units, 1024, epochs])[0]
                print(factors, depth, size, seed, mine, theirs, file=sys.stderr)
                found.append((mine, theirs))
            mean = lambda side, key: statistics.mean(pair[side][key] for pair in found)
            ratios = [mine["examples_per_second"] / theirs["examples_per_second"] for mine, theirs in found]
            text.append(
                f"| {factors} | {' '.join([str(size)] * depth)} | {seeds} | {mean(0, 'auc'):.4f} | {mean(1, 'auc'):.4f} | {mean(0, 'log_loss'):.4f} | "
                f"{mean(1, 'log_loss'):.4f} | {mean(0, 'examples_per_second'):,.0f} | {mean(1, 'examples_per_second'):,.0f} | {statistics.median(ratios):.1f} "
                f"({min(ratios):.1f} to {max(ratios):.1f}) | {mean(0, 'peak_mb'):.0f} | {mean(1, 'peak_mb'):.0f} |"
            )
    args.out.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
