#!/usr/bin/env python3
"""Hyper-parameter search beside Optuna's TPE and GP samplers, egobox's EGO and random draws: on six functions, 60 trials, 20
seeds each, and the time of asking for trial 200 in ten dimensions.

The functions stand here and in `crates/hpo/examples/curves.rs`; every value of ours is computed again here and must be
equal. Rosenbrock's function is observed with noise of deviation 1 and judged without; egobox has no conditional
settings and is given all of them always. Simple regret is the distance of the best trial so far (by what was observed)
to the lowest value known.

Called by `cargo xtask bench rivals-search`, which makes the Python environment.
"""

import argparse
import json
import math
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import optuna
from run import ROOT

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore")

TABLE = ROOT / "benches" / "tables" / "deepfm-ml-latest-small.json"
FUNCTIONS = ["branin", "hartmann6", "ackley10", "rosenbrock4", "mixed", "table"]
OURS = ["auto", "tpe", "random"]
OPTUNA = {"Optuna TPE": optuna.samplers.TPESampler, "Optuna GP": optuna.samplers.GPSampler}
A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991], [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])
FLOATS = {"branin": [(-5.0, 10.0), (0.0, 15.0)], "hartmann6": [(0.0, 1.0)] * 6, "ackley10": [(-5.0, 10.0)] * 10, "rosenbrock4": [(-2.0, 2.0)] * 4}
TABLE_SETTINGS = {"depth": 4, "size": 3, "dropout": 2, "factors": 3, "learning_rate": 4, "weight_decay": 3}
KINDS, ACTIVATIONS = ["linear", "tree", "network"], ["relu", "tanh", "gelu"]


def table():
    return json.loads(TABLE.read_text())["values"]


def value(function, at, values=None):
    """The noise-free value of a configuration."""
    if function in FLOATS:
        x = np.array([at[f"x{i}"] for i in range(len(FLOATS[function]))])
    if function == "branin":
        curve = (x[1] - 5.1 / (4 * math.pi**2) * x[0] ** 2 + 5 / math.pi * x[0] - 6) ** 2
        return curve + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10
    if function == "hartmann6":
        return float(-np.dot([1.0, 1.2, 3.0, 3.2], np.exp(-np.sum(A * (x - P) ** 2, axis=1))))
    if function == "ackley10":
        return float(-20 * math.exp(-0.2 * math.sqrt(np.mean(x**2))) - math.exp(np.mean(np.cos(2 * math.pi * x))) + 20 + math.e)
    if function == "rosenbrock4":
        return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))
    if function == "mixed":
        if at["kind"] == "linear":
            return 0.35 + 0.05 * (math.log10(at["rate"]) + 1) ** 2 + 0.3 * (at["penalty"] - 0.2) ** 2
        if at["kind"] == "tree":
            return 0.3 + 0.04 * (math.log2(at["leaves"]) - 5) ** 2
        second = 0.02 * (math.log2(at["size_2"]) - 6) ** 2 if at["depth"] >= 2 else 0.08
        shape = 0.08 * (math.log10(at["rate"]) + 2.5) ** 2 + 0.03 * (at["depth"] - 3) ** 2 + 0.02 * (math.log2(at["size"]) - 7) ** 2
        return 0.1 + shape + second + {"relu": 0.05, "gelu": 0.0, "tanh": 0.12}[at["activation"]]
    key = ",".join(str(at[name]) if name in at else "-" for name in TABLE_SETTINGS)
    return values[key]


def lowest(function):
    if function == "branin":
        return 0.39788735772973816
    if function == "hartmann6":
        return -3.32236801141551
    if function in ("ackley10", "rosenbrock4"):
        return 0.0
    if function == "mixed":
        return 0.1
    return min(table().values())


def noise(function, rng):
    return rng.normal() if function == "rosenbrock4" else 0.0


def optuna_configuration(function, trial):
    """The function's settings as Optuna is asked for them: conditional ones only where they exist."""
    if function in FLOATS:
        return {f"x{i}": trial.suggest_float(f"x{i}", low, high) for i, (low, high) in enumerate(FLOATS[function])}
    at = {}
    if function == "mixed":
        at["kind"] = trial.suggest_categorical("kind", KINDS)
        if at["kind"] != "tree":
            at["rate"] = trial.suggest_float("rate", 1e-4, 1.0, log=True)
        if at["kind"] == "linear":
            at["penalty"] = trial.suggest_float("penalty", 0.0, 1.0)
        if at["kind"] == "tree":
            at["leaves"] = trial.suggest_int("leaves", 2, 256, log=True)
        if at["kind"] == "network":
            at["depth"] = trial.suggest_int("depth", 1, 4)
            at["size"] = trial.suggest_int("size", 8, 512, log=True)
            if at["depth"] >= 2:
                at["size_2"] = trial.suggest_int("size_2", 8, 512, log=True)
            at["activation"] = trial.suggest_categorical("activation", ACTIVATIONS)
        return at
    at["depth"] = trial.suggest_int("depth", 0, 3)
    for name, cells in TABLE_SETTINGS.items():
        if name != "depth" and (at["depth"] >= 1 or name not in ("size", "dropout")):
            at[name] = trial.suggest_int(name, 0, cells - 1)
    return at


def optuna_curve(task):
    name, function, seed, trials = task
    settings = {"multivariate": True, "group": True} if name == "Optuna TPE" and function in ("mixed", "table") else {}
    study = optuna.create_study(sampler=OPTUNA[name](seed=seed, **settings))
    rng = np.random.default_rng(seed)
    values = table() if function == "table" else None
    rows = []

    def objective(trial):
        true = value(function, optuna_configuration(function, trial), values)
        observed = true + noise(function, rng)
        rows.append((observed, true))
        return observed

    study.optimize(objective, n_trials=trials)
    return curve(function, rows)


def egobox_curve(task):
    import egobox as egx

    _, function, seed, trials = task
    number, integer = egx.XType.FLOAT, egx.XType.INT
    if function in FLOATS:
        specs = [egx.XSpec(number, [low, high]) for low, high in FLOATS[function]]
    elif function == "mixed":
        # Logarithms of what has a logarithmic scale: egobox has none of its own.
        specs = [egx.XSpec(egx.XType.ENUM, tags=KINDS), egx.XSpec(number, [-4.0, 0.0]), egx.XSpec(number, [0.0, 1.0]), egx.XSpec(number, [1.0, 8.0])]
        specs += [egx.XSpec(integer, [1, 4]), egx.XSpec(number, [3.0, 9.0]), egx.XSpec(number, [3.0, 9.0]), egx.XSpec(egx.XType.ENUM, tags=ACTIVATIONS)]
    else:
        specs = [egx.XSpec(integer, [0, cells - 1]) for cells in TABLE_SETTINGS.values()]
    values = table() if function == "table" else None
    rng = np.random.default_rng(seed)
    rows = []

    def configuration(x):
        if function in FLOATS:
            return {f"x{i}": v for i, v in enumerate(x)}
        if function == "mixed":
            at = {"kind": KINDS[int(round(x[0]))], "rate": 10 ** x[1], "penalty": x[2], "leaves": round(2 ** x[3]), "depth": int(round(x[4]))}
            return at | {"size": round(2 ** x[5]), "size_2": round(2 ** x[6]), "activation": ACTIVATIONS[int(round(x[7]))]}
        at = {name: int(round(v)) for name, v in zip(TABLE_SETTINGS, x)}
        return {name: v for name, v in at.items() if at["depth"] >= 1 or name not in ("size", "dropout")}

    def objective(points):
        found = []
        for x in points:
            true = value(function, configuration(x), values)
            observed = true + noise(function, rng)
            rows.append((observed, true))
            found.append([observed])
        return np.array(found)

    # Its own default number of first points, which count as trials.
    first = min(trials // 2, max(len(specs) + 1, 5))
    egx.Egor(specs, n_doe=first, seed=seed).minimize(objective, max_iters=trials - first)
    return curve(function, rows[:trials])


def curve(function, rows):
    """Simple regret after each trial: of the best by what was observed."""
    best, regrets = (math.inf, math.inf), []
    for observed, true in rows:
        best = min(best, (observed, true))
        # Six digits: the file of all curves stays small.
        regrets.append(float(f"{max(best[1] - lowest(function), 0.0):.6g}"))
    return regrets


def our_curves(program, sampler, function, seeds, trials):
    words = [program, "quality", sampler, function, seeds, trials] + ([TABLE] if function == "table" else [])
    lines = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    values = table() if function == "table" else None
    curves = []
    for line in map(json.loads, lines):
        for configuration, _, true in line["trials"]:
            again = value(function, configuration, values)
            assert abs(again - true) <= 1e-9 * max(1.0, abs(again)), (function, configuration, again, true)
        curves.append(curve(function, [(observed, true) for _, observed, true in line["trials"]]))
    return curves


def optuna_speed(name, trial, dimensions):
    """The middle time of asking for a trial after so many random ones, the first (which compiles and fits anew) left out."""
    sampler = OPTUNA[name](seed=0)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    sphere = lambda t: sum((t.suggest_float(f"x{i}", 0.0, 1.0) - 0.3) ** 2 for i in range(dimensions))
    study.optimize(sphere, n_trials=trial)
    study.sampler = sampler
    seconds = []
    for _ in range(7):
        clock = time.perf_counter()
        asked = study.ask()
        found = sphere(asked)
        seconds.append(time.perf_counter() - clock)
        study.tell(asked, found)
    return sorted(seconds[1:])[3]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--foretaste", type=pathlib.Path, required=True, help="the program; its example lies beside it")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    known = [function for function in FUNCTIONS if function != "table" or TABLE.is_file()]
    parser.add_argument("--functions", nargs="*", default=known)
    parser.add_argument("--without", nargs="*", default=[], help="tools to leave out")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "results")
    arguments = parser.parse_args()
    program = arguments.foretaste.parent / "examples" / "curves"
    import egobox

    raw = {"python": platform.python_version(), "optuna": optuna.__version__, "egobox": getattr(egobox, "__version__", "?"), "curves": {}, "speed": {}}
    tools = [*OURS, *OPTUNA, "egobox"]
    tools = [tool for tool in tools if tool not in arguments.without]
    for function in arguments.functions:
        curves = {}
        for tool in tools:
            clock = time.perf_counter()
            tasks = [(tool, function, seed, arguments.trials) for seed in range(arguments.seeds)]
            if tool in OURS:
                curves[tool] = our_curves(program, tool, function, arguments.seeds, arguments.trials)
            else:
                work = optuna_curve if tool in OPTUNA else egobox_curve
                with ProcessPoolExecutor(arguments.jobs) as pool:
                    curves[tool] = list(pool.map(work, tasks))
            median = statistics.median(c[-1] for c in curves[tool])
            print(f"{function} {tool}: median regret {median:.5g} ({time.perf_counter() - clock:.0f} s)", file=sys.stderr, flush=True)
        raw["curves"][function] = curves
        (arguments.out / "rivals-search.json").write_text(json.dumps(raw, separators=(",", ":")) + "\n")
    for tool, sampler in (("tpe", "tpe"), ("gp", "gp")):
        found = subprocess.run([str(program), "speed", sampler, "200", "10"], check=True, stdout=subprocess.PIPE, text=True).stdout
        raw["speed"][tool] = json.loads(found)["seconds"]
    for name in OPTUNA:
        if name in tools:
            raw["speed"][name] = optuna_speed(name, 200, 10)
    found = subprocess.run([str(program), "memory", "10000"], check=True, stdout=subprocess.PIPE, text=True).stdout
    raw["memory_mb"] = int(re.search(r"(\d+) kB", json.loads(found)["peak"]).group(1)) / 1024
    (arguments.out / "rivals-search.json").write_text(json.dumps(raw, separators=(",", ":")) + "\n")
    write(raw, arguments, tools)


def write(raw, arguments, tools):
    last = {f: {tool: statistics.median(c[-1] for c in curves[tool]) for tool in tools} for f, curves in raw["curves"].items()}
    lines = [
        "# Hyper-parameter search beside Optuna, egobox and random draws",
        "",
        f"`cargo xtask bench rivals-search`; Python {raw['python']}, Optuna {raw['optuna']}, egobox {raw['egobox']}. {arguments.trials} trials, "
        f"{arguments.seeds} seeds; every figure is a median over seeds of the simple regret: how far the best trial, by what was observed, lies above the "
        "lowest value known. Rosenbrock's function is observed with noise of deviation 1. `auto`, `tpe` and `random` are ours. egobox knows no conditional "
        "settings and was given all of them always. The raw curves lie in rivals-search.json.",
        "",
        "| function | " + " | ".join(f"`{t}`" if t in OURS else t for t in tools) + " | `auto` first |",
        "|---|" + "---|" * (len(tools) + 1),
    ]
    for function, by_tool in last.items():
        best = min(v for tool, v in by_tool.items() if tool not in OURS)
        won = "yes" if by_tool["auto"] <= best else "no"
        lines.append(f"| {function} | " + " | ".join(f"{by_tool[tool]:.4g}" for tool in tools) + f" | {won} |")
    lines += ["", "Median regret after 15, 30 and 45 trials:", "", "| function | after | " + " | ".join(tools) + " |", "|---|---|" + "---|" * len(tools)]
    for function, curves in raw["curves"].items():
        for after in (15, 30, 45):
            if after < arguments.trials:
                cells = [f"{statistics.median(c[after - 1] for c in curves[tool]):.4g}" for tool in tools]
                lines.append(f"| {function} | {after} | " + " | ".join(cells) + " |")
    lines += ["", "Asking for trial 200 in ten dimensions, milliseconds, the middle of six questions:", "", "| ours | | Optuna's | | ratio |", "|---|---|---|---|---|"]
    for ours, theirs in (("tpe", "Optuna TPE"), ("gp", "Optuna GP")):
        if theirs in raw["speed"]:
            a, b = raw["speed"][ours], raw["speed"][theirs]
            lines.append(f"| {ours} | {1e3 * a:.2f} | {theirs} | {1e3 * b:.1f} | {b / a:.1f} |")
    lines += ["", f"10,000 trials of ten settings in memory: {raw['memory_mb']:.0f} MB at the peak of the whole process.", ""]
    (arguments.out / "rivals-search.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
