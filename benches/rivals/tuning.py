#!/usr/bin/env python3
"""What `tune` gains over every model's defaults on MovieLens 1M, on rows that no search saw, and which settings it owes.

Each split is searched for itself: settings found on another split would have seen rows that test here. Cells that
`tuning.json` holds already are kept, and unfinished searches go on, so that an interrupted run goes on where it stood
(`--again MODEL` measures anew).

Called by `cargo xtask bench tuning --data FOLDER`.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading

from run import ROOT, run

# Name, trials, and further words; networks are searched among small ones, which the data set's size asks for.
RATING = [
    ("rolling-average", 40, []),
    ("biases", 40, []),
    ("biased-mf", 60, []),
    ("pmf", 60, []),
    ("hrnn-alone", 12, ["--space", "size=16..64", "--space", "item_factors=8..32", "--space", "depth=1..2"]),
    ("deepfm", 12, ["--space", "size=16..128", "--space", "depth=0..3", "--space", "factors=4..32"]),
    ("t-svd", 24, []),
    ("svd++", 24, []),
    ("rrn", 12, []),
    ("rnn", 10, ["--space", "size=16..64", "--space", "item_factors=8..32"]),
    # Minutes a training: fewer trials, in a narrower space.
    ("i-autorec", 5, ["--space", "size=50..500"]),
    ("fm-mf", 4, ["--space", "factors=8..32"]),
    ("deeprec", 4, ["--space", "learning_rate=0.002..0.02", "--space", "batch=64..256"]),
]
RANKING = [
    ("popular", 20, []),
    ("sims", 40, []),
    ("session-knn", 20, []),
    ("user-knn", 20, []),
    ("ease", 10, []),
    ("ials", 12, []),
]
# The knobs that the talk names.
KNOBS = {
    "sims": ["gap_half_life", "age_half_life", "recency"],
    "deepfm": ["depth", "size"],
    "hrnn-alone": ["depth", "size", "height"],
}


def search(args, name, trials, words, ranks, seed):
    """One search: its folder, what it found, and the test figures of the defaults and of the best trial."""
    task = ["--regime", "last-session", "--metric", "NDCG@10"] if ranks else ["--regime", "random"]
    folder = args.searches / "-".join([name, str(trials), str(seed), *words[1::2]])
    command = [args.foretaste, "tune", name, "ml-1m", "--data", pathlib.Path(args.data) / "ml-1m", *task, *words, "--trials", trials, "--seed", seed]
    if not (folder / "tuned.json").is_file():
        run([*command, "--device", "flex", "--threads", "1", "--json", "--out", folder, "--resume"])
    found = json.loads((folder / "tuned.json").read_text())
    states = collections.Counter(trial["state"] for trial in found["trials"])
    kept = {key: found[key] for key in ["title", "metric", "default", "best", "default_test", "best_test", "importance", "settings"]}
    return folder, {"model": name, "seed": seed, "ranks": ranks, "trials": trials, "complete": states["complete"], "pruned": states["pruned"], "failed": states["failed"], "near": True, **kept}


def table(cells, seeds):
    """A row a model: means over the seeds, and each seed's gain."""
    metric = cells[0]["metric"]
    sign = 1 if cells[0]["ranks"] else -1
    lines = [
        f"| model | trials | pruned | {metric}, validation rows: defaults | tuned | test rows: defaults | tuned | gain on test, each seed | settings that matter (share of the variance) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    paid = 0
    models = list(dict.fromkeys(cell["model"] for cell in cells))
    for model in models:
        own = sorted((c for c in cells if c["model"] == model), key=lambda c: c["seed"])
        mean = {key: statistics.fmean(c[key] for c in own) for key in ["default", "best", "default_test", "best_test"]}
        gains = [sign * (c["best_test"] - c["default_test"]) for c in own]
        paid += mean["best"] != mean["default"] and statistics.fmean(gains) > 0 and len(own) == seeds
        shares = collections.defaultdict(float)
        for cell in own:
            for setting, share in cell["importance"]:
                shares[setting] += share / len(own)
        told = ", ".join(f"{s} {100 * v:.0f} %" for s, v in sorted(shares.items(), key=lambda p: -p[1])[:3])
        lines.append(
            f"| {own[0]['title']} | {own[0]['trials']} | {sum(c['pruned'] for c in own)} of {sum(c['trials'] for c in own)} | {mean['default']:.4f} | {mean['best']:.4f} "
            f"| {mean['default_test']:.4f} | {mean['best_test']:.4f} | {', '.join(f'{g:+.4f}' for g in gains)} | {told} |"
        )
    return [*lines, "", f"Better on the validation rows and, on average, on the test rows: {paid} of {len(models)}."]


def knobs(cells):
    """What the talk's own knobs explain, and the values found."""
    lines = ["| model | knob | share of the variance, each seed | value found, each seed |", "|---|---|---|---|"]
    for model, names in KNOBS.items():
        own = sorted((c for c in cells if c["model"] == model), key=lambda c: c["seed"])
        for knob in names if own else []:
            shares = [dict(map(tuple, c["importance"])).get(knob) for c in own]
            values = [next((line.split("=")[1].strip() for line in c["settings"].splitlines() if line.split("=")[0].strip() == knob), "-") for c in own]
            told = ", ".join("-" if s is None else f"{100 * s:.0f} %" for s in shares)
            lines.append(f"| {own[0]['title']} | {knob} | {told} | {', '.join(values)} |")
    return lines


def write(args, cells):
    narrowed = [f"{name} ({', '.join(words[1::2])})" for name, _, words in RATING + RANKING if words]
    even = list(dict.fromkeys(c["model"] for c in cells if not c["near"]))
    missing = [name for name, _, _ in RATING + RANKING if sum(c["model"] == name for c in cells) < args.seeds]
    lines = [
        "# What tuning gains on MovieLens 1M",
        "",
        f"`cargo xtask bench tuning --data FOLDER --seeds {args.seeds}`; each cell `foretaste tune MODEL ml-1m --trials N --seed S`, default sampler and pruner, one thread.",
        "Seed S splits, searches and trains. Trials are judged by a tenth of the training rows; the defaults (trial 0) and the best trial are then trained on all but",
        "the test rows, which are read once. A gain is positive where the tuned settings are better.",
        "",
        f"Spaces narrowed with `--space`: {'; '.join(narrowed)}.",
        "",
        *([f"Searched (some seeds at least) before searches began near the defaults: {', '.join(even)}.", ""] if even else []),
        *([f"Not measured, or not on all seeds, yet: {', '.join(missing)}.", ""] if missing else []),
    ]
    for ranks, head in ((False, "Ratings: `random`, a tenth tests"), (True, "Ranking: each user's last session tests")):
        own = [c for c in cells if c["ranks"] == ranks]
        if own:
            lines += [f"## {head}", "", *table(own, args.seeds), ""]
    lines += ["## The talk's knobs", "", *knobs(cells), ""]
    args.out.write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", default=os.environ.get("FORETASTE_DATA"), help="folder that holds ml-1m")
    parser.add_argument("--models", nargs="*", default=[name for name, _, _ in RATING + RANKING])
    parser.add_argument("--again", nargs="*", default=[], help="models to measure anew")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="searches at a time, a thread each")
    parser.add_argument("--searches", default=pathlib.Path(tempfile.gettempdir()) / "foretaste-tuning", type=pathlib.Path, help="folder of unfinished searches")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "tuning.md", type=pathlib.Path)
    args = parser.parse_args()
    raw = args.out.with_suffix(".json")
    for model in args.again:
        for folder in args.searches.glob(f"{model}-[0-9]*"):
            shutil.rmtree(folder)
    order = {name: place for place, (name, _, _) in enumerate(RATING + RANKING)}
    cells = [c for c in (json.loads(raw.read_text()) if raw.is_file() else []) if c["model"] not in args.again]
    held = {(c["model"], c["seed"]) for c in cells}
    wanted = [
        (name, trials, words, ranks, seed)
        for models, ranks in ((RANKING, True), (RATING, False))
        for name, trials, words in models
        for seed in range(args.seeds)
        if name in args.models and (name, seed) not in held
    ]
    lock = threading.Lock()

    def measure(cell):
        folder, found = search(args, *cell)
        with lock:
            cells.append(found)
            cells.sort(key=lambda c: (order[c["model"]], c["seed"]))
            raw.write_text(json.dumps(cells, indent=1) + "\n")
            write(args, cells)
            shutil.rmtree(folder)
            print(found["model"], found["seed"], *(f"{found[k]:.4f}" for k in ["default", "best", "default_test", "best_test"]), file=sys.stderr, flush=True)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(measure, wanted))
    write(args, cells)


if __name__ == "__main__":
    main()
