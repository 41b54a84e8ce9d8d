#!/usr/bin/env python3
"""Times DeepRecommender (Kuchaiev and Ginsburg 2017) written in PyTorch, on a processor.

Reads a CSV file with the header user,item,rating (further columns are passed over). An example is a
user, its inputs the ratings of all items (0 where there is none). With --layers 512,512,1024 the
layers are n-512-512-1024-dropout-512-512-n; the decoder has weights of its own, and SELU follows every
layer, the last one too. The first layer takes the ratings there are, as embedding_bag with per-sample
weights: faster here than torch.sparse.mm of a CSR batch. The output layer is dense; the loss is the
squared error at the ratings there are, divided by how many the batch has. SGD (fused) with momentum.

With --refeed 1 each update is followed by another: the dense output of that update's forward pass,
detached, is the new input and the new target, at every entry (mean squared error), dropout on as before.

An epoch's time covers shuffling, cutting the batches, all passes and the updates; `seconds_per_epoch`
is the median of the epochs after the first. `train_rmse` is that of the final weights, without
dropout, not clipped.

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


class DeepRecommender(torch.nn.Module):
    def __init__(self, inputs, layers, dropout):
        super().__init__()
        sizes = [*layers, *reversed(layers[:-1]), inputs]
        self.code, self.dropout = len(layers) - 1, dropout
        # One row an input: what embedding_bag wants.
        self.first = torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(inputs, sizes[0])))
        self.first_bias = torch.nn.Parameter(torch.zeros(sizes[0]))
        self.others = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        for layer in self.others:
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)

    def forward(self, given):
        """`given` is a Batch or a dense tensor."""
        if isinstance(given, Batch):
            x = F.embedding_bag(given.columns, self.first, given.starts, mode="sum", per_sample_weights=given.values)
        else:
            x = given @ self.first
        x = F.selu(x + self.first_bias)
        for place, layer in enumerate(self.others):
            if place == self.code:
                x = F.dropout(x, self.dropout, self.training)
            x = F.selu(layer(x))
        return x


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="CSV: user,item,rating,...")
    parser.add_argument("--layers", default="512,512,1024", help="the encoder's; the decoder mirrors it")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.8, help="share of the code's units dropped")
    parser.add_argument("--refeed", type=int, choices=[0, 1], default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.005)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random = np.random.default_rng(args.seed)

    matrix = read_matrix(args.train, "user", "item")
    examples, inputs = matrix.shape
    model = DeepRecommender(inputs, [int(size) for size in args.layers.split(",")], args.dropout)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.learning_rate, momentum=args.momentum, fused=True)

    def update(loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    times = []
    for _ in range(args.epochs):
        start = time.perf_counter()
        order = random.permutation(examples)
        for first in range(0, examples, args.batch):
            batch = Batch(matrix, order[first : first + args.batch])
            output = model(batch)
            update(F.mse_loss(output.take(batch.places), batch.values))
            if args.refeed:
                output = output.detach()
                update(F.mse_loss(model(output), output))
        times.append(time.perf_counter() - start)

    model.eval()
    error, rows = 0.0, np.arange(examples)
    with torch.no_grad():
        for first in range(0, examples, args.batch):
            batch = Batch(matrix, rows[first : first + args.batch])
            error += F.mse_loss(model(batch).take(batch.places), batch.values, reduction="sum").item()
    seconds = statistics.median(times[1:] or times)
    print(
        json.dumps(
            {
                "peer": "torch",
                "version": torch.__version__,
                "algorithm": "deeprecommender",
                "layers": args.layers,
                "batch": args.batch,
                "dropout": args.dropout,
                "refeed": args.refeed,
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
