#!/usr/bin/env python3
"""What ending trials early saves: HRNN's settings searched on the embedded ratings without a pruner and by successive
halving, each search with the same seed and sampler, one after the other.

Called by `cargo xtask bench pruning`.
"""

import argparse
import pathlib
import sys
import tempfile

from run import ROOT, run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--system", default="hrnn-alone")
    parser.add_argument("--set", nargs="*", default=["epochs=27", "patience=27"], help="settings that are not searched")
    parser.add_argument("--pruner", default="asha:first=1,eta=3")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--pruned-trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "pruning.md", type=pathlib.Path)
    args = parser.parse_args()
    sets = [word for setting in args.set for word in ["--set", f"{args.system}.{setting}"]]
    lines = [
        "# What ending trials early saves",
        "",
        f"`cargo xtask bench pruning --system {args.system} --set {' '.join(args.set)} --pruner {args.pruner} --trials {args.trials} --pruned-trials {args.pruned_trials}`",
        "",
        f"{args.system} on ml-latest-small, random 80/10/10; sampler `auto`; {args.threads} threads. Seconds are those of trials. \"Reached\" is when the best complete trial",
        "came within .001 of the best of the search without a pruner.",
        "",
        "| seed | without: trials | seconds | best validation RMSE | reached its best after | pruned: trials | complete | seconds | best | within .001 after | share of the whole search's time |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for seed in range(args.seeds):
        found = {}
        for pruner, trials in (("none", args.trials), (args.pruner, args.pruned_trials)):
            with tempfile.TemporaryDirectory() as folder:
                words = ["tune", args.system, *sets, "--trials", trials, "--pruner", pruner, "--seed", seed, "--no-test", "--device", "flex", "--threads", args.threads]
                found[pruner], _, _ = run([args.foretaste, *words, "--json", "--out", pathlib.Path(folder) / "search"])
        whole, pruned = found["none"], found[args.pruner]

        def reached(search, bar):
            spent = 0.0
            for trial in search["trials"]:
                spent += trial["seconds"]
                if trial["state"] == "complete" and trial["value"] <= bar:
                    return spent
            return None

        when, own = reached(pruned, whole["best"] + 0.001), reached(whole, whole["best"])
        complete = sum(t["state"] == "complete" for t in pruned["trials"])
        share = "never" if when is None else f"{when / whole['seconds']:.2f}"
        lines.append(
            f"| {seed} | {args.trials} | {whole['seconds']:.0f} | {whole['best']:.4f} | {own:.0f} | {len(pruned['trials'])} | {complete} | {pruned['seconds']:.0f} "
            f"| {pruned['best']:.4f} | {'never' if when is None else f'{when:.0f}'} | {share} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
        args.out.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
