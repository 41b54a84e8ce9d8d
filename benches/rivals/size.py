#!/usr/bin/env python3
"""Sessions at the Netflix Prize's size: simulated `mv_*.txt` files to a sessions Parquet file, beside DuckDB and Polars, in
turn; and once more within a memory limit. Peak memory is the whole process's, measured from outside.

Called by `cargo xtask bench rivals-size`; `--scale 1` takes 10 GB of disk.
"""

import argparse
import pathlib
import platform
import subprocess
import sys
import tempfile

from run import HERE, ROOT, run, spread


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", help="taken by all comparisons; not needed here")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--limits", nargs="*", default=["512MB"])
    parser.add_argument("--peers", nargs="*", default=["duckdb", "polars"])
    parser.add_argument("--folder", type=pathlib.Path, help="where the files go; a temporary folder by default")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-size.md", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        scratch = pathlib.Path(folder)
        simulated, wall, memory = run([args.foretaste, "simulate", "netflix", "--scale", args.scale, "--out", scratch / "log", "--json"])
        files = scratch / "log" / "training_set"
        ratings = next(row["simulated"] for row in simulated["table"] if row["what"] == "ratings")
        print(f"{ratings} ratings simulated in {wall:.0f} s, {memory:.0f} MB", file=sys.stderr, flush=True)
        commands = {"foretaste": [args.foretaste, "sessions", files, "--gaps", "60,86400,2592000", "--threads", "2", "--out", scratch / "foretaste.parquet", "--json"]}
        for limit in args.limits:
            commands[f"foretaste, {limit}"] = [*commands["foretaste"][:-2], scratch / f"limited-{limit}.parquet", "--json", "--memory-limit", limit]
        for peer in args.peers:
            commands[peer] = [sys.executable, HERE / f"sessions_{peer}.py", files, scratch / f"{peer}.parquet", "--gaps", "60,86400,2592000"]
        rows = {name: [] for name in commands}
        for _ in range(args.turns):
            for name, command in commands.items():
                _, wall, memory = run(command)
                rows[name].append((wall, memory))
                print(f"{name}: {wall:.1f} s, {memory:.0f} MB", file=sys.stderr, flush=True)
        for limit in args.limits:
            if (scratch / "foretaste.parquet").read_bytes() != (scratch / f"limited-{limit}.parquet").read_bytes():
                sys.exit(f"the file made within {limit} differs")
        for peer in args.peers:
            check = [sys.executable, HERE / "sessions_equal.py", scratch / "foretaste.parquet", scratch / f"{peer}.parquet"]
            if subprocess.run(check, capture_output=True).returncode != 0:
                sys.exit(f"the sessions of foretaste and {peer} differ")
    ours = [wall for wall, _ in rows["foretaste"]]
    lines = [
        "# Sessions at the Netflix Prize's size",
        "",
        f"`cargo xtask bench rivals-size --scale {args.scale:g} --turns {args.turns}`; two threads, {platform.machine()}, Python {platform.python_version()}.",
        f"{ratings} simulated ratings in {simulated['table'][2]['simulated']} files (`foretaste simulate netflix`), three levels of sessions, zstd. Whole processes, from",
        "outside; files were in the page cache where it holds them. All files hold the same rows; the limited one is equal to the byte.",
        "",
        "| | seconds | peak MB | seconds / foretaste's |",
        "|---|---|---|---|",
    ]
    for name, runs in rows.items():
        walls = [wall for wall, _ in runs]
        lines.append(f"| {name} | {spread(walls, 1)} | {max(memory for _, memory in runs):.0f} | {spread([w / o for w, o in zip(walls, ours)])} |")
    args.out.write_text("\n".join([*lines, "", "The simulation beside the original:", "", "| | simulated | Netflix Prize |", "|---|---|---|"] + [f"| {r['what']} | {r['simulated']} | {r['published']} |" for r in simulated["table"]] + [""]))


if __name__ == "__main__":
    main()
