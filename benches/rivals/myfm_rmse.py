#!/usr/bin/env python3
"""Measures myFM's test error and training speed on one given split.

Reads two CSV files with the header user,item,rating,timestamp (times in seconds). Two sets of
features:

user-item  One-hot user and one-hot item, in one sparse table (or, with --blocks, in two relation
           blocks). Groups: users, items. A user or item unknown to the training rows is a row of zeros.
bags       As myFM's published example examples/ml-1m-regression.py ("timesvdpp_flipped"): one-hot day
           (UTC) in the table; a relation block for the user (one-hot user, and the items the user rated,
           each 1/sqrt(n)), one for the item (one-hot item, and the users who rated it, likewise).
           Groups: days, users, items of a user, items, users of an item. As there, every vocabulary has
           one more column for the unknown. Days, users, items and bags come from the training rows; with
           --transductive from the test rows too (who rated what, never the rating).

Every hyper-prior keeps the library's default. The regressor's predictions are averaged over the kept
iterations and then clipped to the scale; --probit fits MyFMOrderedProbit and predicts the expected
rating under the averaged class probabilities. Unless --burn says otherwise, as many iterations are
kept as the library would keep: all but the first five (of fewer than ten, the last five). They are
averaged in a callback, as in the example, so memory does not grow with the iterations.

`fit_seconds` times `fit` alone, without that callback; `train_rmse_last` is the error of the last
sample alone (not of the average) on the training rows. The fit uses one thread.

Prints one line of JSON.
"""

import argparse
import importlib.metadata
import json
import resource
import time

import myfm
import numpy as np
import pandas as pd
from scipy import sparse

SECONDS_OF_DAY = 86400


def read_ratings(path):
    return pd.read_csv(path, dtype={"user": str, "item": str, "rating": float}, keep_default_na=False)


def codes(values, known):
    """Each value's position in `known`, or -1."""
    return pd.Index(known).get_indexer(values)


def one_hot(positions, width):
    """A row of zeros for -1."""
    rows = np.flatnonzero(positions >= 0)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, positions[rows])), shape=(len(positions), width))


def user_item(train, test, blocks):
    users, items = np.unique(train.user), np.unique(train.item)

    def features(rows):
        user, item = codes(rows.user, users), codes(rows.item, items)
        if not blocks:
            return sparse.hstack([one_hot(user, len(users)), one_hot(item, len(items))], format="csr"), []
        # The last row of a block, all zeros, is for the unknown (-1).
        of = [(user, len(users)), (item, len(items))]
        return None, [myfm.RelationBlock(list(p % (n + 1)), sparse.eye(n + 1, n, format="csr")) for p, n in of]

    return features(train), features(test), {"users": len(users), "items": len(items)}


def bags(train, test, transductive):
    """As the example builds them; position 0 of every vocabulary is the unknown."""
    source = pd.concat([train, test]) if transductive else train
    known = {name: np.unique(source[name]) for name in ["user", "item"]}
    days = np.unique(source.timestamp // SECONDS_OF_DAY)
    width = {name: len(values) + 1 for name, values in known.items()}
    pairs = {name: codes(source[name], values) + 1 for name, values in known.items()}
    # Who rated what, row 0 (the unknown) empty.
    rated = sparse.csr_matrix((np.ones(len(source)), (pairs["user"], pairs["item"])), shape=(width["user"], width["item"]))

    def block_of(name, members):
        counts = np.diff(members.indptr)
        scale = sparse.diags(1 / np.sqrt(np.maximum(counts, 1)))
        return sparse.hstack([sparse.eye(width[name]), scale @ members], format="csr")

    blocks = {"user": block_of("user", rated), "item": block_of("item", rated.T.tocsr())}

    def features(rows):
        table = one_hot(codes(rows.timestamp // SECONDS_OF_DAY, days) + 1, len(days) + 1)
        relations = []
        for name, block in blocks.items():
            present, mapper = np.unique(codes(rows[name], known[name]) + 1, return_inverse=True)
            relations.append(myfm.RelationBlock(list(mapper), block[present]))
        return table, relations

    groups = {"days": len(days) + 1, "users": width["user"], "items_of_user": width["item"]}
    return features(train), features(test), {**groups, "items": width["item"], "users_of_item": width["user"]}


class Average:
    """Sums the test predictions of the iterations from `burn` on, and times itself."""

    def __init__(self, table, relations, burn, predict):
        rows = relations[0].mapper_size if relations else table.shape[0]
        self.table = sparse.csr_matrix((rows, 0), dtype=np.float64) if table is None else table
        self.relations, self.burn, self.predict = relations, burn, predict
        self.sum, self.kept, self.seconds = 0, 0, 0.0

    def __call__(self, iteration, fm, hyper, history):
        start = time.perf_counter()
        if iteration >= self.burn:
            self.sum += self.predict(fm, self.table, self.relations)
            self.kept += 1
        self.seconds += time.perf_counter() - start
        return False, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="CSV: user,item,rating,timestamp")
    parser.add_argument("test", help="CSV: user,item,rating,timestamp")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=512, help="the example's: 512")
    parser.add_argument("--burn", type=int, help="iterations left out of the average (default: as the library keeps)")
    parser.add_argument("--features", choices=["user-item", "bags"], default="user-item")
    parser.add_argument("--blocks", action="store_true", help="user-item as relation blocks")
    parser.add_argument("--transductive", action="store_true", help="bags see who rated what in the test rows")
    parser.add_argument("--probit", action="store_true", help="MyFMOrderedProbit")
    parser.add_argument("--scale", default="1,5", help="lowest,highest rating (default: 1,5)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    low, high = (float(bound) for bound in args.scale.split(","))
    burn = args.iterations - min(max(args.iterations - 5, 5), args.iterations) if args.burn is None else args.burn
    if not 0 <= burn < args.iterations:
        parser.error("--burn must leave an iteration")

    train, test = read_ratings(args.train), read_ratings(args.test)
    if args.features == "bags":
        known, asked, groups = bags(train, test, args.transductive)
    else:
        known, asked, groups = user_item(train, test, args.blocks)
    (table, relations), group_shapes = known, list(groups.values())

    if args.probit:
        levels = np.unique(train.rating)
        target = codes(train.rating, levels)
        model = myfm.MyFMOrderedProbit(rank=args.rank, random_seed=args.seed)
        predict = lambda fm, table, relations: fm.oprobit_predict_proba(table, relations, 0)
        rating = lambda probabilities: probabilities @ levels
    else:
        target = train.rating.to_numpy()
        model = myfm.MyFMRegressor(rank=args.rank, random_seed=args.seed)
        predict = lambda fm, table, relations: fm.predict_score(table, relations)
        rating = lambda score: np.clip(score, low, high)

    average = Average(*asked, burn, predict)
    start = time.perf_counter()
    model.fit(
        table, target, X_rel=relations, group_shapes=group_shapes, n_iter=args.iterations, n_kept_samples=1, callback=average
    )
    seconds = time.perf_counter() - start - average.seconds

    def rmse(predicted, rows):
        return float(np.sqrt(np.mean((predicted - rows.rating.to_numpy()) ** 2)))

    once = Average(table, relations, 0, predict)
    once(0, model.predictor_.samples[0], None, None)
    answer = {
        "peer": "myfm",
        "version": importlib.metadata.version("myfm"),
        "features": args.features,
        "blocks": args.blocks or args.features == "bags",
        "transductive": args.transductive,
        "probit": args.probit,
        "rank": args.rank,
        "groups": groups,
        "seed": args.seed,
        "train_rows": len(train),
        "test_rows": len(test),
        "rmse": rmse(rating(average.sum / average.kept), test),
        "train_rmse_last": rmse(rating(once.sum), train),
        "iterations": args.iterations,
        "kept": average.kept,
        "fit_seconds": seconds,
        "iterations_per_second": args.iterations / seconds,
        "predict_seconds": average.seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    if args.probit:
        answer["cutpoints_last"] = [float(c) for c in model.cutpoint_samples[-1]]
        answer["w0_last"] = float(model.w0_samples[-1])
        answer["cutpoints_accepted"] = int(model.history_.n_mh_accept[0])
    else:
        answer["noise_deviation_last"] = float(model.history_.hypers[-1].alpha ** -0.5)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
