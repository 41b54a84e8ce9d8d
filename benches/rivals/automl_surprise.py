#!/usr/bin/env python3
"""What an Optuna search over Surprise's algorithms and their settings comes to within a budget of time.

    python automl_surprise.py TRAIN.csv TEST.csv --seconds 300 --processes 2 --scale 1,5

TPE (multivariate, conditional groups) draws an algorithm and its settings; a trial trains on nine tenths of the
training rows and is judged on the rest; `--processes` of them run at a time, for Surprise has one thread. Defaults
of the main algorithms are the first trials. Four fifths of the time go to trials; the best one that can be trained
once more in what is left is trained on all training rows and tested. Prints one line of JSON.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time

import optuna
import surprise
from surprise_rmse import COLUMNS, read_ratings

optuna.logging.set_verbosity(optuna.logging.ERROR)
SEARCH = 0.8


def algorithm(trial):
    """An algorithm with settings as Surprise takes them."""
    name = trial.suggest_categorical("algorithm", ["SVD", "SVDpp", "KNNBaseline", "KNNWithMeans", "BaselineOnly", "NMF", "SlopeOne", "CoClustering"])
    integer = lambda key, low, high: trial.suggest_int(f"{name} {key}", low, high, log=True)
    number = lambda key, low, high: trial.suggest_float(f"{name} {key}", low, high, log=True)
    if name in ("SVD", "SVDpp"):
        return getattr(surprise, name)(
            n_factors=integer("factors", 5, 200), n_epochs=integer("epochs", 10, 100), lr_all=number("rate", 1e-3, 3e-2), reg_all=number("regularization", 5e-3, 0.3), random_state=0
        )
    if name in ("KNNBaseline", "KNNWithMeans"):
        options = {"user_based": trial.suggest_categorical(f"{name} users", [True, False]), "name": trial.suggest_categorical(f"{name} similarity", ["pearson_baseline", "cosine", "msd"])}
        if options["name"] == "pearson_baseline":
            options["shrinkage"] = integer("shrinkage", 10, 500)
        return getattr(surprise, name)(k=integer("k", 5, 150), min_k=integer("least k", 1, 10), sim_options=options, verbose=False)
    if name == "BaselineOnly":
        options = {"method": "als", "reg_u": number("users", 0.5, 50.0), "reg_i": number("items", 0.5, 50.0), "n_epochs": integer("epochs", 5, 40)}
        return surprise.BaselineOnly(bsl_options=options, verbose=False)
    if name == "NMF":
        return surprise.NMF(
            n_factors=integer("factors", 5, 60), n_epochs=integer("epochs", 10, 100), reg_pu=number("users", 0.01, 0.5), reg_qi=number("items", 0.01, 0.5), random_state=0
        )
    if name == "CoClustering":
        return surprise.CoClustering(n_cltr_u=integer("users", 2, 20), n_cltr_i=integer("items", 2, 20), n_epochs=integer("epochs", 5, 50), random_state=0)
    return surprise.SlopeOne()


FIRST = [
    {"algorithm": "BaselineOnly", "BaselineOnly users": 15.0, "BaselineOnly items": 10.0, "BaselineOnly epochs": 10},
    {"algorithm": "SVD", "SVD factors": 100, "SVD epochs": 20, "SVD rate": 0.005, "SVD regularization": 0.02},
    {"algorithm": "KNNBaseline", "KNNBaseline users": False, "KNNBaseline similarity": "pearson_baseline", "KNNBaseline shrinkage": 100, "KNNBaseline k": 40, "KNNBaseline least k": 1},
    {"algorithm": "SVDpp", "SVDpp factors": 20, "SVDpp epochs": 20, "SVDpp rate": 0.007, "SVDpp regularization": 0.02},
]


def trainset(rows, scale):
    return surprise.Dataset.load_from_df(rows[COLUMNS], surprise.Reader(rating_scale=scale)).build_full_trainset()


def judged(model, rows):
    return surprise.accuracy.rmse(model.test(list(rows[COLUMNS].itertuples(index=False, name=None))), verbose=False)


def sampler(seed):
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def worker(storage, seed, train, scale, end):
    study = optuna.load_study(study_name="surprise", storage=storage, sampler=sampler(seed))
    validation = train.sample(frac=0.1, random_state=0)
    rows = trainset(train.drop(validation.index), scale)

    def objective(trial):
        model = algorithm(trial)
        clock = time.perf_counter()
        model.fit(rows)
        trial.set_user_attr("fit_seconds", time.perf_counter() - clock)
        return judged(model, validation)

    while time.time() < end:
        # An algorithm may fail on its draw (a division by zero); the trial is lost, the search goes on.
        study.optimize(objective, n_trials=1, catch=(Exception,))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scale", default="1,5")
    args = parser.parse_args()
    begin = time.time()
    scale = tuple(float(bound) for bound in args.scale.split(","))
    train, test = read_ratings(args.train), read_ratings(args.test)
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{os.path.join(folder, 'study.sqlite')}"
        study = optuna.create_study(study_name="surprise", storage=storage, sampler=sampler(0))
        for first in FIRST:
            study.enqueue_trial(first)
        end = begin + SEARCH * args.seconds
        workers = [multiprocessing.Process(target=worker, args=(storage, seed, train, scale, end)) for seed in range(args.processes)]
        for process in workers:
            process.start()
        for process in workers:
            process.join(max(end - time.time(), 0.01))
            # What has not ended by now is lost.
            process.kill()
            process.join()
        left = args.seconds - (time.time() - begin)
        ended = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
        fitting = [t for t in ended if 1.3 * t.user_attrs["fit_seconds"] < left] or ended
        best = min(fitting, key=lambda t: t.value)
    model = algorithm(optuna.trial.FixedTrial(best.params))
    model.fit(trainset(train, scale))
    seconds = time.time() - begin
    print(json.dumps({"rmse": judged(model, test), "validation": best.value, "trials": len(ended), "chosen": best.params, "seconds": seconds, "versions": [optuna.__version__, surprise.__version__]}))


if __name__ == "__main__":
    main()
