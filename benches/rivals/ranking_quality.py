#!/usr/bin/env python3
"""iALS and EASE beside their peers on the same split of ml-1m: each user's last row asked, all others known, one list of
ten of the whole catalogue less what the user has.

- iALS beside implicit (PyPI): the same grid for both (64 factors, 16 iterations, conjugate gradients; implicit's `alpha`
  and `regularization`, ours scaled by 1/alpha, which makes the losses alike); either side's best on the row before the
  last is what is judged.
- EASE beside RecPack's (PyPI): one closed form, so that equal lists are expected.

Called by `cargo xtask bench rivals-quality`, which makes the Python environment.
"""

import argparse
import json
import pathlib
import platform
import subprocess
import sys
import tempfile

import numpy as np
from implicit.als import AlternatingLeastSquares
from recpack.algorithms.ease import EASE
from run import ROOT
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

L2 = 500
GRID = [(alpha, regularization) for alpha in (2, 5, 10, 20) for regularization in (1.0, 10.0, 50.0)]


def ours(program, source, folder, models, settings=()):
    """Runs our systems on a log, leaving each user's last row out; answers NDCG@10 by system, and the split's files."""
    words = [program, "reproduce", "ranking", *source, "--regime", "per-user", "--leave-last", "1", "--seeds", "1", "--validation", "0"]
    words += ["--device", "flex", "--json", "--save-splits", "--models", ",".join(models), "--out", folder]
    words += [word for setting in settings for word in ("--set", setting)]
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    found = {}
    for outcome in json.loads((folder / "results.json").read_text()):
        figures = next(figures for figures in outcome["figures"] if figures["reading"] == "frozen")
        found[outcome["system"]] = {name: value for name, value in figures["metrics"]}
    return found, [next((folder / "splits").glob(f"*-{part}.csv")) for part in ("train", "test")]


class Split:
    """A split's files as matrices over the ids of both."""

    def __init__(self, train: pathlib.Path, test: pathlib.Path):
        rows = [np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1), dtype=np.int64) for path in (train, test)]
        users, items = (np.unique(np.concatenate([part[:, column] for part in rows])) for column in (0, 1))
        index = [(np.searchsorted(users, part[:, 0]), np.searchsorted(items, part[:, 1])) for part in rows]
        shape = (len(users), len(items))
        self.train = csr_matrix((np.ones(len(rows[0]), dtype=np.float32), index[0]), shape)
        self.train.data[:] = 1.0
        self.asked = index[1]
        self.never = np.asarray(self.train.sum(axis=0)).ravel() == 0

    def judge(self, scores: np.ndarray) -> dict:
        """NDCG@10 and recall@20 of one list a user; `scores` for all users and items."""
        scores = scores.astype(np.float64)
        scores[self.train.nonzero()] = -np.inf
        scores[:, self.never] = -np.inf
        users, items = self.asked
        own = scores[users, items]
        ranks = 1 + (scores[users] > own[:, None]).sum(axis=1)
        # Of equals the smaller index stands first.
        ranks += ((scores[users] == own[:, None]) & (np.arange(scores.shape[1])[None, :] < items[:, None])).sum(axis=1)
        ranks = np.where(np.isfinite(own), ranks, 10**9)
        return {"NDCG@10": float(np.mean(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0))), "recall@20": float(np.mean(ranks <= 20))}


def als(split: Split, alpha: float, regularization: float) -> dict:
    model = AlternatingLeastSquares(factors=64, iterations=16, alpha=alpha, regularization=regularization, random_state=0)
    with threadpool_limits(1, "blas"):
        model.fit(split.train, show_progress=False)
    return split.judge(model.user_factors @ model.item_factors.T)


def ease(split: Split) -> dict:
    model = EASE(l2=L2)
    model.fit(split.train)
    return split.judge(np.asarray((split.train @ model.similarity_matrix_).todense()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, type=pathlib.Path, help="the foretaste program")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder in which ml-1m lies")
    parser.add_argument("--out", default=ROOT / "docs" / "results" / "rivals-quality.md", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        setting = lambda alpha, regularization: [
            "ials.factors=64",
            "ials.epochs=16",
            "ials.exponent=0.0",
            f"ials.unobserved={1 / alpha}",
            f"ials.regularization={regularization / alpha}",
        ]
        _, files = ours(args.foretaste, ["ml-1m", "--data", args.data / "ml-1m"], temporary / "whole", ["popular"])
        whole = Split(*files)
        grid = []
        inner = None
        for at, (alpha, regularization) in enumerate(GRID):
            mine, parts = ours(args.foretaste, [files[0]], temporary / f"inner-{at}", ["ials"], setting(alpha, regularization))
            inner = inner or Split(*parts)
            grid.append((alpha, regularization, mine["ials"]["NDCG@10"], als(inner, alpha, regularization)["NDCG@10"]))
            print(*grid[-1], file=sys.stderr)
        best = [max(grid, key=lambda line: line[side])[:2] for side in (2, 3)]
        settings = setting(*best[0]) + [f"ease.regularization={L2}.0"]
        mine, _ = ours(args.foretaste, ["ml-1m", "--data", args.data / "ml-1m"], temporary / "test", ["popular", "sims", "ials", "ease"], settings)
        theirs = {"ials": als(whole, *best[1]), "ease": ease(whole)}
        equal = als(whole, *best[0])
    text = [
        "# iALS and EASE beside their peers\n",
        f"`cargo xtask bench rivals-quality --data FOLDER`; Python {platform.python_version()}. ml-1m, each user's last row asked, "
        f"{len(whole.asked[0]):,} lists of the whole catalogue less what the user has. Settings were chosen on the row before the last.\n",
        "| system | settings | NDCG@10 | recall@20 |",
        "|---|---|---|---|",
    ]
    line = lambda name, settings, found: text.append(f"| {name} | {settings} | {found['NDCG@10']:.4f} | {found['recall@20']:.4f} |")
    line("Popularity", "", mine["popular"])
    line("SIMS", "defaults, no item left out", mine["sims"])
    line("iALS", f"alpha {best[0][0]}, regularization {best[0][1]}", mine["ials"])
    line("implicit's ALS", f"alpha {best[1][0]}, regularization {best[1][1]}", theirs["ials"])
    line("implicit's ALS", f"ours: alpha {best[0][0]}, regularization {best[0][1]}", equal)
    line("EASE", f"l2 {L2}", mine["ease"])
    line("RecPack's EASE", f"l2 {L2}", theirs["ease"])
    text += ["\nNDCG@10 on the row before the last, 64 factors, 16 iterations:\n", "| alpha | regularization | iALS | implicit's ALS |", "|---|---|---|---|"]
    text += [f"| {alpha} | {regularization} | {a:.4f} | {b:.4f} |" for alpha, regularization, a, b in grid]
    args.out.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
