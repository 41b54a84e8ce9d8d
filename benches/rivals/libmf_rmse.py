#!/usr/bin/env python3
"""Measures LIBMF (Chin et al. 2015) on one given split: two CSV files user,item,rating,....

`fit_seconds` times its `fit` alone; indices of users and items are made outside. Ratings are centred (LIBMF has no biases)
and predictions moved into the scale. Prints one line of JSON.
"""

import argparse
import contextlib
import json
import os
import sys
import time

import numpy as np
import polars as pl

with contextlib.redirect_stdout(sys.stderr):
    from libmf import mf


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--factors", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.1, help="the library's default")
    parser.add_argument("--regularization", type=float, default=0.04, help="the library's default")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    parts = [pl.read_csv(path, columns=["user", "item", "rating"], schema_overrides={"user": pl.String, "item": pl.String, "rating": pl.Float32}) for path in (args.train, args.test)]
    train, test = parts
    known = {}
    for column in ("user", "item"):
        names = train[column].unique()
        known[column] = pl.DataFrame({column: names, f"{column}_index": np.arange(len(names), dtype=np.int32)})
        parts = [part.join(known[column], on=column, how="left", maintain_order="left") for part in parts]
    train, test = parts
    mean = float(train["rating"].mean())
    data = np.column_stack([train["user_index"].to_numpy(), train["item_index"].to_numpy(), train["rating"].to_numpy() - mean]).astype(np.float32)
    rows = len(data)
    # It visits blocks of ratings in the order they come in: give them in no order.
    np.random.default_rng(0).shuffle(data)
    model = mf.MF(k=args.factors, nr_iters=args.iterations, eta=args.rate, lambda_p2=args.regularization, lambda_q2=args.regularization, lambda_p1=0.0, lambda_q1=0.0, nr_threads=args.threads, quiet=True)
    clock = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        model.fit(data)
    seconds = time.perf_counter() - clock
    users, items = np.nan_to_num(model.p_factors()), np.nan_to_num(model.q_factors())
    user, item = test["user_index"].fill_null(-1).to_numpy(), test["item_index"].fill_null(-1).to_numpy()
    told = np.full(len(test), mean, dtype=np.float64)
    both = (user >= 0) & (item >= 0)
    told[both] += np.einsum("ij,ij->i", users[user[both]], items[item[both]])
    low, high = float(train["rating"].min()), float(train["rating"].max())
    rmse = float(np.sqrt(np.mean((np.clip(told, low, high) - test["rating"].to_numpy()) ** 2)))
    print(json.dumps({"peer": "libmf", "version": "0.9.2", "rows": rows, "fit_seconds": seconds, "iterations": args.iterations, "rmse": rmse}))
    sys.stdout.flush()
    # Its memory is freed by nobody; nothing else is left to do.
    os._exit(0)


if __name__ == "__main__":
    main()
