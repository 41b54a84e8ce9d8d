#!/usr/bin/env python3
"""What an interaction costs in memory: sessions and every rating system on simulated Netflix logs of two sizes. The peak of each
whole process is taken from outside; what the larger log takes more, divided by the interactions it has more, is the price of
one, free of what a program takes anyway.

Called by `cargo xtask bench memory`. One epoch each: memory does not grow with epochs.
"""

import argparse
import pathlib
import platform
import sys
import tempfile

from run import ROOT, run

# Name and settings that leave one pass.
SYSTEMS = {
    "rolling-average": [],
    "biases": ["sweeps=1"],
    "pmf": ["epochs=1"],
    "biased-mf": ["epochs=1"],
    "svd++": ["epochs=1"],
    "t-svd": ["epochs=1"],
    "fm-sgd": ["iterations=1", "user_attributes=false", "item_attributes=false"],
    "i-autorec": ["epochs=1"],
    "rnn": ["epochs=1"],
    "rrn": ["epochs=1"],
    "hrnn-alone": ["epochs=1"],
    "deepfm": ["epochs=1"],
    "deeprec": ["epochs=1"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", help="taken by all comparisons; not needed here")
    parser.add_argument("--scales", nargs=2, type=float, default=[0.01, 0.02])
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--threads", default="2")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "memory.md", type=pathlib.Path)
    args = parser.parse_args()
    rows, peaks = [], {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        for scale in args.scales:
            log, name = scratch / f"log-{scale}", f"{scale:g}"
            simulated, _, _ = run([args.foretaste, "simulate", "netflix", "--scale", scale, "--parquet", "--out", log, "--json"])
            rows.append(int(next(row["simulated"] for row in simulated["table"] if row["what"] == "ratings")))
            file = log / "interactions.parquet"
            works = {"sessions, three levels": ["sessions", file, "--gaps", "60,86400,2592000", "--out", scratch / "sessions.parquet"]}
            for system in args.systems:
                sets = [word for setting in SYSTEMS[system] for word in ["--set", f"{system}.{setting}"]]
                works[system] = ["reproduce", file, "--models", system, *sets, "--regime", "random", "--seeds", 1, "--validation", 0, "--device", "flex", "--out", scratch / f"run-{name}-{system}"]
            for work, words in works.items():
                _, _, memory = run([args.foretaste, *words, "--threads", args.threads, "--json"])
                peaks.setdefault(work, []).append(memory)
                print(f"{work} at {name}: {memory:.0f} MB", file=sys.stderr, flush=True)
    lines = [
        "# Memory an interaction",
        "",
        f"`cargo xtask bench memory --scales {args.scales[0]:g} {args.scales[1]:g}`; {args.threads} threads, {platform.machine()}. Simulated Netflix logs of {rows[0]:,} and {rows[1]:,} interactions",
        "(users and items grow with them), random 90/10, one epoch. Peaks are those of whole processes, reading and testing among them, from outside.",
        "",
        f"| | peak MB, {rows[0]:,} | peak MB, {rows[1]:,} | bytes an interaction more |",
        "|---|---|---|---|",
    ]
    lines += [f"| {work} | {small:.0f} | {large:.0f} | {(large - small) * 1e6 / (rows[1] - rows[0]):.0f} |" for work, (small, large) in peaks.items()]
    args.out.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
