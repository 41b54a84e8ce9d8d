#!/usr/bin/env python3
"""Measures Surprise SVDpp's test error and training speed on one given split.

Reads two CSV files with the header user,item,rating (further columns are passed over), fits SVDpp on
exactly the training rows and predicts every test row, with Surprise's own clipping and its own answer
for unknown users and items. Options left out keep the library's defaults (cache_ratings: off).

`fit_seconds` times `fit` alone: reading, building the trainset and predicting are outside. It grows
with the epochs in proportion, so one epoch tells the time of any number (but not their error). With
--no-test nothing is predicted and `rmse` is null.

Prints one line of JSON.
"""

import argparse
import json
import resource
import time

import pandas as pd
import surprise

COLUMNS = ["user", "item", "rating"]


def read_ratings(path):
    return pd.read_csv(path, usecols=COLUMNS, dtype={"user": str, "item": str, "rating": float}, keep_default_na=False)[COLUMNS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="CSV: user,item,rating,...")
    parser.add_argument("test", help="CSV: user,item,rating,...")
    parser.add_argument("--factors", type=int, default=20, help="library default: 20")
    parser.add_argument("--epochs", type=int, default=20, help="library default: 20")
    parser.add_argument("--cache-ratings", action="store_true", help="the library's option of that name")
    parser.add_argument("--no-test", action="store_true", help="time fit alone")
    parser.add_argument("--scale", default="1,5", help="lowest,highest rating (default: 1,5)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    low, high = (float(bound) for bound in args.scale.split(","))

    train, test = read_ratings(args.train), read_ratings(args.test)
    reader = surprise.Reader(rating_scale=(low, high))
    trainset = surprise.Dataset.load_from_df(train, reader).build_full_trainset()
    algo = surprise.SVDpp(
        n_factors=args.factors, n_epochs=args.epochs, cache_ratings=args.cache_ratings, random_state=args.seed, verbose=False
    )

    start = time.perf_counter()
    algo.fit(trainset)
    seconds = time.perf_counter() - start

    start, rmse = time.perf_counter(), None
    if not args.no_test:
        predictions = algo.test(list(test.itertuples(index=False, name=None)))
        rmse = float(surprise.accuracy.rmse(predictions, verbose=False))
    print(
        json.dumps(
            {
                "peer": "surprise",
                "version": surprise.__version__,
                "algorithm": "svdpp",
                "factors": args.factors,
                "cache_ratings": args.cache_ratings,
                "seed": args.seed,
                "train_rows": trainset.n_ratings,
                "test_rows": len(test),
                "rmse": rmse,
                "epochs": args.epochs,
                "fit_seconds": seconds,
                "ratings_per_second": trainset.n_ratings * args.epochs / seconds,
                "predict_seconds": time.perf_counter() - start,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
