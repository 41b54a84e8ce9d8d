"""DeepFM of DeepCTR-Torch (PyPI) on the parts and fields that the example `clicks` wrote: AUC and log-loss on the test
part at the epoch that is best on the validation part, and training examples a second. One line of JSON.

    python deepctr_deepfm.py FOLDER SEED THREADS FACTORS UNITS,UNITS BATCH EPOCHS [KEY=VALUE ..]

Settings beyond these are the package's: `l2_reg_embedding`, `l2_reg_linear`, `dnn_dropout`, `lr`.
"""

import json
import pathlib
import sys
import time

import numpy as np
import resource
import torch
from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM
from sklearn.metrics import log_loss, roc_auc_score


def columns(path: pathlib.Path) -> list[list[list[int]]]:
    """For each column of attributes, each owner's codes."""
    if not path.exists():
        return []
    rows = [line.rstrip("\n").split(",") for line in path.open()]
    return [[[int(code) for code in row[at].split("|") if code] for row in rows] for at in range(len(rows[0]))]


def main() -> None:
    folder, seed, threads, factors, units, batch, epochs, *rest = sys.argv[1:]
    folder, factors = pathlib.Path(folder), int(factors)
    options = {key: float(value) for key, value in (word.split("=") for word in rest)}
    rate = options.pop("lr", 1e-3)
    torch.set_num_threads(int(threads))
    rows = np.loadtxt(folder / "rows.csv", delimiter=",", dtype=np.int64)
    fields, inputs = [], {}

    def sparse(name: str, values: np.ndarray) -> None:
        fields.append(SparseFeat(name, int(values.max()) + 1, factors))
        inputs[name] = values.astype(np.float32)

    sparse("user", rows[:, 2])
    sparse("item", rows[:, 3])
    for of, owners in (("user", rows[:, 2]), ("item", rows[:, 3])):
        for at, codes in enumerate(columns(folder / f"{of}s.csv")):
            name, longest = f"{of}_{at}", max(len(own) for own in codes)
            # Code 0 is the peer's padding.
            table = np.zeros((len(codes), longest), dtype=np.float32)
            first = min(min(own) for own in codes if own) - 1
            for owner, own in enumerate(codes):
                table[owner, : len(own)] = [code - first for code in own]
            if longest == 1:
                sparse(name, table[owners, 0])
            else:
                fields.append(VarLenSparseFeat(SparseFeat(name, int(table.max()) + 1, factors), longest, "mean"))
                inputs[name] = table[owners]
    sparse("hour", rows[:, 4])
    sparse("weekday", rows[:, 5])
    parts = [{name: values[rows[:, 0] == part] for name, values in inputs.items()} for part in range(3)]
    clicks = [rows[rows[:, 0] == part, 1].astype(np.float32) for part in range(3)]
    hidden = tuple(int(size) for size in units.split(",") if size)
    model = DeepFM(fields, fields, dnn_hidden_units=hidden, device="cpu", seed=1024 + int(seed), **options)
    model.compile(torch.optim.Adam(model.parameters(), lr=rate), "binary_crossentropy", metrics=[])
    best, seconds = None, []
    for epoch in range(int(epochs)):
        clock = time.perf_counter()
        model.fit(dict(parts[0]), clicks[0], batch_size=int(batch), epochs=1, verbose=0)
        seconds.append(time.perf_counter() - clock)
        validation = log_loss(clicks[1], model.predict(dict(parts[1]), 8192).astype(np.float64))
        if best is None or validation < best["validation"]:
            found = model.predict(dict(parts[2]), 8192).astype(np.float64)
            best = {"auc": roc_auc_score(clicks[2], found), "log_loss": log_loss(clicks[2], found), "validation": validation, "epoch": epoch + 1}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(best | {"examples_per_second": len(clicks[0]) / min(seconds), "peak_mb": peak}))


if __name__ == "__main__":
    main()
