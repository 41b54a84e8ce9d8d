"""Writes random ranked lists with the figures that ranx (PyPI) gives them: what `crates/metrics/tests/ranx.rs`
holds our metrics to. Run once with `pip install ranx==0.3.21`:

    python metrics_ranx.py > crates/metrics/tests/ranx.json
"""

import json
import random
import sys

from ranx import Qrels, Run, evaluate

METRICS = ["precision@5", "precision@25", "recall@5", "recall@20", "hit_rate@10", "ndcg@5", "ndcg@10", "ndcg@25", "mrr@5", "mrr@25", "map@10"]


def main() -> None:
    random.seed(7)
    cases = []
    for _ in range(60):
        listed = random.sample(range(60), random.randint(3, 25))
        relevant = random.sample(range(60), random.choice([1, 2, 5, 12, 30]))
        qrels = Qrels({"q": {str(item): 1 for item in relevant}})
        run = Run({"q": {str(item): float(len(listed) - place) for place, item in enumerate(listed)}})
        figures = {name: float(evaluate(qrels, run, name)) for name in METRICS}
        cases.append({"list": listed, "relevant": relevant, "figures": figures})
    json.dump(cases, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
