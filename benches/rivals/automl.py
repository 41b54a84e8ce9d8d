#!/usr/bin/env python3
"""Foretaste's `automl` beside an Optuna search over Surprise's algorithms: the same split, budget and threads, one after
the other, or with `--together` at once, which leaves either side half of the machine.

LensKit-Auto (lkauto) and Auto-Surprise are not among the peers: neither installs from PyPI on Python 3.11 (lkauto pins
numpy 1.21.6; auto-surprise builds from a source that fails).

Called by `cargo xtask bench rivals-automl --data FOLDER`, which makes the Python environment. ml-100k is fetched where
it is not at hand (`cargo xtask fetch ml-100k`).
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import sys
import tempfile

from run import HERE, ROOT, run

SCALES = {"ml-latest-small": "0.5,5"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", default=os.environ.get("FORETASTE_DATA"), help="folder that holds the data sets")
    parser.add_argument("--sets", nargs="*", default=["ml-latest-small", "ml-100k", "ml-1m"])
    parser.add_argument("--minutes", nargs="*", type=float, default=[5, 20])
    parser.add_argument("--together", action="store_true", help="both sides at once")
    parser.add_argument("--alone", action="store_true", help="without the peer")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-automl.md", type=pathlib.Path)
    args = parser.parse_args()
    program = pathlib.Path(args.foretaste).absolute()
    if args.data:
        # What lies there is taken, what does not is fetched there.
        os.environ["FORETASTE_DATA"] = str(pathlib.Path(args.data).absolute())
    raw = args.out.with_suffix(".json")
    cells = json.loads(raw.read_text()) if raw.is_file() else []
    for minutes in args.minutes:
        for name in args.sets:
            with tempfile.TemporaryDirectory() as folder:
                scratch = pathlib.Path(folder)
                data = ["--accept-licence"]
                run([program, "reproduce", name, *data, "--models", "rolling-average", "--regime", "random", "--seeds", "1", "--json", "--save-splits", "--out", scratch / "split"])
                train, test = (scratch / "split" / "splits" / f"{name}-random-90_10-seed-0-{part}.csv" for part in ["train", "test"])
                sides = [
                    [program, "automl", name, *data, "--budget", f"{minutes * 60:.0f}s", "--threads", "2", "--device", "flex", "--json", "--out", scratch / "race"],
                    [sys.executable, HERE / "automl_surprise.py", train, test, "--seconds", minutes * 60, "--processes", 2, "--scale", SCALES.get(name, "1,5")],
                ]
                with concurrent.futures.ThreadPoolExecutor(2 if args.together else 1) as pool:
                    (ours, wall, _), *theirs = pool.map(run, sides[:1] if args.alone else sides)
            cell = {"data": name, "minutes": minutes, "sides": "alone" if args.alone else "at once" if args.together else "in turn"}
            cell["foretaste"] = {key: ours[key] for key in ["test", "winner", "members", "methods", "seconds"]} | {"wall": wall}
            cell["peer"] = theirs[0][0] if theirs else None
            cells = [c for c in cells if (c["data"], c["minutes"]) != (name, minutes)] + [cell]
            print(json.dumps(cell), file=sys.stderr, flush=True)
            raw.write_text(json.dumps(cells, indent=1) + "\n")
    cells.sort(key=lambda c: (c["data"], c["minutes"]))
    versions = next((cell["peer"]["versions"] for cell in cells if cell["peer"]), ["-", "-"])
    lines = [
        "# AutoML beside a search over Surprise",
        "",
        f"`cargo xtask bench rivals-automl --data FOLDER --minutes {' '.join(f'{m:g}' for m in sorted({c['minutes'] for c in cells}))}`; two threads, {platform.machine()}, Python {platform.python_version()}, Optuna {versions[0]}, Surprise {versions[1]}.",
        "Random 90/10, seed 0: the same training and test rows, the same budget of wall-clock time; one after the other, at once, each with half",
        "of the machine (`--together`), or without the peer (`--alone`). The peer is Optuna's TPE over eight of Surprise's algorithms and their",
        "settings, two trials at a time (`benches/rivals/automl_surprise.py`).",
        "LensKit-Auto and Auto-Surprise do not install from PyPI on Python 3.11. Single models tuned by hand on ml-1m stand in",
        "[ml-1m-fm.md](ml-1m-fm.md) and [ml-1m-models.md](ml-1m-models.md); published on such a split without side information of the test part: 0.8227 (GLocal-K).",
        "",
        "| data | budget, minutes | sides | Foretaste, test RMSE | winner | used, s | peer, test RMSE | its choice | its trials | used, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        ours, peer = cell["foretaste"], cell["peer"]
        theirs = f"{peer['rmse']:.4f} | {peer['chosen']['algorithm']} | {peer['trials']} | {peer['seconds']:.0f}" if peer else "- | - | - | -"
        lines.append(f"| {cell['data']} | {cell['minutes']:g} | {cell['sides']} | {ours['test']:.4f} | {ours['winner']} | {ours['wall']:.0f} | {theirs} |")
    args.out.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
