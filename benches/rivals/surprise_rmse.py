#!/usr/bin/env python3
"""Measures Surprise's test error and training speed on one given split.

Reads two CSV files with the columns user,item,rating (a header line is optional), fits
BaselineOnly or SVD on exactly the training rows and predicts every test row, with Surprise's own
clipping and its own answer for unknown users and items. Options left out keep the library's
defaults. `fit_seconds` times `fit` alone: reading, building the trainset and predicting are outside.

Prints one line of JSON.
"""

import argparse
import inspect
import json
import time

import pandas as pd
import surprise

COLUMNS = ["user", "item", "rating"]


def read_ratings(path):
    """The first three columns; further ones (a time stamp) are passed over."""
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline().strip()
    header = 0 if first.split(",")[:3] == COLUMNS else None
    types = {"user": str, "item": str, "rating": float}
    ratings = pd.read_csv(path, header=header, usecols=[0, 1, 2], dtype={0: str, 1: str}, keep_default_na=False)
    return ratings.set_axis(COLUMNS, axis="columns").astype(types)


def baseline(args):
    """BaselineOnly by alternating least squares, the library's default."""
    epochs = 10 if args.epochs is None else args.epochs  # the default, buried in optimize_baselines
    options = {"method": "als", "n_epochs": epochs}
    return surprise.BaselineOnly(bsl_options=options, verbose=False), None, epochs


def svd(args):
    defaults = inspect.signature(surprise.SVD).parameters
    factors = defaults["n_factors"].default if args.factors is None else args.factors
    epochs = defaults["n_epochs"].default if args.epochs is None else args.epochs
    algo = surprise.SVD(
        n_factors=factors, n_epochs=epochs, random_state=args.seed, verbose=False
    )
    return algo, factors, epochs


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", required=True, help="CSV: user,item,rating")
    parser.add_argument("--test", required=True, help="CSV: user,item,rating")
    parser.add_argument("--algorithm", choices=["baseline", "svd"], required=True)
    parser.add_argument("--factors", type=int, help="SVD only (library default: 100)")
    parser.add_argument("--epochs", type=int, help="library default: 20 for svd, 10 for baseline")
    parser.add_argument("--scale", default="1,5", help="lowest,highest rating (default: 1,5)")
    parser.add_argument("--seed", type=int, default=0, help="SVD only (default: 0)")
    args = parser.parse_args()
    low, high = (float(bound) for bound in args.scale.split(","))

    train, test = read_ratings(args.train), read_ratings(args.test)
    reader = surprise.Reader(rating_scale=(low, high))
    trainset = surprise.Dataset.load_from_df(train[COLUMNS], reader).build_full_trainset()
    algo, factors, epochs = {"baseline": baseline, "svd": svd}[args.algorithm](args)

    start = time.perf_counter()
    algo.fit(trainset)
    seconds = time.perf_counter() - start

    predictions = algo.test(list(test[COLUMNS].itertuples(index=False, name=None)))
    print(
        json.dumps(
            {
                "peer": "surprise",
                "version": surprise.__version__,
                "algorithm": args.algorithm,
                "factors": factors,
                "epochs": epochs,
                "train_rows": trainset.n_ratings,
                "test_rows": len(predictions),
                "rmse": surprise.accuracy.rmse(predictions, verbose=False),
                "mae": surprise.accuracy.mae(predictions, verbose=False),
                "fit_seconds": seconds,
                "ratings_per_second": trainset.n_ratings * epochs / seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
