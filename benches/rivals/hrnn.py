#!/usr/bin/env python3
"""Times HRNN's training beside PyTorch's nn.GRU and burn's own parts, and how it grows with the data.

Simulated histories; the same network on the same work: see torch_hrnn.py and the example hrnn_speed.
PyTorch runs with the embedding gradients that are faster for it in each cell, both tried.

Called by `cargo xtask bench rivals-hrnn`, which makes the Python environment with PyTorch.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

from run import HERE, ROOT, run

USERS, EVENTS = 4_000, 400_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, type=pathlib.Path, help="the foretaste program, its examples beside it")
    parser.add_argument("--turns", type=int, default=3, help="turns of every measurement")
    parser.add_argument("--largest", type=int, default=20_000_000, help="events of the largest simulation")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-hrnn.md", type=pathlib.Path)
    args = parser.parse_args()
    examples = args.foretaste.absolute().parent / "examples"
    ours, stock = examples / "hrnn_speed", examples / "hrnn_stock"
    raw, rows, growth = {}, [], []
    with tempfile.TemporaryDirectory() as folder:
        ceiling = run([sys.executable, HERE / "torch_matmul.py"])[0]["gflops"]
        for items in [18_000, 131_000]:
            file = pathlib.Path(folder) / "simulated.csv"
            simulation = [USERS, items, EVENTS]
            subprocess.run([str(word) for word in [ours, *simulation, 64, 32, 1, "csv", file]], check=True)
            for size in [64, 128]:
                for window in [32, 100]:
                    speed = lambda answer: EVENTS / min(answer["seconds"][1:])
                    peer = lambda embedding: speed(
                        run([sys.executable, HERE / "torch_hrnn.py", file, "--items", items, "--size", size, "--window", window, "--embedding", embedding, "--epochs", 3])[0]
                    )
                    faster = max(["dense", "sparse"], key=peer)
                    cell = {"ours": [], "torch": [], "stock": []}
                    for _ in range(args.turns):
                        cell["ours"].append(speed(run([ours, *simulation, size, window, 3])[0]))
                        cell["torch"].append(peer(faster))
                    cell["stock"].append(speed(run([stock, *simulation, size, window, 2])[0]))
                    raw[f"{items} {size} {window}"] = cell | {"embedding": faster}
                    a, b, c = (statistics.median(cell[name]) for name in ["ours", "torch", "stock"])
                    # Forward and backward of the recurrent layer, its inputs, and the decoder.
                    flop = 6 * (3 * size * (2 * size + 4 + size) + size * (size + 2))
                    ratios = [x / y for x, y in zip(cell["ours"], cell["torch"])]
                    rows.append(
                        f"| {items:,} | {size} | {window} | {a:,.0f} | {b:,.0f} ({faster}) | {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}) "
                        f"| {c:,.0f} | {a / c:.1f} | {100 * a * flop / ceiling / 1e9:.0f} % |"
                    )
                    print(rows[-1], file=sys.stderr)
        for share in [20, 4, 1]:
            events = args.largest // share
            answer = run([ours, 500_000 // share, 18_000, events, 64, 32, 1])[0]
            raw[f"growth {events}"] = answer
            growth.append(f"| {events:,} | {500_000 // share:,} | {answer['seconds'][0]:.1f} | {events / answer['seconds'][0]:,.0f} | {answer['peak_mb']:.0f} | {events * 16 / 1e6:.0f} |")
            print(growth[-1], file=sys.stderr)
    pins = [line for line in (HERE / "requirements-models.txt").read_text().splitlines() if line.split("==")[0] in ("torch", "numpy")]
    text = [
        "# HRNN's training beside PyTorch and burn's own parts",
        "",
        f"`cargo xtask bench rivals-hrnn`, {args.turns} turns, in turn; medians (least to most). Simulated histories of {EVENTS:,} events and {USERS:,} users,",
        "256 histories side by side, one GRU, two threads for each; events per second of a whole epoch after the first: cutting",
        "batches, forward, backward, update. PyTorch with the embedding gradients that are faster for it. `burn` is the same network",
        "from burn's GRU and embedding with dense gradients and Adam, on `flex`.",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, {', '.join(pins)}.",
        f"The last column is the share of PyTorch's rate for one large product here, {ceiling:.0f} GFLOP/s.",
        "",
        "| items | size | window | Foretaste, events/s | PyTorch, events/s | ratio | burn, events/s | ratio | of the ceiling |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "## One epoch as the data grows",
        "",
        "18,000 items, size 64, window 32; peak memory of the process, its own data's bytes (16 an event) beside it.",
        "",
        "| events | users | seconds | events/s | peak MB | data MB |",
        "|---|---|---|---|---|---|",
        *growth,
        "",
    ]
    args.out.write_text("\n".join(text))
    args.out.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
