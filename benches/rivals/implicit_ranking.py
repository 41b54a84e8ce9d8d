"""implicit (PyPI) on the pairs of a CSV (user,item): seconds of a cosine item-kNN with 50 neighbours, of an ALS
iteration at 64 and 128 factors (its conjugate gradients, three steps, its default), and of ten items for every user
from either. One line of JSON.

    python implicit_ranking.py PAIRS.csv THREADS
"""

import json
import sys
import time

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits


def lists(model, matrix) -> float:
    users = np.arange(matrix.shape[0])
    clock = time.perf_counter()
    model.recommend(users, matrix, N=10)
    return time.perf_counter() - clock


def main() -> None:
    pairs = np.loadtxt(sys.argv[1], delimiter=",", dtype=np.int32)
    threads = int(sys.argv[2])
    matrix = csr_matrix((np.ones(len(pairs), dtype=np.float32), (pairs[:, 0], pairs[:, 1])))
    found = {"rows": len(pairs), "threads": threads}
    # implicit asks for BLAS on one thread beside its own.
    with threadpool_limits(1, "blas"):
        clock = time.perf_counter()
        model = CosineRecommender(K=50, num_threads=threads)
        model.fit(matrix, show_progress=False)
        found["knn_fit"] = time.perf_counter() - clock
        found["knn_top10"] = lists(model, matrix)
        for factors in (64, 128):
            stamps = [time.perf_counter()]
            model = AlternatingLeastSquares(factors=factors, iterations=6, num_threads=threads, random_state=0)
            model.fit(matrix, show_progress=False, callback=lambda *_: stamps.append(time.perf_counter()))
            found[f"als{factors}_fit"] = time.perf_counter() - stamps[0]
            found[f"als{factors}_iteration"] = float(np.median(np.diff(stamps[1:])))
            found[f"als{factors}_top10"] = lists(model, matrix)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
