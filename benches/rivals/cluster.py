#!/usr/bin/env python3
"""Sessions of a simulated MovieLens 20M on a Ballista cluster of this machine's own (a scheduler and two executors), beside the
native builder's; then again, an executor being killed in the middle.

Called by `cargo xtask bench cluster`, which builds `crates/cluster`.
"""

import argparse
import contextlib
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile
import time

from run import HERE, ROOT, run

GAPS = "60,86400,2592000"


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextlib.contextmanager
def cluster(program, folder, executors=2):
    """A scheduler that listens, and executors of one thread each: its address and the executors' processes."""
    address = f"127.0.0.1:{free_port()}"
    start = lambda *words: subprocess.Popen([program, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = [start("scheduler", "--address", address, "--patience", "10")]
    try:
        host, port = address.split(":")
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                break
            time.sleep(0.1)
        for at in range(executors):
            work = pathlib.Path(folder) / f"executor-{at}"
            work.mkdir()
            children.append(start("executor", "--scheduler", address, "--port", free_port(), "--task-port", free_port(), "--threads", 1, "--folder", work))
        yield address, children[1:]
    finally:
        for child in children:
            child.kill()
            child.wait()


def equal(ours, theirs):
    return subprocess.run([sys.executable, HERE / "sessions_equal.py", ours, theirs], capture_output=True).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--cluster", required=True, help="the foretaste-cluster program")
    parser.add_argument("--data", help="taken by all comparisons; not needed here")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--kills", type=float, nargs="*", default=[0.25, 0.5, 0.75], help="moments, as shares of the undisturbed time")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "cluster.md", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        run([args.foretaste, "simulate", "movielens-20m", "--scale", args.scale, "--parquet", "--out", scratch / "log", "--json"])
        log, native = scratch / "log" / "interactions.parquet", scratch / "native.parquet"
        answer, seconds, _ = run([args.foretaste, "sessions", log, "--gaps", GAPS, "--threads", "2", "--out", native, "--json"])
        rows = [("native builder", seconds, "")]

        def job(what, kill):
            """Builds on a cluster; after `kill` seconds an executor is killed. Answers the seconds and what came of it."""
            out, place = scratch / "cluster.parquet", scratch / what
            place.mkdir()
            with cluster(args.cluster, place) as (address, executors):
                clock = time.perf_counter()
                command = [args.cluster, "sessions", log, "--gaps", GAPS, "--out", out, "--engine", "ballista", "--scheduler", f"df://{address}"]
                command += ["--partitions", str(args.partitions), "--deadline", "900"]
                child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if kill is not None:
                    time.sleep(kill)
                    executors[0].kill()
                told = child.communicate()[0]
                seconds = time.perf_counter() - clock
            if child.returncode != 0:
                told = told.strip()
                if out.exists() or "help:" not in told:
                    sys.exit(f"{what}: failed, and left {'a file' if out.exists() else 'no word of help'}:\n{told}")
                line = told.splitlines()[0]
                return seconds, f"no file; told: {line[:160]}{'…' if len(line) > 160 else ''}"
            if not equal(native, out):
                sys.exit(f"{what}: ended well with other rows than the native builder's")
            os.unlink(out)
            return seconds, "equal row for row"

        whole, came = job("undisturbed", None)
        rows.append(("Ballista, two executors of a thread each", whole, came))
        for share in args.kills:
            seconds, came = job(f"killed-{share}", share * whole)
            rows.append((f"the same, one executor killed after {share * whole:.1f} s", seconds, came))
            print(rows[-1], file=sys.stderr, flush=True)
    lines = [
        "# Sessions on a Ballista cluster",
        "",
        f"`cargo xtask bench cluster --scale {args.scale:g} --partitions {args.partitions}`; {answer['report']['rows']} simulated ratings (`foretaste simulate movielens-20m`) in Parquet, three levels of",
        f"sessions; scheduler, executors and the program that asks share a machine of {os.cpu_count()} threads, {platform.machine()}. A cluster of one machine gains nothing: what counts is",
        "that the rows are the same, and that a lost executor costs time or a clear failure, never rows.",
        "",
        "| | seconds | result |",
        "|---|---|---|",
        *(f"| {what} | {seconds:.1f} | {came} |" for what, seconds, came in rows),
    ]
    args.out.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
