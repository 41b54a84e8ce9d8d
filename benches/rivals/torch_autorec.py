#!/usr/bin/env python3
"""Times I-AutoRec (Sedhain et al. 2015) written in PyTorch, on a processor.

Reads a CSV file with the header user,item,rating (further columns are passed over). An example is an
item, its inputs the ratings of all users (0 where there is none); sigmoid hidden units, identity
output. The input layer takes the ratings there are, as embedding_bag with per-sample weights: faster
here than torch.sparse.mm of a CSR batch. The output layer is dense, the error taken at the ratings
there are. A batch's objective is the sum of squared errors plus l2/2 times the squared norm of both
weight matrices, biases left out; Adam (fused).

An epoch's time covers shuffling, cutting the batches, both passes and the updates; `seconds_per_epoch`
is the median of the epochs after the first. `train_rmse` is that of the final weights, not clipped.

Prints one line of JSON.
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import sparse


def read_matrix(path, rows, columns):
    """The ratings as a CSR matrix, one row for each of `rows`."""
    types = {"user": str, "item": str, "rating": np.float32}
    data = pd.read_csv(path, usecols=list(types), dtype=types, keep_default_na=False)
    (row, _), (column, _) = pd.factorize(data[rows]), pd.factorize(data[columns])
    return sparse.csr_matrix((data.rating.to_numpy(), (row, column)))


class Batch:
    """Some rows of the matrix as embedding_bag wants them, and their places in the dense output."""

    def __init__(self, matrix, rows):
        block = matrix[rows]
        self.columns = torch.from_numpy(block.indices.astype(np.int64))
        self.starts = torch.from_numpy(block.indptr[:-1].astype(np.int64))
        self.values = torch.from_numpy(block.data)
        row = np.repeat(np.arange(len(rows)), np.diff(block.indptr))
        self.places = torch.from_numpy(row * matrix.shape[1]) + self.columns


class AutoRec(torch.nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        # Both one row an input: what embedding_bag and linear want.
        self.encoder = torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(inputs, hidden)))
        self.decoder = torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(inputs, hidden)))
        self.hidden_bias = torch.nn.Parameter(torch.zeros(hidden))
        self.output_bias = torch.nn.Parameter(torch.zeros(inputs))

    def forward(self, batch):
        summed = F.embedding_bag(batch.columns, self.encoder, batch.starts, mode="sum", per_sample_weights=batch.values)
        return F.linear(torch.sigmoid(summed + self.hidden_bias), self.decoder, self.output_bias)

    def squared_error(self, batch):
        """Summed over the ratings there are."""
        return F.mse_loss(self(batch).take(batch.places), batch.values, reduction="sum")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="CSV: user,item,rating,...")
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--l2", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random = np.random.default_rng(args.seed)

    matrix = read_matrix(args.train, "item", "user")
    examples, inputs = matrix.shape
    model = AutoRec(inputs, args.hidden)
    # Adam's weight_decay adds l2 times the weight to its gradient: that of l2/2 times the squared norm.
    groups = [
        {"params": [model.encoder, model.decoder], "weight_decay": args.l2},
        {"params": [model.hidden_bias, model.output_bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.Adam(groups, lr=args.learning_rate, fused=True)

    times = []
    for _ in range(args.epochs):
        start = time.perf_counter()
        order = random.permutation(examples)
        for first in range(0, examples, args.batch):
            batch = Batch(matrix, order[first : first + args.batch])
            optimizer.zero_grad()
            model.squared_error(batch).backward()
            optimizer.step()
        times.append(time.perf_counter() - start)

    with torch.no_grad():
        rows = np.arange(examples)
        error = sum(model.squared_error(Batch(matrix, rows[f : f + args.batch])).item() for f in range(0, examples, args.batch))
    seconds = statistics.median(times[1:] or times)
    print(
        json.dumps(
            {
                "peer": "torch",
                "version": torch.__version__,
                "algorithm": "i-autorec",
                "hidden": args.hidden,
                "batch": args.batch,
                "l2": args.l2,
                "threads": args.threads,
                "seed": args.seed,
                "train_rows": matrix.nnz,
                "examples": examples,
                "inputs": inputs,
                "epochs": args.epochs,
                "seconds_per_epoch": seconds,
                "epoch_seconds": times,
                "ratings_per_second": matrix.nnz / seconds,
                "train_rmse": (error / matrix.nnz) ** 0.5,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
