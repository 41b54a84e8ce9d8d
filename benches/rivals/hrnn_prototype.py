#!/usr/bin/env python3
"""HRNN's training beside the prototype that it was derived from: one file of JAX, compiled by XLA, on one
thread. The same rows (MovieLens 1M, users 1 to 2999, the first 90 % by time), tastes, levels, raters' vectors
and passes. In turn, in one run.

Called by `cargo xtask bench rivals-hrnn-prototype --prototype FILE --data FOLDER`; FOLDER holds ml-1m.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

from run import ROOT

PASSES = 8


def ours(program, data, threads):
    """Events a second and the errors, streaming and frozen."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        words = ["reproduce", "ml-1m", "--data", data / "ml-1m", "--users", "1-2999", "--regime", "future", "--seeds", "1"]
        words += ["--device", "cpu", "--threads", threads, "--jobs", "1", "--models", "hrnn", "--out", out]
        subprocess.run([str(word) for word in [program, *words]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (measured,) = json.loads((out / "measured.json").read_text())
        (cell,) = json.loads((out / "results.json").read_text())
    errors = {error["reading"]: error["rmse"] for error in cell["errors"]}
    return cell["train_rows"] * PASSES / measured["measured"]["train_seconds"], errors["streaming"], errors["frozen"]


def prototype(script, data):
    """The same of the prototype, which prints one line."""
    said = subprocess.run([sys.executable, str(script), "--data", str(data)], check=True, capture_output=True, text=True).stdout
    rows, seconds, streaming, frozen = re.search(
        r"(\d+) training rows.*trained in (\d+) s; RMSE streaming (\S+) frozen (\S+)", said
    ).groups()
    return int(rows) * PASSES / float(seconds), float(streaming), float(frozen)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, type=pathlib.Path, help="the foretaste program")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="the folder that holds ml-1m")
    parser.add_argument("--prototype", required=True, type=pathlib.Path, help="the prototype's script, state_space.py")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-hrnn-prototype.md", type=pathlib.Path)
    args = parser.parse_args()
    cells = {"prototype": [], 1: [], 2: []}
    for _ in range(args.turns):
        cells["prototype"].append(prototype(args.prototype, args.data))
        for threads in (1, 2):
            cells[threads].append(ours(args.foretaste.absolute(), args.data, threads))
    base = statistics.median(speed for speed, _, _ in cells["prototype"])
    names = {"prototype": "prototype, one thread", 1: "HRNN, one thread", 2: "HRNN, two threads"}
    text = [
        "# HRNN's training beside its prototype",
        "",
        f"`cargo xtask bench rivals-hrnn-prototype`, {args.turns} turns, in turn; medians. MovieLens 1M, users 1 to 2999, the",
        f"first 90 % by time, {PASSES} passes; the prototype is JAX on one thread, its compilation included, as HRNN's",
        "time includes all but reading. RMSE on the last 10 %, of the first turn.",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}.",
        "",
        "| | events/s | ratio | RMSE streaming | RMSE frozen |",
        "|---|---|---|---|---|",
    ]
    for key, turns in cells.items():
        speed = statistics.median(speed for speed, _, _ in turns)
        text.append(f"| {names[key]} | {speed:,.0f} | {speed / base:.1f} | {turns[0][1]:.4f} | {turns[0][2]:.4f} |")
    args.out.write_text("\n".join(text) + "\n")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
