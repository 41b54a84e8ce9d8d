#!/usr/bin/env python3
"""Whether systems do on simulated logs what the generative model says: each effect is taken out of the world in turn, and
the lead of the system that claims to catch it over the one that does not is told, with the distance of all to the lowest
reachable RMSE.

Called by `cargo xtask bench effects`.
"""

import argparse
import pathlib
import sys
import tempfile

from run import ROOT, run

WORLDS = {"all": [], "drift": ["drift"], "sessions": ["sessions"], "streaks": ["streaks"], "none": ["drift", "sessions", "streaks", "fame", "selection"]}
# SVD++ is T-SVD without time; PMF has no implicit ratings either, which is a lead of its own. RNN is HRNN Init without
# session states; hrnn-alone differs from it in size, inputs and training, too.
LEADS = [("t-svd", "pmf", "drift"), ("t-svd", "biased-mf", "drift"), ("t-svd", "svd++", "drift"), ("rnn", "biased-mf", "sessions"), ("hrnn-init", "rnn", "sessions"), ("hrnn-alone", "rnn", "sessions"), ("hrnn", "rnn", "sessions"), ("hrnn", "biased-mf", "drift"), ("hrnn", "t-svd", "sessions")]
# What a part of a system gives: the system beside itself without the part.
PARTS = {"kinds=0": "streaks", "height=1": "sessions"}


def told(table, lowest):
    """The table of distances, and of leads; each reading's own."""
    mean = lambda numbers: sum(numbers) / len(numbers)
    worlds = list(lowest)
    both = lambda figure: f"{figure('streaming'):.4f} ({figure('frozen'):.4f})"
    lines = ["| system | " + " | ".join(worlds) + " |", "|---|" + "---|" * len(worlds)]
    lines.append("| lowest RMSE | " + " | ".join(f"{mean(lowest[world]):.4f}" for world in worlds) + " |")
    for system, row in table.items():
        lines.append(f"| {system} | " + " | ".join(both(lambda reading: mean(row[world][reading])) for world in worlds) + " |")
    lines += ["", "Leads: how much lower the first system's RMSE is than the second's.", "", "| lead | of the effect | " + " | ".join(worlds) + " |", "|---|---|" + "---|" * len(worlds)]
    parts = [("hrnn", f"hrnn, {part}", effect) for part, effect in PARTS.items()]
    for first, second, effect in LEADS + parts:
        if first in table and second in table:
            lead = lambda world, reading: mean(table[second][world][reading]) - mean(table[first][world][reading])
            lines.append(f"| {first} over {second} | {effect} | " + " | ".join(both(lambda reading: lead(world, reading)) for world in worlds) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", help="taken by all comparisons; not needed here")
    parser.add_argument("--shape", default="movielens-20m")
    parser.add_argument("--scale", default="0.03")
    parser.add_argument("--models", default="biased-mf,t-svd,rnn,hrnn")
    parser.add_argument("--regime", default="future")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--worlds", default=",".join(WORLDS), help="with all effects, without drift, sessions or streaks, with none")
    parser.add_argument("--parts", action="store_true", help="hrnn also without each of its parts")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "simulated.md", type=pathlib.Path)
    args = parser.parse_args()
    lines = [
        "# Systems on worlds with and without an effect",
        "",
        f"`cargo xtask bench effects --shape {args.shape} --scale {args.scale} --regime {args.regime} --seeds {args.seeds} --models {args.models} --worlds {args.worlds}{' --parts' if args.parts else ''}`; logs by `foretaste simulate {args.shape}`, seed 0.",
        "",
        f"RMSE above the lowest that any model can expect, {args.regime}, streaming (the frozen reading in brackets).",
        "",
    ]
    table, lowest = {}, {}
    for without in [WORLDS[world] for world in args.worlds.split(",")]:
        world = "all effects" if not without else "without " + ", ".join(without)
        with tempfile.TemporaryDirectory() as folder:
            scratch = pathlib.Path(folder)
            words = ["--without", ",".join(without)] if without else []
            # In the owner's format, which has genres beside it.
            run([args.foretaste, "simulate", args.shape, "--scale", args.scale, *words, "--out", scratch / "log", "--json"])
            command = [args.foretaste, "reproduce", scratch / "log", "--regime", args.regime, "--seeds", args.seeds, "--device", "flex", "--threads", "2", "--json"]
            cells = run([*command, "--models", args.models, "--out", scratch / "run"])[0]["cells"]
            for part in PARTS if args.parts else []:
                found = run([*command, "--models", "hrnn", "--set", f"hrnn.{part}", "--out", scratch / part])[0]["cells"]
                for cell in found:
                    cell["outcome"]["system"] = f"hrnn, {part}"
                cells += found
        for cell in cells:
            outcome = cell["outcome"]
            lowest.setdefault(world, []).append(outcome["lowest_rmse"])
            for errors in outcome["errors"]:
                table.setdefault(outcome["system"], {}).setdefault(world, {}).setdefault(errors["reading"], []).append(errors["rmse"] - outcome["lowest_rmse"])
        print(world, {system: row[world] for system, row in table.items()}, file=sys.stderr, flush=True)
    lines += told(table, lowest)
    args.out.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
