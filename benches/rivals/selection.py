#!/usr/bin/env python3
"""Whether `automl` chooses the right algorithm: ten data sets on which different ones win, sampled from MovieLens 1M or
drawn here from stated models; on each the chosen system's test error beside that of every system's best trial.

Nothing is joined (`--no-ensemble`), and all are tested (`--test-all`) after the choice was made.

Called by `cargo xtask bench selection --data FOLDER`.
"""

import argparse
import json
import os
import pathlib
import random
import sys
import tempfile

from run import ROOT, run


def movielens(folder):
    lines = (pathlib.Path(folder) / "ml-1m" / "ratings.dat").read_text(encoding="latin-1").splitlines()
    return [(int(u), int(i), float(r), int(t)) for u, i, r, t in (line.split("::") for line in lines)]


def clipped(value):
    return min(5.0, max(1.0, round(value * 2) / 2))


def drawn(users, items, share, rating, seed):
    """Each user rates a share of the items, one a minute from a time of its own; `rating` answers a user's generator."""
    rng = random.Random(seed)
    rows = []
    for user in range(users):
        draw, clock = rating(rng), rng.randrange(10**8)
        for item in rng.sample(range(items), int(items * share)):
            clock += 60 if rng.random() < 0.9 else 86_400
            rows.append((user, item, clipped(draw(item) + rng.gauss(0, 0.5)), clock))
    return rows


def biases(seed):
    rng = random.Random(seed)
    of_item = [rng.gauss(0, 0.7) for _ in range(400)]

    def user(rng):
        own = rng.gauss(0, 0.5)
        return lambda item: 3 + own + of_item[item]

    return user


def factors(seed):
    rng = random.Random(seed)
    vectors = [[rng.gauss(0, 1) for _ in range(4)] for _ in range(300)]

    def user(rng):
        own = [rng.gauss(0, 0.6) for _ in range(4)]
        return lambda item: 3 + sum(a * b for a, b in zip(own, vectors[item]))

    return user


def moods(seed):
    """A mood that walks from rating to rating: only who reads the order can follow it."""
    rng = random.Random(seed)
    of_item = [rng.gauss(0, 0.4) for _ in range(300)]

    def user(rng):
        state = [rng.gauss(0, 1)]

        def draw(item):
            state[0] = 0.97 * state[0] + rng.gauss(0, 0.25)
            return 3 + state[0] + of_item[item]

        return draw

    return user


def sets(folder):
    rows = movielens(folder)
    rng = random.Random(0)
    few = {u for u in range(1, 6041) if rng.random() < 0.15}
    popular = {}
    for _, item, _, _ in rows:
        popular[item] = popular.get(item, 0) + 1
    top = set(sorted(popular, key=lambda i: (-popular[i], i))[:250])
    sample = [row for row in rows if row[0] in few]
    yield "ml-1m, a seventh of the users", sample, []
    yield "ml-1m, a seventh of the users, future", sample, ["--regime", "future"]
    yield "ml-1m, a seventh of the users, last row of each", sample, ["--regime", "per-user"]
    yield "ml-1m, a tenth of the rows", [row for row in rows if rng.random() < 0.1], []
    yield "ml-1m, 60 users", [row for row in rows if row[0] <= 60], []
    yield "ml-1m, 250 items, a third of the users", [row for row in rows if row[1] in top and row[0] % 3 == 0], []
    yield "ml-1m, liked or not", [(u, i, 5.0 if r >= 4 else 1.0, t) for u, i, r, t in sample], []
    yield "biases and noise", drawn(800, 400, 0.1, biases(1), 1), []
    yield "four factors", drawn(600, 300, 0.25, factors(2), 2), []
    yield "walking moods, streaming", drawn(600, 300, 0.25, moods(3), 3), ["--regime", "future", "--streaming"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", default=os.environ.get("FORETASTE_DATA"), help="folder that holds ml-1m")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "selection.md", type=pathlib.Path)
    args = parser.parse_args()
    lines = [
        "# Is the right algorithm chosen?",
        "",
        f"`cargo xtask bench selection --data FOLDER --budget {args.budget}`; two threads. Ten data sets (`benches/rivals/selection.py` states them), one model chosen on each,",
        "nothing joined. Every system's best trial was tested after the choice.",
        "",
        "| data | rows | chosen | its test RMSE | best of all | its test RMSE | behind, % |",
        "|---|---|---|---|---|---|---|",
    ]
    right = 0
    for name, rows, words in sets(args.data):
        with tempfile.TemporaryDirectory() as folder:
            scratch = pathlib.Path(folder)
            path = scratch / "ratings.csv"
            path.write_text("user,item,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in rows))
            board, _, _ = run(
                [args.foretaste, "automl", path, *words, "--budget", args.budget, "--no-ensemble", "--test-all", "--threads", "2", "--device", "flex", "--json", "--out", scratch / "race"]
            )
        tested = {line["title"]: line["test"] for line in board["lines"] if line["test"] is not None}
        best = min(tested, key=tested.get)
        behind = 100 * (board["test"] / tested[best] - 1)
        right += behind <= 0.5
        lines.append(f"| {name} | {len(rows)} | {board['winner']} | {board['test']:.4f} | {best} | {tested[best]:.4f} | {behind:.2f} |")
        print(lines[-1], json.dumps(tested), file=sys.stderr, flush=True)
    lines += ["", f"Within half a per cent of the best: {right} of {len(lines) - 7}.", ""]
    args.out.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
