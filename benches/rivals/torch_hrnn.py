#!/usr/bin/env python3
"""Times the flat form of HRNN (one GRU) written in PyTorch, on a processor.

Reads a CSV file with the header user,item,rating,timestamp, sorted by user and time. The network and
its batches are those of Foretaste's example hrnn_speed: `rows` users side by side, windows of `window`
steps, states carried over; inputs [e, v e, v, max(-v, 0), log gap, log count]; torch.nn.GRU; a linear decoder whose product with the item's output row (factors and bias) is
the prediction; squared error; Adam.

nn.GRU knows no reset inside a window, so the state runs on where a user begins: the same steps, less
work. --embedding picks the tables' gradients: dense
with Adam over every row, or sparse with SparseAdam over the touched ones.

An epoch's time covers cutting the batches, both passes and the updates. Prints one line of JSON.
"""

import argparse
import json
import resource
import time

import numpy as np
import torch


def batches(offsets, rows, window):
    """Windows of `rows` users side by side, longest histories first, as row numbers [window, rows], -1 for padding."""
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    cursors = [(0, 0)] * rows
    position = 0
    while True:
        index = np.full((window, rows), -1, dtype=np.int64)
        alive = False
        for row in range(rows):
            step = 0
            while step < window:
                start, end = cursors[row]
                if start >= end:
                    if position == len(order):
                        break
                    user = order[position]
                    position += 1
                    start, end = offsets[user], offsets[user + 1]
                n = min(window - step, end - start)
                index[step : step + n, row] = np.arange(start, start + n)
                cursors[row] = (start + n, end)
                step += n
                alive = True
        if not alive:
            return
        yield index


class Network(torch.nn.Module):
    def __init__(self, items, size, sparse):
        super().__init__()
        self.input = torch.nn.Embedding(items, size, sparse=sparse)
        self.output = torch.nn.Embedding(items, size + 1, sparse=sparse)
        torch.nn.init.uniform_(self.input.weight, -0.5, 0.5)
        torch.nn.init.uniform_(self.output.weight, -0.1, 0.1)
        self.gru = torch.nn.GRU(2 * size + 4, size)
        self.decoder = torch.nn.Linear(size, size + 2)

    def forward(self, items, values, time, state):
        e = self.input(items)
        v = values.unsqueeze(-1)
        x = torch.cat([e, e * v, v, (-v).clamp(min=0), time], -1)
        after, last = self.gru(x, state.unsqueeze(0))
        before = torch.cat([state.unsqueeze(0), after[:-1]], 0)
        query = self.decoder(before)
        return (query[..., :-1] * self.output(items)).sum(-1) + query[..., -1], last[0].detach()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="CSV: user,item,rating,timestamp")
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--embedding", choices=["dense", "sparse"], default="dense")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    table = np.loadtxt(args.train, delimiter=",", skiprows=1)
    users, items = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    offsets = np.r_[0, np.cumsum(np.bincount(users))]
    mean = table[:, 2].mean()
    values = ((table[:, 2] - mean) / table[:, 2].std()).astype(np.float32)
    gaps = np.r_[0, np.diff(table[:, 3])]
    gaps[offsets[:-1]] = 0
    counts = np.arange(len(users)) - offsets[users]
    time_columns = np.stack([np.log1p(np.maximum(gaps, 0)) / 16, np.log1p(counts) / 8], -1).astype(np.float32)
    items, values, time_columns = torch.from_numpy(items), torch.from_numpy(values), torch.from_numpy(time_columns)

    model = Network(args.items, args.size, args.embedding == "sparse")
    tables = [model.input.weight, model.output.weight]
    dense = [p for p in model.parameters() if all(p is not t for t in tables)]
    if args.embedding == "sparse":
        optimizers = [torch.optim.SparseAdam(tables, lr=1e-3), torch.optim.Adam(dense, lr=1e-3, fused=True)]
    else:
        optimizers = [torch.optim.Adam(tables + dense, lr=1e-3, fused=True)]
    seconds, rmse = [], 0.0
    for _ in range(args.epochs):
        begin = time.perf_counter()
        state = torch.zeros(args.rows, args.size)
        squares = 0.0
        for index in batches(offsets, args.rows, args.window):
            index = torch.from_numpy(index)
            mask = (index >= 0).float()
            index = index.clamp(min=0)
            v = values[index] * mask
            prediction, state = model(items[index], v, time_columns[index], state)
            error = (prediction - v) * mask
            loss = (error * error).sum() / mask.numel()
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            squares += loss.item() * mask.numel()
        seconds.append(time.perf_counter() - begin)
        rmse = (squares / len(values)) ** 0.5
    print(
        json.dumps(
            {
                "peer": "torch",
                "version": torch.__version__,
                "size": args.size,
                "window": args.window,
                "rows": args.rows,
                "embedding": args.embedding,
                "threads": args.threads,
                "events": len(values),
                "seconds": seconds,
                "train_rmse": rmse,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
