#!/usr/bin/env python3
"""Measures the rate of one large product of single-precision matrices in PyTorch, in GFLOP/s: what a processor can do."""

import json
import time

import torch

N = 2048
torch.set_num_threads(2)
a, b = torch.rand(N, N), torch.rand(N, N)
best = float("inf")
for _ in range(8):
    start = time.perf_counter()
    a @ b
    best = min(best, time.perf_counter() - start)
print(json.dumps({"gflops": 2 * N**3 / best / 1e9}))
